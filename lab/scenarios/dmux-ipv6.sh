#!/bin/bash
# IPv6 for a host whose network has IPv4 only: ping, curl and ssh to a server that has never heard of it, through the
# nearest gateway of an anycast prefix and a router of IPv6.
#
# At the end the network has IPv6 by itself for a while, and the client stands aside; a connection from before goes on.
#
# With the argument xdp the gateways pass packets in the kernel.
#
# Topology: lab/dmux-lib.sh. BGP brings c to g1, r1's anycast registration to g2; r1 registers with g1 by its own address.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-ipv6 "$@"
need curl nginx ssh sshd
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
SERVER=2001:db8:5::5

dmux_world
[[ ${LAB_ARGS[0]-} != xdp ]] || dmux_xdp
dmux_gateway g1 1 10.0.1.2 65011 65001
dmux_gateway g2 2 10.0.2.2 65012 65002
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
wait_for 20 "the prefix by way of g2" dmux_announced t2 10.0.2.2
dmux_router r1 2001:db8:100::/64 "192.0.2.1, 10.0.1.2"
wait_for 5 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
wait_for 5 "g2 has its proof" dmux_says g2 '[.routers[] | select(.state == "proved")] | length' 1
dmux_client c
wait_for 5 "the client is served by g1" dmux_says c '"\(.state) \(.gateway)"' "up 1"
wait_for 5 "the client has an address" dmux_says c '.address // "" | startswith("2001:db8:100:")' true
"$HAWSER" dmux trace "$DMUX/c.sock"

assert "ping" on c ping -6 -qc 20 -i 0.02 -W 2 "$SERVER"
rtt=$(on c ping -6 -qc 100 -i 0.01 "$SERVER" | sed -n 's/^rtt [^=]*= [^/]*\/\([0-9.]*\).*/\1/p')
result rtt "$rtt" ms
assert "large packets are cut" on c ping -6 -qc 3 -i 0.02 -W 2 -s 3000 "$SERVER"

head -c 20000000 /dev/urandom >"$LAB_DIR/file"
web_start s "[$SERVER]:80" "$LAB_DIR/file"
assert "curl" on c curl -sf --max-time 60 -o "$LAB_DIR/got" "http://[$SERVER]/file"
assert "every byte" cmp "$LAB_DIR/file" "$LAB_DIR/got"

for key in host_key user_key; do
    ssh-keygen -q -t ed25519 -N '' -f "$LAB_DIR/$key" || lab_fail "ssh-keygen"
done
cp "$LAB_DIR/user_key.pub" "$LAB_DIR/authorized"
mkdir -p /run/sshd
bg s sshd "$(command -v sshd)" -D -e -f /dev/null -p 22 -h "$LAB_DIR/host_key" -o "ListenAddress=[$SERVER]:22" -o UsePAM=no \
    -o StrictModes=no -o "AuthorizedKeysFile=$LAB_DIR/authorized" -o PidFile=none
