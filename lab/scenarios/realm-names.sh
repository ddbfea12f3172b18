#!/bin/bash
# Names of a realm below a root, by real managers: who may know finds a host by name, whatever moves, dies, is enrolled,
# revoked or forbidden meanwhile.
#
#   root:eth0  10.0.1.2 --+        +-- 10.0.3.2 laptop:eth0
#                         |  core  |
#   acme:eth0  10.0.2.2 --+        +-- 10.0.4.2 asker:eth0
#
# root manages rid.example, acme manages acme.rid.example and says at the root where it is. The laptop says at acme where
# it is. The asker knows the root's record and where its manager is, and has the keys of the phone (which is of acme) and
# of a stranger.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init realm-names "$@"
HAWSER=$HAWSER_BUILD/src/prog/hawser
REALMD=$HAWSER_BUILD/src/prog/hawser-realmd
[[ -x $REALMD ]] || lab_skip "$REALMD is not built"
need jq
DIR=$LAB_DIR/realms
mkdir -p "$DIR"

star - root acme laptop asker

# realm ARGUMENT...: hawser realm. key NAME: its public key, made when it is first asked for.
realm() {
    "$HAWSER" realm "$@" >>"$(bg_log realm)" 2>&1 || lab_fail "realm $*: $(<"$(bg_log realm)")"
}
key() {
    [[ -e $DIR/$1.key ]] || "$HAWSER" id new "$DIR/$1.key" >/dev/null
    "$HAWSER" id show "$DIR/$1.key" --json | jq -r .public
}
# manager NAME ADDRESS [LINE...]: its daemon, which has started when it says so.
manager() {
    local name=$1 address=$2
    shift 2
    printf '%s\n' '[Realm]' "Directory = $DIR/$name" "Listen = $address:51823" "Control = $DIR/$name.sock" \
        '[Store]' "Engine = lmdb:$DIR/$name.db" "$@" >"$DIR/$name.conf"
    "$REALMD" check "$DIR/$name.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
    bg "$name" "realmd-$name" "$REALMD" "$DIR/$name.conf"
    wait_for 10 "$name has started" grep -q started "$(bg_log "realmd-$name")"
}
# ask WHO NAME: what hawser resolve prints. finds, finds_not: for wait_for and assert.
ask() {
    local who=$1 as=(--as "$DIR/$1.key")
    [[ ! -e $DIR/$who.chain ]] || as+=(--chain "$DIR/$who.chain")
    on asker timeout 20 "$HAWSER" resolve "$2" --root "$DIR/root/root" --manager 10.0.1.2 "${as[@]}"
}
finds() { # WHO NAME LOCATOR
    ask "$1" "$2" | grep -qF "$3"
}
finds_not() { # WHO NAME
    ask "$1" "$2" >"$DIR/denied" 2>&1 && return 1
    grep -q "no such name, or nothing that you may know" "$DIR/denied"
}
LAPTOP=laptop.h.acme.rid.example

realm init "$DIR/root" rid.example --deployment 9
realm delegate "$DIR/root" acme "$(key acme)" "$DIR/acme.chain"
realm init "$DIR/acme" --key "$DIR/acme.key" --chain "$DIR/acme.chain"
realm enrol "$DIR/acme" laptop.h "$(key laptop)" "$DIR/laptop.chain"
realm enrol "$DIR/acme" phone.h "$(key phone)" "$DIR/phone.chain"
key stranger >/dev/null

manager root 10.0.1.2
manager acme 10.0.2.2 '[Parent]' 'Managers = 10.0.1.2' 'Announce = 10.0.2.2'
wait_for 10 "acme says at the root where it is" grep -q 'parent state=registered' "$(bg_log realmd-acme)"
bg laptop attach "$HAWSER" id attach "$DIR/laptop.key" "$DIR/laptop.chain" --manager 10.0.2.2 --port 4500
wait_for 10 "the laptop says where it is" grep -q registered "$(bg_log attach)"

