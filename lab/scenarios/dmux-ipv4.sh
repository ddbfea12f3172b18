#!/bin/bash
# IPv4 in IPv4 through the demultiplexer: a server that c reaches no other way answers a ping and serves a file.
#
# Topology: lab/dmux-lib.sh, with g1 and r1 alone, and IPv4 between r1 and s.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-ipv4 "$@"
need iperf3
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=ipv4 DMUX_ROUTES=192.0.5.0/24
SERVER=192.0.5.5

dmux_world
ip -n "$(lab__ns r1)" addr add 10.9.0.1/30 dev lan || lab_fail "address of r1"
ip -n "$(lab__ns s)" addr add 10.9.0.2/30 dev r1 || lab_fail "address of s"
ip -n "$(lab__ns s)" addr add $SERVER/32 dev lo || lab_fail "address of s"
ip -n "$(lab__ns s)" route add 198.51.100.0/24 via 10.9.0.1 || lab_fail "route of s"
ip -n "$(lab__ns r1)" route add $SERVER/32 via 10.9.0.2 || lab_fail "route of r1"
assert "c has no other way" eval "! on c ping -qc 1 -W 1 $SERVER >/dev/null 2>&1"
dmux_gateway g1 1 10.0.1.2 65011 65001
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
dmux_router r1 198.51.100.0/24 192.0.2.1
wait_for 5 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
dmux_client c
wait_for 5 "the client is served" dmux_says c .state up
wait_for 5 "the client has the address that its gateway sees" dmux_says c .address 198.51.100.2
assert "ping" on c ping -qc 20 -i 0.02 -W 2 $SERVER
bg s iperf3 iperf3 -s -1
wait_for 5 "the server" listening s tcp 5201
assert "TCP" on c iperf3 -c $SERVER -n 20M
assert "by way of g1" holds "$(dmux_status g1 .to_router_bytes)" '>' 15000000
assert "nothing was dropped by g1" test "$(dmux_status g1 '.drops | length')" = 0
lab_done
