#!/bin/bash
# The demo from end to end: runs the scenario um3n, writes result.json and demo.svg to DEMO_OUT (build/demo), and ends
# with how many promises were kept. Exit code 0: all; 3: the machine was too busy for the figures to mean anything.
top=$(readlink -f "$(dirname "$0")/..")
HAWSER_BUILD=$(readlink -f "${HAWSER_BUILD:-$top/build}")
export HAWSER_BUILD
export DEMO_OUT=${DEMO_OUT:-$HAWSER_BUILD/demo}
mkdir -p "$DEMO_OUT" || exit 1
rm -f "$DEMO_OUT/last"
bash "$top/lab/scenarios/um3n.sh" --json "$DEMO_OUT/lab.json" "$@"
code=$?
if [[ -s $DEMO_OUT/promises.txt ]]; then
    jq -Rn --slurpfile lab "$DEMO_OUT/lab.json" '$lab[0] + {promises: [inputs | split("\t") |
        {key: .[0], what: .[7], measured: (.[1] | tonumber? // .), unit: .[2], kept: (.[6] | if . == "-" then null else . == "yes" end),
         op: (.[3] | if . == "-" then null else . end), promised: (.[4] | tonumber? // null),
         paper: (.[5] | if . == "-" then null else . end)}]}' \
        <"$DEMO_OUT/promises.txt" >"$DEMO_OUT/result.json" || code=1
fi
if [[ -s $DEMO_OUT/samples.txt ]]; then
    "$HAWSER_BUILD/lab/hawser-picture" "$DEMO_OUT" >"$DEMO_OUT/demo.svg" || code=1
    echo "picture: $DEMO_OUT/demo.svg, figures: $DEMO_OUT/result.json"
fi
if [[ -s $DEMO_OUT/last ]]; then cat "$DEMO_OUT/last"; else echo "demo: it did not get to its end"; fi
[[ $code != 3 ]] || echo "demo: inconclusive: the machine was too busy; run it again when nothing else does"
exit "$code"
