#!/bin/bash
# bench/tunnel-path.sh - one tunnel over one path that is not shaped: a TCP flow in it, and the round trip it adds.
#
#   client:eth0 ---------------- agent:eth0    agent:eth1 ---------------- server:eth0
#   198.51.100.1/30  veth  198.51.100.2/30     192.0.2.1/26     veth       192.0.2.10/26
#   203.0.113.2 hawser0 ==== 203.0.113.1
#   203.0.113.6 wgc ======== 203.0.113.5 wga: wireguard-go
#
# ROUNDS rounds; in each, plain, hawser and (where installed) wireguard-go take turns and nothing else of ours runs, so
# all meet the same machine; medians are told. One iperf3 flow of cubic for 4 s from the client, of which the receiver
# counts the last 3. The tunnel's own counter must have grown by what was sent. The round trip is the median of 200 pings
# without load. Plain keeps the veth's offloads, so its TCP is handed over in segments of up to 64 KB.
#
# Not like for like: Hawser takes AES-256-GCM where the processor has it, and the offloads of TUN and UDP; wireguard-go has
# ChaCha20-Poly1305 only, and Debian 12's (2022) uses no offloads. The gap between them is no measure of either's design.
# During a tunnel's turn no packet of the flow may reach the agent unsealed (an nft counter, proved by the plain turn).
#
# Both ends share one machine. Left out: openvpn, fastd and tinc.

# shellcheck source-path=SCRIPTDIR source=../lab/um3n-lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/um3n-lib.sh"
lab_init tunnel-path "$@"
need iperf3 jq nft
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
ROUNDS=${LAB_ARGS[0]:-3}
SERVER=192.0.2.10
declare -A RATES RTTS

host client
router agent
host server
wire client:eth0 agent:eth0 198.51.100.1/30 198.51.100.2/30
wire agent:eth1 server:eth0 192.0.2.1/26 $SERVER/26
default_route client 198.51.100.2
default_route server 192.0.2.1
on agent nft 'table inet bench { chain bare { type filter hook prerouting priority -400; iifname "eth0" tcp dport 5201 counter; }; }' ||
    lab_fail "nft"
bg server iperf3 iperf3 -s -J
wait_for 5 "iperf3 listens" listening server tcp 5201

hawser_config() {
    local dir=$LAB_DIR/hawser client_key agent_key file
    mkdir -p "$dir/client" "$dir/agent"
    client_key=$("$HAWSER" keygen "$dir/client.key") || lab_fail keygen
    agent_key=$("$HAWSER" keygen "$dir/agent.key") || lab_fail keygen
    cat >"$dir/client.conf" <<EOC
[Interface]
Name = hawser0
PrivateKeyFile = client.key
StateDir = $dir/client
Control = $dir/client.sock

[Link eth0]
WifiSignal = off

[Peer agent]
PublicKey = $agent_key
Endpoint = 198.51.100.2:51820
EOC
    cat >"$dir/agent.conf" <<EOC
[Interface]
Name = hawser0
PrivateKeyFile = agent.key
ListenPort = 51820
Address = 203.0.113.1/24
NAT = no
StateDir = $dir/agent
Control = $dir/agent.sock

[Peer client]
PublicKey = $client_key
Address = 203.0.113.2/32
EOC
    for file in client agent; do
        "$HAWSER" check "$dir/$file.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
    done
}

