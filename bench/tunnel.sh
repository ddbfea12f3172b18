# shellcheck shell=bash
# bench/tunnel.sh - a tunnel over one path that is not shaped, and the limit of the machine. Sourced by bench/run.sh.
#
# bench/tunnel-path.sh measures; bench/seal.c is the bare loop: nothing that seals and opens each byte on one processor is
# faster. Nothing is asked of these figures yet.

bench_tunnel_path() {
    scenario_of tunnel-path "$BENCH_RUNS/tunnel-path.json" "$BENCH_TOP/bench/tunnel-path.sh"
    row "one inner TCP flow (cubic), AES-256-GCM; wireguard-go: ChaCha20" hawser Gbit/s - - 3 hawser_worst plain wireguard_go
    row "one path, added round trip, no load" hawser_added_rtt ms - - 3 - plain_rtt wireguard_go_added_rtt
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

bench_tunnel_path
bench_tunnel_seal
