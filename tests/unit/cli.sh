#!/bin/bash
# The hawser command from outside: exit codes, messages, and what it asks a daemon (cli_stub stands for one).
# Usage: cli.sh HAWSER CLI_STUB SOURCE. Speaks TAP.
set -u
umask 022
hawser=$1 stub=$2 source=$3
dir=$(mktemp -d /tmp/hawser-cli-XXXXXX)
unset HAWSER_CONTROL
pids=()
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$(dirname "$0")/../tap.sh"

clean_up() {
    local pid
    "$dir/bin/hawser" down "$dir/hawser0.sock" >/dev/null 2>&1
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null
    done
    rm -rf "$dir"
}
trap clean_up EXIT

silent() { [ ! -s "$dir/out" ]; }

# wait_for CONDITION...: at most 10 s.
wait_for() {
    local i
    for ((i = 0; i < 1000; i++)); do
        "$@" && return 0
        read -r -t 0.01 <> <(:)
    done
    return 1
}

# --- the table of verbs ---
ok "no verb is a usage error" try 2 "$hawser"
ok "help" try 0 "$hawser" help
cp "$dir/out" "$dir/help"
for verb in help version keygen pubkey check up down status why link pipe send recv ping run id realm resolve dmux doctor lab bench sim; do
    ok "help lists $verb" grep -q "^  $verb " "$dir/help"
    ok "$verb --help" try 0 "$hawser" "$verb" --help
    ok "$verb --help gives its usage" says "usage: hawser $verb"
    ok "the manual has $verb" grep -q "^\.B $verb" "$source/man/hawser.1"
done
for verb in agent forward portal top slice publish get bugreport; do
    ok "$verb is a usage error" try 2 "$hawser" "$verb"
    ok "$verb says why" complains "hawser $verb: not built in this version"
    ok "help does not promise $verb" test -z "$(grep "^  $verb " "$dir/help")"
done
ok "resolve: no name" try 2 "$hawser" resolve one.h.example
ok "resolve: says what it wants" complains "expected --root and --manager, or --config"
ok "resolve: no name of ours" try 2 "$hawser" resolve one..example
ok "resolve: says where" complains "one..example: character 5: an empty label"
ok "resolve: not a kind" try 2 "$hawser" resolve one.h.example --kind friend
ok "resolve: says which there are" complains "--kind: found friend, expected host-locator, user-host"
ok "resolve: no root" try 1 "$hawser" resolve one.h.example --root "$dir/none" --manager 127.0.0.1
ok "resolve: names it" complains "$dir/none: cannot open: No such file or directory"
ok "pipe without arguments" try 2 "$hawser" pipe
ok "pipe: not a key" try 2 "$hawser" pipe nonsense 127.0.0.1:1
ok "pipe: says so" complains "nonsense: expected the peer's public key"
ok "pipe: no port" try 2 "$hawser" pipe "$(printf 'A%.0s' {1..88})" 127.0.0.1
ok "pipe: says so" complains "127.0.0.1: expected HOST:PORT"
ok "pipe: a secret that is not there" try 1 "$hawser" pipe --listen 1 --key "$dir/none"
ok "send without a key" try 2 "$hawser" send "$0" 127.0.0.1:1
ok "send: says so" complains "expected the peer's public key among the arguments"
many=()
for ((i = 0; i < 65; i++)); do many+=(--allow nonsense); done
ok "recv for nobody" try 2 "$hawser" recv "$dir"
ok "recv: says who may send" complains "nobody may send: name the keys of those who may by --allow, or say --anyone"
ok "recv: not a key" try 2 "$hawser" recv --allow nonsense "$dir"
ok "recv: too many keys" try 2 "$hawser" recv "${many[@]}" "$dir"
ok "recv: says so" complains "found more than 64 keys"
ok "recv: not a folder" try 1 "$hawser" recv --anyone "$0"
ok "ping without addresses" try 2 "$hawser" ping nonsense
ok "nine addresses" try 2 "$hawser" pipe nonsense a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1
ok "nine addresses: says how many may be" complains "found 9 addresses, expected at most 8"
ok "no host" try 2 "$hawser" pipe nonsense '[]:80'
ok "no host: says so" complains "found no host before the port"
ok "a count in hexadecimal" try 2 "$hawser" ping --count 0x2 nonsense a:1
ok "a transport that there is not" try 2 "$hawser" ping --transport tcp,ip nonsense 127.0.0.1:1
ok "says so" complains "found --transport ip, expected udp, tcp, mptcp, sctp or some of these with commas"
ok "ping: not a key" try 2 "$hawser" ping nonsense 127.0.0.1:1
ok "ping: not a number" try 2 "$hawser" ping --count 1.5 nonsense 127.0.0.1:1
ok "run without a program" try 2 "$hawser" run --verbose
ok "run: says so" complains "expected -- and a program"
ok "run: no such option" try 2 "$hawser" run --verbos -- true
ok "run: something before the dashes" try 2 "$hawser" run --verbose true -- true
ok "run: says so" complains "found true before --"
ok "run: without options dashes are the program's" try 0 "$hawser" run test -- = --
ok "run: not a key" try 2 "$hawser" run --pin 192.0.2.1=nonsense -- true
ok "run: not an address" try 2 "$hawser" run --pin "localhost=$(printf 'A%.0s' {1..88})" -- true
ok "run: not a prefix" try 2 "$hawser" run --exclude nonsense -- true
printf '# known\n192.0.2.1=nonsense\n' >"$dir/pins"
ok "run: not a key in the file" try 1 "$hawser" run --pins "$dir/pins" -- true
ok "run: says where" complains "$dir/pins:2: expected ADDRESS=KEY"
ok "run: no such program" try 127 "$hawser" run "$dir/none"
ok "run: not a program" try 126 "$hawser" run "$source/README.md"
printf '#!/bin/sh\nexit 9\n' >"$dir/here"
chmod +x "$dir/here"
program=$(realpath "$hawser")
in_folder() { (cd "$dir" && PATH=":$PATH" "$program" run -- here); }
ok "run: an empty part of PATH is the folder here" try 9 in_folder
ok "run: a program's exit code" try 7 "$hawser" run -- sh -c 'exit 7'
ok "run: a program's signal" try 137 "$hawser" run -- sh -c 'kill -9 $$'
ok "run: it stays until the last has gone" try 0 "$hawser" run -- bash -c "(read -rt .2 <> <(:); : >'$dir/last') & exit 0"
ok "run: and it has" test -e "$dir/last"
{ printf '\177ELF\2\1\1' && head -c 57 /dev/zero; } >"$dir/static" # an ELF header without segments, so without a linker
chmod +x "$dir/static"
ok "run: a static program is refused" try 126 "$hawser" run -- "$dir/static"
ok "run: says so" complains "is linked statically"
ok "unknown verb" try 2 "$hawser" stauts
ok "unknown verb: a suggestion" complains "did you mean status?"
ok "unknown option" try 2 "$hawser" status --jsno
ok "version" try 0 "$hawser" --version
to_full_disk() { "$hawser" version >/dev/full; }
ok "a full disk is an error" try 1 to_full_disk

