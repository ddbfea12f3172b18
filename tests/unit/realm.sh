#!/bin/bash
# `hawser id` and `hawser realm`, from the making of a root to a revocation: what is proved, what is refused and by which
# name, and what is left of a log that was cut or damaged.
# Usage: realm.sh HAWSER. Speaks TAP.
set -u
umask 022
hawser=$(readlink -f "$1")
dir=$(mktemp -d /tmp/hawser-realm-XXXXXX)
trap 'rm -rf "$dir"' EXIT
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$(dirname "$0")/../tap.sh"
cd "$dir" || exit 1

# try CODE ARGUMENT...: hawser's exit code is CODE; output in $dir/out, errors in $dir/err.
try() {
    local want=$1 got
    shift
    "$hawser" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" -eq "$want" ] || { echo "# exit code $got, expected $want"; return 1; }
}
mode() { [ "$(stat -c %a "$2")" = "$1" ]; }
public() { "$hawser" id show "$1" --json | sed 's/.*"public": *"\([^"]*\)".*/\1/'; }

# --- keys ---
for who in eng laptop phone laptop2 stranger; do "$hawser" id new $who.key >/dev/null; done
ok "a new key" try 0 id new pc.key
ok "its file is 0600" mode 600 pc.key
ok "it is shown" says "(before it is enrolled)"
ok "no key is written over" try 1 id new pc.key
ok "which is said" complains "pc.key exists already"
ok "a key that others may read" eval 'cp pc.key open.key && chmod 644 open.key && try 1 id show open.key'
ok "which is said" complains "open.key: found mode 0644"
ok "a file that is neither" eval 'echo nonsense >n && chmod 600 n && try 1 id show n'
ok "which is said" complains "n: found 8 characters, expected a secret key of 88"

# --- a root, a sub-realm, a host ---
ok "a root" try 0 realm init root Acme.Example --deployment 7
ok "its name is canonical" says "acme.example 2001:3f:1f0:5:"
ok "the key is 0600" mode 600 root/key
ok "the log is 0600" mode 600 root/log
ok "no realm is made over another" try 1 realm init root other.example
ok "a name that is none" try 1 realm init bad 'acme..example'
ok "says where" complains "acme..example: character 6: an empty label"
ok "nothing was made" test ! -e bad
ok "a sub-realm" try 0 realm delegate root eng "$(public eng.key)" eng.chain
ok "has a range" says "eng.acme.example 2001:3f:1f1:5:"
ok "its folder" try 0 realm init eng --key eng.key --chain eng.chain
ok "not with another key" try 1 realm init eng2 --key pc.key --chain eng.chain
ok "which is said" complains "with another key than this one"
ok "a host" try 0 realm enrol eng laptop.h "$(public laptop.key)" laptop.chain
ok "in the realm's range" says "laptop.h.eng.acme.example 2001:3f:1c1:5:"
ok "a user" try 0 realm enrol eng ann.u "$(public phone.key)" ann.chain
ok "in its tier" says "ann.u.eng.acme.example 2001:3f:1d1:5:"
ok "a name that is taken" try 1 realm enrol eng laptop.h "$(public stranger.key)" x.chain
ok "which is said" complains "laptop.h.eng.acme.example has another key"
ok "a tier that is none" try 1 realm enrol eng laptop.x "$(public stranger.key)" x.chain
ok "says where" complains "laptop.x.eng.acme.example: character 8: expected the tier: h, u, d or s"
ok "the same again" try 0 realm enrol eng laptop.h "$(public laptop.key)" laptop.chain
ok "a root enrols too" try 0 realm enrol root gate.s "$(public stranger.key)" gate.chain

