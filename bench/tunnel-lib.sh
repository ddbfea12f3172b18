# shellcheck shell=bash
# bench/tunnel-lib.sh - one path that is not shaped, and eight ways over it, all up at once. Source it, then lab_init.
#
#   client:eth0 ---------------- agent:eth0    agent:eth1 ---------------- server:eth0
#   198.51.100.1/30  veth  198.51.100.2/30     192.0.2.1/26     veth       192.0.2.10 to .17 /26
#
#   way            server      client          agent           port    sealed with
#   plain          .10                                                 nothing: the veth itself
#   bare           .11         203.0.113.10    203.0.113.9     51811   AES-256-GCM; bench/bare-loop.c, the limit
#   hawser         .12         203.0.113.2     203.0.113.1     51820   AES-256-GCM
#   wireguard_go   .13         203.0.113.14    203.0.113.13    51813   ChaCha20-Poly1305, it has no other
#   openvpn        .14         203.0.113.18    203.0.113.17    51814   AES-256-GCM
#   fastd          .15         203.0.113.22    203.0.113.21    51815   aes128-ctr+umac: the fastest of its methods
#   tinc           .16         203.0.113.26    203.0.113.25    51816   AES-128-CBC, SHA-1: cheaper than its defaults
#   split          .17         as hawser, whose rule for that server says split (tunnel-path.sh alone)
#
# Which way a packet takes is decided by the server's address, so that ways can take turns packet by packet. The inner
# MTU is 1400 for all, and a TUN's queue 1000 packets (OpenVPN's manual names it; 500 is the kernel's). The peers are those of Debian 12, each tuned as far as its manual goes: large socket buffers
# (Hawser asks for 4 MiB too), OpenVPN's fast-io, no compression. None of them uses the offloads of TUN and UDP.
#
# tunnel_net; tunnel_start OFFLOAD: builds all of it; WAYS are those that are there, PEERS the peers among them. A peer
# that is not installed is a result "not installed" instead of figures.

# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
[[ -n ${LAB_LIB-} ]] || . "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lab/lib.sh"
# shellcheck source=../lab/pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=rounds-lib.sh
. "$LAB_TOP/bench/rounds-lib.sh"
BARE_LOOP=${BARE_LOOP:-$HAWSER_BUILD/bench/bench-bare-loop}
UDP_MIX=${UDP_MIX:-$HAWSER_BUILD/bench/bench-udp-mix}
SOCKET_BYTES=4194304
WAYS=(plain bare hawser)
PEERS=()
declare -A SERVER=([plain]=192.0.2.10 [bare]=192.0.2.11 [hawser]=192.0.2.12 [wireguard_go]=192.0.2.13
    [openvpn]=192.0.2.14 [fastd]=192.0.2.15 [tinc]=192.0.2.16 [split]=192.0.2.17)
# The client's interface of each way. WireGuard's names are those of sockets in /run/wireguard, which all hosts share.
declare -A DEVICE=([plain]=eth0 [bare]=bare0 [hawser]=hawser0 [wireguard_go]=c$$ [openvpn]=openvpn0 [fastd]=fastd0 [tinc]=tinc0 [split]=hawser0)

tunnel_net() {
    local n
    host client
    router agent
    host server
    wire client:eth0 agent:eth0 198.51.100.1/30 198.51.100.2/30
    wire agent:eth1 server:eth0 192.0.2.1/26 192.0.2.10/26
    for n in 11 12 13 14 15 16 17; do lab__addr server eth0 192.0.2.$n/26; done
    default_route client 198.51.100.2
    default_route server 192.0.2.1
    # Packets of a measurement that come by the veth itself.
    on agent nft 'table inet bench { chain bare { type filter hook prerouting priority -400;
        iifname "eth0" meta l4proto { tcp, udp } th dport { 5201, 5202 } counter; }; }' || lab_fail "nft"
}

# tunnel_end HOST IF ADDRESS PEER: an address on a device that a daemon made; the client's way to its server.
tunnel_end() {
    wait_for 10 "$1 has $2" ip -n "$(lab__ns "$1")" link show dev "$2"
    ip -n "$(lab__ns "$1")" link set dev "$2" mtu 1400 txqueuelen 1000 up || lab_fail "$1: $2 up"
    ip -n "$(lab__ns "$1")" addr replace "$3" peer "$4" dev "$2" || lab_fail "$1: address of $2"
}
tunnel_route() { # WAY
    ip -n "$(lab__ns client)" route replace "${SERVER[$1]}/32" dev "${DEVICE[$1]}" || lab_fail "route of $1"
}