# --- keys ---
ok "keygen into a file" try 0 "$hawser" keygen "$dir/key"
cp "$dir/out" "$dir/public"
ok "the secret's mode is 0600" test "$(stat -c %a "$dir/key")" = 600
ok "the secret has 88 characters" test "$(tr -d '\n' <"$dir/key" | wc -c)" -eq 88
ok "the public key has 88 characters" test "$(tr -d '\n' <"$dir/public" | wc -c)" -eq 88
cp "$dir/key" "$dir/key.before"
ok "keygen does not overwrite" try 1 "$hawser" keygen "$dir/key"
ok "keygen says so" complains "exists already"
ok "the file is as it was" cmp -s "$dir/key" "$dir/key.before"
ln -s "$dir/elsewhere" "$dir/link"
ok "keygen does not follow a link" try 1 "$hawser" keygen "$dir/link"
ok "nothing is where the link points" test ! -e "$dir/elsewhere"
"$hawser" pubkey <"$dir/key" >"$dir/public.again"
ok "pubkey" cmp -s "$dir/public" "$dir/public.again"
ok "pubkey of nonsense" try 1 "$hawser" pubkey
ok "keygen prints both" try 0 "$hawser" keygen
ok "the secret is printed" says "PrivateKey = "
ok "the public key is printed" says "PublicKey = "

# --- pipe: standard output that nobody reads ---
mkfifo "$dir/fifo"
port=$((20000 + RANDOM % 20000))
# shellcheck disable=SC2094 # it is no file: its reader goes before anything is written
exec 7<>"$dir/fifo" 8>"$dir/fifo" 7>&-
"$hawser" pipe --listen $port --key "$dir/key" </dev/null >&8 2>"$dir/listener" &
listener=$!
pids+=("$listener")
exec 8>&-
ok "pipe listens" wait_for grep -q "listening on port $port as $(cat "$dir/public")" "$dir/listener"
head -c 100000 /dev/zero | timeout 20 "$hawser" pipe "$(cat "$dir/public")" 127.0.0.1:$port >/dev/null 2>"$dir/caller"
wait "$listener"
ok "pipe: a closed standard output is an error" test $? = 1
ok "pipe: and is what it says" grep -qx "hawser pipe: standard output: Broken pipe" "$dir/listener"

