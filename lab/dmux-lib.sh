# shellcheck shell=bash
# lab/dmux-lib.sh - protocol demultiplexing behind an anycast prefix, with BGP by BIRD 2. Source it after lab_init.
#
#       IPv4 only                                                        IPv6 only
#   c ------------- t1 ==================== t2 ------------- r1 ------------- s
#     198.51.100/24  |  AS 65001   10.0.0/30  |  AS 65002  \  203.0.113/24   /  2001:db8:51::/64, 52
#                    | 10.0.1/30              | 10.0.2/30    ---- r2 --------
#                    g1 AS 65011              g2 AS 65012         192.0.3/24
#
# g1 and g2 are gateways of 192.0.2.0/24 with the service address 192.0.2.1; r1 and r2 are routers of provider 100, which
# give IPv6 addresses of 2001:db8:100::/64 and 2001:db8:200::/64. Nothing between c and the routers knows of IPv6.

need bird ping jq ss
DMUXD=$HAWSER_BUILD/src/prog/hawser-dmuxd
HAWSER=$HAWSER_BUILD/src/prog/hawser
[[ -x $DMUXD ]] || lab_skip "$DMUXD is not built"
DMUX=$LAB_DIR/dmux

# Of the gateways and clients that are made from now on: the service address, whose /24 is announced; the gateways' secret;
# lines of their configuration that say which providers there are; and of routers, whose they are.
DMUX_SERVICE=192.0.2.1
DMUX_SECRET=secret
DMUX_PROVIDERS=''
DMUX_PROVIDER=100
DMUX_PROVIDER_KEY=provider.key

# dmux_bird HOST: starts BIRD with $DMUX/HOST.bird.
dmux_bird() {
    bg "$1" "bird-$1" bird -f -c "$DMUX/$1.bird" -s "$DMUX/$1.ctl" -P "$DMUX/$1.pid"
}

# dmux_birdc HOST WORD...: asks it.
dmux_birdc() {
    local host=$1
    shift
    birdc -s "$DMUX/$host.ctl" "$@"
}

# dmux__transit HOST ID AS "NEIGHBOUR AS"...: BIRD of a transit network: takes and passes on what it is told.
dmux__transit() {
    local host=$1 id=$2 as=$3 pair neighbor
    shift 3
    {
        printf 'router id %s;\nprotocol device { }\nprotocol direct { ipv4; }\n' "$id"
        printf 'protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }\n'
        printf 'protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }\n'
        for pair; do
            read -r neighbor theirs <<<"$pair"
            printf 'protocol bgp { local as %s; neighbor %s as %s; bfd on; hold time 9; keepalive time 3;\n' "$as" "$neighbor" "$theirs"
            printf ' connect retry time 1; connect delay time 1; error wait time 1, 4;\n'
            printf ' ipv4 { import all; export all; }; }\n'
        done
    } >"$DMUX/$host.bird"
    dmux_bird "$host"
}

# dmux_world: hosts, wires, transit networks, keys.
dmux_world() {
    local h
    mkdir -p "$DMUX"
    for h in c s g1 g2; do host "$h"; done
    for h in t1 t2 r1 r2; do router "$h"; done
    wire c:wan t1:c 198.51.100.2/24 198.51.100.1/24
    wire t1:t2 t2:t1 10.0.0.1/30 10.0.0.2/30
    wire g1:wan t1:g1 10.0.1.2/30 10.0.1.1/30
    wire g2:wan t2:g2 10.0.2.2/30 10.0.2.1/30
    wire r1:wan t2:r1 203.0.113.2/24 203.0.113.1/24
    wire r2:wan t2:r2 192.0.3.2/24 192.0.3.1/24
    wire r1:lan s:r1 2001:db8:51::1/64 2001:db8:51::2/64
    wire r2:lan s:r2 2001:db8:52::1/64 2001:db8:52::2/64
    # Whoever forwards asks for its neighbours from a link-local address, which hosts of the lab do not make themselves.
    for h in r1 r2; do
        ip -n "$(lab__ns "$h")" addr add fe80::1/64 dev lan nodad || lab_fail "link-local address of $h"
        ip -n "$(lab__ns s)" addr add fe80::2/64 dev "$h" nodad || lab_fail "link-local address of s"
    done
    default_route c 198.51.100.1
    default_route g1 10.0.1.1
    default_route g2 10.0.2.1
    default_route r1 203.0.113.1
    default_route r2 192.0.3.1
    # The server is reached at either address by way of either router's network, and answers each by its own.
    ip -n "$(lab__ns s)" -6 route add 2001:db8:100::/64 via 2001:db8:51::1 || lab_fail "route of s"
    ip -n "$(lab__ns s)" -6 route add 2001:db8:200::/64 via 2001:db8:52::1 || lab_fail "route of s"
    ip -n "$(lab__ns s)" -6 addr add 2001:db8:5::5/128 dev lo || lab_fail "address of s"
    ip -n "$(lab__ns r1)" -6 route add 2001:db8:5::5/128 via 2001:db8:51::2 || lab_fail "route of r1"
    ip -n "$(lab__ns r2)" -6 route add 2001:db8:5::5/128 via 2001:db8:52::2 || lab_fail "route of r2"
    dmux__transit t1 10.0.0.1 65001 "10.0.0.2 65002" "10.0.1.2 65011"
    dmux__transit t2 10.0.0.2 65002 "10.0.0.1 65001" "10.0.2.2 65012"
    dmux_keys
}

