#!/bin/bash
# The simulation of several operators as a whole, in a small world. Speaks TAP.
# Usage: federation.sh HAWSER_FEDERATION
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"
always=(--gateways 120 --routers 600 --providers 12 --realms 3 --asking 4)

ok "a run" run one
ok "whoever wants what others have is served" found one '.unserved == 0'
ok "eight links to each of two realms" found one '.links.p50 == 16 and .links.most == 16'
ok "all services of the others are known, and two borders of each used" found one '.services == 8 and .registrations == 16'
ok "half of all ways are nearly as short as the nearest" found one '.stretch.p50 < 1.3'
ok "each summary comes over each link, and is confirmed" found one \
    '.messages_per_change | .first <= 16 and .last <= 16 and .other < .first'
ok "a border that dies is known to be silent after 3 s, and another is used" found one '.time_s.dead | .count > 0 and .most <= 3.1'
ok "a withdrawal is known at once" found one '.time_s.withdrawn | .count > 0 and .most < 1'
ok "less is sent than in a mesh" found one '.messages_per_s < .flat_mesh.messages_per_s'
ok "a picture" grep -q '</svg>' "$dir/one/federation.svg"
run again
ok "the same seed, the same ways" test "$(jq -c '[.stretch, .time_s, .messages_per_change]' "$dir/one/json")" = \
    "$(jq -c '[.stretch, .time_s, .messages_per_change]' "$dir/again/json")"
run other --seed 2
ok "another seed, another world" test "$(jq -c .stretch "$dir/one/json")" != "$(jq -c .stretch "$dir/other/json")"
ok "providers that do not share out" refused "found 13 providers of 600 routers in 3 realms" --providers 13
ok "more that ask than there are" refused "found 61 of 120 gateways asking" --asking 61
ok "too few gateways" refused "found --gateways 39, expected a number from 40 to 20000" --gateways 39
plan
