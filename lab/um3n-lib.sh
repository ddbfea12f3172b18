# shellcheck shell=bash
# lab/um3n-lib.sh - the phone of the UM3N paper, its two providers, a home agent and two servers. Source it after
# lib.sh and lab_init.
#
#                     provider of the WiFi
#   phone            .-----------------.
#   wlan0 10.1.0.2 ==| 10.1.0.1 (NAT) |-- 198.51.100.1/30 --.                .-- 198.51.100.8/29 -- agent .10 .11 .12
#                    '-----------------'                     |               |
#                     provider of the 3G                    core ------------+-- 192.0.2.0/26 ----- server1 .10 .11 .12
#                    .-----------------.                     |               |
#   wwan0 10.2.0.2 ==| 10.2.0.1 (NAT) |-- 198.51.100.5/30 --'                '-- 192.0.2.128/26 --- server2 .130
#                    '-----------------'
#   hawser0 203.0.113.2 . . . . . . . . . . . . . . . . . . . . the home network 203.0.113.0/24 . . . 203.0.113.1
#
# == WiFi 14.67 Mbit/s and 30 ms, 3G 3.61 Mbit/s and 100 ms of round trip (both ways the same rate); -- plain wires.
#
# What a server's address means, in the phone's and so in the agent's table:
#   192.0.2.10    server1, by WiFi            192.0.2.130   server2, by 3G        (the paper's static table)
#   192.0.2.11    server1, striped            192.0.2.12    server1, redundant: each packet on both links
#
# The home address is a real one: servers reach the phone by it, and the agent translates nothing. The agent's file
# announces .11 beside .10; the core's route to the home network goes by .12, so that the others may go.

# shellcheck source-path=SCRIPTDIR source=lib.sh
[[ -n ${LAB_LIB-} ]] || . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck source-path=SCRIPTDIR source=pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
PROBE=${PROBE:-$HAWSER_BUILD/lab/hawser-probe}

UM3N_WLAN=${UM3N_WLAN:-rate=14.67mbit delay=15ms}
UM3N_WWAN=${UM3N_WWAN:-rate=3.61mbit delay=50ms}
UM3N_HOME=203.0.113.2
UM3N_AGENT=203.0.113.1
UM3N_VIA_WLAN=192.0.2.10
UM3N_STRIPED=192.0.2.11
UM3N_REDUNDANT=192.0.2.12
UM3N_VIA_WWAN=192.0.2.130

# um3n_net: hosts, links and NATs.
um3n_net() {
    host phone
    router wifi
    router cell
    router core
    router agent
    lab__sysctl agent ipv4/conf/all/promote_secondaries=1
    host server1
    host server2
    link phone:wlan0 wifi:in 10.1.0.2/24 10.1.0.1/24 both="$UM3N_WLAN"
    link phone:wwan0 cell:in 10.2.0.2/24 10.2.0.1/24 both="$UM3N_WWAN"
    wire wifi:out core:wifi 198.51.100.1/30 198.51.100.2/30
    wire cell:out core:cell 198.51.100.5/30 198.51.100.6/30
    wire agent:eth0 core:agent 198.51.100.10/29 198.51.100.9/29
    wire server1:eth0 core:server1 192.0.2.10/26 192.0.2.1/26
    wire server2:eth0 core:server2 192.0.2.130/26 192.0.2.129/26
    lab__addr agent eth0 198.51.100.11/29
    lab__addr agent eth0 198.51.100.12/29
    lab__addr server1 eth0 192.0.2.11/26
    lab__addr server1 eth0 192.0.2.12/26
    default_route phone 10.1.0.1 wlan0 100
    default_route phone 10.2.0.1 wwan0 600
    default_route wifi 198.51.100.2
    default_route cell 198.51.100.6
    default_route agent 198.51.100.9
    default_route server1 192.0.2.1
    default_route server2 192.0.2.129
    ip -n "$(lab__ns core)" route add 203.0.113.0/24 via 198.51.100.12
    nat wifi out
    nat cell out
}

# um3n_config [LINE...]: keys and both files; the lines go to the end of the phone's [Interface] section.
um3n_config() {
    NODE_LINES=('Mode = stripe'
        "Rule = $UM3N_VIA_WLAN/32 via wlan0 mode active-standby"
        "Rule = $UM3N_VIA_WWAN/32 via wwan0 mode active-standby"
        "Rule = $UM3N_REDUNDANT/32 mode redundant" "$@")
    AGENT_LINES=('Announce = 198.51.100.11:51820')
    pair_config phone agent 198.51.100.10:51820 $UM3N_AGENT/24 $UM3N_HOME/32 wlan0 wwan0
}

um3n_up() {
    wait_for 10 "both links of the phone are active" pair_active phone wlan0 wwan0
    wait_for 10 "the agent has both paths" pair_paths agent 2
}

# shellcheck disable=SC2120
# um3n_start [LINE...]: everything from the hosts to both paths active. Lines as for um3n_config.
um3n_start() {
    need jq conntrack nft
    [[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
    um3n_net
    um3n_config "$@"
    pair_daemon agent
    wait_for 5 "the agent answers" pair_status agent .pid
    pair_daemon phone
    um3n_up
    wait_for 5 "the tunnel carries packets" on phone ping -c 1 -W 1 "$UM3N_STRIPED"
}

# um3n_away carrier|blackhole|planned, um3n_back ...: the WiFi goes and comes back.
um3n_away() {
    case $1 in
    carrier) carrier_down phone:wlan0 wifi:in ;;
    blackhole) blackhole phone:wlan0 wifi:in on ;;
    planned) pair_ask phone link wlan0 down >/dev/null || lab_fail "hawser link wlan0 down" ;;
    esac
}
um3n_back() {
    case $1 in
    carrier) carrier_up phone:wlan0 wifi:in ;;
    blackhole) blackhole phone:wlan0 wifi:in off ;;
    planned) pair_ask phone link wlan0 up >/dev/null || lab_fail "hawser link wlan0 up" ;;
    esac
    # A blackhole looks like nothing until the path is tried again.
    wait_for 15 "both links are active again" pair_active phone wlan0 wwan0
}

