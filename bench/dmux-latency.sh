#!/bin/bash
# bench/dmux-latency.sh - what capturing a packet takes, and what putting it into the tunnel does, over packets' sizes.
# Usage: dmux-latency.sh [ROUNDS [COUNT]]
#
# A client by queues of the kernel and one by its device, both served by g and r of bench/dmux-lib.sh, take turns packet by
# packet; bench/dmux-latency.c says from where to where is measured. ROUNDS (5) rounds of COUNT (300) packets of each size.

# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init dmux-latency "$@"
# shellcheck source=dmux-lib.sh
. "$LAB_TOP/bench/dmux-lib.sh"
ROUNDS=${LAB_ARGS[0]:-5} COUNT=${LAB_ARGS[1]:-300}
STAMPS=$HAWSER_BUILD/bench/bench-dmux-stamps LATENCY=$HAWSER_BUILD/bench/bench-dmux-latency
PLOT=$HAWSER_BUILD/bench/dmux-latency.svg

dmux_ways_net
dmux_ways_served
dmux_ways_client queue c "${SOURCE[whole]}" "$STAMPS" "Address = ${SOURCE[whole]}" "Routes = $SERVER/32" "Capture = queue"
dmux_ways_client device c "${SOURCE[short]}" "$STAMPS" "Address = ${SOURCE[short]}" "Routes = 192.0.6.5/32"
for name in queue device; do wait_for 10 "the client $name is served" dmux_says $name .state up; done
for ((i = 0; i < 5; i++)); do rounds_quiet; done
mkdir -p "${PLOT%/*}" && rm -f "$PLOT" # of an earlier run
on c "$LATENCY" wan "$COUNT" "$ROUNDS" "$PLOT" queue "${SOURCE[whole]}" $SERVER device "${SOURCE[short]}" 192.0.6.5 \
    >"$LAB_DIR/latency" || lab_fail "$LATENCY ended with code $?"
for ((i = 0; i < 4; i++)); do rounds_quiet; done
while read -r key value; do result "$key" "$value" us; done <"$LAB_DIR/latency"
rounds_done
