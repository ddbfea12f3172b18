#!/bin/bash
# bench/dmux-ways.sh - round trip and TCP of the four scenarios of table II of the IPdmux paper, side by side.
# Usage: dmux-ways.sh [ROUNDS]
#
# bench/dmux-lib.sh has the ways. c's link is of 100 Mbit/s both ways (tbf), as the paper's LAN. ROUNDS (5) rounds; in
# each, all ways take turns: the median of 200 round trips of a datagram, and 2 s of one TCP flow up. Each way's median, worst and best
# are told. That a way is taken is proved by its daemon's own count of packets. What a gateway adds each way is half of the
# round trip by it less that of the way without one.
#
# Beside the paper: its LAN had a host for each part, here all share one machine; its clients captured all TCP packet by
# packet.

# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init dmux-ways "$@"
# shellcheck source=dmux-lib.sh
. "$LAB_TOP/bench/dmux-lib.sh"
ROUNDS=${LAB_ARGS[0]:-5}
declare -A RTT TCP
declare -A now
ADDED=() USER_HOP=() KERNEL_HOP=()

# shape RATE: both ways of c's link.
shape() {
    tc -n "$(lab__ns c)" qdisc replace dev wan root tbf rate "$1" burst 128k latency 20ms || lab_skip "no tbf"
    tc -n "$(lab__ns x)" qdisc replace dev c root tbf rate "$1" burst 128k latency 20ms || lab_skip "no tbf"
}
# packets WAY: that its client captured.
packets() {
    if [[ $1 == direct ]]; then echo 0; else dmux_status "$1" .capture.pkts; fi
}

dmux_ways_net
dmux_ways_start
shape 100mbit
for ((i = 0; i < ROUNDS; i++)); do
    rounds_quiet
    sources=()
    for way in "${WAYS[@]}"; do sources+=("${SOURCE[$way]}"); done
    mapfile -t rtt < <(dmux_ways_rtt c 200 $SERVER "${sources[@]}")
    ((${#rtt[@]} == ${#WAYS[@]})) || exit 1
    for n in "${!WAYS[@]}"; do
        now[${WAYS[n]}]=${rtt[n]}
        RTT[${WAYS[n]}]+=" ${rtt[n]}"
    done
    ADDED+=("$(figure "(${now[whole]} - ${now[direct]}) / 6" 1)") # each way goes through client, gateway and router
    USER_HOP+=("$(figure "(${now[whole]} - ${now[short]}) / 2" 1)")
    KERNEL_HOP+=("$(figure "(${now[kernel]} - ${now[short]}) / 2" 1)")
    for way in "${WAYS[@]}"; do
        captured=$(packets "$way") through=$(dmux_status g .to_router_pkts)
        TCP[$way]+=" $(dmux_ways_tcp c "${SOURCE[$way]}" $SERVER 2 0.5)"
        [[ $way == direct ]] || assert "$way: captured" holds "$(packets "$way") - $captured > 500"
        through=$(($(dmux_status g .to_router_pkts) - through))
        if [[ $way == whole ]]; then
            assert "whole: by way of g" holds "$through > 500"
        else
            assert "$way: not by way of g" holds "$through < 50"
        fi
    done
done
for way in "${WAYS[@]}"; do
    # shellcheck disable=SC2086 # numbers
    told "rtt_$way" us less 0 ${RTT[$way]}
    # shellcheck disable=SC2086
    told "tcp_$way" Mbit/s more 1 ${TCP[$way]}
done
told added_hop us less 0 "${ADDED[@]}"
told added_user us less 0 "${USER_HOP[@]}"
told added_kernel us less 0 "${KERNEL_HOP[@]}"
assert "nothing was lost by a capture" test "$(for way in capture short whole kernel; do dmux_status $way .capture.lost; done | sort -u)" = 0
rounds_done
