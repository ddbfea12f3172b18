# shellcheck shell=bash
# bench/session.sh - sessions: connections that are split, over links of any difference, beside the kernel's MPTCP. Sourced
# by bench/run.sh.
#
# A share is of the sum of what a split connection gets of each link alone in the same round; `of MPTCP's` is the quotient
# of two such shares. BENCH_PARTS="split" runs only that, "veth" what a session costs on links that are not shaped,
# "simult" the kernel's own cases by `hawser pipe`, "run" programs under `hawser run`; what is not here yet of sessions is
# not measured.

bench_session_split() { # CASE WORDS SHARE
    scenario_of "session-split-$1" "$BENCH_RUNS/session-split-$1.json" "$BENCH_TOP/bench/tunnel-links.sh" "$1" 3 - emu up split cubic
    row "split, $2: of both alone" split_cubic_share % '>=' "$3" 3 split_cubic_share_worst \
        mptcp_cubic_share split_cubic_both split_cubic_first split_cubic_second split_cubic_nominal mptcp_cubic_nominal mptcp_cubic_both
    row "split, $2: of the better one" split_cubic_better x '>=' .95 3
    if jq -e '.results | has("of_mptcp_cubic")' "$BENCH_JSON" >/dev/null; then
        row "split, $2: share of MPTCP's" of_mptcp_cubic x '>=' .98 3 of_mptcp_cubic_worst
    else
        row "split, $2: share of MPTCP's" of_mptcp_cubic x - - 3
    fi
    scenario_end
}

bench_session_simult() { # CASE WORDS
    local limit way
    scenario_of "session-simult-$1" "$BENCH_RUNS/session-simult-$1.json" "$BENCH_TOP/bench/session-simult.sh" "$1" 3
    limit=$(jq -r '.results.limit.value // 0' "$BENCH_JSON")
    for way in up down; do
        row "16 MiB $way, $2" session_$way ms '<=' "$limit" 3 session_${way}_worst
        if jq -e ".results | has(\"of_mptcp_$way\")" "$BENCH_JSON" >/dev/null; then
            row "16 MiB $way, $2: of MPTCP's speed" of_mptcp_$way x '>=' 1 3 of_mptcp_${way}_worst mptcp_$way
        else
            row "16 MiB $way, $2: of MPTCP's speed" of_mptcp_$way x - - 3
        fi
    done
    scenario_end
}

# Programs that know nothing of sessions (hawser run), over 10 and 5 Mbit/s of 10 ms: what a plain server costs that is not
# known or is, and what a reader sees when the faster link dies.
bench_session_run() {
    scenario_of session-run "$BENCH_RUNS/session-run.json" "$BENCH_TOP/lab/scenarios/run.sh"
    row "curl and nginx under run, 10+5" run_both Mbit/s '>=' 10
    row "HELLO: later at an unknown plain server" run_unknown_later ms '<=' 250
    row "HELLO: later at a known plain server" run_known_later ms '<=' 5
    row "run: a link loses its carrier, longest stall" run_stall_carrier ms '<=' 50
    row "run: a link goes silent, longest stall" run_stall_silent ms '<=' 320
    scenario_end
}

# A session over two links that are not shaped, beside the least that seals and writes.
bench_session_veth() {
    local way
    scenario_of session-veth "$BENCH_RUNS/session-veth.json" "$BENCH_TOP/bench/session-veth.sh"
    row "veth, 2 TCP paths: of a bare seal-and-write loop" tcp_of_loop x '>=' .75 5 tcp_of_loop_worst tcp loop
    row "veth, 2 TCP paths, encryption avoided: of one plain TCP connection" clear_of_plain x '>=' .85 5 clear_of_plain_worst clear plain
    for way in mptcp udp; do
        if jq -e --arg key $way '.results | has($key)' "$BENCH_JSON" >/dev/null; then
            row "veth, 2 paths over $way: of the same" ${way}_of_loop x - - 5 ${way}_of_loop_worst $way loop
        fi
    done
    scenario_end
}

# 95 % where at most .5 % is lost and the longer round trip is at most three times the shorter, else 90 %.
for part in ${BENCH_PARTS:-veth split simult run}; do
    case $part in
    simult)
        bench_session_simult 1 "10+10"
        bench_session_simult 2 "10@1+10@25"
        bench_session_simult 3 "10+3"
        bench_session_simult 4 "10@1+3@25"
        bench_session_simult 5 "10@25+3@1"
        bench_session_simult 6 "30@1+10@50"
        bench_session_simult 7 "30@50+10@1"
        ;;
    split)
        bench_session_split 1 "10+10" 95
        bench_session_split 2 "10@1+10@25" 90
        bench_session_split 3 "10+3" 95
        bench_session_split 4 "10@1+3@25" 90
        bench_session_split 5 "10@25+3@1" 90
        bench_session_split 6 "30@1+10@50" 90
        bench_session_split 7 "30@50+10@1" 90
        bench_session_split A "15@15+3.6@50" 90
        bench_session_split F "50@20+50@120" 90
        bench_session_split G "100@20+10@20" 95
        bench_session_split H "300@8+30@40" 90
        bench_session_split W "WiFi+LTE" 90
        bench_session_split S "LTE+LEO" 90
        ;;
    *) "bench_session_$part" ;;
    esac
done