# --- check ---
"$hawser" keygen "$dir/peer" >"$dir/peer.public"
control=$dir/hawser0.sock
cat >"$dir/good" <<EOF
[Interface]
PrivateKeyFile = key
Control = $control
[Peer home]
PublicKey = $(cat "$dir/peer.public")
Endpoint = 192.0.2.1
EOF
sed 's/^Endpoint/Endpiont/' "$dir/good" >"$dir/bad"
ok "check of a good file" try 0 "$hawser" check "$dir/good"
ok "check tells what it is" says "ok: node hawser0, 1 peer, 0 links, 0 rules"
ok "check of a bad file" try 1 "$hawser" check "$dir/bad"
ok "check names the line" complains "$dir/bad:6: found Endpiont, expected a key of [Peer] (did you mean Endpoint?)"
ok "check of one's own file does not ask whose it is" test -z "$(grep 'looks like' "$dir/err")"
ok "check of no file" try 1 "$hawser" check "$dir/none"
printf '# a router\n\n [Router]\nProtocol = mirror\n' >"$dir/router"
ok "check of a file of hawser-dmuxd" try 1 "$hawser" check "$dir/router"
ok "check says whose it is" complains "$dir/router: this looks like a file of hawser-dmuxd: hawser-dmuxd check $dir/router"
ok "check --json of it" try 1 "$hawser" check --json "$dir/router"
ok "check --json says so, too" says "this looks like a file of hawser-dmuxd"
ok "check without a file" try 2 "$hawser" check
ok "check --json" try 1 "$hawser" check --json "$dir/bad"
ok "check --json is an object" says '{"ok":false,"lines":["'
chmod 0644 "$dir/key"
ok "check of a key that others may read" try 1 "$hawser" check "$dir/good"
ok "check names the mode" complains "found mode 0644, expected 0600"
chmod 0600 "$dir/key"
while read -r what manual; do
    try 0 "$hawser" help "$what"
    sed -n 's/^  \([A-Z][A-Za-z0-9]*\) .*/\1/p' "$dir/out" | sort -u >"$dir/keys"
    ok "$what: there are keys" test -s "$dir/keys"
    while read -r key; do
        ok "$manual has the key $key" grep -qE "^\\.BR? \"?(.*fB)?$key\\>" "$source/man/$manual"
    done <"$dir/keys"
done <<END
config hawser.conf.5
dmux-config hawser-dmuxd.8
realmd-config hawser-realmd.8
END

# --- the manual tells of each verb what help does, and nothing else ---
# options_of FILE: those that it names, a line each.
options_of() { grep -oE -- '--[a-z]+(-[a-z]+)*' "$1" | sort -u; }
"$hawser" help | sed -n 's/^  \([a-z]*\) .*/\1/p' >"$dir/verbs"
while read -r verb; do
    "$hawser" help "$verb" >"$dir/usage"
    # The headings of the verb and what stands below them.
    sed 's/\\-/-/g; s/\\f[A-Z]//g' "$source/man/hawser.1" |
        awk -v verb="$verb" '/^\.SH/ { on = $0 == ".SH VERBS" } /^\.TP/ { getline; mine = $2 == verb } on && mine' >"$dir/manual"
    ok "the manual has the verb $verb" test -s "$dir/manual"
    ok "with its options" cmp <(options_of "$dir/usage") <(options_of "$dir/manual")
done <"$dir/verbs"

# --- so does that of libhawser of its header ---
header=$source/include/hawser/session.h library=$source/man/hws_session.3
ok "hws_session.3 has each call" test -z "$(comm -23 <(grep -oE '\bhws_[a-z_]+\(' "$header" | tr -d '(' | sort -u) \
    <(grep -oE '\bhws_[a-z_]+' "$library" | sort -u))"
ok "and nothing that is not there" test -z "$(comm -13 <(grep -oE '\bhws_[a-z_]+' "$header" | sort -u) \
    <(sed 's/^\.TH .*//' "$library" | grep -oE '\bhws_[a-z_]+' | sort -u))"

# --- send, recv, ping ---
mkdir "$dir/to" "$dir/from"
from=$dir/from to=$dir/to at=127.0.0.1:$((port += 1)) here=$(cat "$dir/public")
"$hawser" keygen "$dir/third" >"$dir/third.public"
"$hawser" recv --key "$dir/key" --port $port --allow "$(cat "$dir/peer.public")" --allow "$(cat "$dir/third.public")" \
    --json "$to" >"$dir/received" 2>"$dir/listener" &
