#!/bin/bash
# bench/dmux-tcp.sh - TCP through client, gateway and router, beside TCP without them and beside the least that programs at
# the same places do: over a link of 1 Gbit/s (tbf), and over one that is not shaped.
# Usage: dmux-tcp.sh [ROUNDS]
#
#   c ------- x ------- r      x forwards; g hangs on it as well.
#             |
#             g
#
#   direct    to r's own address, by IPv6
#   through   to the address that r has among its clients, by IPv6: device of c, g, device of r
#   bare      device of c, g, device of r by bench/bare-loop.c, not sealed, and bench/bare-hop.c, with the offloads that
#             the daemons use; IPv4 inside, since it knows no other: a payload of 1348 and not 1328 of a packet's 1400
#
# ROUNDS (5) rounds; in each, all ways take turns up and down, without the buckets and with them: one flow of cubic, of
# which the last 2 s count. Medians, worst and best are told, and those of the rounds' own ratios.
#
# What the framing allows: of 1514 bytes of an Ethernet frame a direct segment has 1428 of payload; a packet of 1400 has
# 1328, and its frame is of 1462 up (48 more, and 14 of Ethernet) and of 1450 down (no cookie).

# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init dmux-tcp "$@"
need iperf3 jq
# shellcheck source=../lab/dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=rounds-lib.sh
. "$LAB_TOP/bench/rounds-lib.sh"
ROUNDS=${LAB_ARGS[0]:-5}
BARE_LOOP=$HAWSER_BUILD/bench/bench-bare-loop BARE_HOP=$HAWSER_BUILD/bench/bench-bare-hop

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
declare -A TO=([direct]=2001:db8:$(printf '%d' "'r")::2 [through]=2001:db8:100::1 [bare]=10.99.0.2)
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
ip -n "$(lab__ns c)" -6 route add "${TO[through]}/128" dev dmux6 || lab_fail "route of c"
bg c bare "$BARE_LOOP" --unsealed 198.51.100.2:51811 10.0.1.2:51811
bg g bare-hop "$BARE_HOP" 10.0.1.2:51811 198.51.100.2:51811 203.0.113.2:51811
bg r bare-second "$BARE_LOOP" --unsealed --second 203.0.113.2:51811 10.0.1.2:51811
for h in c r; do
    wait_for 5 "$h has bare0" ip -n "$(lab__ns $h)" link show dev bare0
    us=10.99.0.1 them=10.99.0.2
    [[ $h == c ]] || us=10.99.0.2 them=10.99.0.1
    ip -n "$(lab__ns $h)" addr add $us peer $them dev bare0 || lab_fail "address of bare0"
    ip -n "$(lab__ns $h)" link set dev bare0 up || lab_fail "bare0 up"
done
bg r iperf3 iperf3 -s
wait_for 5 "the server" listening r tcp 5201
for way in direct through bare; do wait_for 5 "$way: r answers" on c ping -qc 1 -W 1 "${TO[$way]}"; done

# speed WAY [ARGUMENT...]: Mbit/s.
speed() {
    local doc
    doc=$(on c iperf3 -J -C cubic -c "${TO[$1]}" -t 2 -O 0.5 "${@:2}") || lab_fail "iperf3 $1: $(jq -r .error <<<"$doc")"
    jq '.end.sum_received.bits_per_second / 1e6' <<<"$doc"
}
# shape add|del: both ways of c's link.
shape() {
    local end words=()
    [[ $1 == del ]] || words=(tbf rate 1gbit burst 128k latency 20ms)
    for end in "c wan" "x c"; do
        tc -n "$(lab__ns "${end% *}")" qdisc "$1" dev "${end#* }" root "${words[@]}" || lab_skip "no tbf"
    done
}
# cpu HOST: processor time of its daemon until now, ms (in clock ticks of 10).
cpu() {
    awk '{ print ($14 + $15) * 10 }' "/proc/$(bg_pid "dmuxd-$1")/stat"
}
# What a GB costs the daemons does not hang on what else the machine does, as its speed does.
spent=$(($(cpu c) + $(cpu g) + $(cpu r)))
moved=$(on c iperf3 -C cubic -c "${TO[through]}" -n 1G -J | jq '.end.sum_received.bytes / 1e9')
result cost "$(figure "($(cpu c) + $(cpu g) + $(cpu r) - $spent) / $moved" 0)" "ms/GB"

declare -A FIGURES
# turn KIND through WAY...: each way's figure, up and down, is added to FIGURES[KIND_WAY_up] and FIGURES[KIND_WAY_down]; of
# what goes through the three and each of the others, the ratio to FIGURES[KIND_of_WAY_up] and so on.
turn() {
    local kind=$1 way up args=()
    declare -A now
    for up in up down; do
        [[ $up == up ]] || args=(-R)
        for way in "${@:2}"; do
            now[$way]=$(speed "$way" "${args[@]}")
            FIGURES[${kind}_${way}_$up]+=" ${now[$way]}"
            [[ $way == through ]] || FIGURES[${kind}_of_${way}_$up]+=" $(figure "${now[through]} / ${now[$way]} * 100" 1)"
        done
    done
}
for ((i = 0; i < ROUNDS; i++)); do
    rounds_quiet
    turn open through direct bare
    shape add
    turn shaped through direct
    shape del
done
for key in "${!FIGURES[@]}"; do
    unit=Mbit/s decimals=0
    [[ $key != *_of_* ]] || unit=% decimals=1
    # shellcheck disable=SC2086 # numbers
    told "$key" $unit more $decimals ${FIGURES[$key]}
done
result ceiling_up "$(figure "(1328 / 1462) / (1428 / 1514) * 100" 1)" %
result ceiling_down "$(figure "(1328 / 1450) / (1428 / 1514) * 100" 1)" %
assert "the client did not stand aside" test "$(dmux_status c .state)" = up
assert "nothing was dropped by g" test "$(dmux_status g '.drops | length')" = 0
rounds_done
