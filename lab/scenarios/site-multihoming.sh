#!/bin/bash
# Sites with two providers each and no address of their own, in an Internet with real BGP (BIRD 2), whose routers never
# hear of them.
#
#       +------ p1 ------ c1 ------ p3 ------ n1 ---+        root: managers of rid.example and of globe
#   acme|                /| \                       |globe   visitor: a host of globe elsewhere
#       +------ p2 ----- |  c2 ---- p4 ------ n2 ---+        p1..p4: providers, AS 65011..65014, of 203.0.1..4.0/24
#                        |   |                               c1, c2: transit, AS 65001, 65002
#             root -- 198.51.100/24   visitor -- 192.0.2/24
#
# acme is a stub realm: its router r, its manager m and its host a have addresses that its providers lend it,
# 203.0.1.64/26 and 203.0.2.64/26, and at its parent the realm is bound to both of m's. globe's host b is behind two NATs, and its
# realm's manager is where everybody reaches it. Who wants a asks the root for its name or tag, is referred to acme at
# either of its places, and is told both of a's.
#
# In the middle of a transfer p1 falls silent, then p3. Sessions go on, a is found anew by who has not heard of it, and no router
# of the core has any route but the providers' own, before, meanwhile or after: neither of the sites, nor of a tag.
# What b is called by from outside is not tried here: sessions are opened from behind the NATs (and go both ways).
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init site-multihoming "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need jq bird birdc ping nft conntrack
DIR=$LAB_DIR/hawser
CORE=(c1 c2 p1 p2 p3 p4)

for h in "${CORE[@]}" r n1 n2; do
    router "$h"
done
for h in m a b root visitor; do
    host $h
done