receiver=$!
pids+=("$receiver")
send() { timeout 60 "$hawser" send --key "$dir/peer" "$@" "$here" "$at"; }
same() { cmp -s "$from/$1" "$to/$1"; }
ok "recv listens" wait_for grep -q "listening on port $port" "$dir/listener"
head -c 3000000 /dev/urandom >"$from/large"
printf x >"$from/-one"
: >"$from/empty"
chmod 4751 "$from/large"
touch -d "2001-02-03 04:05:06.789" "$from/large"
ok "send of no file" try 1 send "$from/large" "$from/none"
ok "send: says which" complains "$from/none: No such file or directory"
ok "send of a folder" try 1 send "$from"
ok "nothing was sent" test -z "$(ls -A "$to")"
ok "send of a key that is not allowed" try 1 timeout 60 "$hawser" send "$from/large" "$here" "$at"
ok "send: says so" complains "$from/large: this key may not send here"
ok "send of three files" try 0 send "$from/large" "$from/empty" "$from/-one"
ok "send: says what it did" says "sent 3 files, 2.9 MiB in "
ok "the large one" same large
ok "the empty one" same empty
ok "the small one" same -one
ok "mode but no setuid, and time" test "$(stat -c '%a %.3Y' "$to/large")" = "751 $(stat -c %.3Y "$from/large")"
ok "no parts are left" test -z "$(find "$to" -name '*.hawser-part')"
ok "send by the other key" try 0 timeout 60 "$hawser" send --key "$dir/third" "$from/large" "$here" "$at"
ok "send: there already" says "large: there already, not sent again"
ok "send --quiet" try 0 send --quiet "$from/large"
ok "send --quiet says nothing" silent
printf y >"$from/-one"
ok "send of another file of that name" try 1 send "$from/-one" "$from/large"
ok "send: says so" complains "$from/-one: refused: another file of that name is there"
ok "send: the other file is not troubled" says "large: there already"
ok "the old one stays" grep -qx x "$to/-one"
ok "send --force" try 0 send --force "$from/-one"
ok "it was replaced" same -one
printf z >"$from/c"$'\033'"x"
printf z >"$from/y.hawser-part"
ok "send of bad names" try 1 send "$from/c"$'\033'"x" "$from/y.hawser-part"
ok "send: a control character" complains "refused: its name has a control character in it"
ok "send: and does not print it" test -z "$(tr -dc '\033' <"$dir/err")"
ok "send: a part" complains "y.hawser-part: refused: its name ends in .hawser-part"
ok "bad names are not there" test "$(find "$to" -mindepth 1 -printf x)" = xxx
head -c 1000000 "$from/large" >"$to/again.hawser-part"
ln "$from/large" "$from/again"
ok "send goes on where it was" try 0 send --json "$from/again"
ok "send: had so much" says '"bytes":3000000,"had_bytes":1000000,"done_bytes":3000000'
ok "and it is the file" same again
head -c 1000000 /dev/zero >"$to/anew.hawser-part"
ln "$from/large" "$from/anew"
ok "send over other bytes" try 0 send --json "$from/anew"
ok "send: had none of it" says '"had_bytes":0,"done_bytes":3000000'
ok "and it is the file" same anew
ln -s "$dir/elsewhere" "$to/via"
printf v >"$from/via"
ok "send does not follow a link" try 1 send --force "$from/via"
ok "nothing is where the link points" test ! -e "$dir/elsewhere"
truncate -s 40000000 "$from/sparse"
printf end >>"$from/sparse"
ok "send of a sparse file" try 0 send --json "$from/sparse"
ok "the sparse one" same sparse
ok "its zeros were not sent" grep -qE '"sent_bytes":[0-9]{1,5}[}]' "$dir/out"
ok "ping" try 0 timeout 60 "$hawser" ping --key "$dir/peer" --count 2 --interval .1 "$here" "$at"
ok "ping: a path" grep -qE "^2  host +udp +$at +active +[0-9.]+ ms  jitter [0-9.]+ ms  loss 0 %  rate " "$dir/out"
ok "ping: a summary" says "host udp $at: 2 sent, 2 answered, 0 % lost, rtt min/avg/max/mdev "
ok "ping --json" try 0 timeout 60 "$hawser" ping --key "$dir/peer" --count 1 --json "$here" "$at"
ok "ping --json is an object" says '{"ok":true,"paths":[{"link":"host","transport":"udp","remote":"'"$at"'","state":"active","sent":1,"answered":1,'
ok "ping over TCP" try 0 timeout 60 "$hawser" ping --key "$dir/peer" --transport tcp --count 1 "$here" "$at"
ok "ping: a path over TCP" grep -qE "^1  host +tcp +$at +active +[0-9.]+ ms" "$dir/out"
kill -INT "$receiver"
wait "$receiver"
ok "recv ends by SIGINT" test $? = 0
ok "recv told of each" test "$(grep -c '"outcome":"received"' "$dir/received")" = 7
ok "recv told of what was there" test "$(grep -c '"outcome":"same"' "$dir/received")" = 3
ok "recv told of failures" test "$(grep -c '"outcome":"failed"' "$dir/received")" = 4
"$hawser" recv --key "$dir/key" --port $port --anyone --once "$to" >"$dir/received" 2>"$dir/listener" &
receiver=$!
pids+=("$receiver")
ok "recv --once listens" wait_for grep -q "listening on port $port" "$dir/listener"
ok "recv --anyone is said clearly" wait_for grep -q "anyone who knows that key may send files into $to" "$dir/listener"
ok "recv --once does not end by a ping" try 0 timeout 60 "$hawser" ping --count 1 "$here" "$at"
ok "send to anyone" try 1 timeout 60 "$hawser" send --force "$from/-one" "$from/via" "$here" "$at"
wait "$receiver"
ok "recv --once ends, and says that a file failed" test $? = 1
printf z >"$from/-one"
"$hawser" recv --key "$dir/key" --port $port --anyone --once "$to" >"$dir/received" 2>"$dir/listener" &
receiver=$!
pids+=("$receiver")
ok "recv --once listens" wait_for grep -q "listening on port $port" "$dir/listener"
ok "anyone's --force" try 1 timeout 60 "$hawser" send --force "$from/-one" "$here" "$at"
ok "means nothing" complains "refused: another file of that name is there"
wait "$receiver"

# --- no daemon ---
ok "status without a daemon" try 1 "$hawser" status "$control"
ok "status says so in one line" test "$(wc -l <"$dir/err")" -eq 1
ok "status names the socket" complains "no daemon is running (nobody answers at $control)"

