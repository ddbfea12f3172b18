#!/bin/bash
# Searches the models of this folder: each must be free of faults, and each of the mutations that its head lists as
# `broken:` must have one, so that it is known what the model can find. Speaks TAP.
# Usage: models/run.sh small|full [MODEL]
#
# small: a scope whose states are all visited in seconds. full: a larger one (FULL in the model), for at most MODEL_TIME
# seconds (1800) a model, in a table of a bit or three a state (Holzmann's supertrace), so that memory bounds it no more;
# what was not visited by then is said.
set -u
cd "$(dirname "$0")" || exit 1
scope=${1-} only=${2-}
case $scope in
small) options=() compile=(-DSAFETY -DMEMLIM=2000) run=(-w22) ;;
full) options=(-DFULL) compile=(-DSAFETY -DBITSTATE) run=(-w33 -k3) ;;
*)
    echo "usage: models/run.sh small|full [MODEL]" >&2
    exit 2
    ;;
esac
n=0 failed=0
work=$(mktemp -d /tmp/hawser-models-XXXXXX)
trap 'rm -rf "$work"' EXIT
for program in spin "${CC:=cc}"; do
    command -v "$program" >/dev/null || { echo "1..0 # SKIP $program is not installed"; exit 0; }
done
here=$PWD

# search MODEL OPTION...: pan's words in $work/out. The models stop by themselves, whatever $compile and $run are.
search() {
    local model=$1
    shift
    rm -rf "$work/pan" && mkdir "$work/pan" && cd "$work/pan" || return 1
    spin -a "$@" "$here/$model.pml" >"$work/out" 2>&1 &&
        "$CC" -O1 -w "${compile[@]}" -o pan pan.c >>"$work/out" 2>&1 &&
        timeout -s INT "${MODEL_TIME:-1800}" ./pan -m1000000 -n "${run[@]}" >>"$work/out" 2>&1
    local code=$?
    cd "$here" || return 1
    grep -q '^State-vector' "$work/out" && [[ $code == 0 || $code == 124 ]]
}

point() {
    n=$((n + 1))
    if [[ $1 == ok ]]; then
        echo "ok $n - $2"
    else
        failed=1
        echo "not ok $n - $2"
        tail -n 40 "$work/out" | sed 's/^/# /'
    fi
}

errors() { sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$work/out"; }

for model in ${only:-sequence cursor revocation lease}; do
    verdict=bad
    if search "$model" "${options[@]}" && [[ $(errors) == 0 ]] && ! grep -q 'max search depth too small\|out of memory' "$work/out"; then
        verdict=ok
    fi
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/out")
    rest=
    if grep -qi interrupted "$work/out"; then rest=", not all of them in ${MODEL_TIME:-1800} s"; fi
    point "$verdict" "$model: ${states:-no} states$rest, no fault"
    while read -r broken; do
        verdict=bad
        if search "$model" -DBROKEN "-DBROKEN_$broken" && [[ $(errors) != 0 ]]; then verdict=ok; fi
        point "$verdict" "$model, broken $broken: found"
    done < <(sed -n 's/^ \* broken: \([A-Z_]*\) .*/\1/p' "$model.pml")
done
echo "1..$n"
exit $failed
