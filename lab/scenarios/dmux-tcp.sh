#!/bin/bash
# TCP through client, gateway and router beside TCP without them, over one link of 1 Gbit/s (tbf) and over one that is not
# shaped.
#
#   c ------- x ------- r      x forwards; g hangs on it as well. IPv4 and IPv6 everywhere, so that the same protocol
#             |                goes both ways: directly to r's own address, and through the demultiplexer to the
#             g                address that r has among its clients.
#
# Promised: shaped, 95 % of what goes directly.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-tcp "$@"
need iperf3
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
SECONDS_EACH=${LAB_ARGS[0]:-5}

host c
host g
router x
router r
wire c:wan x:c 198.51.100.2/24 198.51.100.1/24
wire g:wan x:g 10.0.1.2/30 10.0.1.1/30
wire r:wan x:r 203.0.113.2/24 203.0.113.1/24
for h in c g r; do
    ip -n "$(lab__ns $h)" -6 addr add "2001:db8:$(printf '%d' "'$h")::2/64" dev wan nodad || lab_fail "address of $h"
    ip -n "$(lab__ns x)" -6 addr add "2001:db8:$(printf '%d' "'$h")::1/64" dev $h nodad || lab_fail "address of x"
    # Whoever forwards asks for its neighbours from a link-local address, which hosts of the lab do not make themselves.
    ip -n "$(lab__ns $h)" -6 addr add fe80::2/64 dev wan nodad || lab_fail "link-local address of $h"
    ip -n "$(lab__ns x)" -6 addr add fe80::1/64 dev $h nodad || lab_fail "link-local address of x"
    # No default route for c: with one its client would stand aside, since the network speaks IPv6 itself.
    to=default
    [[ $h != c ]] || to=2001:db8:$(printf '%d' "'r")::/64
    ip -n "$(lab__ns $h)" -6 route add "$to" via "2001:db8:$(printf '%d' "'$h")::1" || lab_fail "route of $h"
done
DIRECT=2001:db8:$(printf '%d' "'r")::2 THROUGH=2001:db8:100::1
default_route c 198.51.100.1
default_route g 10.0.1.1
default_route r 203.0.113.1
ip -n "$(lab__ns x)" route add 192.0.2.0/24 via 10.0.1.2 || lab_fail "route of x"
dmux_keys
dmux_gateway_alone g 1 10.0.1.2
dmux_router r 2001:db8:100::/64 192.0.2.1
wait_for 5 "g has its proof" dmux_says g '[.routers[] | select(.state == "proved")] | length' 1
dmux_client c
wait_for 10 "the client has an address" dmux_says c '.address // "" | startswith("2001:db8:100:")' true
ip -n "$(lab__ns c)" -6 route add "$THROUGH/128" dev dmux6 || lab_fail "route of c"
bg r iperf3 iperf3 -s
wait_for 5 "the server" listening r tcp 5201
wait_for 5 "r answers" on c ping -6 -qc 1 -W 1 "$THROUGH"

# speed ADDRESS [ARGUMENT...]: Mbit/s.
speed() {
    on c iperf3 -c "$1" -t "$SECONDS_EACH" -O 1 -J "${@:2}" | jq '.end.sum_received.bits_per_second / 1e6'
}
# shape RATE: both ways of c's link.
shape() {
    tc -n "$(lab__ns c)" qdisc replace dev wan root tbf rate "$1" burst 128k latency 20ms || lab_skip "no tbf"
    tc -n "$(lab__ns x)" qdisc replace dev c root tbf rate "$1" burst 128k latency 20ms || lab_skip "no tbf"
}
# cpu HOST: processor time of its daemon until now, ms (in clock ticks of 10).
cpu() {
    awk '{ print ($14 + $15) * 10 }' "/proc/$(bg_pid "dmuxd-$1")/stat"
}
# What a GB costs the daemons does not hang on what else the machine does, as its speed does.
before=$(($(cpu c) + $(cpu g) + $(cpu r)))
moved=$(on c iperf3 -c "$THROUGH" -n 1G -J | jq '.end.sum_received.bytes / 1e9')
result cost "$(figure "($(cpu c) + $(cpu g) + $(cpu r) - $before) / $moved" 0)" "ms/GB"
for way in up down; do
    args=()
    [[ $way == up ]] || args=(-R)
    declare "direct_$way=$(speed "$DIRECT" "${args[@]}")" "through_$way=$(speed "$THROUGH" "${args[@]}")"
done
shape 1gbit
for way in up down; do
    args=()
    [[ $way == up ]] || args=(-R)
    declare "shaped_direct_$way=$(speed "$DIRECT" "${args[@]}")" "shaped_$way=$(speed "$THROUGH" "${args[@]}")"
done
for way in up down; do
    for name in direct through shaped_direct shaped; do
        value=${name}_$way
        result "$value" "$(figure "${!value}" 0)" Mbit/s
    done
    a=shaped_$way b=shaped_direct_$way
    share=$(figure "${!a} / ${!b} * 100" 1)
    result "share_$way" "$share" %
    SHARES+=("$share")
done
read -r load _ </proc/loadavg
! holds "$load" '>' "$(nproc)" || lab_busy "load average $load"
for share in "${SHARES[@]}"; do
    assert "95 % of a link of 1 Gbit/s" holds "$share" '>=' 95
done
assert "the client did not stand aside" test "$(dmux_status c .state)" = up
assert "nothing was dropped by g" test "$(dmux_status g '.drops | length')" = 0
lab_done
