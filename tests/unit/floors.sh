#!/bin/bash
# The floors of src/ (doc/architecture.md): who includes whom, and that floors 0 to 7 do no IO. Speaks TAP.
# Usage: floors.sh SOURCE BUILD
#
# A file includes its own folder or lower floors, by a name that begins at src/; folders on one floor do not include each
# other; nothing in src/ includes sim/, lab/ or tests/. Beside src/, sim/ includes itself and floors 0 to 7; lab/ and
# bench/ themselves, sim/ and all of src/, bench/ also bpf/; and none of the three tests/. Objects of floors 0 to 7 refer to no clock, socket, poll,
# randomness, file, stream, environment, process or exit: nm says so.
set -u
source=$1 build=$2
n=0
work=$(mktemp -d /tmp/hawser-floors-XXXXXX)
trap 'rm -rf "$work"' EXIT

declare -A floor=(
    [base]=0 [wire]=1 [ident]=2 [path]=2 [session]=3 [mapping]=4 [tunnel]=5 [dmux]=5 [overlay]=6 [node]=7
    [sys]=8 [api]=9 [prog]=10
)
sans_io_floor=7

# What a sans-IO object may take from outside: memory, strings, sorting, arithmetic, formatting into the caller's buffer,
# assertions. libcrypto's names are told by their capitals. Everything else of libc is refused.
allowed='^(mem(cpy|move|set|cmp|chr|rchr|mem)|explicit_bzero|str(len|nlen|cmp|ncmp|chr|rchr|spn|cspn|str|dup|ndup|casecmp|ncasecmp)
|stpcpy|strcpy|inet_(ntop|pton)|strtou?l+|strtod|atoi|malloc|calloc|realloc|free|aligned_alloc|posix_memalign|qsort|bsearch|v?snprintf|sscanf|abs|labs|llabs
|__assert_fail|__stack_chk_fail|__ctype_(b|tolower|toupper)_loc|tolower|toupper|__cpu_(model|indicator_init)|_GLOBAL_OFFSET_TABLE_
|__isoc99_sscanf|__u?(div|mod|mul)[dt]i3|__(mem|str)[a-z]+_chk|__v?snprintf_chk
|(sqrt|cbrt|log|log2|log10|log1p|exp|exp2|expm1|pow|floor|ceil|round|trunc|fabs|fmod|fmin|fmax|ldexp|frexp|l?lrint|l?lround|nearbyint|rint)f?
|__(asan|ubsan|sanitizer|tsan)_.*|__(start|stop)___sancov.*|__sancov.*)$'
allowed=${allowed//$'\n'/}
crypto='^((EVP|OSSL|ERR|BN|CRYPTO|OPENSSL)_|imb_get_errno$|(alloc|init|free)_mb_mgr)'

ok() {
    local name=$1
    n=$((n + 1))
    if [[ ! -s $work/found ]]; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/found"
    fi
}

# includes TREE: what is wrong in TREE/src, a line each.
includes() {
    local tree=$1 file line folder what to
    while IFS= read -r line; do
        file=${line%%:*} what=${line#*\"} what=${what%%\"*}
        folder=${file#"$tree"/src/} folder=${folder%%/*}
        to=${what%%/*}
        if [[ -z ${floor[$folder]-} ]]; then
            echo "$file: src/$folder has no floor"
        elif [[ $what == hawser/* ]]; then
            # The public header: for the library and the programs.
            ((floor[$folder] >= floor[api])) || echo "$file: includes $what, which is above it"
        elif [[ $what != */* || $what == *..* || -z ${floor[$to]-} ]]; then
            echo "$file: includes $what: expected a name from src/, of a folder with a floor"
        elif [[ ! -e $tree/src/$what ]]; then
            echo "$file: includes $what, which is not there"
        elif [[ $to != "$folder" ]] && ((floor[$to] >= floor[$folder])); then
            echo "$file: floor ${floor[$folder]} ($folder) includes floor ${floor[$to]} ($what)"
        fi
    done < <(grep -rE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$tree/src")
    grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*<(sim|lab|tests)/' "$tree/src"
}

# beside TREE: what is wrong in TREE/sim, TREE/lab and TREE/bench, a line each.
declare -A beside_may=([sim]=' sim ' [lab]=' sim lab ' [bench]=' sim bench bpf hawser ')
beside() {
    local tree=$1 folder line file what to
    for folder in sim lab bench; do
        [[ -d $tree/$folder ]] || continue
        while IFS= read -r line; do
            file=${line%%:*} what=${line#*\"} what=${what%%\"*}
            to=${what%%/*}
            if [[ $what == */* && ${beside_may[$folder]} == *" $to "* ]]; then
                continue
            elif [[ $what != */* || -z ${floor[$to]-} ]]; then
                echo "$file: includes $what: expected a name from src/ or of${beside_may[$folder]}"
            elif [[ $folder == sim ]] && ((floor[$to] > sans_io_floor)); then
                echo "$file: includes $what, of floor ${floor[$to]}: what does IO is not for virtual time"
            fi
        done < <(grep -rE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$tree/$folder")
    done
}

# symbols ARCHIVE: what it takes from outside itself that a sans-IO object may not.
symbols() {
    local archive=$1 name
    nm -P --defined-only "$archive" 2>/dev/null | awk 'NF >= 2 && $2 ~ /[A-Z]/ { print $1 }' | sort -u >"$work/ours"
    while IFS= read -r name; do
        echo "${archive##*/}: refers to $name"
    done < <(nm -P -u "$archive" 2>/dev/null | awk 'NF >= 2 { print $1 }' | sort -u | comm -23 - "$work/ours" |
        grep -vE "$crypto" | grep -vE "$allowed" | comm -23 - "$work/others")
}

# archives_below: the static libraries of the sans-IO floors, and in $work/others what they define for each other.
archives=()
: >"$work/others"
for folder in "${!floor[@]}"; do
    archive=$build/src/$folder/lib$folder.a
    if ((floor[$folder] <= sans_io_floor)) && [[ -d $source/src/$folder ]]; then
        archives+=("$archive")
    fi
done
for archive in "${archives[@]}"; do
    nm -P --defined-only "$archive" 2>/dev/null | awk 'NF >= 2 && $2 ~ /[A-Z]/ { print $1 }'
done | sort -u >"$work/others"

echo "1..$((${#archives[@]} + 15))"

includes "$source" >"$work/found"
ok "every include is of the same folder or a lower floor"
beside "$source" >"$work/found"
ok "sim/, lab/ and bench/ keep to theirs"
for archive in "${archives[@]}"; do
    if [[ -e $archive ]]; then symbols "$archive" >"$work/found"; else echo "$archive: not built" >"$work/found"; fi
    ok "${archive##*/} does no IO"
done

# The test can fail: made-up offenders must be found, and made-up innocents must not.
# offends NAME FILE LINE: an include in src/FILE is wrong.
offends() {
    local tree=$work/tree
    rm -rf "$tree"
    mkdir -p "$tree"/src/{base,ident,path,session,sys,prog} "$tree/sim"
    touch "$tree"/src/base/base.h "$tree"/src/ident/keys.h "$tree"/src/path/path.h "$tree"/src/session/session.h \
        "$tree"/src/sys/udp.h "$tree"/sim/world.h
    echo "$3" >"$tree/src/$2"
    if [[ -n $(includes "$tree") ]]; then : >"$work/found"; else echo "not found: $2: $3" >"$work/found"; fi
    ok "self-check: $1"
}
offends "an include of a higher floor is found" path/path.c '#include "session/session.h"'
offends "an include across one floor is found" path/path.c '#include "ident/keys.h"'
offends "an include of the rim is found" session/session.c '#  include "sys/udp.h"'
offends "an include of sim/ is found" prog/prog.c '#include "sim/world.h"'
offends "an include that does not begin at src/ is found" path/path.c '#include "path.h"'
offends "an include of a folder above is found" path/path.c '#include "../base/base.h"'
mkdir -p "$work/tree/src/node"
printf '#include "session/session.h"\n#include <time.h>\n' >"$work/tree/src/node/node.c"
rm "$work/tree/src/path/path.c"
includes "$work/tree" >"$work/found"
ok "self-check: a lower floor is allowed"
# strays NAME FOLDER LINE: an include in FOLDER/file.c is wrong.
strays() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/$2"
    echo "$3" >"$work/tree/$2/file.c"
    if [[ -n $(beside "$work/tree") ]]; then : >"$work/found"; else echo "not found: $2: $3" >"$work/found"; fi
    ok "self-check: $1"
}
strays "a clock in virtual time is found" sim '#include "sys/clock.h"'
strays "a benchmark that includes a test is found" bench '#include "tests/unit/test.h"'
strays "a tool of the lab that includes a benchmark is found" lab '#include "bench/args.h"'
rm -rf "$work/tree"
mkdir -p "$work/tree"/{sim,bench,lab}
printf '#include "sim/link.h"\n#include "node/node.h"\n' | tee "$work/tree"/{sim,bench,lab}/file.c >/dev/null
beside "$work/tree" >"$work/found"
ok "self-check: the simulator is for all three"

# object NAME CODE: an archive of it.
object() {
    rm -f "$work/lib.a"
    printf '%s\n' "$2" >"$work/object.c"
    "${CC:-cc}" -O0 -w -c -o "$work/object.o" "$work/object.c" && ar rc "$work/lib.a" "$work/object.o"
}
for call in 'time(0)' 'clock_gettime(0, 0)' 'gettimeofday(0, 0)' 'socket(1, 2, 3)' 'poll(0, 0, 0)' 'epoll_wait(1, 0, 0, 0)' \
    'select(0, 0, 0, 0, 0)' 'getrandom(0, 0, 0)' 'rand()' 'open("x", 0)' 'fopen("x", "r")' 'printf("%d", 1)' 'puts("x")' \
    'fputs("x", 0)' 'write(1, "x", 1)' 'read(0, 0, 1)' 'exit(1)' '_exit(1)' 'abort()' 'getenv("X")' 'sleep(1)' 'ioctl(1, 2)'; do
    object io "long f(void); long f(void) { $call; return 0; }"
    [[ -n $(symbols "$work/lib.a") ]] || echo "not found: $call"
done >"$work/found" 2>&1
ok "self-check: calls that do IO are found"
object fine 'int snprintf(char *, unsigned long, const char *, ...); void __assert_fail(const char *, const char *, int, const char *);
int f(char *b); int f(char *b) { if (!b) __assert_fail("b", "f.c", 1, "f"); return snprintf(b, 4, "%d", 1); }'
symbols "$work/lib.a" >"$work/found"
ok "self-check: formatting into a buffer and assertions are allowed"
