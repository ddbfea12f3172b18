#!/bin/bash
# Carrier loss: the longest silence of 500 packets a second, and a download that goes on.
#
# Topology: lab/um3n-lib.sh, both links of 30 ms: a longer way is no gap of ours. Promised: 50 ms, the median of COUNT
# (first argument, default 10) alternately down and up; a download (nginx, curl) intact.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init gap-carrier "$@"
UM3N_WWAN="rate=3.61mbit delay=15ms"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 6000000

um3n_gaps carrier "${LAB_ARGS[0]:-10}"
result gap_median "$(median "${GAPS[@]}")" ms
result gap_max "$(printf '%s\n' "${GAPS[@]}" | sort -g | tail -n 1)" ms
result lost "$LOST" packets
um3n_fresh
apps_curl download
at 1 um3n_away carrier
apps_curl_check download
intact=$?
result download_intact $((intact == 0)) ''
assert "the download is intact" test "$intact" = 0
assert "the longest gap is at most 50 ms" holds "$(median "${GAPS[@]}")" '<=' 50
lab_done
