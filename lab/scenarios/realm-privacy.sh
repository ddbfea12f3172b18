#!/bin/bash
# Who may know where a host is: the four classes of answers, by real programs, and what each of them leaves on the wire.
#
#   realm:eth0 ----+      +---- agent:eth0   hawserd, home agent: 198.51.100.0/24 is routed to it
#   van:eth0 ------+      +---- friend:eth0  may know all (class 3)
#   subject:eth0 --+ core +---- member:eth0  may know where the subject's agent is (class 1)
#                         +---- near:eth0    may know where the realm's border is (class 2)
#   subject:eth1 -- van   +---- other:eth0   may know nothing (class 0)
#
# The subject has a line of its own, 10.0.3.2, and is behind the van, 10.0.4.2, a node of the agent, which gives it
# 198.51.100.9. Its daemon uses that link and says so for class 1: a session with it goes through its agent, sealed
# between the two hosts, and whoever is not told more sees the agent alone. On the member's line a capture looks for
# 10.0.3.2 and 10.0.4.2, and at the agent for what the two hosts say to each other.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init realm-privacy "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
need jq dig curl nginx
DIR=$LAB_DIR/hawser
CAPTURE=$HAWSER_BUILD/lab/hawser-capture
[[ -x $CAPTURE ]] || lab_skip "$CAPTURE is not built"
HERE=10.0.3.2 VAN=10.0.4.2 # where the subject is, and the van
AGENT=198.51.100.9         # where the agent is for it
BORDER=203.0.113.9         # of its realm
NAME=subject.h.acme.example

router core
router van
n=0
for h in realm agent subject van friend member near other; do
    n=$((n + 1))
    [[ $h == van ]] || host $h
    link $h:eth0 core:x$n 10.0.$n.2/24 10.0.$n.1/24 both="rate=100mbit delay=2ms"
    default_route $h 10.0.$n.1 eth0 100
done
wire subject:eth1 van:lan 198.51.100.9/29 198.51.100.10/29
ip -n "$(lab__ns core)" route add 198.51.100.0/24 via 10.0.2.2 || lab_fail "route to the agent"

# --- the realm: nobody is told anything but by a rule ---
realm_do init "$DIR/realm.realm" acme.example
for h in subject hidden friend member near other; do
    realm_do enrol "$DIR/realm.realm" $h.h "$(pair_key $h)" "$DIR/$h.chain"
done
{
    realm_file realm 10.0.1.2
    printf '[Dns]\nListen = 10.0.1.2\nServer = ns.acme.example\nAddress = 10.0.1.2\n'
} >"$DIR/realm.realmd"
bg realm realmd-realm "$REALMD" "$DIR/realm.realmd"
wait_for 5 "the manager listens" listening realm udp 51823
tag() { # HOST
    "$HAWSER" id check "$DIR/$1.chain" --root "$DIR/realm.realm/root" --json | jq -r .tag
}

# --- the van: a node of the agent; the subject: a host behind it ---
pair_config van agent 10.0.2.2:51820 198.51.100.1/24 198.51.100.2/32 eth0
echo 'AllowedPrefixes = 198.51.100.8/29' >>"$DIR/agent.conf"
pair_start van agent eth0
default_route subject 198.51.100.10 eth1 200
in_tunnel() {
    on subject ping -c 1 -W 1 -I 198.51.100.9 198.51.100.1
}
ip -n "$(lab__ns subject)" rule add from 198.51.100.9 lookup 77 || lab_fail "the subject's way to the van"
ip -n "$(lab__ns subject)" route add default via 198.51.100.10 table 77 || lab_fail "the subject's way to the van"
wait_for 10 "the subject reaches the agent through the van" in_tunnel
mkdir -p "$DIR/subject"
{
    pair__interface subject 'Role = host'
    printf '[Link eth1]\n'
    printf '[Names]\nRoot = %s\nManager = 10.0.1.2:51823\nChain = %s\nClass = agent\n' "$DIR/realm.realm/root" "$DIR/subject.chain"
} >"$DIR/subject.conf"
pair_daemon subject
wait_for 10 "it says where its agent is" grep -q 'attach state=registered' "$(bg_log hawserd-subject)"
attach() { # NAME CLASS AT
    bg subject "attach-$1-$2" "$HAWSER" id attach "$DIR/$1.key" "$DIR/$1.chain" --manager 10.0.1.2:51823 --at "$3" --class "$2"
    wait_for 10 "$1 says where it is for class $2" grep -q registered "$(bg_log "attach-$1-$2")"
}
attach subject coarse $BORDER:51820
attach subject full $HERE:51820
attach hidden full $HERE:51821

# --- what each is told ---
resolve() { # AS NAME
    on "$1" timeout 20 "$HAWSER" resolve "$2" --root "$DIR/realm.realm/root" --manager 10.0.1.2 --as "$DIR/$1.key" \
        --chain "$DIR/$1.chain" --json
}
told() { # AS: class and locators
    resolve "$1" $NAME | jq -r 'if .outcome == "found" then "\(.class) \([.targets[].locator] | join(" "))" else .outcome end'
}
for h in friend member near other; do
    assert "nobody is told anything unless somebody says so: $h" test "$(told $h)" = none
done
realm_do policy "$DIR/realm.realm" subject.h.acme.example "$(tag friend)/128=full" "$(tag member)/128=agent" \
    "$(tag near)/128=coarse" any=none
