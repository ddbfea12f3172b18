#!/bin/bash
# tests/lab/scenario.sh NAME [ARGUMENT...]: runs one scenario of the lab as one TAP point. A scenario that the machine could not carry
# (missing programs, an emulator that was late) is a skip that says why.
set -u
name=${1:?usage: tests/lab/scenario.sh NAME [ARGUMENT...]}
shift
top=$(cd "$(dirname "$0")/../.." && pwd)

echo 1..1
if [[ $(id -u) -ne 0 ]]; then
    echo "ok 1 - $name # SKIP needs root"
    exit 0
fi
output=$("$top/lab/scenarios/$name.sh" "$@" 2>&1)
code=$?
case $code in
0) echo "ok 1 - $name" ;;
3) echo "ok 1 - $name # SKIP inconclusive: the machine was too busy for the emulator" ;;
77) echo "ok 1 - $name # SKIP $(tail -n 1 <<<"$output")" ;;
*)
    echo "not ok 1 - $name"
    printf '# %s\n' "${output//$'\n'/$'\n# '}"
    ;;
esac
