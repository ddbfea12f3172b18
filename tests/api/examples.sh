#!/bin/bash
# The examples, both ends of each over this host's loopback: what one sends the other has. Arguments: their folder, the
# source tree, libhawser. TAP.
set -u
bin=$1 source=$2 lib=$(realpath "$3")
dir=$(mktemp -d)
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$(dirname "$0")/../tap.sh"
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT

# serve NAME [ARGUMENT...]: the listening end on a port that is free; its key in $key.
serve() {
    for port in $(shuf -i 20000-59999 -n 20); do
        : >"$dir/out"
        "$bin/example-$1" listen "$port" "${@:2}" <"$dir/in" >"$dir/out" 2>"$dir/err" &
        server=$!
        until [[ -s $dir/out ]] || ! kill -0 "$server" 2>/dev/null; do sleep .02; done
        key=$(head -n 1 "$dir/out")
        [[ -z $key ]] || return 0
        wait "$server"
    done
    echo "# no port is free: $(cat "$dir/err")"
    return 1
}

ended() { # the listening end ended well
    wait "$server"
    local code=$?
    server=
    ((code == 0)) || echo "# exit code $code: $(cat "$dir/err")"
    return "$code"
}

printf 'hello\n\nlast without an end' >"$dir/in"
serve chat
printf 'one\ntwo\n' | timeout 60 "$bin/example-chat" call "$key" 127.0.0.1 "$port" >"$dir/other"
ok "chat: the caller ends well" test $? = 0
ok "chat: and the listener" ended
ok "chat: what the caller said" cmp -s <(sed 1d "$dir/out") <(printf 'one\ntwo\n')
ok "chat: what the listener said" cmp -s "$dir/other" <(printf 'hello\n\nlast without an end\n')

: >"$dir/in"
head -c 20000003 /dev/urandom >"$dir/large"
serve bulk "$dir/copy"
ok "bulk: the caller ends well" timeout 60 "$bin/example-bulk" call "$key" 127.0.0.1 "$port" "$dir/large"
ok "bulk: and the listener" ended
ok "bulk: the same bytes" cmp -s "$dir/large" "$dir/copy"

serve media 45
ok "media: the caller ends well" timeout 60 "$bin/example-media" call "$key" 127.0.0.1 "$port" 45
ok "media: and the listener" ended
# How many are late depends on the machine: that each is counted once does not.
# shellcheck disable=SC2016 # awk's
ok "media: every frame is accounted for" awk 'NR == 2 { exit !($1 + $4 + $6 == 45 && $1 > 0) } END { if (NR != 2) exit 1 }' "$dir/out"

ok "usage" test "$("$bin/example-chat" 2>/dev/null; echo $?)" = 2
ok "no such key" test "$("$bin/example-chat" call nokey 127.0.0.1 1 2>&1 </dev/null)" = "connect: not a key"

# As a program outside the tree: the header alone, C and C++. A library with a sanitizer in it serves only programs built
# with one.
if nm -D "$lib" | grep -Eq '__(asan|ubsan|tsan)_'; then
    skip "a sanitizer is in the library: no program from outside"
else
    ln -s "$lib" "$dir/libhawser.so"
    for compiler in cc c++; do
        command -v $compiler >/dev/null || continue
        printf '#include <hawser/session.h>\nint main(void) { return hws_session_close(0); }\n' >"$dir/outside.${compiler/cc/c}"
        ok "a program outside, $compiler" $compiler -Wall -Wextra -Werror -I"$source/include" -o "$dir/outside" \
            "$dir/outside.${compiler/cc/c}" -L"$dir" -lhawser
        ok "and it runs" env LD_LIBRARY_PATH="$(dirname "$lib")" "$dir/outside"
    done
fi
plan
