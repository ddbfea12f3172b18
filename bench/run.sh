#!/bin/bash
# bench/run.sh - runs benchmark areas: prints a table and writes BUILD/bench/AREA.json, an array of rows (bench/lib.sh).
# Usage: bench/run.sh [AREA...]; without an area, all that are built.
# Exit: 0, also with inconclusive rows; 1 a figure is not what was asked; 2 an area that is unknown or not built.
# Environment: HAWSER_BUILD (default: build/ at the repository's top).
set -u
BENCH_TOP=$(dirname "$(dirname "$(readlink -f "$0")")")
export HAWSER_BUILD=${HAWSER_BUILD:-$BENCH_TOP/build}
built=(main session tunnel mapping dmux)

# Everything is checked before anything runs.
for area; do
    case $area in
    main | session | tunnel | mapping | dmux) ;;
    overlay)
        echo "bench: $area: not built in this version" >&2
        exit 2
        ;;
    *)
        echo "bench: $area: unknown area; there are: ${built[*]}" >&2
        exit 2
        ;;
    esac
done
((EUID == 0)) || { echo "bench: network namespaces need root: run this as root" >&2 && exit 2; }
command -v jq >/dev/null || { echo "bench: jq is not installed" >&2 && exit 2; }
(($# > 0)) || set -- "${built[@]}"

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$BENCH_TOP/bench/lib.sh"
code=0
for area; do
    bench_begin "$area"
    # shellcheck source=/dev/null
    . "$BENCH_TOP/bench/$area.sh"
    bench_end || code=1
done
exit "$code"
