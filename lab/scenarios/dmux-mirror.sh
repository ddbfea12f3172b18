#!/bin/bash
# The protocol of doc/tutorial-protocol.md with real traffic: c pings hosts of the mirror's network, which are r1. r2 is a
# router with another key than the gateway knows.
#
# Topology: lab/dmux-lib.sh; g1 alone.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-mirror "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=mirror

dmux_world
dmux_gateway g1 1 10.0.1.2 65011 65001
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
dmux_router r1 - 192.0.2.1
wait_for 5 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
wait_for 5 "r1 says that it is registered" grep -q 'registrar=192.0.2.1:51821 gateway=1 registered' "$(bg_log dmuxd-r1)"
"$HAWSER" keygen "$DMUX/other.key" >/dev/null || lab_fail "keygen"
DMUX_PROVIDER_KEY=other.key dmux_router r2 - 192.0.2.1
wait_for 10 "r2 says what it is refused for" grep -q 'registrar=192.0.2.1:51821 gateway=1 refused=provider' "$(bg_log dmuxd-r2)"
assert "and its status does" test "$(dmux_status r2 '.registrars[0].refused')" = provider
bg_stop dmuxd-r2
sed -i 's/^\[Router\]$/&\nDevice = wan/' "$DMUX/r2.conf"
bg r2 dmuxd-r2 "$DMUXD" "$DMUX/r2.conf"
! bg_wait dmuxd-r2 || lab_fail "a router whose device is a wire has started"
assert "it says why, in one line" test "$(sed 's/error=.*/error/' "$(bg_log dmuxd-r2)")" = "<3>device=wan error"
dmux_client c
wait_for 5 "the client is served" dmux_says c .state up
assert "every host answers" on c ping -qc 50 -i 0.01 -W 2 10.77.3.4
assert "and another" on c ping -qc 5 -i 0.01 -W 2 10.77.200.9
# rtt ADDRESS: the median of 200 round trips, us.
rtt() {
    # shellcheck disable=SC2046 # numbers
    median $(on c ping -c 201 -i 0.005 "$1" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | head -n 199)
}
plain=$(rtt 203.0.113.2) rtt=$(rtt 10.77.3.4)
result rtt_plain "$plain" ms
result rtt "$rtt" ms
# There and back a packet goes through client and gateway twice, and through the router, which answers it, once.
result added_hop "$(figure "($rtt - $plain) * 1000 / 2.5" 0)" us
# What the tutorial promises.
for file in mirror_router.c mirror_client.c; do
    source=$LAB_TOP/src/dmux/$file
    # Installed scenarios have no sources beside them.
    [[ ! -d ${source%/*} ]] || assert "$file is short" holds "$(wc -l <"$source")" '<' 40
done
lab_done
