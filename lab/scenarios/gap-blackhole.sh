#!/bin/bash
# A link that goes silent under load: the longest silence of 500 packets a second.
#
# Topology: lab/um3n-lib.sh, both links of 30 ms. A TCP flow (cubic) runs the same way. Promised: 300 ms and a round
# trip, the median of COUNT (first argument, default 10) alternately down and up.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init gap-blackhole "$@"
UM3N_WWAN="rate=3.61mbit delay=15ms"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
um3n_start
um3n_iperf_servers

um3n_gaps blackhole "${LAB_ARGS[0]:-10}" load
result gap_median "$(median "${GAPS[@]}")" ms
result gap_max "$(printf '%s\n' "${GAPS[@]}" | sort -g | tail -n 1)" ms
result lost "$LOST" packets
assert "the longest gap is at most 300 ms and a round trip" holds "$(median "${GAPS[@]}")" '<=' 330
lab_done