wait_for 5 "sshd" listening s tcp 22
said=$(on c ssh -i "$LAB_DIR/user_key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR "root@$SERVER" "echo \$SSH_CONNECTION")
result ssh "${said:-nothing}"
assert "the server saw the client's own address" test "${said%% *}" = "$(dmux_status c .address)"

# DSCP EF is seen on the client's way to the gateway; congestion that is met there reaches the server.
# counter HOST NAME: its packets.
counter() {
    on "$1" nft -j list counter inet hawser_lab "$2" | jq '.nftables[] | select(.counter) | .counter.packets'
}
on t1 nft -f - <<EOC || lab_fail "nft"
table inet hawser_lab {
    counter ef { }
    chain forward {
        type filter hook forward priority 0
        iifname "c" udp dport 51821 ip dscp ef counter name ef
        iifname "c" udp dport 51821 ip ecn != not-ect ip ecn set ce
    }
}
EOC
on s nft -f - <<EOC || lab_fail "nft"
table inet hawser_lab {
    counter ce { }
    chain input {
        type filter hook input priority 0
        icmpv6 type echo-request ip6 ecn ce counter name ce
    }
}
EOC
assert "ping with DSCP EF and ECT(0)" on c ping -6 -qc 10 -i 0.02 -W 2 -Q 0xba "$SERVER"
assert "DSCP goes out" holds "$(counter t1 ef)" '>=' 10
assert "CE comes in" holds "$(counter s ce)" == 10

# What the client writes as its source is checked.
assert "g1 carried it" holds "$(dmux_status g1 '.to_router_pkts + (.xdp.to_router_pkts // 0)')" '>' 100
if [[ ${LAB_ARGS[0]-} == xdp ]]; then
    assert "in the kernel, to the router" holds "$(dmux_status g1 .xdp.to_router_pkts)" '>' 100
    assert "and to the client" holds "$(dmux_status g1 .xdp.to_client_pkts)" '>' 100
fi
assert "nothing was dropped by g1" test "$(dmux_status g1 '.drops | length')" = 0

# Connections of the last test are to be over: what is kept is to be one alone.
wait_for 10 "c has no connection" eval "[[ -z \$(on c ss -Htn6 state connected exclude time-wait) ]]"
mkfifo "$LAB_DIR/said" || lab_fail "mkfifo"
bg c talk bash -c "exec ssh -i '$LAB_DIR/user_key' -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR 'root@$SERVER' cat <'$LAB_DIR/said' >'$LAB_DIR/heard'"
talk=$!
exec {said}>"$LAB_DIR/said"
heard() {
    [[ $(tail -n 1 "$LAB_DIR/heard") == "$1" ]]
}
# echoes WORD: does it come back over the connection that was there from the start?
echoes() {
    echo "$1" >&"$said"
    wait_for 5 "ssh echoes: $1" heard "$1"
}
echoes "before"

# The network learns IPv6 by itself, and forgets it again.
ip -n "$(lab__ns t1)" addr add 2001:db8:99::1/64 dev c nodad || lab_fail "address of t1"
ip -n "$(lab__ns c)" addr add 2001:db8:99::2/64 dev wan nodad || lab_fail "address of c"
ip -n "$(lab__ns c)" -6 route add default via 2001:db8:99::1 || lab_fail "route of c"
wait_for 15 "the client stands aside" dmux_says c .state native
assert "but for one connection" test "$(dmux_status c .kept)" = 1
echoes "beside the network's own"
assert "what is new goes by the network" test "$(on c ip -j route get "$SERVER" | jq -r '.[0] | "\(.dev) \(.prefsrc)"')" = "wan 2001:db8:99::2"
ip -n "$(lab__ns c)" -6 route del default || lab_fail "route of c"
wait_for 15 "the client is there again" dmux_says c .state up
assert "what is new goes by it" on c ping -6 -qc 1 -W 1 "$SERVER"
echoes "there again"
assert "every route is back" test -n "$(ip -n "$(lab__ns c)" route show 10.77.0.0/16 dev dmux6)"
assert "and none is for one source" test -z "$(ip -n "$(lab__ns c)" -6 route show | grep from)"
ip -n "$(lab__ns c)" -6 route add default via 2001:db8:99::1 || lab_fail "route of c"
wait_for 15 "the client stands aside once more" dmux_says c '"\(.state) \(.kept)"' "native 1"
"$HAWSER" dmux trace "$DMUX/c.sock"
echoes "aside once more"
exec {said}>&-
assert "the connection ends by itself" wait "$talk"
wait_for 10 "nothing is kept any more" dmux_says c .kept 0
assert "its device has no address" test -z "$(ip -n "$(lab__ns c)" -6 addr show dev dmux6 scope global)"
assert "and no route" test -z "$(ip -n "$(lab__ns c)" -6 route show dev dmux6)"
assert "which is no fault" "$HAWSER" dmux status "$DMUX/c.sock"
ip -n "$(lab__ns c)" -6 route del default || lab_fail "route of c"
wait_for 15 "the client is there again" dmux_says c .state up
wait_for 10 "and serves" on c ping -6 -qc 1 -W 1 "$SERVER"
lab_done
