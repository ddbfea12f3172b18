#!/bin/bash
# Fuzzes: tests/fuzz/run.sh SECONDS [TARGET...]. Two targets at a time; new inputs stay in build-fuzz/corpus.
# Prints the executions of each; a crash leaves its input in build-fuzz/crashes.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...]}
shift
dir=${HAWSER_FUZZ_BUILD:-build-fuzz}
[[ -e $dir/build.ninja ]] ||
    CC=clang meson setup -Dfuzz=true -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false "$dir" >/dev/null || exit 1
targets=("$@")
if ((${#targets[@]} == 0)); then
    for source in tests/fuzz/fuzz_*.c; do
        source=${source##*/fuzz_}
        targets+=("${source%.c}")
    done
fi
ninja -C "$dir" "${targets[@]/#/tests/fuzz/fuzz-}" >"$dir/ninja.log" || { cat "$dir/ninja.log"; exit 1; }
mkdir -p "$dir/crashes" "$dir/logs"

# one TARGET: returns libFuzzer's exit code.
one() {
    local name=$1 log=$dir/logs/$1 code
    mkdir -p "$dir/corpus/$name"
    nice -n 19 "$dir/tests/fuzz/fuzz-$name" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=25 \
        -print_final_stats=1 -artifact_prefix="$dir/crashes/$name-" "$dir/corpus/$name" "tests/fuzz/corpus/$name" \
        >"$log" 2>&1
    code=$?
    printf '%-14s %12s executions, exit code %d\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$code"
    return "$code"
}

failed=0 running=0
for name in "${targets[@]}"; do
    if ((running == 2)); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    one "$name" &
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
