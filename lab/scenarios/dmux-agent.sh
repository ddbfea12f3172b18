#!/bin/bash
# A node whose file names no agent, only an anycast address and whom to believe: it finds the nearest agent, uses it over
# both uplinks, and finds another one when that dies.
#
#     wan .--------.                               AS 65001 and 65002 are transit networks, g1 and g2 gateways of
#   n ====| t1     | ---- t2 ---- s                192.0.2.0/24. a1 and a2 are agents, each beside a router of the
#     lte '--------'     /  \                      protocol "hawser"; a2 is 10 ms further away. s is a web server.
#          |      \     g2   a2
#          g1      a1
#
# Nobody says where agents are but a1 and a2 themselves, by certificates of the realm lab.example. A third router, x, of
# the same provider is nearer for a while: its agent's certificate is of another realm, and is not believed.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-agent "$@"
need curl nginx
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=hawser
DIR=$LAB_DIR/hawser
SERVER=198.18.0.2
mkdir -p "$DIR" "$DMUX"

for h in n g1 g2 s x; do host $h; done
for h in t1 t2 a1 a2; do router $h; done
link n:wan t1:wan 198.51.100.2/24 198.51.100.1/24 both="rate=20mbit delay=5ms"
link n:lte t1:lte 198.51.101.2/24 198.51.101.1/24 both="rate=10mbit delay=8ms"
wire t1:t2 t2:t1 10.0.0.1/30 10.0.0.2/30
wire g1:wan t1:g1 10.0.1.2/30 10.0.1.1/30
wire g2:wan t2:g2 10.0.2.2/30 10.0.2.1/30
wire a1:wan t1:a1 203.0.113.2/24 203.0.113.1/24
wire x:wan t1:x 203.0.114.2/24 203.0.114.1/24
link a2:wan t2:a2 192.0.3.2/24 192.0.3.1/24 both="rate=100mbit delay=10ms"
wire s:wan t2:s $SERVER/24 198.18.0.1/24
default_route n 198.51.100.1 wan 100
default_route n 198.51.101.1 lte 200
default_route g1 10.0.1.1
default_route g2 10.0.2.1
default_route a1 203.0.113.1
default_route x 203.0.114.1
default_route a2 192.0.3.1
default_route s 198.18.0.1
dmux__transit t1 10.0.0.1 65001 "10.0.0.2 65002" "10.0.1.2 65011"
dmux__transit t2 10.0.0.2 65002 "10.0.0.1 65001" "10.0.2.2 65012"
dmux_keys
dmux_gateway g1 1 10.0.1.2 65011 65001
dmux_gateway g2 2 10.0.2.2 65012 65002
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
wait_for 20 "the prefix by way of g2" dmux_announced t2 10.0.2.2

quiet() {
    "$HAWSER" "$@" >>"$(bg_log hawser)" 2>&1 || lab_fail "hawser $*: $(<"$(bg_log hawser)")"
}
quiet realm init "$DIR/realm" lab.example
quiet realm init "$DIR/other" other.example
for h in n a1 a2 x; do
    pair_key $h >/dev/null
done
quiet realm enrol "$DIR/realm" agent-a1.s "$(pair_key a1)" "$DIR/a1.chain"
quiet realm enrol "$DIR/realm" agent-a2.s "$(pair_key a2)" "$DIR/a2.chain"
quiet realm enrol "$DIR/other" agent.s "$(pair_key x)" "$DIR/x.chain"

# agent HOST N ADDRESS GATEWAYS: an agent of the network 10.77.N.0/24, and who tells of it.
agent() {
    mkdir -p "$DIR/$1"
    {
        pair__interface "$1" 'ListenPort = 51820' "Address = 10.77.$2.1/24" 'NAT = wan'
        printf '[Peer n]\nPublicKey = %s\n' "$(pair_key n)"
    } >"$DIR/$1.conf"
    pair_daemon "$1"
    wait_for 5 "$1 answers" pair_status "$1" .pid
    dmux_router "$1" - "$4" "Offer = $3" "OfferChain = $DIR/$1.chain"
}
agent a1 1 203.0.113.2 "192.0.2.1"
agent a2 2 192.0.3.2 "192.0.2.1, 10.0.1.2"
wait_for 10 "g1 knows both" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 2
head -c 2000000 /dev/urandom >"$LAB_DIR/file"
web_start s "$SERVER:80" "$LAB_DIR/file"

mkdir -p "$DIR/n"
{
    pair__interface n
    printf '[Link wan]\nWifiSignal = off\n[Link lte]\nWifiSignal = off\n'
    printf '[Names]\nRoot = %s\n[Peer home]\nAnycast = 192.0.2.1\n' realm/root
} >"$DIR/n.conf"
assert "the file is sound" "$HAWSER" check "$DIR/n.conf"
pair_daemon n
serves() { # HOST N: the node's traffic goes by way of that agent
    on n ping -c 1 -W 1 "10.77.$2.1" && grep -q "agent name=agent-$1.s.lab.example" "$(bg_log hawserd-n)"
}
before=$EPOCHREALTIME
wait_for 10 "the nearest agent is used" serves a1 1
result found "$(figure "$EPOCHREALTIME - $before" 2)" s
wait_for 10 "over both uplinks" pair_active n lte wan
assert "curl" on n curl -sf --max-time 60 -o "$LAB_DIR/got" "http://$SERVER/file"
assert "every byte" cmp "$LAB_DIR/file" "$LAB_DIR/got"
assert "by way of a1" holds "$(pair_status a1 '[.peers[].paths[].rx_bytes] | add')" '>' 10000

# The agent and its router die together, as a machine does, and x is there instead.
dmux_router x - "10.0.1.2" "Offer = 203.0.114.2" "OfferChain = $DIR/x.chain"
wait_for 10 "g1 knows x" dmux_says g1 '[.routers[] | select(.state == "proved" and (.at | startswith("203.0.114.")))] | length' 1
bg_stop dmuxd-a1 KILL
bg_stop hawserd-a1 KILL
wait_for 30 "whom the realm did not enrol is not believed" grep -q "anycast refused=offer" "$(bg_log hawserd-n)"
bg_stop dmuxd-x KILL
before=$EPOCHREALTIME
wait_for 40 "the other agent is used" serves a2 2
result moved "$(figure "$EPOCHREALTIME - $before" 2)" s
assert "curl by way of a2" on n curl -sf --max-time 60 -o "$LAB_DIR/got" "http://$SERVER/file"
assert "every byte again" cmp "$LAB_DIR/file" "$LAB_DIR/got"
assert "x was never called" eval "! grep -q 'agent name=agent.s.other' '$(bg_log hawserd-n)'"
lab_done
