#!/bin/bash
# The measurement of discordance as a whole: a file of round trips whose ratios are counted by hand, and a few emulated
# hosts, twice. Speaks TAP.
# Usage: discordance.sh HAWSER_DISCORDANCE
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"
always=(--data "$dir" --hosts 2)

# Four series, of pair 0 and hosts 0 to 3; an interval has a slice before it and all four round trips:
#   0   two intervals; the first node has the shorter round trip and the smaller jitter (0 to .5): 0 of 2
#   1   two; the first is shorter by 7, but its jitter is 3 and the other's 0: 1 of 2 until 3 ms are tolerated
#   2   five slices of which the third has no value: slices 2 and 5 are intervals; the first is best: 0 of 2
#   3   the slice between is not there: no interval, no host
cat >"$dir/planetlab-24pairs.csv" <<EOF
pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms
0,1,2,0,1,10,20
0,1,2,0,2,10,20.5
0,1,2,0,3,10,20
0,1,2,1,1,10,20
0,1,2,1,2,13,20
0,1,2,1,3,13,20.5
0,1,2,2,1,10,11
0,1,2,2,2,10,14
0,1,2,2,3,0,14
0,1,2,2,4,10,14
0,1,2,2,5,10,11
0,1,2,3,1,10,20
0,1,2,3,3,13,20
EOF
ok "a run" run one
real='.tables[] | select(.plot == "c" and .source == "series of real round trips")'
ok "three hosts" found one "$real | .hosts == 3"
for eps in 0 1; do
    ok "$eps ms: one of three hosts is discordant, every second time" \
        found one "$real | .rows[] | select(.eps_ms == $eps) | .mean == 0.166667 and .within == 0.666667"
done
ok "5 ms: none is" found one "$real | .rows[] | select(.eps_ms == 5) | .mean == 0 and .within == 1"
ok "the steps" test "$(sed -n 's/^real,1,0,//p' "$dir/one/discordance-c.csv" | tr '\n' ' ')" = \
    "0.000000,0.666667 0.500000,1.000000 "
ok "emulated hosts, five times" found one '[.tables[] | select(.source | startswith("emulated hosts")) | .hosts] == [2,2,2,2,2]'
ok "a larger tolerance never finds more" found one \
    '[.tables[].rows | map(select((.eps_loss // 0) == 0)) | map(.mean) | . == (sort | reverse)] | all'

run two
ok "the same seed, the same bytes" diff -r "$dir/one" "$dir/two"
run three --seed 2
ok "another seed, other hosts" test "$(jq -c '.sensitivity.changes' "$dir/one/json")" != \
    "$(jq -c '.sensitivity.changes' "$dir/three/json")"
gzip "$dir/planetlab-24pairs.csv"
run four
ok "a packed file, the same bytes" diff -r "$dir/one" "$dir/four"
nowhere() {
    ! "$program" --data "$dir" --out "$dir/none" --hosts 1 >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/out" ] &&
        grep -qF "$dir/none/discordance-a.csv: No such file" "$dir/err"
}
ok "a folder that is not there is told" nowhere
plan