# --- a daemon ---
cat >"$dir/up.json" <<'EOF'
{"ok":true,"name":"hawser0","role":"node","version":"0.1.0","pid":@PID@,"uptime_s":3720,"tun":{"name":"hawser0","mtu":1400,"addresses":["10.77.0.2/32"],"rx_bytes":1536,"tx_bytes":0,"offloads":["tso4"]},"peers":[{"name":"home","key":"k","state":"up","suite":"aes-256-gcm","handshake_age_s":3.2,"addresses":[],"rx_bytes":0,"tx_bytes":0,"paths":[{"id":0,"link":"wlan0","local":"192.168.1.2:40000","remote":"203.0.113.1:51820","state":"active","why":"replies came","tier":"primary","weight":100,"srtt_ms":30.1,"jitter_ms":0.1,"loss":0.012,"tx_rate_bps":14670000,"rx_rate_bps":0,"queue_ms":2.0,"mtu":1492,"tx_bytes":1,"rx_bytes":1}]}],"drops":{"replay":2,"spoofed":0}}
EOF
sed 's/"state":"active"/"state":"suspect"/' "$dir/up.json" >"$dir/degraded.json"
sed 's/"role":"node"/"role":"host"/; s/"state":"up"/"state":"none"/; s/"paths":\[.*\]}\]/"paths":[]}]/' "$dir/up.json" >"$dir/idle.json"
sed 's/"peers":.*,"drops"/"peers":[],"drops"/' "$dir/idle.json" >"$dir/alone.json"
sed 's/"role":"host"/"role":"node"/' "$dir/idle.json" >"$dir/down.json"
echo '{"ok":false,"error":"no such link"}' >"$dir/refused.json"
echo 'nonsense' >"$dir/broken.json"
echo '{"ok":true,"rule":"203.0.113.0/24 via wlan0","number":1,"mode":"priority","class":"bulk","peer":"home","why":"the best usable tier","paths":[{"link":"wlan0","state":"active","first":true,"srtt_ms":30.1},{"link":"lte0","state":"active","first":false,"srtt_ms":0}]}' >"$dir/why.json"
for name in up degraded idle alone down refused broken why; do
    "$stub" "$dir/$name.sock" "$dir/$name.json" &
    pids+=($!)
    ok "stub $name" wait_for test -S "$dir/$name.sock"
done
ok "status" try 0 "$hawser" status "$dir/up.sock"
ok "status: the tunnel" says "hawser0  node  up 1h02m"
ok "status: the path's figures" grep -q 'wlan0 *active *primary *30\.1 ms *0\.1 ms *1\.2 % *2\.0 ms *1492 *14\.7 Mbit/s *- *1 B *1 B *203\.0\.113\.1:51820 *replies came' "$dir/out"
ok "status: drops that happened" says "dropped: replay 2"
ok "status: no other drops" test -z "$(grep spoofed "$dir/out")"
ok "status --json" try 0 "$hawser" status --json "$dir/up.sock"
ok "status --json is the document" says '"suite":"aes-256-gcm"'
ok "status by environment" try 0 env HAWSER_CONTROL="$dir/up.sock" "$hawser" status
ok "status of a suspect path is 3" try 3 "$hawser" status "$dir/degraded.sock"
ok "status of a host that speaks with nobody is 0" try 0 "$hawser" status "$dir/idle.sock"
ok "and of one that knows nobody" try 0 "$hawser" status "$dir/alone.sock"
ok "status of a node without its agent is 3" try 3 "$hawser" status "$dir/down.sock"
ok "status of a daemon that talks nonsense" try 1 "$hawser" status "$dir/broken.sock"
ok "status says that it is nonsense" complains "gave no JSON object"
ok "status of an error" try 1 "$hawser" status "$dir/refused.sock"
ok "status prints the error" complains "hawser status: no such link"

ok "why" try 0 "$hawser" why 203.0.113.9:443 --name "$dir/why.sock"
ok "why asks" grep -qxF '{"verb":"why","dst":"203.0.113.9","proto":"tcp","port":443}' "$dir/why.sock.asked"
ok "why: the rule" says "rule   2: 203.0.113.0/24 via wlan0"
ok "why: the mode" says "mode   priority (bulk)"
ok "why: the first path" grep -qx "path *wlan0 *active *30\.1 ms, first choice" "$dir/out"
ok "why: the other path" grep -qx "path *lte0 *active *" "$dir/out"
ok "why: the reason" says "why    the best usable tier"
ok "why of an address alone" try 0 "$hawser" why 2001:db8::1 --proto=udp --name "$dir/why.sock"
ok "why asks without a port" grep -qxF '{"verb":"why","dst":"2001:db8::1","proto":"udp"}' "$dir/why.sock.asked"
ok "why of a bad port" try 2 "$hawser" why 203.0.113.9:99999
ok "why of a bad protocol" try 2 "$hawser" why 203.0.113.9 --proto icmp

