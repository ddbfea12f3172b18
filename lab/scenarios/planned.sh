#!/bin/bash
# A planned handover: the WiFi is left before it goes, and no packet is lost.
#
# Topology: lab/um3n-lib.sh. 500 packets a second, COUNT times (first argument, default 5) alternately down and up.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init planned "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
um3n_start

um3n_gaps planned "${LAB_ARGS[0]:-5}"
result gap_median "$(median "${GAPS[@]}")" ms
result lost "$LOST" packets
assert "nothing is lost" test "$LOST" = 0
lab_done
