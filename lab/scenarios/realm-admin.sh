#!/bin/bash
# A realm manager's HTTP for its administrator, by curl: status, bindings and metrics at a socket of root's; and every path
# there is, for who may not know.
#
#   realm:eth0 ---- laptop:eth0     the laptop is attached; "member" may know where, nobody else may
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init realm-admin "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need jq curl dig setpriv
DIR=$LAB_DIR/hawser
SOCK=$DIR/http.sock

host realm
host laptop
wire realm:eth0 laptop:eth0 10.0.1.1/24 10.0.1.2/24
realm_do init "$DIR/realm.realm" rid.example
for h in laptop member other; do
    realm_do enrol "$DIR/realm.realm" $h.h "$(pair_key $h)" "$DIR/$h.chain"
done
{
    realm_file realm 10.0.1.1
    printf 'Http = %s\n[Store]\nEngine = lmdb:%s\n[Dns]\nListen = 10.0.1.1\nServer = ns.rid.example\nAddress = 10.0.1.1\n' \
        "$SOCK" "$DIR/realm.db"
} >"$DIR/realm.realmd"
start() {
    bg realm realmd-realm "$REALMD" "$DIR/realm.realmd"
    wait_for 10 "the manager has started" grep -q '>started' "$(bg_log realmd-realm)"
}
start
# get PATH [OPTION...]: head and body. code PATH [OPTION...]: the status. body PATH: of one that is there.
get() {
    curl -si --max-time 10 --unix-socket "$SOCK" "http://x$1" "${@:2}"
}
code() {
    curl -s --max-time 10 -o /dev/null -w '%{http_code}' --unix-socket "$SOCK" "http://x$1" "${@:2}"
}
body() {
    curl -sf --max-time 10 --unix-socket "$SOCK" "http://x$1"
}
NAME=laptop.h.rid.example
TAG=$("$HAWSER" id check "$DIR/laptop.chain" --root "$DIR/realm.realm/root" --json | jq -r .tag)
MEMBER=$("$HAWSER" id check "$DIR/member.chain" --root "$DIR/realm.realm/root" --json | jq -r .tag)

# --- status ---
assert "status: the realm" test "$(body /v1/status | jq -r .realm)" = rid.example
assert "as the command tells it" test "$(realm_status realm .names)" = "$(body /v1/status | jq .names)"

# --- bindings ---
assert "nobody is attached yet" test "$(code /v1/bindings/$NAME)" = 404
bg laptop attach "$HAWSER" id attach "$DIR/laptop.key" "$DIR/laptop.chain" --manager 10.0.1.1:51823 --at 10.0.1.2:4500
wait_for 10 "the laptop says where it is" grep -q registered "$(bg_log attach)"
for at in "$NAME" "$TAG" LAPTOP.h.rid.example. 'laptop%2Eh.rid.example'; do
    assert "where it is, by $at" test "$(body "/v1/bindings/$at" | jq -r '"\(.tag) \(.kind) \(.class) \(.targets[0].locator)"')" = \
        "$TAG host-locator full 10.0.1.2:4500"
done
realm_do policy "$DIR/realm.realm" "$NAME" "$MEMBER/128=full"
member_is_told() {
    [[ $(code "/v1/bindings/$NAME?as=member.h.rid.example") == 200 ]]
}
wait_for 10 "as a member who may know" member_is_told
assert "by its tag, too" test "$(code "/v1/bindings/$NAME?as=$MEMBER")" = 200

# --- every path, for who may not know: as if there were nobody, to the byte ---
# "laptop" and "lapdog" have one length; so do the tags.
NOBODY=lapdog.h.rid.example NOBODY_TAG=${TAG%:*}:1
walked=0
for who in other.h.rid.example stranger.h.rid.example "$NOBODY_TAG" nonsense ''; do
    for path in "/v1/bindings/WHAT?as=$who" "/v1/bindings/WHAT?x=y&as=$who" "/v1/bindings/WHAT?as=$who&as=$MEMBER"; do
        for pair in "$NAME $NOBODY" "$TAG $NOBODY_TAG"; do
            for option in -G -I; do
                get "${path/WHAT/${pair% *}}" $option >"$DIR/there"
                get "${path/WHAT/${pair#* }}" $option >"$DIR/none"
                assert "$path as $who: something came" test -s "$DIR/none"
                assert "$path of ${pair% *} as $who: as of nobody" cmp "$DIR/there" "$DIR/none"
                walked=$((walked + 1))
            done
        done
    done
