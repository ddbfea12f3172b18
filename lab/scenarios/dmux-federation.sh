#!/bin/bash
# Two operators of gateways, each with a realm, a prefix and a gateway of its own: IPv6 for a client of the one by a
# router of the other. The first one's own router is preferred while there is one; the other dies and comes back; and a
# client names the other by its prefix.
#
# With the argument xdp the gateways pass packets in the kernel.
#
# Topology: lab/dmux-lib.sh, with g1 of provider a (192.0.2.0/24) and g2 of provider b (198.18.0.0/24). r1 registers with g2,
# and r2 with g1. Both gateways have the number 1, each in its realm.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-federation "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
SERVER=2001:db8:5::5

public() {
    "$HAWSER" id show "$DMUX/$1.key" --json | jq -r .public
}

# party NAME GATEWAY: a realm with its gateway and its provider.
party() {
    local key
    "$HAWSER" realm init "$DMUX/realm-$1" "$1.example" >/dev/null || lab_fail "realm $1"
    head -c 32 /dev/urandom | (umask 077 && base64 >"$DMUX/secret-$1") || lab_fail "secret of $1"
    for key in "$2" "provider-$1"; do
        "$HAWSER" id new "$DMUX/$key.key" >/dev/null || lab_fail "key of $key"
    done
    "$HAWSER" realm enrol "$DMUX/realm-$1" dmux-gateway-1.s "$(public "$2")" "$DMUX/$2.chain" >/dev/null || lab_fail "certificate of $2"
    "$HAWSER" realm enrol "$DMUX/realm-$1" "dmux-provider-$3.s" "$(public "provider-$1")" "$DMUX/provider-$1.chain" >/dev/null || lab_fail "certificate of $1"
}

root() {
    "$HAWSER" id show "$DMUX/realm-$1/key" --json | jq -r .ed25519
}

# as NAME NUMBERS SERVICE OTHER OTHER-NUMBERS OTHER-SERVICE OTHER-GATEWAY OTHER-ADDRESS: gateways from now on are of that party.
as() {
    DMUX_SERVICE=$3
    DMUX_SECRET=secret-$1
    DMUX_PROVIDERS="[Authority own]
Root = $(root "$1")
Realm = $1.example
Providers = $2
Protocols = ipv6
[Federation $4]
Root = $(root "$4")
Realm = $4.example
Prefix = ${6%.*}.0/24
Providers = $5
Protocols = ipv6
[Border first]
Realm = $4.example
Address = $8
PublicKey = $(public "$7")"
    DMUX_MESH="Root = $(root "$1")
Realm = $1.example"
}

# served VALUE: who serves the client, from which prefix.
served() {
    dmux_says c '"\(.state) \(.provider) \(.dmux)"' "$1"
}

dmux_world
[[ ${LAB_ARGS[0]-} != xdp ]] || dmux_xdp
wait_for 20 "t1 knows the way to g2" on t1 ping -qc 1 -W 1 10.0.2.2
party a g1 200
party b g2 300
as a 200-299 192.0.2.1 b 300-399 198.18.0.1 g2 10.0.2.2
dmux_gateway g1 1 10.0.1.2 65011 65001
wait_for 20 "a's prefix by way of g1" dmux_announced t1 10.0.1.2
as b 300-399 198.18.0.1 a 200-299 192.0.2.1 g1 10.0.1.2
dmux_gateway g2 1 10.0.2.2 65012 65002
wait_for 20 "b's prefix by way of g2" dmux_announced t1 10.0.0.2
DMUX_PROVIDER=300 DMUX_PROVIDER_KEY=provider-b.key dmux_router r1 2001:db8:100::/64 10.0.2.2 "ChainFile = $DMUX/provider-b.chain"
wait_for 5 "r1 is registered with g2" dmux_says r1 '.registrars[0].state' registered
wait_for 10 "g1 has b's border for it" dmux_says g1 '.routers[0] | "\(.state) \(.dmux) \(.border)"' "proved b 1"

DMUX_SERVICE=192.0.2.1 dmux_client c
wait_for 10 "the client of a is served by b" served "up 300 198.18.0.0/24"
wait_for 10 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"
"$HAWSER" dmux trace "$DMUX/c.sock"
rtt=$(on c ping -6 -qc 100 -i 0.01 "$SERVER" | sed -n 's/^rtt [^=]*= [^/]*\/\([0-9.]*\).*/\1/p')
result rtt "$rtt" ms
assert "a packet of 1,400 bytes passes both" on c ping -6 -qc 3 -i 0.02 -W 2 -M "do" -s 1352 "$SERVER"
if [[ ${LAB_ARGS[0]-} == xdp ]]; then
    assert "in b's kernel" test "$(dmux_status g2 .xdp.from_home_pkts)" -ge 100
    assert "and back" test "$(dmux_status g2 .xdp.to_home_pkts)" -ge 100
    assert "and in a's" test "$(dmux_status g1 .xdp.to_client_pkts)" -ge 100
else
    assert "by b's border" test "$(dmux_status g2 .federation.from_home_pkts)" -ge 100
fi

# A router of a's own.
DMUX_PROVIDER=200 DMUX_PROVIDER_KEY=provider-a.key dmux_router r2 2001:db8:200::/64 10.0.1.2 "ChainFile = $DMUX/provider-a.chain"
wait_for 20 "a's own router serves" served "up 200 192.0.2.0/24"
wait_for 10 "s answers by it" on c ping -6 -qc 1 -W 1 "$SERVER"
bg_stop dmuxd-r2 KILL
wait_for 20 "b serves again" served "up 300 198.18.0.0/24"
wait_for 10 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"

# b dies, and comes back.
bg_stop dmuxd-g2 KILL
wait_for 10 "a knows that b is silent" dmux_says g1 '.federation.realms[0].borders[0].up' false
assert "and sends it nothing" test "$(dmux_status g1 '.routers | length')" = 0
assert "nobody answers" eval "! on c ping -6 -qc 1 -W 1 $SERVER"
as b 300-399 198.18.0.1 a 200-299 192.0.2.1 g1 10.0.1.2
dmux_gateway_start g2
back=$(date +%s%N)
wait_for 30 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"
result back "$((($(date +%s%N) - back) / 1000000))" ms
wait_for 10 "by b" served "up 300 198.18.0.0/24"

# The client names b.
bg_stop dmuxd-c
DMUX_SERVICE=198.18.0.1 dmux_client c
wait_for 10 "b's own gateway serves the client that names b" served "up 300 198.18.0.0/24"
assert "and not by way of another" test "$(dmux_status c '"\(.elsewhere) \(.unicast)"')" = "false 10.0.2.2:51821"
wait_for 10 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"
for g in g1 g2; do
    assert "$g has let nothing pass without a ticket, nor dropped one that is right" \
        test "$(dmux_status $g '.drops | (.ticket // 0) + (.pass // 0) + (.transit // 0)')" = 0
    assert "$g has refused nothing" test "$(dmux_status $g '[.federation.realms[].drops | (.number // 0) + (.certificate // 0) + (.key // 0)] | add')" = 0
done
lab_done
