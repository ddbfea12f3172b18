# shellcheck shell=bash
# bench/mapping.sh - the mapping plane: what records and chains cost, and the table of bindings alone. Sourced by
# bench/run.sh. The realm manager, its stores and its lookups over the network are not built, and not measured.

# By processor time of one process. A record is to cost little more than its signature, a chain that was seen before
# little beside one that was not.
bench_mapping_chain() {
    local out=$BENCH_RUNS/chain.out verdict=ok
    "$HAWSER_BUILD/bench/bench-chain" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.signature, .record, .record_worst, (.record / .signature * 100 | round), .decode, .cold, .warm,
        .warm_worst, (.warm / .cold * 10 | round / 10)] | map(tostring) | join(" ")' "$out")
    figure_file chain "$verdict" signature "${1-}" /s record "${2-}" /s record_worst "${3-}" /s share "${4-}" % \
        decode "${5-}" /s cold "${6-}" /s warm "${7-}" /s warm_worst "${8-}" /s ratio "${9-}" x
    row "records verified, one core" record /s - - 5 record_worst signature decode
    row "records verified: of libcrypto's signatures alone" share % '>=' 80 5
    row "chains of 4, all seen before" warm /s - - 5 warm_worst cold
    row "chains of 4: seen before, to never seen" ratio x '>=' 5 5
    scenario_end
}

# The table in memory, without sessions, signatures or a store around it.
bench_mapping_bindings() {
    local out=$BENCH_RUNS/bindings.out verdict=ok
    "$HAWSER_BUILD/bench/bench-bindings" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.mb, .put, .refresh, .find] | map(tostring) | join(" ")' "$out")
    figure_file bindings "$verdict" mb "${1-}" MB put "${2-}" /s refresh "${3-}" /s find "${4-}" /s
    row "table of 1,000,000 bindings: memory" mb MB '<=' 600
    row "table alone, one core: lookups" find /s - - 1 - refresh put
    scenario_end
}

bench_mapping_chain
bench_mapping_bindings