hawser_start() { # OFFLOAD
    local h
    NODE_LINES=("Routes = ${SERVER[hawser]}/32, ${SERVER[split]}/32" "Offload = $1" "Rule = ${SERVER[split]}/32 mode split")
    AGENT_LINES=("Offload = $1")
    pair_config client agent 198.51.100.2:51820 203.0.113.1/30 203.0.113.2/32 eth0
    pair_start client agent eth0
    for h in client agent; do ip -n "$(lab__ns $h)" link set dev hawser0 txqueuelen 1000; done
    tunnel_route hawser
    tunnel_route split
}

bare_start() { # OFFLOAD
    local offload=$1
    [[ $offload != yes ]] || offload=csum,tso,uso,gso,gro
    bg client bare-client "$BARE_LOOP" --tun bare0 --offload "$offload" 198.51.100.1:51811 198.51.100.2:51811
    bg agent bare-agent "$BARE_LOOP" --tun bare0 --offload "$offload" --second 198.51.100.2:51811 198.51.100.1:51811
    tunnel_end client bare0 203.0.113.10 203.0.113.9
    tunnel_end agent bare0 203.0.113.9 203.0.113.10
    tunnel_route bare
}

wireguard_go_end() { # HOST IF
    bg "$1" "$2" wireguard-go -f "$2"
    wait_for 5 "$2 is there" test -S "/var/run/wireguard/$2.sock"
    on "$1" wg set "$2" private-key "$LAB_DIR/$1.wg" listen-port 51813 || lab_fail "wg set $2"
}
wireguard_go_start() {
    local h
    for h in client agent; do (umask 077 && wg genkey >"$LAB_DIR/$h.wg"); done
    wireguard_go_end client "c$$"
    wireguard_go_end agent "a$$"
    on client wg set "c$$" peer "$(wg pubkey <"$LAB_DIR/agent.wg")" allowed-ips "203.0.113.13/32,${SERVER[wireguard_go]}/32" \
        endpoint 198.51.100.2:51813
    on agent wg set "a$$" peer "$(wg pubkey <"$LAB_DIR/client.wg")" allowed-ips 203.0.113.14/32
    tunnel_end client "c$$" 203.0.113.14 203.0.113.13
    tunnel_end agent "a$$" 203.0.113.13 203.0.113.14
    tunnel_route wireguard_go
}

openvpn_end() { # HOST ROLE LOCAL REMOTE FINGERPRINT
    bg "$1" "openvpn-$1" openvpn --dev openvpn0 --dev-type tun --proto udp --local "$3" --remote "$4" --port 51814 \
        --tls-"$2" --dh none --cert "$LAB_DIR/$1.crt" --key "$LAB_DIR/$1.pem" --peer-fingerprint "$5" \
        --data-ciphers AES-256-GCM --tun-mtu 1400 --mssfix 0 --fast-io --sndbuf $SOCKET_BYTES --rcvbuf $SOCKET_BYTES \
        --allow-compression no --verb 3
}
openvpn_start() {
    local h
    declare -A print
    for h in client agent; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$h" \
            -keyout "$LAB_DIR/$h.pem" -out "$LAB_DIR/$h.crt" 2>"$(bg_log openssl)" || lab_fail "openssl: $(<"$(bg_log openssl)")"
        print[$h]=$(openssl x509 -in "$LAB_DIR/$h.crt" -noout -fingerprint -sha256 | sed 's/.*=//')
    done
    openvpn_end agent server 198.51.100.2 198.51.100.1 "${print[client]}"
    openvpn_end client client 198.51.100.1 198.51.100.2 "${print[agent]}"
    tunnel_end client openvpn0 203.0.113.18 203.0.113.17
    tunnel_end agent openvpn0 203.0.113.17 203.0.113.18
    tunnel_route openvpn
}

