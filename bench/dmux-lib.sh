# shellcheck shell=bash
# bench/dmux-lib.sh - the ways of table II of the IPdmux paper (section VI), all up at once: IPv4 in IPv4, as there.
# Source it after lab_init.
#
#   c ------- x ------- r     x forwards; the server is an address of r, 192.0.5.5; g and k hang on x as well.
#            / \
#           g   k
#
#   way       scenario  c's source     what its packets pass
#   direct    1         198.51.100.3   nothing
#   capture   2         198.51.100.4   capture, and they leave as they were; answers come directly
#   short     4         198.51.100.10  capture, shim, router: no gateway between (bench/dmux-short.c)
#   whole     3         198.51.100.11  capture, shim, gateway g, router
#   kernel    3         198.51.100.12  capture, shim, gateway k, whose data path is in the kernel (XDP), router
#
# Which way a packet takes is decided by its source, so that ways take turns in one run. Capture is by queues of the
# kernel. c's further addresses .6 and .7 are those of the gateways' cores in the daemons of capture and short.
#
# dmux_ways_net; dmux_ways_start: builds all of it.

# shellcheck source-path=SCRIPTDIR source=../lab/dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=rounds-lib.sh
. "$LAB_TOP/bench/rounds-lib.sh"
DMUX_SHORT_PROGRAM=$HAWSER_BUILD/bench/bench-dmux-short
UDP_MIX=$HAWSER_BUILD/bench/bench-udp-mix
SERVER=192.0.5.5
# shellcheck disable=SC2034 # for scripts
WAYS=(direct capture short whole kernel)
declare -A SOURCE=([direct]=198.51.100.3 [capture]=198.51.100.4 [short]=198.51.100.10 [whole]=198.51.100.11
    [kernel]=198.51.100.12)

dmux_ways_net() {
    local n
    host c
    host g
    host k
    router x
    router r
    wire c:wan x:c 198.51.100.2/24 198.51.100.1/24
    wire g:wan x:g 10.0.1.2/30 10.0.1.1/30
    wire k:wan x:k 10.0.2.2/30 10.0.2.1/30
    wire r:wan x:r 203.0.113.2/24 203.0.113.1/24
    for n in 3 4 6 7 10 11 12; do lab__addr c wan 198.51.100.$n/24; done
    lab__addr r lo $SERVER/32
    default_route c 198.51.100.1
    default_route g 10.0.1.1
    default_route k 10.0.2.1
    default_route r 203.0.113.1
    ip -n "$(lab__ns x)" route add 192.0.2.0/24 via 10.0.1.2 || lab_fail "route of x"
    ip -n "$(lab__ns x)" route add 192.0.3.1/32 via 10.0.2.2 || lab_fail "route of x"
    ip -n "$(lab__ns x)" route add $SERVER/32 via 203.0.113.2 || lab_fail "route of x"
    dmux_keys
}

# dmux_ways_client NAME HOST ADDRESS PROGRAM LINE...: a client, until it has this address inside; the lines stand in
# [Client]. Its service is DMUX_SERVICE.
DMUX_SERVICE=192.0.2.1
dmux_ways_client() {
    local name=$1 host=$2 address=$3 program=$4
    cat >"$DMUX/$name.conf" <<EOC
[Client]
Protocol = ipv4
Gateway = $DMUX_SERVICE
Device = d$name
Control = $DMUX/$name.sock
$(printf '%s\n' "${@:5}")
EOC
    bg "$host" "dmuxd-$name" "$program" "$DMUX/$name.conf"
    wait_for 20 "the client $name has its address" dmux_says "$name" .address "$address"
}

# dmux_ways_short WAY CORE QUEUE: a client of c whose gateway's core, at the address CORE, is in its own process.
dmux_ways_short() {
    local way=$1 core=$2 what=$1
    [[ $way != short ]] || what=router
    dmux_gateway_conf "$way-core" "${core##*.}" "$core" 65000 65000
    DMUX_SHORT=$what DMUX_SHORT_GATEWAY=$DMUX/$way-core.conf DMUX_SHORT_CLIENT=${SOURCE[$way]} \
        dmux_ways_client "$way" c "${SOURCE[$way]}" "$DMUX_SHORT_PROGRAM" "Address = $core" "Port = 51821" \
        "Routes = 192.0.5.0/24" "Capture = queue" "Queue = $3"
}