done
for type in A AAAA ANY HIP SVCB TXT; do
    for name in $NAME $NOBODY; do
        dig_out=$(on laptop dig @10.0.1.1 +norec +tries=1 +time=5 +noall +comments +answer +authority "$name" "$type") || lab_fail "dig $name"
        sed -E "s/${name%%.*}/NAME/g; s/id: [0-9]+/id/; /COOKIE/d; /DiG/d" <<<"$dig_out" >"$DIR/dig-${name%%.*}"
    done
    assert "the DNS, $type: as of nobody" cmp "$DIR/dig-laptop" "$DIR/dig-lapdog"
    walked=$((walked + 1))
done
result walked $walked paths
# What an administrator sees of the whole has nobody's whereabouts.
for path in /v1/status /metrics; do
    assert "$path tells nobody's whereabouts" test -z "$(body $path | grep -e laptop -e 10.0.1.2 -e "$TAG")"
done
as_nobody() { # another user of this machine
    chmod 755 "$LAB_DIR" "$DIR"
    setpriv --reuid 65534 --regid 65534 --clear-groups curl -s --max-time 10 --unix-socket "$SOCK" "http://x$1"
}
for path in /v1/status /metrics "/v1/bindings/$NAME" /nothing; do
    assert "another user has nothing of $path" test -z "$(as_nobody "$path")"
done

# --- metrics ---
body /metrics >"$DIR/metrics"
assert "each line is a comment or a sample" test -z \
    "$(grep -vE '^(# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge))|[a-z_]+(\{[a-z]+="[a-z0-9_ -]+"\})? -?[0-9][0-9.e+-]*)$' "$DIR/metrics")"
# shellcheck disable=SC2016
assert "each sample has its type before it" awk '
    /^# TYPE/ { type[$3] = 1 }
    /^[a-z]/ { name = $1; sub(/{.*/, "", name); if (!(name in type)) { print; bad = 1 } }
    END { exit bad || NR == 0 }' "$DIR/metrics"
sample() { # NAME
    body /metrics | awk -v name="$1" '$1 == name { print $2 }'
}
assert "one binding" test "$(sample hawser_realm_bindings_live)" = 1
before=$(sample 'hawser_realm_requests_total{type="resolve"}')
body /v1/bindings/$NAME >"$DIR/once"
assert "a question is counted" test "$(sample 'hawser_realm_requests_total{type="resolve"}')" = $((before + 1))

# --- what is no request ---
assert "another path" test "$(code /v2)" = 404
assert "no name" test "$(code /v1/bindings/)" = 404
assert "another method" test "$(code /v1/status -X DELETE)" = 405
assert "a body" test "$(code /v1/status -d x)" = 413
assert "a body of no length" test "$(code /v1/status -H 'Transfer-Encoding: chunked' -d x)" = 501
assert "a long path" test "$(code "/v1/bindings/$(printf '%02000d' 0)")" = 414
assert "a long head" test "$(code /v1/status -H "A: $(printf '%09000d' 0)")" = 431
assert "a path that is no text" test "$(code /v1/bindings/%0a)" = 400
assert "who is no text" test "$(code "/v1/bindings/$NAME?as=%0a")" = 400
assert "and it answers as before" test "$(code /v1/status)" = 200

# --- its end ---
bg_stop realmd-realm KILL
start
assert "the socket of one that was killed is taken over" test "$(code "/v1/bindings/$NAME")" = 200
bg_stop attach
bg_stop realmd-realm
assert "one that ends leaves none behind" test ! -e "$SOCK"
lab_done
