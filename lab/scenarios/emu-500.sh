#!/bin/bash
# Does one emulated link carry 500 Mbit/s of full packets, and how late is it?
#
#   a:x0 10.0.0.1 ===== 500 Mbit/s, 5 ms each way ===== 10.0.0.2 x0:b
#
# One TCP flow (cubic) for EMU_SECONDS (default 10). A flow of 1448 bytes in each 1500 fills 96.5 % of the rate.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init emu-500 "$@"
need iperf3

seconds=${EMU_SECONDS:-10}
host a
host b
link a:x0 b:x0 10.0.0.1/24 10.0.0.2/24 both="rate=500mbit delay=5ms"
bg b server iperf3 -s
wait_for 5 "iperf3 listens" listening b tcp 5201

on a iperf3 -J -C cubic -c 10.0.0.2 -t "$seconds" >"$(bg_log client)" || lab_fail "iperf3: $(<"$(bg_log client)")"
rate=$(iperf3_received "$(bg_log client)")
stats=$(link_stats a:x0 b:x0)
[[ $stats =~ \"lateness_us\":\{\"count\":([0-9]+),\"p50\":([0-9]+),\"p90\":([0-9]+),\"p99\":([0-9]+),\"max\":([0-9]+) ]]

result goodput "$(figure "$rate / 1e6" 1)" Mbit/s
result packets "${BASH_REMATCH[1]}"
result lateness_p50 "${BASH_REMATCH[2]}" us
result lateness_p90 "${BASH_REMATCH[3]}" us
result lateness_p99 "${BASH_REMATCH[4]}" us
result lateness_max "${BASH_REMATCH[5]}" us
# Slow start and cubic's first loss cost a short run some of it.
assert "at least 90 % of the rate's goodput" holds "$rate >= .9 * .965 * 500e6"
lab_done