# dmux_ways_mark HOST: packets that were captured once are not captured again (MARK of bench/dmux-short.c).
dmux_ways_mark() {
    on "$1" iptables -w -t mangle -I OUTPUT -m mark --mark 0x5821 -j ACCEPT || lab_skip "iptables has no mark"
}

# dmux_ways_kernel: k, the gateway of another service, 192.0.3.1.
dmux_ways_kernel() {
    local pass=$HAWSER_BUILD/bpf/veth_pass.bpf.o DMUX_DATA_PATH=('DataPath = xdp' 'Interface = wan')
    [[ -e $pass ]] || lab_skip "built without XDP"
    ip -n "$(lab__ns x)" link set dev k xdp object "$pass" section xdp || lab_skip "no XDP here"
    dmux_gateway_conf k 4 10.0.2.2 65000 65000
    sed -i 's/192\.0\.2\./192.0.3./' "$DMUX/k.conf"
    dmux_gateway_start k
}

# dmux_ways_served [GATEWAY...]: g and r, which registers there and with other gateways.
dmux_ways_served() {
    # What lab/dmux-lib.sh takes:
    # shellcheck disable=SC2034
    DMUX_PROTOCOL=ipv4
    need iptables iptables-restore
    dmux_gateway_alone g 1 10.0.1.2
    dmux_router r 198.51.100.8/29 "192.0.2.1$(printf ', %s' "$@")"
}

dmux_ways_start() {
    local way
    need iperf3
    dmux_ways_kernel
    dmux_ways_served 198.51.100.7 192.0.3.1
    dmux_ways_short capture 198.51.100.6 10
    dmux_ways_mark c
    dmux_ways_short short 198.51.100.7 12
    dmux_ways_client whole c "${SOURCE[whole]}" "$DMUXD" "Address = ${SOURCE[whole]}" \
        "Routes = 192.0.5.0/24" "Capture = queue" "Queue = 14"
    DMUX_SERVICE=192.0.3.1 dmux_ways_client kernel c "${SOURCE[kernel]}" "$DMUXD" "Address = ${SOURCE[kernel]}" \
        "Routes = 192.0.5.0/24" "Capture = queue" "Queue = 16"
    for way in whole kernel; do wait_for 10 "the client $way is served" dmux_says $way .state up; done
    wait_for 10 "the short one is" dmux_says short .state up
    dmux_ways_servers $SERVER
}

# dmux_ways_servers ADDRESS...: of r, at each: one for TCP, and an echo of UDP at port 5202.
dmux_ways_servers() {
    local address
    for address; do
        bg r "iperf3-$address" iperf3 -s -B "$address"
        bg r "echo-$address" "$UDP_MIX" sink "$address:5202"
    done
    wait_for 5 "the servers" dmux_ways_listen $#
}
dmux_ways_listen() {
    [[ $(on r ss -Hlnt sport = :5201 | wc -l) == "$1" && $(on r ss -Hlnu sport = :5202 | wc -l) == "$1" ]]
}

# dmux_ways_rtt HOST COUNT SERVER SOURCE...: of each source in turns, the median of so many round trips, us, one a line.
dmux_ways_rtt() {
    local host=$1 count=$2 server=$3
    shift 3
    on "$host" "$UDP_MIX" rtt "$count" "${@/%/=$server:5202}" >"$LAB_DIR/rtt" || lab_fail "$UDP_MIX"
    jq -es 'all(.[]; .p50 != null)' "$LAB_DIR/rtt" >"$(bg_log rtt)" || lab_fail "of $count datagrams too few came back: $(<"$LAB_DIR/rtt")"
    jq .p50 "$LAB_DIR/rtt"
}

# dmux_ways_tcp HOST SOURCE SERVER SECONDS OMITTED: what the server received of one flow of cubic, Mbit/s.
dmux_ways_tcp() {
    local doc
    doc=$(on "$1" iperf3 -J -C cubic -B "$2" -c "$3" -t "$4" -O "$5") || lab_fail "iperf3 from $2: $(jq -r .error <<<"$doc")"
    jq '.end.sum_received.bits_per_second / 1e6' <<<"$doc"
}
