# shellcheck shell=bash
# bench/tunnel.sh - the data path of a tunnel: what it carries and adds beside Debian's tunnels and beside the limit of the
# machine. Sourced by bench/run.sh.
#
# bench/tunnel-lib.sh has the ways that are compared, bench/bare-loop.c is the limit with IO, bench/seal.c the limit
# without; bench/packet-cost.c counts instructions. What is asked is a ratio of one run; the figures themselves are of this machine.
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
    row "one inner TCP flow, $2: processor time, both ends" spent_hawser us/packet - - 5 spent_hawser_worst spent_bare \
        spent_wireguard_go spent_openvpn spent_fastd spent_tinc
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

# The counts of bench/packet-cost.c repeat to the instruction on one machine: a change in them is one of the code.
bench_tunnel_cost() {
    local out=$BENCH_RUNS/callgrind way rest=() packets doc key
    if ! command -v valgrind >/dev/null; then
        figure_file cost skipped
    elif doc=$(cost_run "$out" send receive) && cost_run "$out.ack" ack >/dev/null; then
        packets=$(jq .packets <<<"$doc")
        for way in send receive ack; do
            key=$(cost_of "$out" "cost_$way")
            [[ $way != ack ]] || key=$(cost_of "$out.ack" cost_ack)
            rest+=("$way" "$(awk "BEGIN { printf \"%.1f\", $key / $packets }")" instructions)
        done
        for way in send:aead_seal receive:aead_open; do
            key=$(cost_of "$out" "${way#*:}")
            rest+=("${way%:*}_cipher" "$(awk "BEGIN { printf \"%.1f\", $key / $packets }")" instructions
                "${way%:*}_else" "$(awk "BEGIN { printf \"%.1f\", ($(cost_of "$out" "cost_${way%:*}") - $key) / $packets }")" instructions)
        done
        figure_file cost ok "${rest[@]}" packets "$packets" ''
    else
        figure_file cost failed
    fi
    row "instructions to send a packet, 64 KB super-packets" send instructions - - 1 - send_cipher packets
    row "instructions to send a packet, without the cipher's" send_else instructions - - 1 - packets
    row "instructions to receive a packet, 64 KB super-packets" receive instructions - - 1 - receive_cipher packets
    row "instructions to receive a packet, without the cipher's" receive_else instructions - - 1 - packets
    row "instructions of acknowledging, both ends, a packet" ack instructions - - 1 - packets
    scenario_end
}
cost_run() { # OUT send|receive|ack...
    local out=$1 w toggles=()
    shift
    for w; do toggles+=("--toggle-collect=cost_$w"); done
    valgrind -q --tool=callgrind --callgrind-out-file="$out" "${toggles[@]}" "$HAWSER_BUILD/bench/bench-packet-cost" 2>>"$BENCH_RUNS/cost.log"
}
# cost_of OUT FUNCTION: instructions in it and in what it calls.
cost_of() {
    callgrind_annotate --inclusive=yes --auto=no --threshold=100 "$1" | tr -d , | awk -v f=":$2" '
        $1 ~ /^[0-9]+$/ { for (i = 2; i <= NF; i++) if (substr($i, length($i) - length(f) + 1) == f) { print $1; exit } }'
}

# A share is of the sum of what each link carries alone. The limits are the product's own.
bench_tunnel_links() { # CASE WORDS SHARE
    local cc
    scenario_of "tunnel-links-$1" "$BENCH_RUNS/tunnel-links-$1.json" "$BENCH_TOP/bench/tunnel-links.sh" "$1"
    for cc in cubic bbr; do
        row "two links, $2: of both alone ($cc)" "hawser_${cc}_share" % '>=' "$3" 5 "hawser_${cc}_share_worst" \
            "mptcp_${cc}_share" "hawser_${cc}_both" "hawser_${cc}_first" "hawser_${cc}_second" "hawser_${cc}_nominal" "mptcp_${cc}_nominal"
        row "two links, $2: runs that left one idle ($cc)" "hawser_${cc}_pinned" runs '<=' 0 5 - "mptcp_${cc}_pinned"
        if jq -e --arg k "of_mptcp_$cc" '.results | has($k)' "$BENCH_JSON" >/dev/null; then
            row "two links, $2: share of MPTCP's ($cc)" "of_mptcp_$cc" x '>=' .98 5 "of_mptcp_${cc}_worst"
        else
            row "two links, $2: share of MPTCP's ($cc)" "of_mptcp_$cc" x - - 5
        fi
    done
    scenario_end
}

bench_tunnel_unequal() {
    scenario unequal 5
    row "unequal links: both, of the better; worst of 8" worst x '>=' .95 5 - pinned
    row "unequal links: both, of the better; geometric mean" mean x - - 5 - pinned
    scenario_end
}

# Unequal pairs, in runs of a minute, and a thousand nodes in virtual time: what the simulator's own tests print.
bench_tunnel_virtual() {
    local out=$BENCH_RUNS/virtual.out verdict=ok kind figures=()
    HAWSER_SIM_TIMES=3 "$HAWSER_BUILD/tests/sim/sim-unequal" >"$out" 2>&1 || verdict=failed
    "$HAWSER_BUILD/tests/sim/sim-agent1000" >>"$out" 2>&1 || verdict=failed
    # A table begins with its kind of flow and ends with the mean.
    mapfile -t figures < <(awk '
        /^# (CUBIC|Reno|BBR|split)/ { kind = tolower($2); sub(/,/, "", kind); if (/threshold/) kind = "threshold" }
        /^# geometric mean/ { split($0, f, /[:;] */); split(f[3], n, " ")
            print kind "_mean"; print f[2]; print "x"; print kind "_slower"; print n[3] - n[1]; print "of " n[3] }
        / of the mean; / { for (i = 1; i <= NF; i++) if ($i == "shares") { print "least"; print $(i + 1); print "x"; print "most"; print $(i + 3); print "x" } }
        ' "$out")
    figure_file virtual "$verdict" "${figures[@]}"
    for kind in threshold cubic reno bbr split; do
        row "virtual time, unequal pairs, $kind: both, of the better; mean" "${kind}_mean" x '>=' 1.35
        row "virtual time, unequal pairs, $kind: slower than the better" "${kind}_slower" pairs '<=' 0
    done
    row "virtual time, 1,000 nodes: least share, of the mean" least x '>=' .9
    row "virtual time, 1,000 nodes: largest share, of the mean" most x '<=' 1.1
    scenario_end
}

# The LTE's trace is made (lab/scenarios/bloat.sh); measured ones are for BLOAT_LTE_DOWN and BLOAT_LTE_UP.
bench_tunnel_bloat() {
    local link way
    scenario bloat 5
    for link in dsl lte both; do
        for way in down up; do
            row "$link, bulk $way: ping's p95 over an idle link's" "${link}_${way}_added_p95" ms '<=' 30 5 \
                "${link}_${way}_added_p95_worst" "${link}_${way}_idle_p95"
            row "$link, bulk $way: of what there is to carry" "${link}_${way}_share" % '>=' 90 5 - "${link}_${way}_goodput"
        done
    done
    scenario_end
}

bench_tunnel_mtu() {
    local way size
    scenario mtu
    for way in down up; do
        for size in 1280 1124; do
            row "path shrinks to $size in mid-transfer, $way: goes on" "${way}_$size" ms '<=' 3000
        done
    done
    scenario_end
}

bench_tunnel_garbage() {
    local way
    scenario garbage
    for way in up down; do
        row "beside garbage at twice the link's packets, $way: of the goodput" "share_$way" % '>=' 90 1 - "goodput_calm_$way" "garbage_$way"
    done
    scenario_end
}

# Carrier loss on the way down is seen by the node, whose word takes up to a round trip (20 ms) to have its effect.
bench_tunnel_gap() {
    local way
    scenario_of tunnel-gap "$BENCH_RUNS/tunnel-gap.json" "$BENCH_TOP/bench/tunnel-gap.sh"
    row "100+100, carrier lost, up: longest gap of TCP (cubic)" hawser_carrier_up_gap ms '<=' 30 5 hawser_carrier_up_gap_worst mptcp_carrier_up_gap hawser_carrier_up_calm
    row "100+100, carrier lost, down: longest gap of TCP (cubic)" hawser_carrier_down_gap ms '<=' 50 5 hawser_carrier_down_gap_worst mptcp_carrier_down_gap hawser_carrier_down_calm
    for way in up down; do
        row "100+100, silent, $way: longest gap of TCP (cubic)" "hawser_silent_${way}_gap" ms '<=' 150 5 "hawser_silent_${way}_gap_worst" "mptcp_silent_${way}_gap" "hawser_silent_${way}_calm"
        row "100+100, silent, $way: gap beside MPTCP's" "of_mptcp_silent_$way" x '<=' 1 5
        row "100+100, silent, $way: told suspected after the gap" "hawser_silent_${way}_late" runs '<=' 0 5 - "hawser_silent_${way}_suspected" "hawser_silent_${way}_asked"
        row "100+100, silent, $way: told down" "hawser_silent_${way}_down" ms '<=' 1000 5 "hawser_silent_${way}_down_worst"
    done
    for way in carrier_up carrier_down silent_up silent_down; do
        row "100+100, ${way/_/, }: goodput of the other link back" "hawser_${way}_back" ms '<=' 500 5 "hawser_${way}_back_worst" "mptcp_${way}_back"
    done
    scenario_end
}

for part in ${BENCH_PARTS:-seal cost path udp rtt links unequal gap bloat mtu garbage virtual}; do
    case $part in
    path)
        bench_tunnel_path full "all offloads" 4
        bench_tunnel_path no-udp-gso "veth cannot cut UDP" 1.5
        bench_tunnel_path no-uso "TUN without USO" 3
        bench_tunnel_path no-offload "no offload" 1.1
        ;;
    links)
        bench_tunnel_links A "15@15+3.6@50" 96
        bench_tunnel_links B "100+100" 96
        bench_tunnel_links C "100+20" 96
        bench_tunnel_links D "100@10+20@50" 92
        ;;
    *) "bench_tunnel_$part" ;;
    esac
done
