#!/bin/bash
# The simulation of routing tables as a whole: the framework's figure out of its JSON and CSV, and that a seed repeats.
# Speaks TAP.
# Usage: routing.sh HAWSER_ROUTING
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"

# table PACE YEARS THOUSANDS: the paper's curve goes through this point.
table() {
    found one ".series[] | select(.group == \"the paper's figure\" and .s == $1) | .points[] | select(.years == $2)
        | (.table / 100 | round) == $3 * 10"
}

ok "a run" run one
while read -r pace years thousands; do
    ok "$thousands thousand prefixes after $years years at a pace of $pace" table "$pace" "$years" "$thousands"
done <<END
.1 0 90.0
.1 1 82.4
.1 2 72.9
.1 2.5 67.4
.1 4 47.0
.1 5 30.0
.2 1 67.2
.2 2 40.0
.2 2.5 24.5
.2 5 30.0
END
# 20,000 ASes x 1.0845^5 = 30,004, of 10,000 hosts with 2 bindings each 300 s: 2,000,263 a second.
ok "two million registrations a second in the end" found one \
    '.series[] | select(.name == "10 % in half a year") | .points[] | select(.years == 5) | (.registrations / 1e4 | round) == 200'
ok "all have adopted: whoever was first, a prefix for each AS" found one \
    '[.ases.orders[][] | select(.years == 5) | .mean] | . == [30004, 30004, 30004]'
ok "whoever has most prefixes first, the table is smallest" found one \
    '[.ases.orders | ."largest first", ."at random", ."smallest first" | .[] | select(.years == 2.5) | .mean] | . == sort'
ok "by prefix every manager holds less, or one entry, the way up" found one \
    '[.realms.levels[] | .by_prefix.largest <= .flat.largest or .by_prefix.largest == 1] | all'
ok "a line for each manager" test "$(wc -l <"$dir/one/realms.csv")" = 1001
ok "a picture" grep -q '</svg>' "$dir/one/routing.svg"
misfits() { "$program" --out "$dir/one" >"$dir/out" && grep -q '14\.87 % a year' "$dir/out" && grep -q 'so the table is 24\.5K, not 30K' "$dir/out"; }
ok "what does not fit is told" misfits

run two
ok "the same seed, the same bytes" diff -r "$dir/one" "$dir/two"
run three --seed 2
ok "another seed, other ASes" test "$(jq -c .ases "$dir/one/json")" != "$(jq -c .ases "$dir/three/json")"
ok "and the same equations" test "$(jq -c .series "$dir/one/json")" = "$(jq -c .series "$dir/three/json")"
ok "a realm alone" run four --realms 1
ok "holds what is its own" found four '.realms | .by_prefix == 0 and .flat == 0 and .joins_flat == 1'
plan