# hawser_path, wireguard_path: start the tunnel. *_stop: end it.
hawser_path() {
    bg agent hawserd-agent "$HAWSERD" "$LAB_DIR/hawser/agent.conf"
    wait_for 5 "the agent answers" um3n_status agent .pid
    bg client hawserd-client "$HAWSERD" "$LAB_DIR/hawser/client.conf"
    wait_for 10 "the path is active" um3n_active client eth0
}
hawser_stop() {
    bg_stop hawserd-client
    bg_stop hawserd-agent
}
# The names are those of sockets in /run/wireguard, which all namespaces share.
wireguard_end() { # HOST IF ADDRESS PORT
    bg "$1" "$2" wireguard-go -f "$2"
    wait_for 5 "$2 is there" test -S "/var/run/wireguard/$2.sock"
    on "$1" wg set "$2" private-key "$LAB_DIR/$1.wg" listen-port "$4" || lab_fail "wg set $2"
    ip -n "$(lab__ns "$1")" addr add "$3" dev "$2" || lab_fail "$2: address"
    ip -n "$(lab__ns "$1")" link set "$2" up || lab_fail "$2: up"
}
wireguard_path() {
    local h
    for h in client agent; do (umask 077 && wg genkey >"$LAB_DIR/$h.wg"); done
    wireguard_end client "c$$" 203.0.113.6/30 51821
    wireguard_end agent "a$$" 203.0.113.5/30 51822
    on client wg set "c$$" peer "$(wg pubkey <"$LAB_DIR/agent.wg")" allowed-ips 203.0.113.5/32,192.0.2.0/26 endpoint 198.51.100.2:51822
    on agent wg set "a$$" peer "$(wg pubkey <"$LAB_DIR/client.wg")" allowed-ips 203.0.113.6/32
    ip -n "$(lab__ns client)" route add 192.0.2.0/26 dev "c$$" || lab_fail "route to wireguard-go"
}
wireguard_stop() {
    bg_stop "c$$"
    bg_stop "a$$"
}

# sent IF: bytes that the client gave to it.
sent() {
    ip -n "$(lab__ns client)" -s -j link show dev "$1" | jq '.[0].stats64.tx.bytes'
}

# bare: packets of the flow that came to the agent by the veth itself, not sealed.
bare() {
    on agent nft -j list chain inet bench bare | jq '[.nftables[].rule.expr? // empty | .[] | .counter.packets? // empty] | add'
}

# measure KEY IF: adds to RATES and RTTS what goes by the client's interface IF.
measure() {
    local before rtt bare
    wait_for 10 "$1 carries packets" on client ping -c 1 -W 1 $SERVER
    rtt=$(on client ping -n -c 200 -i 0.01 $SERVER | sed -n 's/.*time=\([0-9.]*\) ms/\1/p')
    # shellcheck disable=SC2086
    set -- "$1" "$2" $rtt
    (($# > 180)) || lab_fail "$1: $(($# - 2)) of 200 pings were answered"
    RTTS[$1]+=" $(median "${@:3:$((($# - 3) / 2 * 2 + 1))}")"
    before=$(sent "$2") bare=$(bare)
    bg client iperf iperf3 -J -C cubic -c $SERVER -t 4 --get-server-output
    um3n_iperf_rate iperf
    # What the receiver counted in 3 s is less than the interface took in 4 s, or the flow went another way.
    assert "$1: the flow goes by $2" holds "$(sent "$2") - $before >= $RATE * 3 / 8 * 1e6"
    if [[ $1 == plain ]]; then
        assert "the count of bare packets counts" test "$(bare)" -gt "$bare"
    else
        assert "$1: no packet of the flow is bare" test "$(bare)" = "$bare"
    fi
    RATES[$1]+=" $(figure "$RATE / 1000" 3)"
}

hawser_config
for ((i = 0; i < ROUNDS; i++)); do
    measure plain eth0
    hawser_path
    measure hawser hawser0
    hawser_stop
    if command -v wireguard-go wg >/dev/null; then
        wireguard_path
        measure wireguard_go "c$$"
        wireguard_stop
    fi
done
for key in plain hawser wireguard_go; do
    [[ -n ${RATES[$key]-} ]] || continue
    # shellcheck disable=SC2086
    result $key "$(median ${RATES[$key]})" Gbit/s
    # shellcheck disable=SC2086
    result ${key}_worst "$(printf '%s\n' ${RATES[$key]} | sort -g | head -n 1)" Gbit/s
    # shellcheck disable=SC2086
    result ${key}_rtt "$(median ${RTTS[$key]})" ms
done
# shellcheck disable=SC2086
plain=$(median ${RTTS[plain]})
for key in hawser wireguard_go; do
    [[ -n ${RTTS[$key]-} ]] || continue
    # shellcheck disable=SC2086
    result ${key}_added_rtt "$(figure "$(median ${RTTS[$key]}) - $plain" 3)" ms
done
lab_done