# --- the Internet ---
wire c1:c2 c2:c1 10.0.0.1/30 10.0.0.2/30
declare -A AS=([c1]=65001 [c2]=65002 [p1]=65011 [p2]=65012 [p3]=65013 [p4]=65014)
declare -A OWN=([c1]=198.51.100.0/24 [c2]=192.0.2.0/24 [p1]=203.0.1.0/24 [p2]=203.0.2.0/24 [p3]=203.0.3.0/24 [p4]=203.0.4.0/24)
declare -A NEIGHBOURS=([c1]="10.0.0.2 65002" [c2]="10.0.0.1 65001")
n=0
for line in c1:p1 c2:p2 c1:p3 c2:p4; do
    n=$((n + 1))
    c=${line%:*} p=${line#*:}
    wire "$c:$p" "$p:wan" 10.0.$n.1/30 10.0.$n.2/30
    NEIGHBOURS[$c]+=";10.0.$n.2 ${AS[$p]}"
    NEIGHBOURS[$p]="10.0.$n.1 ${AS[$c]}"
done
mkdir -p "$DIR"
ctl() { # ROUTER WORD...
    birdc -s "$DIR/$1.bird.ctl" "${@:2}"
}
for h in "${CORE[@]}"; do
    {
        # Its own prefix as a whole, whatever it has lent to whom; what else it knows it has been told by BGP.
        printf 'router id 10.255.0.%s;\nprotocol device { }\n' "$((${AS[$h]} % 100))"
        printf 'protocol static { ipv4; route %s unreachable; }\n' "${OWN[$h]}"
        printf 'protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }\n'
        IFS=';' read -ra list <<<"${NEIGHBOURS[$h]}"
        for pair in "${list[@]}"; do
            printf 'protocol bgp { local as %s; neighbor %s as %s; hold time 9; keepalive time 3; connect retry time 1; connect delay time 1; error wait time 1, 4;\n' \
                "${AS[$h]}" "${pair% *}" "${pair#* }"
            printf ' ipv4 { import all; export all; }; }\n'
        done
    } >"$DIR/$h.bird"
    bg "$h" "bird-$h" bird -f -c "$DIR/$h.bird" -s "$DIR/$h.bird.ctl" -P "$DIR/$h.bird.pid"
done
routes() { # ROUTER: the prefixes that BIRD has, of any table
    ctl "$1" show route all primary | awk '$1 ~ /\// { print $1 }' | sort -u | tr '\n' ' '
}
EXPECTED=$(printf '%s\n' "${OWN[@]}" | sort | tr '\n' ' ')
knows_all() { # ROUTER
    local now
    now=$(routes "$1")
    echo "routes: $now"
    [[ $now == "$EXPECTED" ]]
}
# The providers' own prefixes and nothing else: fewer where one has gone.
no_site() {
    local h prefix
    for h in "${CORE[@]}"; do
        kill -0 "$(bg_pid "bird-$h")" 2>/dev/null || continue
        for prefix in $(routes "$h"); do
            [[ " $EXPECTED " == *" $prefix "* ]] || { echo "$h has $prefix" && return 1; }
        done
    done
}
for h in "${CORE[@]}"; do
    wait_for 30 "$h knows the way to each network" knows_all "$h"
done

# --- who is where ---
SHAPE="rate=20mbit delay=4ms"
wire root:eth0 c1:root 198.51.100.2/24 198.51.100.1/24
default_route root 198.51.100.1
link visitor:eth0 c2:visitor 192.0.2.2/24 192.0.2.1/24 both="$SHAPE"
default_route visitor 192.0.2.1
# acme: a block of each provider, and a subnet of each for its hosts. What has an address of a provider leaves by that one.
for n in 1 2; do
    wire r:up$n p$n:acme 10.0.1$n.2/30 10.0.1$n.1/30
    ip -n "$(lab__ns p$n)" route add 203.0.$n.64/26 via 10.0.1$n.2 || lab_fail "what p$n lends"
    ip -n "$(lab__ns r)" route add default via 10.0.1$n.1 table 10$n || lab_fail "route of r"
    ip -n "$(lab__ns r)" rule add from 203.0.$n.64/26 lookup 10$n || lab_fail "rule of r"
    ip -n "$(lab__ns r)" link add lan$n type bridge || lab_fail "lan of acme"
    ip -n "$(lab__ns r)" link set lan$n up || lab_fail "lan of acme"
    ip -n "$(lab__ns r)" addr add 203.0.$n.65/26 dev lan$n || lab_fail "lan of acme"
    wire m:eth$n r:m$n 203.0.$n.66/26 -
    link a:eth$n r:a$n 203.0.$n.67/26 - both="$SHAPE"
    for h in m a; do
        ip -n "$(lab__ns r)" link set $h$n master lan$n || lab_fail "lan of acme"
        default_route $h 203.0.$n.65 eth$n $((100 + n))
    done
    ip -n "$(lab__ns m)" route add default via 203.0.$n.65 table 10$n || lab_fail "route of m"
    ip -n "$(lab__ns m)" rule add from 203.0.$n.66 lookup 10$n || lab_fail "rule of m"
    # Between its own subnets the site needs no provider.
    ip -n "$(lab__ns r)" rule add to 203.0.$n.64/26 lookup main priority 10 || lab_fail "rule of r"
    # globe: a NAT of each.
    k=$((n + 2))
    wire n$n:wan p$k:globe 203.0.$k.2/24 203.0.$k.1/24
    default_route n$n 203.0.$k.1
    link b:eth$n n$n:lan 192.168.$n.2/24 192.168.$n.1/24 both="$SHAPE"
    default_route b 192.168.$n.1 eth$n $((100 + n))
    nat n$n wan
done

# --- realms ---
realm_make root rid.example
realm_below root m acme
realm_below root globe globe
realm_daemon root 198.51.100.2
{
    realm_file m 203.0.1.66
    printf '[Parent]\nManagers = 198.51.100.2\nAnnounce = 203.0.1.66, 203.0.2.66\n'
} >"$DIR/m.realmd"
# From each of its places, so that what it says itself leaves by either.
sed -i 's/^Listen = .*/Listen = 203.0.1.66, 203.0.2.66/' "$DIR/m.realmd"
bg m realmd-m "$REALMD" "$DIR/m.realmd"
{
    realm_file globe 198.51.100.2
    printf '[Parent]\nManagers = 198.51.100.2\nAnnounce = 198.51.100.2:51824\n'
} | sed 's/:51823$/:51824/' >"$DIR/globe.realmd"
bg root realmd-globe "$REALMD" "$DIR/globe.realmd"
for realm in m globe; do
    wait_for 20 "$realm says above where it is" grep -q 'parent state=registered' "$(bg_log "realmd-$realm")"
done
realm_host a m root 198.51.100.2
for h in b visitor; do
    realm_host $h globe root 198.51.100.2
done
for h in a b visitor; do
    pair_daemon $h
    wait_for 20 "$h is registered" grep -q 'attach state=registered' "$(bg_log "hawserd-$h")"
done

# --- found by name and by tag ---
NAME=a.h.acme.rid.example
A=$(pair_status a '.tun.addresses[0]')
assert "dig, behind the NATs: the tag of a" test "$(on b dig +short +time=5 @127.0.0.1 AAAA $NAME)" = "$A"
places() {
    on b "$HAWSER" resolve "$1" --config "$DIR/b.conf" --json | jq -r '[.targets[].locator] | sort | join(" ")'
}
assert "by its name it is at both providers' addresses" test "$(places $NAME)" = "203.0.1.67:51820 203.0.2.67:51820"
assert "by its tag, too" test "$(places "$A")" = "203.0.1.67:51820 203.0.2.67:51820"
reaches() { # FROM TAG
    on "$1" ping -6 -c 1 -W 2 "$2" >"$(bg_log ping)" 2>&1
}
wait_for 20 "b reaches a" reaches b "$A"
# Links of b by addresses of a.
paths() { # COUNT
    local now
    now=$(pair_status b '[.peers[].paths[] | select(.state == "active")] | length') || return 1
    echo "active: $now"
    [[ $now == "$1" ]]
}
wait_for 20 "by each link to each address" paths 4
B=$(pair_status b '.tun.addresses[0]')
assert "and a reaches b by its tag" reaches a "$B"
assert "no router of the core has heard of a site" no_site

# --- a provider of acme falls silent, then one of globe ---
silent() { # ROUTER
    on "$1" nft 'table inet silent { chain in { type filter hook prerouting priority -400; policy drop; }; chain out { type filter hook output priority -400; policy drop; }; }' ||
        lab_fail "nft"
}
bg a recv "$LAB_XFER" recv "[$A]:9000"
wait_for 5 "the receiver listens" listening a tcp 9000
bg b send "$LAB_XFER" send "[$A]:9000" --seconds 10
flows() { # BYTES: so many have come in
    local now
    now=$(on a cat /sys/class/net/hawser0/statistics/rx_bytes /sys/class/net/hawser0/statistics/tx_bytes | sort -n | tail -n 1)
    echo "bytes: $now"
    ((now >= $1))
}
wait_for 20 "the transfer is under way" flows 1000000
silent p1
active_at() { # PREFIX COUNT: paths of b that end there
    local now
    now=$(pair_status b "[.peers[].paths[] | select(.state == \"active\") | .remote | select(startswith(\"$1\"))] | length") || return 1
    echo "active at $1: $now"
    [[ $now == "$2" ]]
}
wait_for 20 "no path leads to p1's addresses" active_at 203.0.1. 0
wait_for 20 "those to p2's go on" active_at 203.0.2. 2
silent p3
wait_for 20 "one path is left" paths 1
kill -0 "$(bg_pid send)" 2>/dev/null || lab_busy "the transfer was over before the second provider's paths were"
bg_wait send
bg_wait recv
assert "the transfer has gone on through both, and is whole" test "$(jq -r .intact "$(bg_log recv)")" = true
result goodput "$(jq '.bps / 1e6 * 100 | round / 100' "$(bg_log recv)")" Mbit/s
result gap "$(jq '[.gaps[].ms] | max // 0' "$(bg_log recv)")" ms
assert "b reaches a" reaches b "$A"
assert "and a b" reaches a "$B"
assert "one who has not heard of a before finds it by name" test "$(on visitor dig +short +time=10 @127.0.0.1 AAAA $NAME)" = "$A"
wait_for 20 "and reaches it" reaches visitor "$A"
gone() { # ROUTER PREFIX
    [[ " $(routes "$1")" != *" $2 "* ]]
}
wait_for 30 "the core has noticed" gone c2 203.0.1.0/24
assert "and has no route of a site now either" no_site
for h in c1 c2; do
    result "routes_$h" "$(routes $h | wc -w)"
done

for h in a b visitor; do
    bg_stop hawserd-$h
done
lab_done
