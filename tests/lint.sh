#!/bin/bash
# Style and static analysis. Speaks TAP.
# Usage: tests/lint.sh [all [BUILD]]: `all` adds clang-tidy, which takes minutes and needs a configured BUILD (build/).
# What is excluded, and why: .clang-tidy, tests/cppcheck-suppressions.
set -u
cd "$(dirname "$0")/.." || exit 1
all=${1-}
build=${2:-build}
n=0
out=$(mktemp /tmp/hawser-lint-XXXXXX)
trap 'rm -f "$out"' EXIT

# found NAME PROGRAM COMMAND...: one point; a skip if the program is missing.
found() {
    local name=$1 program=$2
    shift 2
    n=$((n + 1))
    if ! command -v "$program" >/dev/null; then
        echo "ok $n - $name # SKIP $program is not installed"
    elif "$@" >"$out" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        head -n 200 "$out" | sed 's/^/# /'
    fi
}

mapfile -t folders < <(ls -d bench bpf include lab sim src tests 2>/dev/null)
mapfile -t sources < <(find "${folders[@]}" -name '*.[ch]' | sort)
mapfile -t programs < <(find lab sim src -name '*.c' | sort)
mapfile -t scripts < <(grep -rlE '^#!.*\b(ba|da|)sh\b|^# shellcheck shell=' .ci bench bpf dist doc lab man models sim tests 2>/dev/null | sort)

if [[ $all == all ]]; then echo 1..4; else echo 1..3; fi
found "clang-format has nothing to change" clang-format clang-format --dry-run -Werror "${sources[@]}"
found "shellcheck is content" shellcheck shellcheck -x "${scripts[@]}"
found "cppcheck is content" cppcheck cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
    --inline-suppr --suppressions-list=tests/cppcheck-suppressions -j "$(nproc)" \
    -Isrc -Iinclude -I. -D_GNU_SOURCE '-DHAWSER_VERSION=""' '-DHAWSER_LAB_SOURCE=""' '-DHAWSER_LAB_INSTALLED=""' \
    '-DHAWSER_BENCH_BUILT=""' '-DHAWSER_BENCH_INSTALLED=""' \
    -D__BYTE_ORDER__=1 -D__ORDER_LITTLE_ENDIAN__=1 "${programs[@]}"
if [[ $all == all ]]; then
    tidy() {
        printf '%s\0' "${programs[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p "$build" --quiet --warnings-as-errors='*'
    }
    found "clang-tidy is content" clang-tidy tidy
fi