ok "link tier" try 0 "$hawser" link wlan0 tier backup --name "$dir/up.sock"
ok "link tier asks" grep -qxF '{"verb":"link","name":"wlan0","set":"tier","value":"backup"}' "$dir/up.sock.asked"
ok "link down" try 0 "$hawser" link wlan0 down --name "$dir/up.sock"
ok "link down asks" grep -qxF '{"verb":"link","name":"wlan0","set":"state","value":"down"}' "$dir/up.sock.asked"
ok "link signal" try 0 "$hawser" link wlan0 signal -80 --name "$dir/up.sock"
ok "link signal asks" grep -qxF '{"verb":"link","name":"wlan0","set":"signal","value":"-80"}' "$dir/up.sock.asked"
ok "link refused" try 1 "$hawser" link wlan9 down --name "$dir/refused.sock"
ok "link with a bad tier" try 2 "$hawser" link wlan0 tier top --name "$dir/up.sock"

# --- lab ---
mkdir -p "$dir/lab/scenarios"
printf '#!/bin/bash\n# One two three.\necho "got $*"\nexit 3\n' >"$dir/lab/scenarios/demo.sh"
printf '#!/bin/bash\n# shellcheck shell=bash\n# One two\n# three. Four\n# five.\n' >"$dir/lab/scenarios/long.sh"
printf '#!/bin/bash\n# One two\n#\n# three.\n' >"$dir/lab/scenarios/short.sh"
ok "lab list" try 0 env HAWSER_LAB="$dir/lab" "$hawser" lab list
ok "lab list: name and first comment" grep -qx "demo *One two three\." "$dir/out"
ok "lab list: the whole of its first sentence, alone" grep -qx "long *One two three\." "$dir/out"
ok "lab list: which ends with its paragraph" grep -qx "short *One two" "$dir/out"
ok "lab run gives the scenario's exit code" try 3 env HAWSER_LAB="$dir/lab" "$hawser" lab run demo --seed 7 --json /x
ok "lab run hands on its options" says "got --seed 7 --json /x"
ok "lab run of an unknown scenario" try 2 env HAWSER_LAB="$dir/lab" "$hawser" lab run dmeo
ok "lab run: a suggestion" complains "did you mean demo?"
ok "lab without a folder" try 1 env HAWSER_LAB="$dir/none" "$hawser" lab list

# --- bench ---
ok "bench list" try 0 "$hawser" bench list
ok "bench list: name and what it is" grep -q "^discordance *how often " "$dir/out"
ok "bench list --json" try 0 "$hawser" bench list --json
ok "bench list --json is an array" says '[{"name":"discordance",'
ok "media without data" try 2 "$hawser" bench media
ok "media: says what it wants" complains "found no --data, expected the folder of the traces NAME.down and NAME.up"
ok "media: unknown scheduler" try 2 "$hawser" bench media --data "$dir" --scheduler fast
ok "media: names them" complains "found fast, expected a scheduler: earliest, minrtt"
ok "media without traces" try 1 "$hawser" bench media --data "$dir"
ok "media: names the folder" complains "$dir: no two traces"
printf '1\nx\n' >"$dir/bad.down"
ok "media: a bad trace" try 1 "$hawser" bench media --data "$dir"
ok "media: names file and line" complains "$dir/bad.down"
rm "$dir/bad.down"
ok "bench list of something" try 2 "$hawser" bench list all
ok "bench without a name" try 2 "$hawser" bench
ok "bench of an unknown one" try 2 "$hawser" bench discordanec
ok "bench: a suggestion" complains "did you mean discordance?"
mkdir "$dir/bench"
printf '#!/bin/sh\necho "got $*"\nexit 5\n' >"$dir/bench/hawser-discordance"
chmod 0755 "$dir/bench/hawser-discordance"
ok "bench gives the program's exit code" try 5 env HAWSER_BENCH="$dir/bench" "$hawser" bench discordance --data x --json
ok "bench hands on its options" says "got --data x --json"
ok "bench without its folder" try 1 env HAWSER_BENCH="$dir/none" "$hawser" bench discordance
ok "bench says which file it wants" complains "$dir/none/hawser-discordance: No such file"

# discordance CODE ARGUMENT...: the program itself, of the same build.
discordance() {
    local code=$1
    shift
    try "$code" "$hawser" bench discordance "$@"
}
# complains_of TEXT: on standard error, and standard output has nothing.
complains_of() { silent && complains "hawser bench discordance: $1"; }
ok "discordance without data" discordance 2
ok "discordance: says what it wants" complains_of "found no --data, expected the folder of planetlab-24pairs.csv.gz"
ok "discordance: the usage line" complains "usage: hawser bench discordance --data DIR"
ok "discordance: unknown option" discordance 2 --data "$dir" --fast
ok "discordance: names it" complains_of "found --fast, which is no option"
ok "discordance: no value" discordance 2 --data
ok "discordance: says so" complains_of "found --data without a value"
ok "discordance: no host" discordance 2 --data "$dir" --hosts 0
ok "discordance: says how many" complains_of "found --hosts 0, expected a number from 1 to 100000"
ok "discordance: no number" discordance 2 --data "$dir" --seed x1
ok "discordance: says so" complains_of "found --seed x1, expected a number from 0"
ok "discordance: a word too many" discordance 2 --data "$dir" fast
ok "discordance: names it" complains_of "found fast, expected options alone"