fastd_end() { # HOST LOCAL REMOTE SECRET PEER_KEY
    cat >"$LAB_DIR/fastd-$1.conf" <<EOC
mode tun;
interface "fastd0";
bind $2:51815;
mtu 1400;
method "${FASTD_METHOD:-aes128-ctr+umac}";
secret "$4";
peer "other" {
    key "$5";
    ${3:+remote $3:51815;}
}
EOC
    bg "$1" "fastd-$1" fastd --config "$LAB_DIR/fastd-$1.conf"
    wait_for 5 "fastd of $1 listens" listening "$1" udp 51815
}
fastd_start() {
    local h
    declare -A secret public
    for h in client agent; do
        read -r secret[$h] public[$h] < <(fastd --generate-key --machine-readable 2>/dev/null | tr '\n' ' ')
        if [[ -z ${public[$h]} ]]; then
            echo "secret \"${secret[$h]}\";" >"$LAB_DIR/fastd-key"
            public[$h]=$(fastd --config "$LAB_DIR/fastd-key" --show-key --machine-readable 2>/dev/null)
        fi
    done
    # One side calls, when the other listens: a handshake that nobody hears is made again only after 20 s.
    fastd_end agent 198.51.100.2 '' "${secret[agent]}" "${public[client]}"
    fastd_end client 198.51.100.1 198.51.100.2 "${secret[client]}" "${public[agent]}"
    tunnel_end client fastd0 203.0.113.22 203.0.113.21
    tunnel_end agent fastd0 203.0.113.21 203.0.113.22
    tunnel_route fastd
}

tinc_files() { # HOST ADDRESS SUBNET...
    local dir=$LAB_DIR/tinc-$1 name=$1 address=$2
    shift 2
    mkdir -p "$dir/hosts"
    cat >"$dir/tinc.conf" <<EOC
Name = $name
Interface = tinc0
AddressFamily = ipv4
BindToAddress = $address
UDPRcvBuf = $SOCKET_BYTES
UDPSndBuf = $SOCKET_BYTES
ReplayWindow = 1024
EOC
    {
        printf 'Address = %s\nPort = 51816\nCipher = aes-128-cbc\nDigest = sha1\nClampMSS = no\n' "$address"
        printf 'Subnet = %s\n' "$@"
    } >"$dir/hosts/$name"
    tincd -c "$dir" -K2048 </dev/null >"$(bg_log tinc-key)" 2>&1 || lab_fail "tincd -K: $(<"$(bg_log tinc-key)")"
}
tinc_start() {
    tinc_files client 198.51.100.1 203.0.113.26/32
    tinc_files agent 198.51.100.2 203.0.113.25/32 "${SERVER[tinc]}/32"
    echo "ConnectTo = agent" >>"$LAB_DIR/tinc-client/tinc.conf"
    cp "$LAB_DIR/tinc-client/hosts/client" "$LAB_DIR/tinc-agent/hosts/"
    cp "$LAB_DIR/tinc-agent/hosts/agent" "$LAB_DIR/tinc-client/hosts/"
    bg agent tinc-agent tincd -c "$LAB_DIR/tinc-agent" -D -d2 --pidfile="$LAB_DIR/tinc-agent.pid"
    tunnel_end agent tinc0 203.0.113.25 203.0.113.26
    bg client tinc-client tincd -c "$LAB_DIR/tinc-client" -D -d2 --pidfile="$LAB_DIR/tinc-client.pid"
    tunnel_end client tinc0 203.0.113.26 203.0.113.25
    tunnel_route tinc
}

# tunnel_carries WAY: whole packets go by it, by its own device.
tunnel_carries() {
    on client ping -n -c 1 -W 1 -M "do" -s 1372 "${SERVER[$1]}"
}

tunnel_start() { # OFFLOAD
    local way
    [[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
    need iperf3 jq nft ethtool
    hawser_start "$1"
    bare_start "$1"
    for way in wireguard_go openvpn fastd tinc; do
        if ! tunnel_has "$way"; then
            tunnel_missing "$way"
            continue
        fi
        "${way}_start"
        PEERS+=("$way")
        WAYS+=("$way")
    done
    for way in "${WAYS[@]}"; do wait_for 30 "$way carries packets" tunnel_carries "$way"; done
}

# tunnel_missing WAY: instead of its figures. KEYS is what a scenario calls them, WAY for the way's name.
KEYS=(WAY)
tunnel_missing() {
    local key
    for key in "${KEYS[@]}"; do result "${key/WAY/$1}" "not installed"; done
}

# tunnel_has WAY: is what it needs installed?
tunnel_has() {
    case $1 in
    wireguard_go) command -v wireguard-go && command -v wg ;;
    openvpn) command -v openvpn && command -v openssl ;;
    fastd) command -v fastd ;;
    tinc) command -v tincd ;;
    esac >/dev/null
}

