#!/bin/bash
# bench/dmux-wan.sh - seven pairs of hosts over delayed links: round trip and TCP, directly and through client, gateway and
# router (scenarios 1 and 3; fig. 9 of the IPdmux paper).
# Usage: dmux-wan.sh [ROUNDS]
#
#   c1 ==== x ------- r    == 20 Mbit/s and a delay of its own each way (lab/emu.c); the server of pair N is an address of
#   ..     / \             r, 192.0.5.N. cN sends directly from 10.1.N.2, and through the demultiplexer from 10.2.0.1N, by
#   c7 ==='   g            capture in queues of the kernel.
#
# ROUNDS (5) rounds; in each, all pairs at once: the median of 20 round trips of a datagram by each way in turns; a TCP flow
# up of each pair directly, of which the last 3 s count, and then one of each through the demultiplexer. Medians are told,
# with worst and best, and of the rounds' own comparisons: what the three add to a round trip, and what is left of TCP.

# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init dmux-wan "$@"
# shellcheck source=dmux-lib.sh
. "$LAB_TOP/bench/dmux-lib.sh"
need iperf3 iptables iptables-restore
ROUNDS=${LAB_ARGS[0]:-5}
DELAYS=(0 5 10 15 25 40 60 80) # of pair 1 on; ms; chosen: from a city to the other side of the world
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=ipv4

router x
host g
router r
wire g:wan x:g 10.0.1.2/30 10.0.1.1/30
wire r:wan x:r 203.0.113.2/24 203.0.113.1/24
default_route g 10.0.1.1
default_route r 203.0.113.1
ip -n "$(lab__ns x)" route add 192.0.2.0/24 via 10.0.1.2 || lab_fail "route of x"
ip -n "$(lab__ns x)" route add 192.0.5.0/24 via 203.0.113.2 || lab_fail "route of x"
for n in 1 2 3 4 5 6 7; do
    host c$n
    link c$n:wan x:c$n 10.1.$n.2/24 10.1.$n.1/24 both="rate=20mbit delay=${DELAYS[n]}ms"
    lab__addr c$n wan 10.2.0.1$n/32
    lab__addr r lo 192.0.5.$n/32
    default_route c$n 10.1.$n.1
    ip -n "$(lab__ns x)" route add 10.2.0.1$n/32 via 10.1.$n.2 || lab_fail "route of x"
done
dmux_keys
dmux_gateway_alone g 1 10.0.1.2
dmux_router r 10.2.0.0/27 192.0.2.1
for n in 1 2 3 4 5 6 7; do
    dmux_ways_client c$n c$n 10.2.0.1$n "$DMUXD" "Address = 10.2.0.1$n" "Routes = 192.0.5.0/24" "Capture = queue"
    wait_for 10 "the client c$n is served" dmux_says c$n .state up
done
dmux_ways_servers 192.0.5.{1..7}

declare -A RTT TCP ADDED SHARE
PAIRS=(1 2 3 4 5 6 7)

# round_trips: of all pairs at once; added to RTT and ADDED.
round_trips() {
    local n direct whole
    for n in "${PAIRS[@]}"; do
        bg "c$n" "rtt$n" "$UDP_MIX" rtt 20 "10.1.$n.2=192.0.5.$n:5202" "10.2.0.1$n=192.0.5.$n:5202"
    done
    for n in "${PAIRS[@]}"; do
        bg_wait "rtt$n" || lab_fail "rtt of pair $n: $(<"$(bg_log "rtt$n")")"
        { read -r direct && read -r whole; } < <(jq '.p50 // empty' "$(bg_log "rtt$n")") ||
            lab_fail "pair $n: of 20 datagrams too few came back: $(<"$(bg_log "rtt$n")")"
        RTT[direct$n]+=" $(figure "$direct / 1000" 3)" RTT[whole$n]+=" $(figure "$whole / 1000" 3)"
        ADDED[$n]+=" $(figure "$whole - $direct" 0)"
    done
}
# flows WAY BEFORE [BEHIND]: from the address that the pair's number makes between these, of all pairs at once; added to
# TCP. The slowest start takes 2 s.
flows() {
    local n
    for n in "${PAIRS[@]}"; do
        bg "c$n" "tcp$n" iperf3 -J -C cubic -B "$2$n${3-}" -c "192.0.5.$n" -t 3 -O 2.5
    done
    for n in "${PAIRS[@]}"; do
        bg_wait "tcp$n" || lab_fail "iperf3 of pair $n: $(jq -r .error "$(bg_log "tcp$n")")"
        now[$1$n]=$(jq '.end.sum_received.bits_per_second / 1e6' "$(bg_log "tcp$n")")
        TCP[$1$n]+=" ${now[$1$n]}"
    done
}
declare -A now
for ((i = 0; i < ROUNDS; i++)); do
    rounds_quiet
    round_trips
    flows direct 10.1. .2
    flows whole 10.2.0.1
    for n in "${PAIRS[@]}"; do SHARE[$n]+=" $(figure "${now[whole$n]} / ${now[direct$n]} * 100" 1)"; done
done
# shellcheck disable=SC2086 # numbers
for n in 1 2 3 4 5 6 7; do
    for way in direct whole; do
        told "rtt_${way}_$n" ms less 3 ${RTT[$way$n]}
        told "tcp_${way}_$n" Mbit/s more 1 ${TCP[$way$n]}
    done
    told "added_$n" us less 0 ${ADDED[$n]}
    told "share_$n" % more 1 ${SHARE[$n]}
done
assert "by way of g" holds "$(dmux_status g .to_router_pkts) > 1000"
assert "nothing was dropped by g" test "$(dmux_status g '.drops | length')" = 0
rounds_done
