#!/bin/bash
# The simulation of gateways by their coordinates as a whole, in a small world. Speaks TAP.
# Usage: coordinates.sh HAWSER_COORDINATES
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"
always=(--gateways 200 --routers 1000 --providers 20)

# Twelve nodes on a line, 20 ms between two that are beside each other.
mkdir -p "$dir/data/latency"
for ((i = 0; i < 12; i++)); do
    row=
    for ((j = 0; j < 12; j++)); do row+="$(((i > j ? i - j : j - i) * 20)) "; done
    echo "$row"
done >"$dir/data/latency/PlanetLabData_1.txt"

ok "a run over a line" run line --data "$dir/data"
ok "at the beginning nothing is known" found line '.error[0].relative.p50 > .9'
ok "a line has a place in space: what is left is what measuring adds" found line '.error[-1].relative.p50 < .15'
ok "nothing is shorter than what a full mesh would choose" found line '[.choice[].stretch.p10] | all(. >= 1)'
ok "who asks four does not do worse, who knows nothing does" found line \
    '.choice.four.stretch.p50 <= .choice.estimate.stretch.p50 and .choice.any.stretch.p50 > 2 * .choice.estimate.stretch.p50'
ok "links of a full mesh, and of neighbours" found line '.full_mesh.links == 199 and .coordinates.links == 32'
ok "some lie" run liars --data "$dir/data" --liars 10
ok "one of twenty does not take from the others what they know" found liars '.error[-1].relative.p50 < .3'
ok "a run over an Earth" run earth
ok "something is learnt of it" found earth '.error[-1].relative.p50 < .3'
ok "a picture" grep -q '</svg>' "$dir/earth/coordinates.svg"
run again
ok "the same seed, the same bytes" diff -r "$dir/earth" "$dir/again"
run other --seed 2
ok "another seed, another world" test "$(jq -c .error "$dir/earth/json")" != "$(jq -c .error "$dir/other/json")"
ok "all lie" refused "found 199 liars of 200 gateways, expected two that do not lie" --liars 199
ok "more providers than routers" refused "found 2000 providers of 1000 routers" --providers 2000
ok "a file that is missing" refused "$dir/latency/PlanetLabData_1.txt: No such file or directory" --data "$dir"
plan