# --- sim ---
ok "sim list" try 0 "$hawser" sim list
ok "sim list: name and what it is" grep -q "^routing *how large " "$dir/out"
ok "sim list --json" try 0 "$hawser" sim list --json
ok "sim list --json is an array" says '[{"name":"coordinates",'
ok "sim of an unknown one" try 2 "$hawser" sim routign
ok "sim: a suggestion" complains "found routign, expected list or a simulation (did you mean routing?)"
ok "sim has no measurement of bench" try 2 "$hawser" sim media
ok "routing: unknown option" try 2 "$hawser" sim routing --fast
ok "routing: names it" complains "hawser sim routing: found --fast, which is no option"
ok "routing: no value" try 2 "$hawser" sim routing --pace
ok "routing: says so" complains "found --pace without a value"
for bad in 1.5 -0.1 nan x .1y ''; do
    ok "routing: a pace of '$bad'" try 2 "$hawser" sim routing --pace "$bad"
    ok "routing: says what it wants" complains "found --pace $bad, expected a number from 0 to 1"
done
ok "routing: too many realms" try 2 "$hawser" sim routing --realms 3617
ok "routing: says how many" complains "found --realms 3617, expected a number from 1 to 3616"
ok "routing: a word too many" try 2 "$hawser" sim routing fast
ok "routing: the usage line" complains "usage: hawser sim routing [--growth G]"
ok "routing: a folder that is not there" try 1 "$hawser" sim routing --out "$dir/none"
ok "routing: names the file" complains "$dir/none/routing.csv: No such file or directory"

ok "coordinates: too few neighbours" try 2 "$hawser" sim coordinates --neighbours 1
ok "coordinates: says how many" complains "found --neighbours 1, expected a number from 2 to 64"
ok "stretch without data" try 2 "$hawser" sim stretch
ok "stretch: says what it wants" complains "hawser sim stretch: found no --data, expected a folder with topology/ and latency/"
ok "stretch: no run" try 2 "$hawser" sim stretch --data "$dir" --runs 0
ok "stretch: says how many" complains "found --runs 0, expected a number from 1 to 10000000"
ok "stretch: an empty folder" try 1 "$hawser" sim stretch --data "$dir"
ok "stretch: names the file" complains "$dir/topology/rocketfuel/1221.latencies.intra: No such file or directory"

mkdir "$dir/data"
csv=$dir/data/planetlab-24pairs.csv
ok "discordance: an empty folder" discordance 1 --data "$dir/data"
ok "discordance: the file it wants" complains_of "$dir/data: No such file or directory; expected planetlab-24pairs.csv.gz or planetlab-24pairs.csv in it"
ok "discordance: and its format" complains "pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms"
# bad LINE FOUND EXPECTED TEXT: a file of this content is refused at this line, packed or not.
bad() {
    local line=$1 found=$2 expected=$3
    printf '%b' "$4" >"$csv"
    ok "discordance: found $found" discordance 1 --data "$dir/data" --out "$dir/data"
    ok "discordance: line $line" complains_of "$csv:$line: found $found, expected $expected"
    gzip -f "$csv"
    ok "discordance: found $found, packed" discordance 1 --data "$dir/data" --out "$dir/data"
    ok "discordance: line $line, packed" complains_of "$csv.gz:$line: found $found, expected $expected"
    rm -f "$csv.gz"
}
head=pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms
bad 0 "no series" "a line for each slice" ""
bad 1 "no series" "a line for each slice" "$head\\n"
bad 1 "pair,host" "$head" "pair,host\\n"
bad 2 "0,1,2,3,1,9.5" "seven fields" "$head\\n0,1,2,3,1,9.5\\n"
bad 3 "0,1,2,3,2,9.5,8.5,7" "seven fields" "$head\\n0,1,2,3,1,9.5,8.5\\n0,1,2,3,2,9.5,8.5,7\\n"
bad 2 "-1" "a whole number" "$head\\n0,1,2,-1,1,9.5,8.5\\n"
bad 2 "nothing" "a round trip in ms" "$head\\n0,1,2,3,1,9.5,\\n"
bad 2 "inf" "a round trip in ms" "$head\\n0,1,2,3,1,9.5,inf\\n"
bad 2 "9.5ms" "a round trip in ms" "$head\\n0,1,2,3,1,9.5ms,8\\n"
bad 3 "a slice that is not later than the one before" "the slices of a series in order" "$head\\n0,1,2,3,4,9.5,8\\n0,1,2,3,4,9.5,8\\n"
bad 2 "no line of text" "less than 256 characters" "$head\\n$(printf '1%.0s' {1..300})\\n"
echo "no gzip" >"$csv.gz"
ok "discordance: not a gzip file" discordance 1 --data "$dir/data"
ok "discordance: says so" complains_of "$csv.gz: gzip cannot unpack it, expected a whole gzip file"
printf '%b' "$head\\n0,1,2,3,1,9.5,0\\n0,1,2,3,2,9.5,-1\\n" >"$csv"
rm "$csv.gz"
ok "discordance: one node's round trips are missing" discordance 1 --data "$dir/data" --hosts 1
ok "discordance: says so" complains_of "$dir/data: no series has round trips of both nodes"

