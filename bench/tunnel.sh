# shellcheck shell=bash
# bench/tunnel.sh - the data path of a tunnel: what it carries and adds beside Debian's tunnels and beside the limit of the
# machine. Sourced by bench/run.sh.
#
# bench/tunnel-lib.sh has the ways that are compared, bench/bare-loop.c is the limit with IO, bench/seal.c the limit
# without. What is asked is a ratio of one run; the figures themselves are of this machine.
#
# A part is a function bench_tunnel_PART and a word in the list at the end. BENCH_PARTS="path udp" runs only those.

bench_tunnel_path() { # CONDITION WORDS TIMES
    scenario_of "tunnel-path-$1" "$BENCH_RUNS/tunnel-path-$1.json" "$BENCH_TOP/bench/tunnel-path.sh" "$1"
    row "one inner TCP flow (cubic), $2" hawser Gbit/s - - 5 hawser_worst plain bare wireguard_go openvpn fastd tinc
    if [[ $1 == full ]]; then
        row "one inner TCP flow, $2: of the bare loop" of_bare % '>=' 80 5 of_bare_worst hawser bare
    else
        row "one inner TCP flow, $2: of the bare loop" of_bare % - - 5 of_bare_worst hawser bare
    fi
    row "one inner TCP flow, $2: of the fastest peer" of_peer x '>=' "$3" 5 of_peer_worst best_peer hawser
    scenario_end
}

bench_tunnel_udp() {
    local peers=(wireguard_go openvpn fastd tinc)
    scenario_of tunnel-udp "$BENCH_RUNS/tunnel-udp.json" "$BENCH_TOP/bench/tunnel-udp.sh"
    row "inner UDP, 1400 B, < .1 % lost" large_hawser Gbit/s - - 5 large_hawser_worst large_bare "${peers[@]/#/large_}"
    row "inner UDP, 1400 B: of the fastest peer" large_of_peer x '>=' 2 5 large_of_peer_worst large_best_peer large_hawser
    row "inner UDP, 64/576/1400 B (7:4:1), < .1 % lost" mix_hawser 1000/s - - 5 mix_hawser_worst mix_bare "${peers[@]/#/mix_}"
    row "inner UDP, mix: of the fastest peer" mix_of_peer x '>=' 1.3 5 mix_of_peer_worst mix_best_peer mix_hawser
    scenario_end
}

bench_tunnel_rtt() {
    local q peers=(wireguard_go openvpn fastd tinc)
    scenario_of tunnel-rtt "$BENCH_RUNS/tunnel-rtt.json" "$BENCH_TOP/bench/tunnel-rtt.sh"
    for q in p50 p99; do
        row "added round trip, idle, $q" hawser_$q us - - 2000 - plain_$q bare_$q "${peers[@]/%/_$q}"
    done
    row "added round trip, idle, p50: of the best peer" of_peer_p50 x '<=' 1 2000 - hawser_p50
    row "added round trip, idle, p99: of the best peer" of_peer_p99 x '<=' 1.2 2000 - hawser_p99
    scenario_end
}

bench_tunnel_seal() {
    local doc suite
    if doc=$("$HAWSER_BUILD/bench/bench-seal"); then
        # shellcheck disable=SC2046
        figure_file seal ok $(jq -r 'to_entries[] | "\(.key) \(.value.gbps) Gbit/s", "\(.key)_worst \(.value.worst_gbps) Gbit/s"' <<<"$doc")
    else
        figure_file seal failed
    fi
    for suite in chacha20-poly1305 aes256-gcm; do
        row "seal and open, 1400 bytes, one processor, $suite" "$suite" Gbit/s - - 3 "${suite}_worst"
    done
    scenario_end
}

for part in ${BENCH_PARTS:-seal path udp rtt}; do
    case $part in
    path)
        bench_tunnel_path full "all offloads" 4
        bench_tunnel_path no-udp-gso "veth cannot cut UDP" 1.5
        bench_tunnel_path no-uso "TUN without USO" 3
        bench_tunnel_path no-offload "no offload" 1.1
        ;;
    *) "bench_tunnel_$part" ;;
    esac
done
