#!/bin/bash
# A protocol whose packets are IPv4, taken from what c sends anyway: by rules of iptables (NFQUEUE), and not by routes.
#
# s is reached by nothing but the demultiplexer, though c's default route leads to t1. c's programs know nothing of it,
# and what they send keeps its way, its device and its address.
#
# Topology: lab/dmux-lib.sh, with g1 and r1 alone, and IPv4 between r1 and s.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-capture "$@"
need iperf3 curl nginx nft iptables iptables-restore
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=ipv4 DMUX_ROUTES="192.0.5.0/24"
SERVER=192.0.5.5

dmux_world
on c iptables -w -t mangle -A OUTPUT -d 192.0.2.99 -j NFQUEUE --queue-num 9 --queue-bypass 2>/dev/null ||
    lab_skip "the kernel or iptables has no NFQUEUE"
on c iptables -w -t mangle -F OUTPUT

ip -n "$(lab__ns r1)" addr add 10.9.0.1/30 dev lan || lab_fail "address of r1"
ip -n "$(lab__ns s)" addr add 10.9.0.2/30 dev r1 || lab_fail "address of s"
ip -n "$(lab__ns s)" addr add $SERVER/32 dev lo || lab_fail "address of s"
ip -n "$(lab__ns s)" route add 198.51.100.0/24 via 10.9.0.1 || lab_fail "route of s"
ip -n "$(lab__ns r1)" route add $SERVER/32 via 10.9.0.2 || lab_fail "route of r1"
# A host that checks where packets come from, as distributions have it.
on c sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 || lab_fail "rp_filter"
assert "c has no other way" eval "! on c ping -qc 1 -W 1 $SERVER >/dev/null 2>&1"
dmux_gateway g1 1 10.0.1.2 65011 65001
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
dmux_router r1 198.51.100.0/24 192.0.2.1
wait_for 5 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1

# mangle HOST: the rules of the table but for its own policies.
mangle() {
    on "$1" iptables -w -t mangle -S | grep -v '^-P'
}
no_rules() {
    [[ -z $(mangle c) ]]
}
others_rule_alone() {
    [[ $(mangle c) == "-A OUTPUT -d 203.0.113.99/32 -j ACCEPT" ]]
}
# client LINE...: c's daemon, with these lines in [Client].
client() {
    DMUX_ROUTES="192.0.5.0/24
Capture = queue
$(printf '%s\n' "$@")" dmux_client c
    wait_for 5 "packets are captured" dmux_says c .capture.state on
}
# refuses_size HOST ADDRESS: what may not be cut and is too long is refused to its sender, who hears of our MTU.
refuses_size() {
    on "$1" ping -c 2 -i 0.2 -W 1 -M "do" -s 1450 "$2" 2>&1 | grep -q 'mtu = 1400'
}

# What somebody else has in the table stays.
on c iptables -w -t mangle -A OUTPUT -d 203.0.113.99 -j ACCEPT || lab_fail "iptables"
client
assert "no route leads into the device" test -z "$(ip -n "$(lab__ns c)" route show dev dmux6)"
assert "ping" on c ping -qc 20 -i 0.02 -W 2 $SERVER
assert "from the address that c has" test "$(on c ip -j route get $SERVER | jq -r '.[0].dev')" = wan
assert "what is too long is cut" on c ping -qc 3 -i 0.02 -W 2 -s 3000 $SERVER
assert "or refused, if it may not be" refuses_size c $SERVER
assert "what goes elsewhere is not captured" on c ping -qc 3 -i 0.02 -W 2 203.0.113.2
before=$(dmux_status c .tx_pkts)
on c ping -qc 3 -i 0.02 -W 2 203.0.113.2 >/dev/null
assert "and does not pass by us" holds "$(($(dmux_status c .tx_pkts) - before))" '<=' 0

head -c 20000000 /dev/urandom >"$LAB_DIR/file"
web_start s "$SERVER:80" "$LAB_DIR/file" "dav_methods PUT;"
assert "curl" on c curl -sf --max-time 60 -o "$LAB_DIR/got" "http://$SERVER/file"
assert "every byte" cmp "$LAB_DIR/file" "$LAB_DIR/got"
assert "and up" on c curl -sf --max-time 60 -o /dev/null -T "$LAB_DIR/file" "http://$SERVER/up"
assert "every byte arrived" cmp "$LAB_DIR/file" "$LAB_DIR/web/www/up"

bg s iperf3 iperf3 -s
wait_for 5 "the server" listening s tcp 5201
up=$(on c iperf3 -Jc $SERVER -n 60M | jq '.end.sum_received.bits_per_second / 1e6')
result tcp_up "${up:-0}" Mbit/s
assert "TCP in super-packets" holds "$(dmux_status c '.tx_pkts / .capture.pkts')" '>' 1
lost=$(on c iperf3 -Juc $SERVER -b 20M -t 2 -l 1300 | jq '.end.sum.lost_packets')
assert "UDP, each datagram as it was" holds "${lost:--1}" == 0
assert "by way of g1" holds "$(dmux_status g1 .to_router_bytes)" '>' 60000000
assert "nothing was dropped by g1" test "$(dmux_status g1 '.drops | length')" = 0
assert "and nothing lost by c" test "$(dmux_status c '"\(.capture.lost) \(.capture.refused)"')" = "0 0"

# A NAT on the way to g1: what has c's own address is not captured any more, and is again when the NAT is gone.
on t1 nft -f - <<END || lab_fail "the NAT of t1"
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat
        ip daddr 192.0.2.1 udp dport 51821 masquerade
    }
}
END
wait_for 20 "c is told of the NAT" dmux_says c .capture.state behind-nat
assert "behind a NAT nothing is captured" others_rule_alone
on t1 nft delete table ip nat || lab_fail "the NAT of t1"
wait_for 20 "packets are captured again" dmux_says c .capture.state on
assert "and come through" on c ping -qc 3 -i 0.02 -W 2 $SERVER

# The end, of each kind.
"$HAWSER" dmux down "$DMUX/c.sock" >/dev/null || lab_fail "down"
wait_for 5 "after its end the rules are gone" others_rule_alone
on c iptables -w -t mangle -F OUTPUT
client
kill -9 "$(dmux_status c .pid)"
wait_for 5 "they are gone after kill -9" no_rules
client
# Whoever would remove them, too: the only other process of that name.
sweeper=$(pgrep -P "$(dmux_status c .pid)" -x hawser-dmuxd)
kill -9 "$sweeper" "$(dmux_status c .pid)"
wait_for 5 "the device is gone" eval '! on c ip link show dmux6 >/dev/null 2>&1'
assert "when nobody is left, the rules are still there" eval '! no_rules'
ip -n "$(lab__ns t1)" addr add 192.0.5.1/32 dev lo || lab_fail "address of t1"
assert "and let packets go the way that they would go" on c ping -qc 3 -i 0.02 -W 2 192.0.5.1
client "IpProtocol = 1"
assert "the next start replaces them" holds "$(mangle c | grep -c -- '-A OUTPUT')" == 1
assert "ping is captured" on c ping -qc 3 -i 0.02 -W 2 $SERVER
assert "and nothing else" eval "! on c curl -s --max-time 1 -o /dev/null http://$SERVER/file"
lab_done
