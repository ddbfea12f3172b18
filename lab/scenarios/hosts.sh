#!/bin/bash
# Hosts that reach each other by identifier over all their links, with no agent between: by what their files say of each
# other, and by what a realm proves of them.
#
#   a:eth0 -- 10 Mbit/s, 10 ms --+      +-- 10 Mbit/s, 10 ms -- b:eth0
#   a:eth1 -- 10 Mbit/s, 10 ms --+ core +-- 10 Mbit/s, 10 ms -- b:eth1
#                                |      |
#                c:eth0 ---------+      +--------- x:eth0
#
# a and b know each other's keys. c is enrolled in the realm that b trusts, and b has not heard of it; x is of another
# root. Then one of a's links loses its carrier in the middle of a transfer, and both of b's addresses change.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init hosts "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
need jq curl nginx ping
DIR=$LAB_DIR/hawser
mkdir -p "$DIR"

router core
for h in a b c x; do
    host $h
done
n=0
for at in a:eth0 a:eth1 b:eth0 b:eth1 c:eth0 x:eth0; do
    n=$((n + 1))
    link $at core:x$n 10.0.$n.2/24 10.0.$n.1/24 both="rate=10mbit delay=10ms"
    default_route ${at%:*} 10.0.$n.1 ${at#*:} $((100 + n))
done

# hosts_config HOST [REALM] [-- PEER ENDPOINTS]: its file; REALM has its chain.
hosts_config() {
    local host=$1 dir=$DIR/$1
    shift
    mkdir -p "$dir"
    {
        printf '[Interface]\nName = hawser0\nRole = host\nPrivateKeyFile = %s.key\nStateDir = %s\nControl = %s\n' \
            "$host" "$dir" "$DIR/$host.sock"
        if [[ ${1:---} != -- ]]; then
            printf '[Names]\nRoot = %s\nChain = %s\n' "$DIR/$1/root" "$DIR/$host.chain"
            shift
        fi
        shift
        while (($# > 1)); do
            printf '[Peer %s]\nPublicKey = %s\nEndpoint = %s\n' "$1" "$(pair_key "$1")" "$2"
            [[ ! -e $DIR/$1.tag ]] || printf 'Identifier = %s\n' "$(<"$DIR/$1.tag")"
            shift 2
        done
    } >"$DIR/$host.conf"
    "$HAWSER" check "$DIR/$host.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
}
# tag_of HOST: as its own daemon says.
tag_of() {
    pair_status "$1" '.tun.addresses[0]'
}
realm() {
    "$HAWSER" realm "$@" >>"$(bg_log realm)" 2>&1 || lab_fail "realm $*: $(<"$(bg_log realm)")"
}

for h in a b c x; do
    pair_key $h >/dev/null
done
realm init "$DIR/acme" acme.example
realm enrol "$DIR/acme" c.h "$(pair_key c)" "$DIR/c.chain"
realm enrol "$DIR/acme" b.h "$(pair_key b)" "$DIR/b.chain"
realm init "$DIR/other" other.example
realm enrol "$DIR/other" x.h "$(pair_key x)" "$DIR/x.chain"

hosts_config b acme -- a 10.0.1.2:51820
pair_daemon b
wait_for 5 "b answers" pair_status b .pid
B=$(tag_of b)
echo "$B" >"$DIR/b.tag"
BOTH='10.0.3.2:51820, 10.0.4.2:51820'
hosts_config a -- b "$BOTH"
hosts_config c acme -- b "$BOTH"
hosts_config x other -- b "$BOTH"
for h in a c x; do
    pair_daemon $h
    wait_for 5 "$h answers" pair_status $h .pid
done

# --- the first packets, and real programs ---
on a ping -6 -c 3 -i 0.2 -W 2 "$B" >"$(bg_log ping)" 2>&1
assert "no packet is lost, the first neither" grep -q ' 0% packet loss' "$(bg_log ping)"
result first_rtt "$(awk -F'time=' '/seq=1 /{ print $2 + 0 }' "$(bg_log ping)")" ms
four() {
    [[ $(pair_status a '[.peers[].paths[] | select(.state == "active")] | length') == 4 ]]
}
wait_for 5 "every link of a reaches every address of b" four
head -c 12000000 /dev/urandom >"$DIR/file"
web_start b "[$B]:80" "$DIR/file"
fetch() { # HOST SECONDS
    on "$1" curl -sg --max-time "$2" -o "$DIR/$1.got" -w '%{speed_download}' "http://[$B]/file" >"$(bg_log "curl-$1")"
}
# shellcheck disable=SC2016
assert "curl: all that nginx sends" eval 'fetch a 30 && cmp -s "$DIR/a.got" "$DIR/file"'
rate=$(jq '. * 8e-6 * 100 | round / 100' "$(bg_log curl-a)")
result curl "$rate" Mbit/s
# A link of either end carries 10 Mbit/s of outer packets.
assert "both links carry" holds "$rate > 12"

# --- whom b lets in ---
assert "c, of whom b has not heard: its realm proves it" on c ping -6 -c 2 -i 0.2 -W 2 "$B"
# shellcheck disable=SC2016
assert "x, of another root: nothing" eval '! on x ping -6 -c 2 -i 0.2 -W 1 "$B"'
assert "which is said" grep -q caller-refused "$(bg_log hawserd-b)"

# --- links that go, addresses that change, in the middle of a transfer ---
bg b recv "$LAB_XFER" recv "[$B]:9000"
wait_for 5 "the receiver listens" listening b tcp 9000
bg a send "$LAB_XFER" send "[$B]:9000" --seconds 6
nap 1.5
carrier_down a:eth1 core:x2
nap 1.5
addr_change b eth0 10.0.3.2/24 10.0.3.77/24
default_route b 10.0.3.1 eth0 103
bg_wait send
bg_wait recv
moved() {
    [[ $(pair_status a '[.peers[].paths[] | select(.state == "active") | .remote] | sort | join(" ")') == "10.0.3.77:51820 10.0.4.2:51820" ]]
}
wait_for 5 "a has heard of b's new address" moved
assert "the transfer goes on" test "$(jq -r .intact "$(bg_log recv)")" = true
result after "$(jq '.bps / 1e6 * 100 | round / 100' "$(bg_log recv)")" Mbit/s

for h in a b c x; do
    bg_stop hawserd-$h
done
assert "nothing is left behind" test -z "$(on a ip link show hawser0 2>/dev/null)$(on a ip -6 route show 2001:3f::/32 table all)"
lab_done