# --- the unit's ExecStop: the daemon leaves its connections to systemd where a restart is under way, and only there ---
mkdir "$dir/unit"
sed -n "s,^ExecStop=-/bin/sh -c '\(.*\)'\$,\1,p" "$source/dist/hawserd@.service" |
    sed "s,@bindir@,$dir/unit,; s,%n,hawserd@home.service,; s,%i,home,; s,[$][$],$,g" >"$dir/unit/stop"
printf '#!/bin/sh\necho "$*" >"%s/asked"\ncat "%s/jobs"\n' "$dir/unit" "$dir/unit" >"$dir/unit/systemctl"
printf '#!/bin/sh\necho "$*"\n' >"$dir/unit/hawser"
chmod 0755 "$dir/unit/systemctl" "$dir/unit/hawser"
# of_job LINE: what it does beside that line of systemctl's.
of_job() {
    printf '%s' "$1" >"$dir/unit/jobs"
    try 0 env PATH="$dir/unit:$PATH" sh "$dir/unit/stop"
}
ok "the unit has an ExecStop" test -s "$dir/unit/stop"
ok "on a restart" of_job "1186 hawserd@home.service restart running
"
ok "it is left to the manager" says "restart --manager home"
ok "by the jobs of this unit" grep -q "list-jobs .* hawserd@home.service$" "$dir/unit/asked"
ok "on a stop" of_job "1187 hawserd@home.service stop running
"
ok "nothing is left" silent
ok "without a job" of_job ""
ok "neither" silent

# --- dmux ---
dmux=$dir/dmux.sock
cat >"$dir/dmux.json" <<'EOF'
{"ok":true,"role":"gateway","federation":{"realms":[{"name":"b","borders":[{"gateway":7},{"gateway":8}]}],"asked_by":2},"drops":{}}
EOF
"$stub" "$dmux" "$dir/dmux.json" &
pids+=($!)
ok "dmux: the stub" wait_for test -S "$dmux"
ok "dmux status" try 0 "$hawser" dmux status "$dmux"
ok "dmux status: what is in something stands behind it" cmp "$dir/out" - <<'EOF'
role gateway
federation:
    realms 1:
        name b
        borders 1:
            gateway 7
        borders 2:
            gateway 8
    asked_by 2
EOF
ok "dmux without a word" try 2 "$hawser" dmux
ok "dmux says which there are" complains "hawser dmux: expected up, down, status, trace, drain or undrain"
ok "dmux status of nobody" try 2 "$hawser" dmux status
ok "dmux says what it wants" complains "found 0 arguments after status, expected the name of a daemon or its control socket"
ok "dmux up of nothing" try 2 "$hawser" dmux up
ok "dmux says what it wants" complains "found 0 arguments after up, expected a file"

# --- up and down: a copy of the command beside a daemon that is the stub ---
mkdir "$dir/bin"
cp "$hawser" "$dir/bin/hawser"
cat >"$dir/bin/hawserd" <<EOF
#!/bin/sh
[ "\$1" = "$dir/good" ] || exit 9
exec "$stub" "$control" "$dir/up.json"
EOF
chmod 0755 "$dir/bin/hawserd"
printf '#!/bin/sh\nexec "%s" "%s" "%s"\n' "$stub" "$dir/dmux-up.sock" "$dir/dmux-up.json" >"$dir/bin/hawser-dmuxd"
echo '{"ok":true,"role":"client","state":"up","pid":@PID@}' >"$dir/dmux-up.json"
chmod 0755 "$dir/bin/hawser-dmuxd"
printf '[Client]\nProtocol = mirror\nGateway = 192.0.2.1\nControl = %s\n' "$dir/dmux-up.sock" >"$dir/client"
if "$hawser" doctor | grep -q "^ok *privileges"; then
    ok "dmux up --json" try 0 "$dir/bin/hawser" dmux up "$dir/client" --json
    ok "dmux up --json is an object" test "$(cat "$dir/out")" = "{\"ok\":true,\"control\":\"$dir/dmux-up.sock\"}"
    pids+=("$("$hawser" dmux status "$dir/dmux-up.sock" | sed -n 's/^pid //p')")
    ok "up of a bad file" try 1 "$dir/bin/hawser" up "$dir/bad"
    ok "up names the line" complains "$dir/bad:6: "
    ok "up" try 0 "$dir/bin/hawser" up "$dir/good"
    ok "up says so" says "hawser0 is up"
    ok "up again is refused" try 1 "$dir/bin/hawser" up "$dir/good"
    ok "up again says why" complains "is up already"
    ok "down" try 0 "$dir/bin/hawser" down "$control"
    ok "down says so" says "hawser0 is down"
    ok "down again" try 1 "$dir/bin/hawser" down "$control"
    rm -f "$control"
    printf '#!/bin/sh\necho "no such device" >&2\nexit 5\n' >"$dir/bin/hawserd"
    ok "up of a daemon that fails" try 1 "$dir/bin/hawser" up "$dir/good"
    ok "up shows its output" complains "no such device"
    ok "up shows its exit code" complains "ended with code 5"
else
    skip "up and down: needs CAP_NET_ADMIN"
fi
plan