# --- proof ---
root_key=$("$hawser" id show root/key --json | sed 's/.*"ed25519": *"\([^"]*\)".*/\1/')
cp root/root root.record
ok "the chain is good" try 0 id check laptop.chain --root root.record
ok "and told" says "ok laptop.h.eng.acme.example 2001:3f:1c1:5:"
ok "by the bare key too" try 0 id check laptop.chain --root "$root_key"
ok "the realm's chain" try 0 id check eng.chain --root root.record
ok "as JSON" try 0 id check laptop.chain --root root.record --json
ok "with its links" says '"links":3'
"$hawser" id new other-root.key >/dev/null
"$hawser" realm init other other.example >/dev/null
ok "another root" try 1 id check laptop.chain --root other/root
ok "is refused by name" complains "foreign-root"
ok "after its time" try 1 id check laptop.chain --root root.record --at 4000000000
ok "is refused by name" complains "link 2: expired"
size=$(stat -c %s laptop.chain)
head -c $((size - 1)) laptop.chain >cut.chain
ok "a chain that is cut" try 1 id check cut.chain --root root.record
ok "is refused by name and place" complains "no record: not-canonical-cbor: ends inside an item"
cp laptop.chain changed.chain
printf '\x55' | dd of=changed.chain bs=1 seek=$((size - 9)) conv=notrunc status=none
ok "a signature that is changed" try 1 id check changed.chain --root root.record
ok "is refused by name" complains "link 3: wrong-signature"
cat laptop.chain gate.chain >long.chain
ok "a chain that is too long" try 1 id check long.chain --root root.record
ok "is refused by name" complains "too-long-chain"
head -c "$(stat -c %s root.record)" laptop.chain >broken.chain
tail -c +$(($(stat -c %s eng.chain) + 1)) laptop.chain >>broken.chain
ok "a chain with a link left out" try 1 id check broken.chain --root root.record
ok "is refused by name" complains "link 2: broken-chain"

# Four links: a realm below the sub-realm, and no more below that.
for who in lab bench; do "$hawser" id new $who.key >/dev/null; done
ok "a realm below" try 0 realm delegate eng lab "$(public lab.key)" lab.chain
ok "in the range of the one above" says "lab.eng.acme.example 2001:3f:1f1:1005:"
"$hawser" realm init lab --key lab.key --chain lab.chain >/dev/null
ok "and a host in it" try 0 realm enrol lab pc.h "$(public bench.key)" bench.chain
ok "four links are good" try 0 id check bench.chain --root root.record
ok "a fifth" try 1 realm delegate lab more "$(public pc.key)" x.chain
ok "is not made" complains "chains have at most 4 links"

# --- a host changes its key ---
ok "a statement" try 0 id rotate laptop.key laptop2.key laptop.chain laptop.statement
ok "not by a stranger" try 1 id rotate stranger.key laptop2.key laptop.chain x.statement
ok "the realm countersigns" try 0 realm rotate eng laptop.statement "$(public laptop2.key)" laptop2.chain
ok "the same name" says "laptop.h.eng.acme.example 2001:3f:1c1:5:"
ok "the new chain" try 0 id check laptop2.chain --root root.record
"$hawser" realm export eng ended.eng
ok "the old one, for a while" try 0 id check laptop.chain --root root.record --records ended.eng
ok "says what it is" says "its key was changed"
ok "and then no longer" try 1 id check laptop.chain --root root.record --records ended.eng --at $(($(date +%s) + 40 * 86400))
ok "is refused by name" complains "superseded"
ok "a statement counts once" try 1 realm rotate eng laptop.statement "$(public laptop2.key)" x.chain

# --- a sub-realm changes its key ---
ok "the sub-realm's half" try 0 realm rotate eng --out eng.statement
ok "the next key is 0600" mode 600 eng/key.next
ok "the root countersigns" try 0 realm rotate root eng.statement eng2.chain
ok "the other half" try 0 realm rotate eng --chain eng2.chain
ok "same name and range" says "eng.acme.example 2001:3f:1f1:5:"
ok "the next key is the key" test ! -e eng/key.next
"$hawser" realm export eng laptop.h.eng.acme.example laptop3.chain
ok "its hosts have the same tags" cmp -s <("$hawser" id check laptop2.chain --root root.record) <("$hawser" id check laptop3.chain --root root.record)
ok "and are good" try 0 id check laptop3.chain --root root.record

