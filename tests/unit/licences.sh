#!/bin/bash
# Whoever ships Hawser's programs may: what is linked is permissive or LGPL, and nothing is linked that
# dist/debian-packages does not list. Speaks TAP.
# Usage: licences.sh SOURCE PROGRAM...
set -u
source=$1
shift
list=$source/dist/debian-packages
n=0
work=$(mktemp -d /tmp/hawser-licences-XXXXXX)
trap 'rm -rf "$work"' EXIT

# May be linked into MIT programs that others link and ship. GPL-3.0 with GCC's exception is libgcc's.
may_link='^(MIT|OLDAP-2\.8|Apache-2\.0|BSD-[23]-Clause|ISC|Zlib|0BSD|CC0-1\.0|LGPL-2\.[01]-(only|or-later)|LGPL-3\.0-(only|or-later)|GPL-3\.0-or-later WITH GCC-exception-3\.1)$'
may_run='^[A-Za-z0-9][A-Za-z0-9.+-]*$'
purposes='^(build|run|test|demo|bench|fuzz|lint)(,(build|run|test|demo|bench|fuzz|lint))*$'

ok() {
    n=$((n + 1))
    if [[ ! -s $work/found ]]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/found"
    fi
}

# check_list FILE: what is wrong in it.
check_list() {
    local package purpose licence how architecture rest
    while read -r package purpose licence how architecture rest; do
        [[ -n $package && $package != \#* ]] || continue
        [[ $purpose =~ $purposes ]] || echo "$package: purpose: found ${purpose:-nothing}"
        [[ -z $rest && $architecture =~ ^[a-z0-9-]*$ ]] || echo "$package: found $architecture $rest, expected four fields and an architecture"
        case $how in
        linked) [[ $licence =~ $may_link ]] || echo "$package: $licence may not be linked" ;;
        run) [[ $licence =~ $may_run ]] || echo "$package: licence: found ${licence:-nothing}" ;;
        *) echo "$package: found ${how:-nothing}, expected linked or run" ;;
        esac
    done <"$1"
    awk '!/^#/ && NF && seen[$1]++ { print $1 ": listed twice" }' "$1"
}

# package FILE: the package that it belongs to; both names of a merged /usr are tried.
package() {
    local file=$1 name
    for name in "$file" "/usr$file" "${file#/usr}" "$(readlink -f "$file")"; do
        dpkg -S "$name" 2>/dev/null | sed -n '1s/[:,].*//p' | grep . && return
    done
    echo "nobody's"
}

# linked PROGRAM LIST: every shared object that it loads and whose package LIST does not allow. linux-vdso is the kernel.
linked() {
    local program=$1 file owner
    while read -r file; do
        [[ ${file##*/} != libhawser.so.* ]] || continue # ours
        owner=$(package "$file")
        awk -v p="$owner" '$1 == p && $4 == "linked" { found = 1 } END { exit !found }' "$2" ||
            echo "${program##*/} loads $file of the package $owner, which is not listed as linked"
    done < <(ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3; next } $1 ~ /^\// { print $1 }')
    ldd "$program" | awk '/not found/ { print "not found: " $1 }'
}

if ! command -v dpkg >/dev/null || ! command -v ldd >/dev/null; then
    echo "1..0 # SKIP dpkg or ldd is missing: packages cannot be told"
    exit 0
fi
echo "1..$(($# + 6))"
check_list "$list" >"$work/found"
ok "the list is well-formed, and what is linked is permissive or LGPL"

for program; do
    linked "$program" "$list" >"$work/found"
    # A program that loads nothing was not looked at.
    readelf -d "$program" | grep -q NEEDED || echo "$program: no dynamic section" >>"$work/found"
    ok "${program##*/} loads what is listed as linked"
done

# Programs that scenarios say they need; every Debian has the essential packages.
{
    listed=" $("$source/dist/install-packages" --list run test demo bench | tr '\n' ' ') "
    while read -r program; do
        file=$(command -v "$program") || { echo "lab needs $program, which is not here"; continue; }
        owner=$(package "$file")
        [[ $listed == *" $owner "* || $(dpkg-query -W -f '${Essential}' "$owner" 2>/dev/null) == yes ]] || echo "lab needs $program of the package $owner, which is not listed"
    done < <(grep -rhoE '^ *need [a-z0-9 _.-]+' "$source/lab" | sed 's/^ *need //' | tr ' ' '\n' | sort -u | grep .)
} >"$work/found"
ok "what scenarios need is listed"

# The test can fail.
fails() {
    if [[ -s $work/out ]]; then : >"$work/found"; else echo "not found" >"$work/found"; fi
    ok "self-check: $1"
}
echo 'libreadline8 run GPL-3.0-or-later linked' >"$work/list"
check_list "$work/list" >"$work/out"
fails "a GPL library is found"
echo 'libuv1 run MIT' >"$work/list"
check_list "$work/list" >"$work/out"
fails "a missing field is found"
echo 'libuv1 everything MIT linked' >"$work/list"
check_list "$work/list" >"$work/out"
fails "an unknown purpose is found"
grep -v '^libc6 ' "$list" >"$work/list"
linked "$1" "$work/list" >"$work/out"
fails "a library that is not listed is found"
