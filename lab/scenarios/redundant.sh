#!/bin/bash
# Mode redundant: each packet on both links, so that no fault of one of them loses any.
#
# Topology: lab/um3n-lib.sh. 500 packets a second to or from the address with that mode; COUNT times for each of carrier
# loss, silence and 20 % of loss (first argument, default 2), alternately down and up.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init redundant "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
um3n_start
UM3N_STREAM_TO=$UM3N_REDUNDANT
lost=0 duplicates=0

for fault in carrier blackhole; do
    um3n_gaps "$fault" "${LAB_ARGS[0]:-2}"
    result "lost_$fault" "$LOST" packets
    lost=$((lost + LOST)) duplicates=$((duplicates + DUPLICATES))
done
um3n_fresh
link_set phone:wlan0 wifi:in both="loss=20%"
for way in down up; do
    um3n_stream "$way" "$UM3N_REDUNDANT" 2 lossy
    bg_wait lossy
    result "lost_lossy_$way" "$(um3n_figure lossy lost)" packets
    lost=$((lost + $(um3n_figure lossy lost))) duplicates=$((duplicates + $(um3n_figure lossy duplicates)))
done
result duplicates "$duplicates" packets
assert "nothing is lost" test "$lost" = 0
assert "no copy is delivered" test "$duplicates" = 0
lab_done
