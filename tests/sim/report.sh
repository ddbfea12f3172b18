# tests/sim/report.sh - a program of bench/ as a whole: runs of it, whose JSON and files the test points look at. Sourced
# with the program; `always` are its arguments in each run.
# shellcheck shell=bash source-path=SCRIPTDIR source=../tap.sh
program=$1
always=()
dir=$(mktemp -d /tmp/hawser-report-XXXXXX)
trap 'rm -rf "$dir"' EXIT
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"

# run FOLDER [ARGUMENT...]: JSON and files into FOLDER.
run() {
    local out=$dir/$1
    shift
    mkdir -p "$out"
    "$program" "${always[@]}" --out "$out" --json "$@" >"$out/json" 2>"$dir/err"
}

# found FOLDER FILTER: what jq finds is true.
found() { jq -e "$2" "$dir/$1/json" >/dev/null 2>"$dir/err"; }

# refused TEXT ARGUMENT...: a run that fails, says that and finds nothing.
refused() { ! run bad "${@:2}" && grep -qF "$1" "$dir/err" && [ ! -s "$dir/bad/json" ]; }
