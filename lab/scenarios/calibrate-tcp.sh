#!/bin/bash
# Is the emulator's rate the kernel's? One TCP flow over an emulated link and over a token bucket of the same rate.
#
#                        === emulated, RATE of IP bytes === 10.1.0.2 b:e0
#   a:x0 ---- r:x0 (r)
#                        --- veth, tbf at RATE x 1514/1500 - 10.2.0.2 b:t0
#
# tbf counts Ethernet frames, the emulator IP packets: hence the factor. Delay is 0, the queue 40 full packets (a longer
# one leaves a hole at the end of a short run that iperf3 does not count); no offloads, so that both see the same packets.
# CALIBRATE_RUNS (5, odd) runs of CALIBRATE_SECONDS (2) at each rate, the two at once; the medians must agree to 2 %.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init calibrate-tcp "$@"
need iperf3 ethtool

runs=${CALIBRATE_RUNS:-5}
seconds=${CALIBRATE_SECONDS:-2}

host a
router r
host b
wire a:x0 r:x0 10.0.0.2/24 10.0.0.1/24
link r:e0 b:e0 10.1.0.1/24 10.1.0.2/24
wire r:t0 b:t0 10.2.0.1/24 10.2.0.2/24
offload_off a:x0 r:x0 r:t0 b:t0
default_route a 10.0.0.1
default_route b 10.1.0.1
for port in 5201 5202; do
    bg b "server$port" iperf3 -s -p "$port"
    wait_for 5 "iperf3 listens" listening b tcp "$port"
done

for mbit in 5 20 100; do
    link_set r:e0 b:e0 ab="rate=${mbit}mbit queue=60000"
    on r tc qdisc replace dev t0 root tbf rate $((mbit * 1000000 * 1514 / 1500))bit burst 6000 limit 60560 ||
        lab_skip "no tbf here"
    emulated=() bucket=()
    for ((i = 0; i < runs; i++)); do
        bg a emulated iperf3 -J -C cubic -c 10.1.0.2 -p 5201 -t "$seconds"
        bg a bucket iperf3 -J -C cubic -c 10.2.0.2 -p 5202 -t "$seconds"
        bg_wait emulated || lab_fail "iperf3: $(<"$(bg_log emulated)")"
        bg_wait bucket || lab_fail "iperf3: $(<"$(bg_log bucket)")"
        emulated+=("$(iperf3_received "$(bg_log emulated)")")
        bucket+=("$(iperf3_received "$(bg_log bucket)")")
    done
    e=$(median "${emulated[@]}")
    t=$(median "${bucket[@]}")
    result "emulated_$mbit" "$(figure "$e / 1e6" 3)" Mbit/s
    result "tbf_$mbit" "$(figure "$t / 1e6" 3)" Mbit/s
    result "ratio_$mbit" "$(figure "$e / $t" 4)"
    assert "at $mbit Mbit/s the medians agree to 2 % (${emulated[*]} against ${bucket[*]})" holds "$e / $t > .98 && $e / $t < 1.02"
done
lab_done
