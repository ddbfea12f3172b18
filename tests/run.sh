#!/bin/bash
# Every test, from build to count: what `make test` runs.
#
#   build/        gcc, as shipped         lint, unit, api, fuzz (replay), sim, models, lab
#   build-clang/  clang, ASan and UBSan   unit, api, fuzz, sim of few seeds
#   build-tsan/   gcc, TSan               what has threads
#
# Every test point of the first counts as one; of the others every program counts as one. A program that ends badly
# without a failed point counts as one failure. Skips are listed with their reasons. The last line is the count.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=build/test-logs
passed=0 failed=0 skipped=0

# set_up DIR SUITES ARGUMENT...: configures and builds what these suites run; `all`: everything. The compiler is $CC.
set_up() {
    local dir=$1 suites=$2 targets=()
    shift 2
    mkdir -p "$logs"
    if [[ ! -e $dir/build.ninja ]]; then
        meson setup -Dtests=enabled "$@" "$dir" >"$logs/setup" 2>&1 || { cat "$logs/setup"; return 1; }
    else
        meson configure -Dtests=enabled "$dir" >/dev/null
    fi
    if [[ $suites != all ]]; then
        mapfile -t targets < <(jq -nr --arg suites "$suites" --slurpfile tests "$dir/meson-info/intro-tests.json" \
            --slurpfile targets "$dir/meson-info/intro-targets.json" --arg dir "$PWD/$dir/" '
            [$tests[0][] | select(any(.suite[]; sub("^.*:"; "") | IN($suites | split(" ")[]))) | .depends[]] as $needed
            | $targets[0][] | select(.id | IN($needed[])) | .filename[] | ltrimstr($dir)' | sort -u)
    fi
    ninja -C "$dir" "${targets[@]}" >"$logs/ninja" 2>&1 || { cat "$logs/ninja"; return 1; }
}

# tally NAME FILE SUITE points|programs: adds what Meson's log says of a suite and prints what is not well.
# A test point is a line of TAP in the test's output; a program without TAP is one point. cmocka says of what it skips that
# it is not ok, which Meson takes for a failure: a program that ended well and has no other has none.
tally() {
    local p f s text
    text=$(jq -rs --arg suite "$3" --arg how "$4" '
        def point: {bad: startswith("not ok"), skip: test("# *skip"; "i"),
            name: sub("^(not )?ok *[0-9]* *-? *"; "")};
        def verdict: if .result == "OK" or .result == "EXPECTEDFAIL" then "p" elif .result == "SKIP" then "s" else "f" end;
        [.[] | select(.name | sub("^[^:]*:"; "") | sub(" / .*"; "") | split("+") | index([$suite]))
          | {name: (.name | sub("^[^:]*:"; "") | sub(" / "; "/")), verdict: verdict, result, code: .returncode,
            out: (.stdout // ""), err: (.stderr // "")}
          | . + {points: [.out | split("\n")[] | select(test("^(not )?ok( |$)")) | point]}
          | if .verdict == "f" and .code == 0 and ([.points[] | select(.bad)] | length > 0 and all(.skip)) then .verdict = "s"
            else . end
          | if $how == "points" and (.points | length) > 0 then
                .f = ([.points[] | select(.bad and (.skip | not))] | length)
                | .s = ([.points[] | select(.skip)] | length)
                | .p = (.points | length) - .f - .s
                | if .verdict == "f" and .f == 0 then .f = 1 else . end
            else .p = (if .verdict == "p" then 1 else 0 end)
                | .s = (if .verdict == "s" then 1 else 0 end)
                | .f = (if .verdict == "f" then 1 else 0 end)
            end]
        | "\(map(.p) | add // 0) \(map(.f) | add // 0) \(map(.s) | add // 0)",
          (.[] | select(.f > 0) | "--- FAILED \(.name): \(.result)\n\(.out)\n\(.err)--- end of \(.name)"),
          (.[] | select(.s > 0) | .name as $n
            | (([.points[] | select(.skip) | "SKIPPED \($n): \(.name)"]
                | if length == 0 then null else .[] end)
               // "SKIPPED \($n): \([(.out + .err) | split("\n")[] | select(test("skip"; "i"))] | first // "no reason given")"))
    ' "$2") || { echo "$1: no results"; failed=$((failed + 1)); return; }
    read -r p f s <<<"${text%%$'\n'*}"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [[ $text != *$'\n'* ]] || echo "${text#*$'\n'}"
    printf '%-28s %5d passed, %d failed, %d skipped\n' "$1" "$p" "$f" "$s"
}

# suites PREFIX DIR SUITES points|programs [COMMAND PREFIX...]: runs suites together, so that no core waits for another
# between them, and counts them apart. Programs of which Meson's log says nothing are a failure: it was ended before them.
suites() {
    local prefix=$1 dir=$2 how=$4 base=${3// /-} began=$SECONDS log suites s only=() all ran
    read -ra suites <<<"$3"
    shift 4
    log=$dir/meson-logs/$base.json
    rm -f "$log"
    for s in "${suites[@]}"; do
        only+=(--suite "$s")
    done
    "$@" meson test -C "$dir" --no-rebuild "${only[@]}" --logbase "$base" >"$logs/$prefix$base" 2>&1
    if [[ -s $log ]]; then
        for s in "${suites[@]}"; do
            tally "$prefix$s" "$log" "$s" "$how"
        done
        all=$(meson test -C "$dir" --no-rebuild "${only[@]}" --list 2>/dev/null | grep -c ' / ')
        ran=$(jq -s length "$log")
        if [[ $ran != "$all" ]]; then
            echo "--- FAILED $prefix$base: $ran of $all programs were run"
            failed=$((failed + 1))
        fi
        echo "in $((SECONDS - began)) s"
    elif ! grep -qi 'no suitable tests\|no tests defined' "$logs/$prefix$base"; then
        cat "$logs/$prefix$base"
        failed=$((failed + 1))
    fi
}

# build_failed WHAT: is a failure too.
build_failed() {
    echo "--- FAILED: the build with $1"
    failed=$((failed + 1))
}

export CMOCKA_MESSAGE_OUTPUT=TAP
as_root=() lab=true
if [[ $EUID != 0 ]]; then
    if command -v sudo >/dev/null; then
        echo "make test: the lab suite needs root for network namespaces: using sudo"
        as_root=(sudo -E)
    else
        lab=false
    fi
fi

if CC=gcc set_up build all; then
    suites "" build "lint unit api fuzz sim models" points
    if $lab; then
        suites "" build lab points "${as_root[@]}"
    else
        echo "SKIPPED lab: network namespaces need root, and there is no sudo"
        skipped=$((skipped + 1))
    fi
else
    build_failed gcc
fi
# Sanitized programs run some ten times slower: a few seeds show memory errors as well as many do.
export HAWSER_SIM_SEEDS=6
if CC=clang set_up build-clang all -Db_sanitize=address,undefined -Db_lundef=false; then
    suites sanitized- build-clang "unit api fuzz sim" programs
else
    build_failed "clang and sanitizers"
fi

# A data race ends hawserd with a code that the scenario takes for a failure.
if CC=gcc set_up build-tsan threads -Db_sanitize=thread; then
    if $lab; then
        suites "" build-tsan threads programs "${as_root[@]}"
    fi
else
    build_failed "gcc and the thread sanitizer"
fi

line="$passed passed, $failed failed"
[[ $skipped == 0 ]] || line+=", $skipped skipped"
echo "$line"
[[ $failed == 0 ]]
