#!/bin/bash
# One uplink with several source ports, and two ways of equal cost behind it, which the routers choose by the ports of
# each datagram: an inner TCP flow gets both ways' rates.
#
#   node:eth0 -- left:eth0   left:a0 ==== 10 Mbit/s, 10 ms ==== right:a0   right:eth0 -- agent:eth0
#   10.0.1.2     10.0.1.1    left:b0 ==== 10 Mbit/s, 10 ms ==== right:b0   10.0.2.1      10.0.2.2
#
# In one start of eight all four ports are of one way in a given direction: then the node starts again with others. Promised: more than 1.3 times what one way carries, each way measured by its own counters.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init ports "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
need jq
BYTES=12000000

host node
host agent
router left
router right
wire node:eth0 left:eth0 10.0.1.2/24 10.0.1.1/24
wire agent:eth0 right:eth0 10.0.2.2/24 10.0.2.1/24
link left:a0 right:a0 10.1.0.1/30 10.1.0.2/30 both="rate=10mbit delay=10ms"
link left:b0 right:b0 10.1.1.1/30 10.1.1.2/30 both="rate=10mbit delay=10ms"
default_route node 10.0.1.1
default_route agent 10.0.2.1
for side in left right; do
    lab__sysctl $side ipv4/fib_multipath_hash_policy=1 # layer 4
done
ip -n "$(lab__ns left)" route add 10.0.2.0/24 nexthop via 10.1.0.2 nexthop via 10.1.1.2 || lab_skip "no routes of equal cost"
ip -n "$(lab__ns right)" route add 10.0.1.0/24 nexthop via 10.1.0.1 nexthop via 10.1.1.1 || lab_fail "route"

NODE_LINES=('Routes = 203.0.113.0/24') LINK_LINES=('Ports = 4')
pair_config node agent 10.0.2.2:51820 203.0.113.1/24 203.0.113.2/32 eth0
pair_daemon agent
wait_for 5 "the agent answers" pair_status agent .pid

# bytes DEVICE: what left's device has received and sent.
bytes() {
    ip -n "$(lab__ns left)" -s -j link show "$1" | jq -r '.[0].stats64 | "\(.rx.bytes) \(.tx.bytes)"'
}
four() {
    [[ $(pair_status node '[.peers[].paths[] | select(.state == "active")] | length') == 4 ]]
}
# spread: has either way carried probes to and fro since BEFORE_a and BEFORE_b?
spread() {
    local rx tx was_rx was_tx
    read -r was_rx was_tx <<<"$BEFORE_a"
    read -r rx tx < <(bytes a0)
    ((rx - was_rx > 1000 && tx - was_tx > 1000)) || return 1
    read -r was_rx was_tx <<<"$BEFORE_b"
    read -r rx tx < <(bytes b0)
    ((rx - was_rx > 1000 && tx - was_tx > 1000))
}
for try in {1..10}; do
    BEFORE_a=$(bytes a0) BEFORE_b=$(bytes b0)
    pair_daemon node
    wait_for 10 "four paths" four
    nap 0.5
    ! spread || break
    bg_stop hawserd-node
    ((try < 10)) || lab_fail "the routers never used both ways"
done
result tries "$try" starts

BEFORE_a=$(bytes a0) BEFORE_b=$(bytes b0)
bg node recv "$LAB_XFER" recv 203.0.113.2:9000
wait_for 5 "the receiver listens" listening node tcp 9000
on agent "$LAB_XFER" send 203.0.113.2:9000 --cc cubic --bytes $BYTES >"$(bg_log send)" 2>&1 || lab_fail "$(<"$(bg_log send)")"
bg_wait recv || lab_fail "$(<"$(bg_log recv)")"
rate=$(jq '.bps / 1e6 * 100 | round / 100' "$(bg_log recv)")
result rate "$rate" Mbit/s
result way_a $(($(bytes a0 | cut -d' ' -f1) - ${BEFORE_a% *})) bytes
result way_b $(($(bytes b0 | cut -d' ' -f1) - ${BEFORE_b% *})) bytes
assert "every byte" test "$(jq -r "(.bytes == $BYTES) and .intact" "$(bg_log recv)")" = true
# A way carries 10 Mbit/s of outer packets, and of these 94 % are the inner packets' payload.
assert "more than one way carries" holds "$rate > 1.3 * 9.4"
lab_done
