# tests/tap.sh - test points of a shell script, in TAP. Sourced; $dir is the script's folder, of which `out` and `err` are
# shown when a point fails.
# shellcheck shell=bash
n=0

# ok NAME COMMAND...: one test point.
ok() {
    local name=$1
    shift
    n=$((n + 1))
    if "$@"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        # shellcheck disable=SC2154 # the script's
        cat "$dir/out" "$dir/err" 2>/dev/null | sed 's/^/# /'
    fi
}

# try CODE COMMAND...: the exit code is CODE; output in $dir/out, errors in $dir/err.
try() {
    local want=$1 got
    shift
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" -eq "$want" ] || { echo "# exit code $got, expected $want"; return 1; }
}

# Is this in what it put out, or in its errors?
says() { grep -qF -- "$1" "$dir/out"; }
complains() { grep -qF -- "$1" "$dir/err"; }

# introduces PROGRAM WHAT USAGE: a daemon says of itself what it is and how it is called, and which version.
introduces() {
    local option
    for option in --help -h; do
        ok "$option" try 0 "$1" "$option"
        ok "$option says what it is" says "$2"
        ok "$option gives the usage" says "${1##*/} check FILE"
    done
    ok "--version" try 0 "$1" --version
    ok "--version says which" grep -qE "^${1##*/} [0-9]+\.[0-9]+\.[0-9]+\$" "$dir/out"
    ok "no argument is a usage error" try 2 "$1"
    ok "and says the usage" complains "usage: ${1##*/} $3"
    ok "an option that is none" try 2 "$1" --verbose
}

# skip WHY: a point that cannot be tried here.
skip() { echo "ok $((n += 1)) # SKIP $1"; }

# The plan, at the end. What failed is in the points.
plan() { echo "1..$n"; }