# um3n_restore: the WiFi as it was, whatever was done to it; nobody waits for anything.
um3n_restore() {
    carrier_up phone:wlan0 wifi:in
    blackhole phone:wlan0 wifi:in off
}

# um3n_fresh: a phone that has not just seen a fault: links that flap are kept away for longer and longer.
um3n_fresh() {
    um3n_restore
    bg_stop hawserd-phone
    pair_daemon phone
    um3n_up
}

# um3n_interrupt KIND up|down ADDR NAME: a stream, and in its middle the WiFi goes (um3n_away); figures by um3n_figure.
# The kernel tells of at most one change of carrier a second (its linkwatch), and a new TUN device is one: it is given
# that time, so that the daemon is told of the loss when it comes.
um3n_interrupt() {
    um3n_stream "$2" "$3" 2.4 "$4"
    nap 1.6
    um3n_away "$1"
    bg_wait "$4"
}

# um3n_gaps KIND COUNT [load]: the longest gaps of COUNT streams, alternately down and up, each met by one fault; sets
# GAPS (ms), LOST, DUPLICATES. With `load`, a TCP flow (cubic) runs the same way.
um3n_gaps() {
    local i way
    GAPS=() LOST=0 DUPLICATES=0
    for ((i = 0; i < $2; i++)); do
        way=down
        ((i % 2 == 0)) || way=up
        um3n_fresh
        if [[ -n ${3-} ]]; then
            um3n_iperf "$way" "$UM3N_STRIPED" 4 load
            nap 0.5
        fi
        um3n_interrupt "$1" "$way" "${UM3N_STREAM_TO:-$UM3N_STRIPED}" gap
        GAPS+=("$(um3n_figure gap gap_ms)")
        LOST=$((LOST + $(um3n_figure gap lost)))
        DUPLICATES=$((DUPLICATES + $(um3n_figure gap duplicates)))
        [[ -z ${3-} ]] || bg_wait load
    done
}

# um3n_stream up|down ADDR SECONDS NAME [pps]: 500 datagrams a second between the phone and a server at ADDR, in the
# background; the figures go to "$(bg_log NAME)". bg_wait NAME-to waits for the end.
um3n_stream() {
    local direction=$1 addr=$2 seconds=$3 name=$4 server=server1 port
    [[ $addr != "$UM3N_VIA_WWAN" ]] || server=server2
    port=$((20000 + RANDOM % 10000))
    if [[ $direction == up ]]; then
        bg "$server" "$name" "$PROBE" recv "$addr:$port"
        wait_for 5 "the receiver listens" listening "$server" udp "$port"
        bg phone "$name-from" "$PROBE" send "$addr:$port" --pps "${5:-500}" --seconds "$seconds"
    else
        # The source address decides at the agent.
        bg phone "$name" "$PROBE" recv "$UM3N_HOME:$port"
        wait_for 5 "the receiver listens" listening phone udp "$port"
        bg "$server" "$name-from" "$PROBE" send "$UM3N_HOME:$port" --source "$addr" --pps "${5:-500}" --seconds "$seconds"
    fi
}

# um3n_figure NAME KEY: of a measurement that ended.
um3n_figure() {
    jq -r ".$2" "$(bg_log "$1")"
}

# um3n_iperf up|down ADDR SECONDS NAME: one TCP flow (cubic) in the background, UM3N_OMIT seconds (1) longer.
# um3n_iperf_rate NAME: waits for its end and sets RATE: Mbit/s, from the receiver's own intervals after the first
# UM3N_OMIT seconds. (Its own --omit now and then puts bytes into the wrong interval at the server.)
um3n_iperf() {
    local direction=$1 addr=$2 seconds=$3 name=$4 way=(--get-server-output)
    [[ $direction == up ]] || way=(-R)
    seconds=$(awk "BEGIN { print int($seconds + ${UM3N_OMIT:-1}) }")
    bg phone "$name" iperf3 -J -C cubic -c "$addr" -t "$seconds" "${way[@]}"
}
um3n_iperf_rate() {
    bg_wait "$1" || lab_fail "iperf3 $1: $(jq -r .error "$(bg_log "$1")" 2>/dev/null || cat "$(bg_log "$1")")"
    RATE=$(jq -r --argjson omit "${UM3N_OMIT:-1}" '(.server_output_json // .).intervals
        | map(.sum | select(.start >= $omit - .1 and .seconds > .5))
        | (map(.bytes) | add) * 8e-6 / (map(.seconds) | add) * 100 | round / 100' "$(bg_log "$1")")
    [[ $RATE == [0-9]* ]] || lab_fail "iperf3 $1 told no rate"
}
um3n_iperf_servers() {
    need iperf3
    bg server1 iperf3-1 iperf3 -s -J
    bg server2 iperf3-2 iperf3 -s -J
    wait_for 5 "iperf3 listens" listening server1 tcp 5201
    wait_for 5 "iperf3 listens" listening server2 tcp 5201
}

# um3n_udp ROUTER on|off: whether it passes UDP.
um3n_udp() {
    if [[ $2 == on ]]; then
        on "$1" nft delete table inet lab_udp || lab_fail "udp $*"
    else
        on "$1" nft -f - <<EOR || lab_fail "udp $*"
table inet lab_udp {
    chain out {
        type filter hook forward priority filter - 1
        meta l4proto udp drop
    }
}
EOR
    fi
}
