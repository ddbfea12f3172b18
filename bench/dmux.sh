# shellcheck shell=bash
# bench/dmux.sh - the rows of the protocol demultiplexer. Sourced by bench/run.sh.
#
# The cost of a packet is of bench/dmux-xdp.c, less what its timing costs; the rest is of scenarios of the laboratory, on
# one machine that plays all hosts. "Paper" is IPdmux's, section VI: figures of its machines, to be read beside, not asked.
#
# A part is a function bench_dmux_PART and a word in the list at the end. BENCH_PARTS="tcp ways" runs only those.

# bench_script NAME: runs bench/NAME.sh as scenario does.
bench_script() {
    scenario_of "$1" "$BENCH_RUNS/$1.json" "$BENCH_TOP/bench/$1.sh"
}

bench_dmux_cost() {
    local of=${BENCH_RUNS:?}/dmux-xdp.out program=${HAWSER_BUILD:?}/bench/bench-dmux-xdp code key values=()
    "$program" >"$of" 2>"$BENCH_RUNS/dmux-xdp.log"
    code=$?
    if ((code == 0)); then
        for key in to_router to_client; do
            values+=("$key" "$(jq ".xdp_${key}_ns - .xdp_timing_ns" "$of")" ns "core_$key" "$(jq ".core_${key}_ns" "$of")" ns)
        done
        figure_file dmux-xdp ok "${values[@]}"
    elif ((code == 77)); then
        figure_file dmux-xdp skipped
    else
        figure_file dmux-xdp failed
    fi
    row "XDP program, a client's packet to its router, 150 B" to_router ns '<=' 200 20001 - core_to_router
    row "XDP program, a router's answer to its client, 150 B" to_client ns '<=' 200 20001 - core_to_client
}

bench_dmux_rate() {
    scenario dmux-rate
    row "packets of 150 B a second through a gateway in the kernel" xdp thousand/s '>=' 1500 3 - wire
    row "the same, to a program that only passes datagrams on" xdp_to_forwarder x '>=' 6 3 - xdp forwarder
    row "through a gateway in user space, one processor" user thousand/s '>=' 250 3 - forwarder
    scenario_end
}

bench_dmux_mirror() {
    scenario dmux-mirror
    row "added round trip, a hop in user space" added_hop us '<=' 60 200 - rtt_plain rtt
    scenario_end
}

bench_dmux_tcp() {
    local way
    bench_script dmux-tcp
    for way in up down; do
        row "TCP $way by all three, 1 Gbit/s by tbf: of direct" "shaped_of_direct_$way" % '>=' 95 5 \
            "shaped_of_direct_${way}_worst" "ceiling_$way" "shaped_through_$way" "shaped_direct_$way"
    done
    for way in up down; do
        row "TCP $way, not shaped: of a bare loop with the same hops" "open_of_bare_$way" % '>=' 80 5 \
            "open_of_bare_${way}_worst" "open_through_$way" "open_bare_$way" "open_direct_$way"
    done
    row "processor time of the three for a GB of TCP" cost ms/GB - -
    scenario_end
}

# Scenarios 1, 2, 4 and 3 of table II.
bench_dmux_ways() {
    local line way paper_rtt paper_tcp name
    bench_script dmux-ways
    for line in "direct 174 92.1 1: direct" "capture 218 90.3 2: capture alone" "short 523 45.7 4: capture, router" \
        "whole 834 30.6 3: capture, gateway, router"; do
        read -r way paper_rtt paper_tcp name <<<"$line"
        row "LAN, scenario $name: RTT (paper $paper_rtt)" "rtt_$way" us - - 5 "rtt_${way}_worst"
        row "LAN, scenario $name: TCP (paper $paper_tcp)" "tcp_$way" Mbit/s - - 5 "tcp_${way}_worst"
    done
    row "LAN, scenario 3, gateway in the kernel: RTT" rtt_kernel us - - 5 rtt_kernel_worst tcp_kernel
    row "LAN: added by each of the three, each way (paper 310)" added_hop us '<=' 60 5 added_hop_worst
    row "LAN: added by a gateway in the kernel, each way" added_kernel us '<=' 15 5 added_kernel_worst added_user
    scenario_end
}

# The medians are 29 us of capture and 23 us of tunnel.
bench_dmux_latency() {
    local way size part paper
    bench_script dmux-latency
    for way in queue device; do
        for part in capture tunnel; do
            paper=29
            [[ $part == capture ]] || paper=23
            for size in 64 256 576 1024 1400; do
                row "$part, by $way, $size B: median (paper $paper)" "${way}_${size}_${part}_p50" us - - 5 \
                    "${way}_${size}_${part}_p50_worst" "${way}_${size}_${part}"_p{10,25,75,90,99}
            done
        done
    done
    scenario_end
}

# Fig. 9.
bench_dmux_wan() {
    local n
    bench_script dmux-wan
    for n in 1 2 3 4 5 6 7; do
        row "WAN, pair $n: RTT, client, gateway, router" "rtt_whole_$n" ms - - 5 "rtt_whole_${n}_worst" "rtt_direct_$n" "added_$n"
        row "WAN, pair $n: TCP, client, gateway, router" "tcp_whole_$n" Mbit/s - - 5 "tcp_whole_${n}_worst" "tcp_direct_$n" "share_$n"
    done
    scenario_end
}

bench_dmux_sites() {
    local fault
    for fault in kill silent; do
        scenario dmux-sites $fault
        row "five sites, 12 senders, $fault: the first is served again" recovery s '<=' 1 12
        row "five sites, 12 senders, $fault: none loses any more" stabilisation s '<=' 1 12 - lost
        scenario_end
    done
}

bench_dmux_failover() {
    scenario dmux-failover
    row "gateway killed: longest gap" killed_gap_median ms '<=' 20 5 killed_gap_max
    row "gateway hung: longest gap" hung_gap ms '<=' 500
    row "gateway silent, BFD 50 ms x 3: longest gap" silent_gap ms '<=' 200
    row "gateway drained: lost" drain_lost packets == 0
    row "router dies: its client elsewhere" router_dies ms '<=' 3500
    scenario_end
}

for part in ${BENCH_PARTS:-cost rate mirror tcp ways latency wan sites failover}; do "bench_dmux_$part"; done