# dmux_keys: the provider's, and the gateways' secret.
dmux_keys() {
    mkdir -p "$DMUX"
    "$HAWSER" keygen "$DMUX/provider.key" >"$DMUX/provider.pub" || lab_fail "keygen"
    (umask 077 && head -c 32 /dev/urandom | base64 >"$DMUX/secret") || lab_fail "secret"
}

# Lines of [Gateway] for the data path.
DMUX_DATA_PATH=()

# dmux_xdp: gateways that are made from now on pass packets in the kernel. What is sent by XDP into a veth arrives only if
# there is a program at its other end.
dmux_xdp() {
    local pass=$HAWSER_BUILD/bpf/veth_pass.bpf.o
    [[ -e $pass ]] || lab_skip "built without XDP"
    DMUX_DATA_PATH=('DataPath = xdp' 'Interface = wan')
    ip -n "$(lab__ns t1)" link set dev g1 xdp object "$pass" section xdp || lab_skip "no XDP here"
    ip -n "$(lab__ns t2)" link set dev g2 xdp object "$pass" section xdp || lab_skip "no XDP here"
}

# dmux__enrol OPTION HOST ID...: a realm, keys and certificates.
dmux__enrol() {
    local option=$1
    shift
    "$HAWSER" realm init "$DMUX/realm" lab.example >/dev/null || lab_fail "realm"
    while (($# > 0)); do
        "$HAWSER" id new "$DMUX/$1.key" >/dev/null || lab_fail "key of $1"
        "$HAWSER" realm enrol "$DMUX/realm" "dmux-gateway-$2.s" "$("$HAWSER" id show "$DMUX/$1.key" --json | jq -r .public)" \
            "$DMUX/$1.chain" ${option:+"$option"} >/dev/null || lab_fail "certificate of $1"
        shift 2
    done
}

# dmux_managers HOST ADDRESS GATEWAY ID...: the realm's manager, by which gateways that are made from now on find each
# other; they have no seed.
dmux_managers() {
    local at=$1 address=$2
    shift 2
    dmux__enrol --serves "$@"
    "$HAWSER" realm policy "$DMUX/realm" 2001:3f::/32=full >/dev/null || lab_fail "policy"
    printf '[Realm]\nDirectory = %s\nListen = %s:51823\nControl = %s\n' "$DMUX/realm" "$address" "$DMUX/realmd.sock" >"$DMUX/realmd"
    bg "$at" realmd "$HAWSER_BUILD/src/prog/hawser-realmd" "$DMUX/realmd"
    wait_for 5 "the manager listens" listening "$at" udp 51823
    DMUX_MESH="Root = $("$HAWSER" id show "$DMUX/realm/key" --json | jq -r .ed25519)
Realm = lab.example
Managers = $address:51823"
}

# dmux_bindings COUNT: the manager has so many.
dmux_bindings() {
    test "$("$HAWSER" realm status "$DMUX/realmd.sock" --json | jq .live)" = "$1"
}

# dmux_mesh HOST ID...: keys and certificates of gateways that are made from now on; the first is everybody's seed.
DMUX_MESH=''
dmux_mesh() {
    local first=$1 address
    address=$(ip -n "$(lab__ns "$1")" -j addr show dev wan | jq -r '[.[0].addr_info[] | select(.family == "inet")][0].local')
    dmux__enrol '' "$@"
    DMUX_MESH="Root = $("$HAWSER" id show "$DMUX/realm/key" --json | jq -r .ed25519)
Realm = lab.example
[Seed first]
Address = $address
PublicKey = $("$HAWSER" id show "$DMUX/$first.key" --json | jq -r .public)"
}

# dmux_gateway_alone HOST ID ADDRESS: the daemon without BIRD.
dmux_gateway_alone() {
    dmux_gateway_conf "$1" "$2" "$3" 65000 65000
    dmux_gateway_start "$1"
}

# dmux_gateway HOST ID ADDRESS AS NEIGHBOUR-AS: its files, the daemon and BIRD.
dmux_gateway() {
    dmux_gateway_conf "$@"
    "$DMUXD" bird-config "$DMUX/$1.conf" >"$DMUX/$1.bird" || lab_fail "bird-config"
    dmux_bird "$1"
    dmux_gateway_start "$1"
}

# dmux_gateway_conf HOST ID ADDRESS AS NEIGHBOUR-AS: its files alone.
dmux_gateway_conf() {
    local host=$1 id=$2 address=$3 as=$4 neighbor=$5
    cat >"$DMUX/$host.conf" <<EOC
[Gateway]
Id = $id
Service = $DMUX_SERVICE
Prefix = ${DMUX_SERVICE%.*}.0/24
Address = $address
SecretFile = $DMUX/$DMUX_SECRET
Control = $DMUX/$host.sock
$(printf '%s\n' "${DMUX_DATA_PATH[@]}")
${DMUX_PROVIDERS:-[Provider six]
Id = 100
PublicKey = $(<"$DMUX/provider.pub")
Protocols = ipv6, ipv4, mirror, hawser}
$([[ -z $DMUX_MESH ]] || printf '[Mesh]\nKeyFile = %s\nChainFile = %s\n%s\n' "$DMUX/$host.key" "$DMUX/$host.chain" "$DMUX_MESH")
[Bgp]
As = $as
[Neighbor up]
Address = ${address%.*}.1
As = $neighbor
EOC
}

dmux_gateway_start() {
    bg "$1" "dmuxd-$1" "$DMUXD" "$DMUX/$1.conf"
    wait_for 5 "the gateway $1 answers" dmux_status "$1" .pid
}

# The protocol of routers and clients.
DMUX_PROTOCOL=ipv6
# What a client sends into its device.
DMUX_ROUTES="::/0, 10.77.0.0/16"

# dmux_router HOST PREFIX GATEWAYS [LINE...]: and its daemon; PREFIX - for none; the lines stand in [Router], whose end
# they are.
dmux_router() {
    local clients="Clients = $2"
    [[ $2 != - ]] || clients=''
    cat >"$DMUX/$1.conf" <<EOC
[Router]
Protocol = $DMUX_PROTOCOL
Provider = $DMUX_PROVIDER
KeyFile = $DMUX/$DMUX_PROVIDER_KEY
Gateways = $3
$clients
Control = $DMUX/$1.sock
$(printf '%s\n' "${@:4}")
EOC
    bg "$1" "dmuxd-$1" "$DMUXD" "$DMUX/$1.conf"
    wait_for 5 "the router $1 answers" dmux_status "$1" .pid
}

# dmux_client HOST [LINE...]: and its daemon; the lines stand at the end of [Client].
dmux_client() {
    cat >"$DMUX/$1.conf" <<EOC
[Client]
Protocol = $DMUX_PROTOCOL
Gateway = $DMUX_SERVICE
Routes = $DMUX_ROUTES
Control = $DMUX/$1.sock
$(printf '%s\n' "${@:2}")
EOC
    bg "$1" "dmuxd-$1" "$DMUXD" "$DMUX/$1.conf"
    wait_for 5 "the client $1 answers" dmux_status "$1" .pid
}

# dmux_ask HOST VERB: one request to the daemon of that host; the answer.
dmux_ask() {
    "$HAWSER" dmux "$2" "$DMUX/$1.sock" --json
}

# dmux_status HOST FILTER: jq -r over its status.
dmux_status() {
    local doc
    doc=$(dmux_ask "$1" status) || [[ $? == 3 ]] || return 1
    jq -r "$2" <<<"$doc"
}

# dmux_says HOST FILTER VALUE: a condition for wait_for.
dmux_says() {
    local now
    now=$(dmux_status "$1" "$2") || return 1
    echo "$2: $now"
    [[ $now == "$3" ]]
}

# dmux_announced HOST GATEWAY: does the transit network have the prefix by way of it?
dmux_announced() {
    dmux_birdc "$1" show route "${DMUX_SERVICE%.*}.0/24" primary | grep -q "via $2 "
}
