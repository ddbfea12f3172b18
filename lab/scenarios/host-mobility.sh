#!/bin/bash
# Hosts that find each other by name, and go on when both move at once.
#
#   root ------+                         root: manager of acme.example
#   eng -------+-- core --+-- a:eth0     eng: manager of eng.acme.example, which both hosts are enrolled in
#                         +-- b:eth0     every line 20 Mbit/s, 10 ms
#
# No file says where the other host is, or which key it has: a program of a asks its resolver (DNS) for b.h.eng.acme.example,
# and a connects to the tag that it is told. Then, in the middle of a transfer, both ends get other addresses in the same
# moment, so that neither knows where the other is but by the manager. Promised: the transfer goes on, and what is in
# order stands still for no longer than a round trip to the manager, one between the hosts and 100 ms, plus what TCP
# itself waits (RTO, 200 ms at least).
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init host-mobility "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
need jq curl nginx ping dig getent
DIR=$LAB_DIR/hawser

star "rate=20mbit delay=10ms" root eng a b

realm_make root acme.example
realm_below root eng eng
realm_daemon root 10.0.1.2
realm_daemon eng 10.0.2.2 10.0.1.2
for h in a b; do
    realm_host $h eng root 10.0.1.2
    pair_daemon $h
done
attached() {
    grep -q 'attach state=registered' "$(bg_log "hawserd-$1")"
}
for h in a b; do
    wait_for 10 "$h is registered" attached $h
done

# --- names ---
NAME=b.h.eng.acme.example
B=$(pair_status b '.tun.addresses[0]')
assert "dig: the name is b's tag" test "$(on a dig +short +time=2 @127.0.0.1 AAAA $NAME)" = "$B"
mkdir -p "/etc/netns/${LAB_PREFIX}a"
echo 'nameserver 127.0.0.1' >"/etc/netns/${LAB_PREFIX}a/resolv.conf"
# shellcheck disable=SC2016
assert "getent finds it, as every program does" eval '[[ $(on a getent ahostsv6 $NAME) == "$B"* ]]'
on a ping -6 -c 3 -i 0.2 -W 2 $NAME >"$(bg_log ping)" 2>&1
assert "no packet is lost, the first neither" grep -q ' 0% packet loss' "$(bg_log ping)"
result first_rtt "$(awk -F'time=' '/seq=1 /{ print $2 + 0 }' "$(bg_log ping)")" ms
head -c 5000000 /dev/urandom >"$DIR/file"
web_start b "[$B]:80" "$DIR/file"
# shellcheck disable=SC2016
assert "curl: all that nginx sends" eval 'on a curl -sf --max-time 20 "http://$NAME/file" | cmp -s - "$DIR/file"'

# --- both move at once ---
move() { # HOST N: its network has another address for it
    ip -n "$LAB_PREFIX$1" addr flush dev eth0
    ip -n "$LAB_PREFIX$1" addr add "10.0.$2.77/24" dev eth0
    default_route "$1" "10.0.$2.1"
}
bg b recv "$LAB_XFER" recv "[$B]:9000" --skip 2
wait_for 5 "the receiver listens" listening b tcp 9000
bg a send "$LAB_XFER" send "[$B]:9000" --seconds 6
nap 2.5
move a 3 &
mover=$!
move b 4
wait $mover
bg_wait send
bg_wait recv
assert "the transfer goes on" test "$(jq -r .intact "$(bg_log recv)")" = true
gap=$(jq '[.gaps[].ms] | max' "$(bg_log recv)")
result stall "$gap" ms
# 40 ms to the manager and back, 40 between the hosts; TCP may wait for its timeout once more, and ip four times 30 ms.
assert "it stood still for a moment only" holds "$gap <= 40 + 40 + 100 + 200 + 120"

# --- a call by an old mapping ---
# b is moved while its daemon is dead, and a, which has forgotten all, calls it where it was: nobody is there. When b has
# said where it is by now, the call goes on by itself, as the managers are asked again at least each 3.2 s.
for h in a b; do
    bg_stop hawserd-$h KILL
done
ip -n "${LAB_PREFIX}b" addr flush dev eth0
ip -n "${LAB_PREFIX}b" addr add 10.0.4.88/24 dev eth0
default_route b 10.0.4.1
pair_daemon a
wait_for 10 "a is registered anew" attached a
asked() { # COUNT: lookups that the manager was asked for since
    (($(realm_status eng .requests.resolve) >= asked + $1))
}
asked=$(realm_status eng .requests.resolve)
bg a astray ping -6 -i 0.1 "$B"
wait_for 6 "a calls b where it was, and asks again" asked 2
pair_daemon b
wait_for 10 "b is registered anew" attached b
answered() {
    grep -q 'icmp_seq=' "$(bg_log astray)"
}
wait_for 6 "the call finds b where it is" answered
bg_stop astray

for h in a b; do
    bg_stop hawserd-$h
done
rm -rf "/etc/netns/${LAB_PREFIX}a"
lab_done