# --- who may know ---
assert "nobody may know unless somebody says so" finds_not phone $LAPTOP
realm policy "$DIR/acme" 2001:3f:241::/56=full any=none
wait_for 5 "who is of the realm finds it" finds phone $LAPTOP 10.0.3.2:4500
assert "a stranger does not" finds_not stranger $LAPTOP
cp "$DIR/denied" "$DIR/denied-laptop"
assert "as if there were no such name" finds_not stranger nobody.h.acme.rid.example
assert "by the same words" cmp "$DIR/denied" "$DIR/denied-laptop"
assert "nor what is of no such realm" finds_not phone laptop.h.nothing.rid.example

# --- it moves ---
addr_change laptop eth0 10.0.3.2/24 10.0.3.77/24
default_route laptop 10.0.3.1
wait_for 10 "it is found where it has gone" finds phone $LAPTOP 10.0.3.77:4500

# --- managers die ---
bg_stop realmd-acme KILL
manager acme 10.0.2.2 '[Parent]' 'Managers = 10.0.1.2' 'Announce = 10.0.2.2'
assert "what was acknowledged is known after kill -9" grep -q 'store rows=1 live=1' "$(bg_log realmd-acme)"
assert "and found" finds phone $LAPTOP 10.0.3.77:4500
bg_stop realmd-root KILL
manager root 10.0.1.2
assert "the root still knows where acme is" finds phone $LAPTOP 10.0.3.77:4500

# --- the realm's folder is followed ---
realm enrol "$DIR/acme" printer.h "$(key printer)" "$DIR/printer.chain"
wait_for 5 "one who is enrolled may say where it is" on laptop timeout 20 "$HAWSER" id attach "$DIR/printer.key" \
    "$DIR/printer.chain" --manager 10.0.2.2 --at 10.0.3.77:9100 --once
assert "and is found" finds phone printer.h.acme.rid.example 10.0.3.77:9100
realm revoke "$DIR/acme" printer.h.acme.rid.example --reason left
wait_for 5 "one who is revoked is not" finds_not phone printer.h.acme.rid.example
attach_fails() {
    ! on laptop timeout 25 "$HAWSER" id attach "$DIR/printer.key" "$DIR/printer.chain" --manager 10.0.2.2 \
        --at 10.0.3.77:9100 --once >/dev/null 2>&1
}
assert "and may not say it any more" attach_fails

# --- it goes ---
bg_stop attach
nowhere() {
    ! finds phone "$LAPTOP" 10.0.3.77
}
assert "a host that was stopped says that it is nowhere" nowhere

# --- the realm gets another key ---
# The daemon sees a change whose key is not there yet: it stays who it was until all of it is.
realm rotate "$DIR/acme" --out "$DIR/statement"
realm rotate "$DIR/root" "$DIR/statement" "$DIR/acme2.chain"
kill -STOP "$(bg_pid realmd-acme)"
realm rotate "$DIR/acme" --chain "$DIR/acme2.chain"
mv "$DIR/acme/key" "$DIR/acme.key2"
kill -CONT "$(bg_pid realmd-acme)"
wait_for 5 "a key that is not there is told" grep -q 'realm error=.*acme/key' "$(bg_log realmd-acme)"
mv "$DIR/acme.key2" "$DIR/acme/key"
for h in laptop phone; do
    realm export "$DIR/acme" $h.h.acme.rid.example "$DIR/$h.chain"
done
wait_for 20 "then it has the new one, and whoever belongs to it says where he is" on laptop timeout 20 "$HAWSER" id attach \
    "$DIR/laptop.key" "$DIR/laptop.chain" --manager 10.0.2.2 --at 10.0.3.77:4501 --once
wait_for 20 "the realm above refers to it" finds phone $LAPTOP 10.0.3.77:4501

bg_stop realmd-acme
bg_stop realmd-root
assert "they leave no socket behind" test ! -e "$DIR/acme.sock"
lab_done