friend_knows() {
    [[ $(told friend) == "full $HERE:51820" ]]
}
wait_for 10 "class 3 is told where the subject is" friend_knows
assert "class 2: where its realm begins" test "$(told near)" = "coarse $BORDER:51820"
assert "class 1: where its agent is" test "$(told member)" = "agent $AGENT:51820"
assert "class 0: nothing" test "$(told other)" = none
# Whom another's answer would help, it does not: who asks first changes nothing for who asks next.
assert "class 1 after class 3" test "$(told member)" = "agent $AGENT:51820"
assert "class 0 after both" test "$(told other)" = none

# --- denied is as no such name: the same words, and the same datagrams ---
# datagrams NAME: lengths and directions of all that other and the manager say to each other about it, each once.
datagrams() {
    bg other capture-other "$CAPTURE" eth0
    wait_for 5 "the capture has begun" grep -q capturing "$(bg_log capture-other)"
    resolve other "$1" >"$DIR/answer" && lab_fail "$1: other is told"
    bg_stop capture-other
    awk '$1 == "udp" { sub(/:.*/, "", $2); print $2, $4 }' "$(bg_log capture-other)" | sort -u
}
datagrams "$NAME" >"$DIR/denied.wire"
cp "$DIR/answer" "$DIR/denied.json"
datagrams nothing.h.acme.example >"$DIR/none.wire"
assert "denied and no such name: the same answer" cmp "$DIR/answer" "$DIR/denied.json"
assert "something was seen of it" test -s "$DIR/none.wire"
assert "and the same datagrams" cmp "$DIR/none.wire" "$DIR/denied.wire"
public() { # NAME TYPE
    on other dig @10.0.1.2 +norec +tries=1 +time=5 "$1" "$2" |
        sed -E "/DiG|Query time|WHEN|COOKIE/d; s/${1%%.*}/NAME/g; s/id: [0-9]+/id/"
}
# "nothing" and "subject" have one length.
for type in A AAAA HIP SVCB; do
    assert "the DNS: $type, denied as no such name" test "$(public "$NAME" $type)" = "$(public nothing.h.acme.example $type)"
done
# shellcheck disable=SC2016
assert "which says that there is none" eval '[[ $(public "$NAME" A) == *NXDOMAIN* ]]'

# --- a session of class 1 ---
SECRET="nobody else's business"
echo "$SECRET" >"$DIR/page.txt"
S=$(pair_status subject '.tun.addresses[0]')
web_start subject "[$S]:80" "$DIR/page.txt"
mkdir -p "$DIR/member"
{
    pair__interface member 'Role = host'
    printf '[Names]\nRoot = %s\nManager = 10.0.1.2:51823\nChain = %s\n[Dns]\nListen = 127.0.0.1:53\n' \
        "$DIR/realm.realm/root" "$DIR/member.chain"
} >"$DIR/member.conf"
# Of its own, the member says nothing: it is enrolled, and calls.
bg member capture-member "$CAPTURE" eth0 $HERE $VAN "$SECRET"
bg agent capture-agent "$CAPTURE" hawser0 "$SECRET"
bg agent capture-line "$CAPTURE" eth0 "$SECRET"
bg subject capture-inside "$CAPTURE" hawser0 "$SECRET"
pair_daemon member
wait_for 5 "the member answers" pair_status member .pid
for c in member agent line inside; do
    wait_for 5 "the capture $c has begun" grep -q capturing "$(bg_log capture-$c)"
done
assert "dig: the name is a tag, whoever may know what" test "$(on member dig +short +time=5 @127.0.0.1 AAAA $NAME)" = "$S"
fetched() {
    [[ $(on member curl -sg --max-time 10 "http://[$S]/page.txt") == "$SECRET" ]]
}
wait_for 20 "the member reads what the subject serves" fetched
many() { # paths come and go; what is told of them is told by then
    local i
    for ((i = 0; i < 20; i++)); do
        fetched || return 1
    done
}
assert "again and again" many
paths=$(pair_status member '[.peers[].paths[].remote] | unique | join(" ")')
assert "by way of the agent alone" test "$paths" = "$AGENT:51820"
status=$(pair_ask member status --json) || [[ $? == 3 ]] || lab_fail "the member's status"
assert "its daemon has heard of no other place" test "${status//@($HERE|$VAN)/}" = "$status"
for c in member agent line inside; do
    bg_stop capture-$c
done
log() {
    bg_log "capture-$1"
}
seen() { # CAPTURE PATTERN: number of packets
    grep -c -e "$2" "$(log "$1")"
}
# What would be found, is: or the rest would say nothing.
assert "the subject's own device has the words" holds "$(seen inside 'has nobody')" '>=' 20
assert "packets pass the agent, in the clear of the tunnel" holds "$(seen agent "$AGENT:51820")" '>=' 20
assert "the member's line has the agent's address" holds "$(seen member "$AGENT:51820")" '>=' 20
assert "it never has the subject's, nor the van's" test "$(seen member "$HERE")$(seen member "$VAN")" = 00
assert "no packet at the agent has the words: what passes is sealed" test "$(($(seen agent 'has nobody') + $(seen line 'has nobody')))" = 0
assert "nor has the member's line" test "$(seen member 'has nobody')" = 0
result packets "$(seen agent "$AGENT:51820")" "at the agent"

for h in member subject van agent; do
    bg_stop hawserd-$h
done
lab_done
