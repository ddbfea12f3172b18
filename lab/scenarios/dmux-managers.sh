#!/bin/bash
# Two gateways that nobody has told of each other: the manager of their realm does, once a client of the one wants what a
# router of the other provides. What has been found is used on when the manager is gone.
#
# Topology: lab/dmux-lib.sh, with the manager at t1. BGP brings c to g1 and r1 to g2.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-managers "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
SERVER=2001:db8:5::5

dmux_world
wait_for 20 "t1 knows the way to g2" on t1 ping -qc 1 -W 1 10.0.2.2
dmux_managers t1 10.0.0.1 g1 1 g2 2
dmux_gateway g1 1 10.0.1.2 65011 65001
dmux_gateway g2 2 10.0.2.2 65012 65002
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
wait_for 20 "the prefix by way of g2" dmux_announced t2 10.0.2.2
dmux_router r1 2001:db8:100::/64 192.0.2.1
wait_for 5 "r1 is registered with g2" dmux_says r1 '.registrars[0] | "\(.state) \(.gateway)"' "registered 2"
# Of the service and of any, in three cells each.
wait_for 30 "g2 says so to the manager" dmux_bindings 6
assert "g1 has no link to anybody" test "$(dmux_status g1 '.mesh.peers | length')" = 0
dmux_client c
wait_for 20 "g1 has found g2" dmux_says g1 '[.mesh.peers[] | select(.up) | .gateway] | tostring' '[2]'
wait_for 10 "the client is served by g1" dmux_says c '"\(.state) \(.gateway)"' "up 1"
wait_for 10 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"
assert "by the router that is registered with g2" test "$(dmux_status g1 '.routers[0].registered_with')" = 2

bg_stop realmd KILL
assert "s answers without a manager" on c ping -6 -qc 3 -i 0.2 -W 1 "$SERVER"
assert "nobody lied" test "$(dmux_status g1 '.mesh.drops | length')" = 0
lab_done