# tunnel_sent WAY: bytes that the client gave to its device. tunnel_bare: packets that came by the veth itself.
tunnel_sent() {
    ip -n "$(lab__ns client)" -s -j link show dev "${DEVICE[$1]}" | jq '.[0].stats64.tx.bytes'
}
tunnel_bare() {
    on agent nft -j list chain inet bench bare | jq '[.nftables[].rule.expr? // empty | .[] | .counter.packets? // empty] | add'
}

# tunnel_spent WAY: ms of processor time that its two daemons have had, in the kernel too; nothing for plain. Unlike a
# rate it hardly depends on what else the machine does.
tunnel_spent() {
    local name names=("$1-client" "$1-agent") pid stat all=0 hz
    case $1 in
    plain) return ;;
    hawser | split) names=(hawserd-client hawserd-agent) ;;
    wireguard_go) names=("c$$" "a$$") ;;
    esac
    hz=$(getconf CLK_TCK)
    for name in "${names[@]}"; do
        pid=$(bg_pid "$name")
        read -r stat <"/proc/$pid/stat" || lab_fail "$name has gone"
        stat=${stat##*) }
        # shellcheck disable=SC2086
        set -- $stat
        all=$((all + (${12} + ${13}) * 1000 / hz))
    done
    echo "$all"
}

# tunnel_way WAY CMD...: runs it and fails unless its packets went by WAY and no other.
tunnel_way() {
    local way=$1 sent bare
    shift
    sent=$(tunnel_sent "$way") bare=$(tunnel_bare)
    "$@"
    assert "$way: packets go by ${DEVICE[$way]}" holds "$(tunnel_sent "$way") > $sent + 100000"
    if [[ $way == plain ]]; then
        assert "the count of bare packets counts" test "$(tunnel_bare)" -gt "$bare"
    else
        assert "$way: no packet is bare" test "$(tunnel_bare)" = "$bare"
    fi
}

# tunnel_ratios A B: for each round, the figure of A over that of B. FIGURES[WAY] is the list of a way's figures.
tunnel_ratios() {
    paste -d ' ' <(tr -s ' ' '\n' <<<"${FIGURES[$1]# }") <(tr -s ' ' '\n' <<<"${FIGURES[$2]# }") |
        awk 'NF == 2 { printf "%.4f\n", ($2 > 0 ? $1 / $2 : 0) }'
}

# tunnel_told PREFIX UNIT more|less: FIGURES of each way.
tunnel_told() {
    local way
    for way in "${WAYS[@]}"; do
        # shellcheck disable=SC2086
        [[ -z ${FIGURES[$way]-} ]] || told "$1$way" "$2" "$3" 3 ${FIGURES[$way]}
    done
}

# tunnel_compared PREFIX: Hawser's FIGURES, of which more is better: PREFIXof_bare, in %, and PREFIXof_peer, as a
# multiple of the peer with the highest median (PREFIXbest_peer). Both are medians of the rounds' own ratios.
tunnel_compared() {
    local way best='' ratios
    # shellcheck disable=SC2086
    for way in "${PEERS[@]}"; do
        [[ -n $best ]] && holds "$(median ${FIGURES[$way]}) <= $(median ${FIGURES[$best]})" || best=$way
    done
    mapfile -t ratios < <(tunnel_ratios hawser bare)
    told "$1of_bare" % more 1 "${ratios[@]/%/ * 100}"
    [[ -n $best ]] || return 0
    mapfile -t ratios < <(tunnel_ratios hawser "$best")
    told "$1of_peer" x more 2 "${ratios[@]}"
    result "$1best_peer" "$best"
}

# tunnel_sinks: one for the server's address of each way, since the source of an answer must be that address.
tunnel_sinks() {
    local way
    for way in "${WAYS[@]}"; do
        bg server "sink-$way" "$UDP_MIX" sink "${SERVER[$way]}:5202"
    done
    wait_for 5 "the sinks listen" tunnel_sinks_listen
}
tunnel_sinks_listen() {
    [[ $(on server ss -Hlnu sport = :5202 | wc -l) == "${#WAYS[@]}" ]]
}
