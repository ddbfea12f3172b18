#!/bin/bash
# A mesh of two gateways: a router that registers with one of them serves the clients of the other, and goes on when the one
# that it is registered with dies. What its log says of that, and of one that comes back as a stranger.
#
# Topology: lab/dmux-lib.sh. BGP brings c to g1 and r1 to g2; g2 begins with g1 as its seed.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-mesh "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
SERVER=2001:db8:5::5

dmux_world
dmux_mesh g1 1 g2 2
dmux_gateway g1 1 10.0.1.2 65011 65001
dmux_gateway g2 2 10.0.2.2 65012 65002
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
wait_for 20 "the prefix by way of g2" dmux_announced t2 10.0.2.2
wait_for 10 "g1 has a link to g2" dmux_says g1 '[.mesh.peers[] | select(.up)] | length' 1
dmux_router r1 2001:db8:100::/64 192.0.2.1
wait_for 5 "r1 is registered with g2" dmux_says r1 '.registrars[0] | "\(.state) \(.gateway)"' "registered 2"
wait_for 5 "g1 has its proof, by way of g2" dmux_says g1 '.routers[] | "\(.state) \(.registered_with)"' "proved 2"
dmux_client c
wait_for 10 "the client is served by g1" dmux_says c '"\(.state) \(.gateway)"' "up 1"
wait_for 5 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"
result link_rtt "$(dmux_status g1 '.mesh.peers[0].rtt_us')" us

bg c ping ping -6 -qc 400 -i 0.02 -W 2 "$SERVER"
nap 1
bg_stop dmuxd-g2 KILL
bg_wait ping || lab_fail "ping: $(<"$(bg_log ping)")"
lost=$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$(bg_log ping)" | { read -r a b; echo $((a - b)); })
result lost "$lost" packets
assert "c was served all the while" test "$lost" = 0
wait_for 10 "r1 is registered with g1 now" dmux_says r1 '.registrars[0] | "\(.state) \(.gateway)"' "registered 1"
wait_for 15 "g1 says that nobody answers" grep -q 'mesh links=0 asked=10.0.2.2:51821' "$(bg_log dmuxd-g1)"
# g2 comes back with the certificate of a realm that nobody knows.
"$HAWSER" realm init "$DMUX/realm-other" other.example >/dev/null || lab_fail "other realm"
"$HAWSER" realm enrol "$DMUX/realm-other" dmux-gateway-2.s "$("$HAWSER" id show "$DMUX/g2.key" --json | jq -r .public)" \
    "$DMUX/g2.chain" >/dev/null || lab_fail "other certificate"
sed -i "s|^Root = .*|Root = $("$HAWSER" id show "$DMUX/realm-other/key" --json | jq -r .ed25519)|; s|^Realm = .*|Realm = other.example|" "$DMUX/g2.conf"
dmux_gateway_start g2
wait_for 15 "g1 says that it is a stranger" grep -q 'mesh strangers=' "$(bg_log dmuxd-g1)"
wait_for 15 "g2 says that nobody answers" grep -q 'mesh links=0 asked=10.0.1.2:51821' "$(bg_log dmuxd-g2)"
assert "nobody lied" test "$(dmux_status g1 '.mesh.drops | del(.stranger) | length')" = 0
lab_done