# --- the root changes its key ---
ok "the root's change" try 0 realm rotate root
"$hawser" realm export root ended.root
"$hawser" realm export root eng.acme.example eng3.chain
ok "who trusts the old key only" try 1 id check eng3.chain --root root.record
ok "refuses the new" complains "foreign-root"
ok "but for the old one's word" try 0 id check eng3.chain --root root.record --records ended.root
ok "who trusts the new one" try 0 id check eng3.chain --root root/root
ok "the tag of the sub-realm stays" says "eng.acme.example 2001:3f:1f1:5:"

ok "the sub-realm takes its chain under the new root" try 0 realm rotate eng --chain eng3.chain
"$hawser" realm export eng laptop.h.eng.acme.example laptop4.chain
ok "its hosts are good under it" try 0 id check laptop4.chain --root root/root
ok "by the records that they had" cmp -s <(tail -c 200 laptop3.chain) <(tail -c 200 laptop4.chain)
ok "not an older one" try 1 realm rotate eng --chain eng2.chain
ok "which is said" complains "is older than the one that it has"
ok "not another's" try 1 realm rotate eng --chain lab.chain
ok "which is said" complains "the chain is not of eng.acme.example"
ok "a delegation that lasts longer" try 0 realm delegate root eng "$("$hawser" id show eng/key --json | sed 's/.*"public": *"\([^"]*\)".*/\1/')" eng4.chain --days 3000
ok "is taken" try 0 realm rotate eng --chain eng4.chain
"$hawser" realm export eng laptop.h.eng.acme.example laptop5.chain
ok "and shown" grep -qE '^until +20[0-9-]+$' <("$hawser" realm show eng)
cp root/key key.before
"$hawser" realm rotate root >/dev/null
mv root/key root/key.next
cp key.before root/key
ok "a change that was killed before its last step" try 0 realm enrol root late.h "$(public laptop.key)" late.chain
ok "is finished" test ! -e root/key.next
ok "and what is said then is good" try 0 id check late.chain --root root/root
"$hawser" realm export root ended.root
ok "two changes are followed" try 0 id check late.chain --root root.record --records ended.root

# --- revocation ---
ok "a policy of the realm" try 0 realm policy eng 2001:3f:1c0::/44=full any=agent
ok "and of a host" try 0 realm policy eng laptop.h.eng.acme.example any=none --days 30
ok "of nobody" try 1 realm policy eng nobody.h.eng.acme.example any=none
ok "a class that is none" try 2 realm policy eng any=some
ok "says which there are" complains "any=some: found class some, expected none, agent, coarse or full"
ok "a prefix that is none" try 2 realm policy eng 2001:db8::/32=full
# shellcheck disable=SC2016
ok "both are shown" eval 'try 0 realm show eng && [ "$(grep -c "^policy  *in force" "$dir/out")" = 2 ]'
# shellcheck disable=SC2016
ok "the realm's takes the place of its own alone" eval 'try 0 realm policy eng any=full && try 0 realm show eng &&
    [ "$(grep -c "^policy  *in force" "$dir/out")" = 2 ] && [ "$(grep -c "^policy  *ended" "$dir/out")" = 1 ]'
ok "nobody of that name" try 1 realm revoke eng nobody.h.eng.acme.example
ok "a reason that is none" try 2 realm revoke eng laptop.h.eng.acme.example --reason bored
ok "the host is revoked" try 0 realm revoke eng laptop.h.eng.acme.example --reason left --out ended.eng
ok "a chain with an older delegation" try 1 id check laptop3.chain --root root.record --records ended.root --records ended.eng
ok "is refused by name" complains "link 2: older-sequence"
ok "its chain alone does not say" try 0 id check laptop3.chain --root root.record
ok "its realm's word does" try 1 id check laptop5.chain --root root.record --records ended.root --records ended.eng
ok "by name" complains "link 3: revoked"
ok "under its old key as well" try 1 id check laptop.chain --root root.record --records ended.root --records ended.eng
ok "as JSON too" try 1 id check laptop5.chain --root root.record --records ended.root --records ended.eng --json
ok "by name" says '"refused":"revoked"'
ok "others are untouched" try 0 id check ann.chain --root root.record --records ended.root --records ended.eng
ok "the key never comes back" try 1 realm enrol eng laptop.h "$(public laptop2.key)" x.chain
ok "which is said" complains "this key was revoked"
ok "the name does" try 0 realm enrol eng laptop.h "$(public pc.key)" pc.chain
ok "a realm is revoked" try 0 realm revoke root eng.acme.example --out ended.root
ok "and all below with it" try 1 id check ann.chain --root root.record --records ended.root
ok "by name" complains "revoked"

ok "an option of another verb" try 2 realm show eng --days 3
ok "is refused" complains "found --days, which is no option of show"
ok "so with id" try 2 id show pc.key --at 5
ok "each tells as JSON" try 0 realm enrol root door.s "$(public lab.key)" door.chain --json
ok "name and tag" grep -qE '^\{"name":"door\.s\.acme\.example","tag":"2001:3f:1f0:5:' out

# --- many at once ---
for i in 1 2 3; do "$hawser" id new many$i.key >/dev/null; done
"$hawser" realm init many many.example >/dev/null
mkdir chains
{ echo "# who"; echo; for i in 1 2; do echo "host$i.h  $(public many$i.key)"; done; } >names
ok "names of a file" try 0 realm enrol-many many names chains
ok "are counted" says "2 names"
ok "each has its chain" try 0 id check chains/host2.h.chain --root many/root
ok "of its name" says "ok host2.h.many.example"
ok "in one entry" eval 'try 0 realm show many && says "entries  2"'
ok "the same again" try 0 realm enrol-many many names
ok "which makes no file" test ! -e host1.h.chain
echo "host3.h $(public many3.key)" >names
echo "host1.h $(public stranger.key)" >>names
ok "a name that is taken" try 1 realm enrol-many many names
ok "says where" complains "names:2: host1.h.many.example has another key"
ok "and nobody of the file is enrolled" eval 'try 0 realm show many && ! says host3.h'
echo "host4.h $(public many3.key)" >names
echo "host5.h $(public many3.key)" >>names
ok "a key twice" try 1 realm enrol-many many names
ok "says where" complains "names:2: the name or the key of an earlier line"
echo "host6.h" >names
ok "no key" try 1 realm enrol-many many names
ok "says where" complains "names:1: expected LEAF.TIER and a public key"

# --- the log ---
ok "show" try 0 realm show eng
ok "tells what has ended" grep -qE '^registration +ended +- +2001:3f:1c1:5:.* laptop\.h\.eng\.acme\.example$' out
ok "and what is in force" grep -qE '^revocation +in force ' out
ok "as JSON" try 0 realm show eng --json
cp -r eng torn
head -c $(($(stat -c %s eng/log) - 20)) eng/log >torn/log
ok "a torn tail is no error" try 0 realm show torn
ok "it is told" says "bytes of an entry that was never finished"
ok "what was never said is not in force" eval '! grep -qE "^registration +in force .* laptop\.h\.eng" out'
ok "the next change writes over it" try 0 realm enrol torn laptop.h "$(public pc.key)" x.chain
ok "and it is gone" eval 'try 0 realm show torn && ! says "never finished"'
cp -r eng bent
was=$(od -An -tu1 -j300 -N1 eng/log)
printf %b "\\0$(printf %o $((was ^ 255)))" | dd of=bent/log bs=1 seek=300 conv=notrunc status=none
ok "damage is an error" try 1 realm show bent
ok "that names file and place" grep -qE 'bent/log: byte 4: a frame is damaged' err
cp -r eng other-key
cp stranger.key other-key/key
ok "a log with another key is shown" try 0 realm show other-key
ok "and not changed" try 1 realm revoke other-key ann.u.eng.acme.example
ok "which is said" complains "is not the key of eng.acme.example"
plan
