#!/bin/bash
# Each offload used and refused, on either end, both families inside and outside: bytes arrive as they were sent, and
# packets of UDP too.
#
#   client:eth0 ------------------------ agent:eth0    agent:eth1 ---------------------- server:eth0
#   198.51.100.1, 2001:db8:1::1   veth   .2, ::2        192.0.2.1, 2001:db8:2::1   veth  192.0.2.10, 2001:db8:2::10
#   203.0.113.2, 2001:db8:3::2 . . hawser0 . . 203.0.113.1, 2001:db8:3::1
#
# A checksum that one end's device leaves out has to be put in by the other's, or by us when that other has none: hence
# the pairs. The servers' kernel verifies what reaches it: a wrong checksum stops the transfer.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init offloads "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
need jq
BYTES=20000000

host client
router agent
host server
wire client:eth0 agent:eth0 198.51.100.1/30 198.51.100.2/30
wire agent:eth1 server:eth0 192.0.2.1/26 192.0.2.10/26
lab__addr client eth0 2001:db8:1::1/64
lab__addr agent eth0 2001:db8:1::2/64
lab__addr agent eth1 2001:db8:2::1/64
lab__addr server eth0 2001:db8:2::10/64
default_route client 198.51.100.2
default_route server 192.0.2.1
ip -n "$(lab__ns client)" route add default via 2001:db8:1::2 || lab_fail "route"
ip -n "$(lab__ns server)" route add default via 2001:db8:2::1 || lab_fail "route"

# The lab makes no link-local addresses, and without one a router's solicitation goes unanswered.
lab__addr agent eth1 fe80::1/64
lab__addr server eth0 fe80::10/64

# transfer FROM TO ADDRESS: TCP; the receiver says whether each byte was the one expected.
transfer() {
    bg "$2" recv "$LAB_XFER" recv "$3:9000"
    wait_for 5 "the receiver listens" listening "$2" tcp 9000
    bg "$1" send "$LAB_XFER" send "$3:9000" --cc cubic --bytes "$BYTES"
    bg_wait send || lab_fail "$WHAT, TCP to $3: $(<"$(bg_log send)")"
    bg_wait recv || lab_fail "$WHAT, TCP to $3: $(<"$(bg_log recv)")"
    assert "$WHAT, TCP to $3: every byte" test "$(jq -r "(.bytes == $BYTES) and .intact" "$(bg_log recv)")" = true
}

# through CLIENT_OFFLOAD AGENT_OFFLOAD ENDPOINT
through() {
    WHAT="node '$1', agent '$2', over $3"
    NODE_LINES=('Routes = 192.0.2.0/26, 2001:db8:2::/64' "Offload = $1") AGENT_LINES=("Offload = $2")
    pair_config client agent "$3" '203.0.113.1/30, 2001:db8:3::1/64' '203.0.113.2/32, 2001:db8:3::2/128' eth0
    pair_start client agent eth0
    wait_for 5 "the client has its address" on client ping -c 1 -W 1 -I 2001:db8:3::2 2001:db8:2::10
    transfer client server 192.0.2.10
    transfer server client 203.0.113.2
    transfer client server "[2001:db8:2::10]"
    transfer server client "[2001:db8:3::2]"
    bg_stop hawserd-client
    bg_stop hawserd-agent
}

V4=198.51.100.2:51820 V6='[2001:db8:1::2]:51820'
through yes yes "$V4"
through yes yes "$V6"
through yes no "$V4"
through no yes "$V6"
through no no "$V4"
through csum,tso,gso,gro csum "$V4"
through csum csum,uso,gso,gro "$V6"
through gso,gro csum,tso,uso "$V4"
result transfers 32
lab_done
