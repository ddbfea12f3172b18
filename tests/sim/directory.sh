#!/bin/bash
# The simulation of gateways that find each other by bindings as a whole, in a small world. Speaks TAP.
# Usage: directory.sh HAWSER_DIRECTORY
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"
always=(--gateways 200 --routers 2000 --providers 20)

ok "a run of two sizes" run one
ok "those that a mesh could be, and all" found one '[.sizes[].gateways] == [50, 200]'
ok "whoever wants what is there finds it" found one '[.sizes[].unserved] | all(. == 0)'
ok "nothing is nearer than the nearest" found one '[.sizes[].stretch.p50] | all(. >= 1)'
ok "half of all use the nearest, or nearly" found one '[.sizes[].stretch.p50] | all(. < 1.1)'
ok "links are fewer than a mesh has" found one '.sizes[-1] | .links.most < .full_mesh.links'
ok "a change costs fewer messages than in a mesh" found one \
    '.sizes[-1] | .messages_per_change.registration.mesh < .full_mesh.messages_per_s'
ok "who uses a gateway that dies uses another once its link is silent" found one \
    '[.sizes[].time_s.dead] | all(.count > 0 and .most <= 4)'
ok "a first router is used by who waits for it, when what was not there is asked for again" found one \
    '[.sizes[].time_s.first] | all(.count == 20 and .most < 90)'
ok "every binding has an owner" found one '[.sizes[] | .bindings > 0 and .owned.most > 0] | all'
ok "a picture" grep -q '</svg>' "$dir/one/directory.svg"
run again
ok "the same seed, the same bytes" diff -r "$dir/one" "$dir/again"
run other --seed 2
ok "another seed, another world" test "$(jq -c .sizes "$dir/one/json")" != "$(jq -c .sizes "$dir/other/json")"
ok "more providers than routers" refused "found 3000 providers of 2000 routers" --providers 3000
ok "too few gateways" refused "found --gateways 39, expected a number from 40 to 20000" --gateways 39
plan
