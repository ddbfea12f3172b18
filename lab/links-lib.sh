# shellcheck shell=bash
# lab/links-lib.sh - a node with two links to its agent, and one TCP flow over them: through Hawser, or with the kernel's
# MPTCP beside it. Source it after lib.sh and lab_init.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core  198.51.100.9 ---- veth ---- 198.51.100.10 agent
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#   hawser0 203.0.113.2 . . . . . . . . . . . . . . . . . . . . . . . . . . . . . 203.0.113.1
#
# == as links_net is told. What an address of the agent's means, in the node's and so in the agent's table:
#   192.0.2.10 striped    192.0.2.11 by l1           192.0.2.12 by l2
#   192.0.2.13 split      192.0.2.14 split, by l1    192.0.2.15 split, by l2
# MPTCP goes to 198.51.100.10 and is told of 10.2.0.2 as a second address (links_mptcp); a connection over one link is
# one from or to that link's address.
#
# A flow is hawser-xfer's for so many seconds; its rate is what the receiver read from LINKS_WARM seconds after its first
# byte until the sender ended, so neither the start nor the emptying of buffers counts.

# shellcheck source-path=SCRIPTDIR source=pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"

LINKS_WARM=${LINKS_WARM:-2}
LINKS_PINNED=.1 # of what a link could have carried; chosen: far above probes, far below any useful share
LINKS_HOME=203.0.113.2
LINKS_AGENT=198.51.100.10

# links_net PARAMS1 PARAMS2 [tbf]: hosts and links. With tbf the kernel's token buckets do the rate, at both ends of each
# link, and the emulator the rest; they count Ethernet frames, hence a factor of 1514/1500, and hold 100 ms as its queue
# does.
links_net() {
    local i params=("$1" "$2")
    host node
    router core
    host agent
    for i in 1 2; do
        if [[ ${3-} == tbf ]]; then
            link node:l$i core:n$i 10.$i.0.2/24 10.$i.0.1/24 both="$(links_without_rate "${params[i - 1]}")"
            links_bucket node l$i "$(links_rate "${params[i - 1]}")"
            links_bucket core n$i "$(links_rate "${params[i - 1]}")"
        else
            link node:l$i core:n$i 10.$i.0.2/24 10.$i.0.1/24 both="${params[i - 1]}"
        fi
        default_route node 10.$i.0.1 l$i $((i * 100))
        ip -n "$(lab__ns node)" route add default via 10.$i.0.1 dev l$i table 10$i || lab_fail "table 10$i"
        ip -n "$(lab__ns node)" rule add from 10.$i.0.2 table 10$i || lab_fail "rule of 10.$i.0.2"
    done
    for i in 10 11 12 13 14 15; do lab__addr agent lo 192.0.2.$i/32; done
    wire core:agent agent:eth0 198.51.100.9/29 $LINKS_AGENT/29
    offload_off core:agent agent:eth0
    default_route agent 198.51.100.9
    LINKS_RATES=("$(links_rate "$1")" "$(links_rate "$2")")
}
# links_bare BYTES PARAMS1 PARAMS2: hosts and links for programs that need no daemon, BYTES to send in $LAB_DIR/sent, and
# the agent's keys, $LAB_DIR/agent.key and .pub.
links_bare() {
    [[ -x $HAWSER ]] || lab_skip "$HAWSER is not built"
    links_net "$2" "$3"
    head -c "$1" /dev/urandom >"$LAB_DIR/sent"
    "$HAWSER" keygen "$LAB_DIR/agent.key" >"$LAB_DIR/agent.pub"
}
# links_got: is what came, $LAB_DIR/got, what was sent?
links_got() {
    cmp -s "$LAB_DIR/sent" "$LAB_DIR/got"
}
# links_simult N: both links of a case, 1 to 7, of Linux' own test of two MPTCP subflows (tools/testing/selftests/net/mptcp/
# simult_flows.sh; 6 and 7 are beyond it), in LINKS_CASE. 1: there is no such case.
links_simult() {
    # shellcheck disable=SC2034 # for those that source this
    case $1 in
    1) LINKS_CASE=("rate=10mbit" "rate=10mbit") ;;
    2) LINKS_CASE=("rate=10mbit delay=1ms" "rate=10mbit delay=25ms") ;;
    3) LINKS_CASE=("rate=10mbit" "rate=3mbit") ;;
    4) LINKS_CASE=("rate=10mbit delay=1ms" "rate=3mbit delay=25ms") ;;
    5) LINKS_CASE=("rate=10mbit delay=25ms" "rate=3mbit delay=1ms") ;;
    6) LINKS_CASE=("rate=30mbit delay=1ms" "rate=10mbit delay=50ms") ;;
    7) LINKS_CASE=("rate=30mbit delay=50ms" "rate=10mbit delay=1ms") ;;
    *) return 1 ;;
    esac
}
# links_rate PARAMS: Mbit/s in them.
links_rate() {
    [[ $1 =~ rate=([0-9.]+)mbit ]] || lab_fail "$1: expected a rate in mbit"
    echo "${BASH_REMATCH[1]}"
}
links_without_rate() {
    local word out=()
    for word in $1; do [[ $word == rate=* ]] || out+=("$word"); done
    echo "${out[*]:-delay=0}"
}
links_bucket() { # HOST IF MBIT
    on "$1" tc qdisc replace dev "$2" root tbf rate "$(figure "$3 * 1e6 * 1514 / 1500" 0)bit" burst 6000 \
        limit "$(figure "($3 * 12500 > 65536 ? $3 * 12500 : 65536)" 0)" || lab_skip "no tbf here"
}

# links_set PARAMS1 PARAMS2: other links of the emulator's, for a daemon that has not seen the old ones. What PARAMS do
# not name is as it was.
links_set() {
    link_set node:l1 core:n1 both="$1"
    link_set node:l2 core:n2 both="$2"
    LINKS_RATES=("$(links_rate "$1")" "$(links_rate "$2")")
    links_fresh
}

links_config() {
    NODE_LINES=('Routes = 192.0.2.0/24' 'Mode = stripe'
        'Rule = 192.0.2.11/32 via l1 mode active-standby'
        'Rule = 192.0.2.12/32 via l2 mode active-standby'
        'Rule = 192.0.2.13/32 mode split'
        'Rule = 192.0.2.14/32 via l1 mode split'
        'Rule = 192.0.2.15/32 via l2 mode split')
    pair_config node agent $LINKS_AGENT:51820 203.0.113.1/24 $LINKS_HOME/32 l1 l2
}

# links_start PARAMS1 PARAMS2 [tbf]: everything, until both paths are active.
links_start() {
    need jq
    [[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
    links_net "$@"
    links_config
    pair_start node agent l1 l2
    links_carry
}
links_carry() {
    wait_for 10 "the agent has both paths" pair_paths agent 2
    wait_for 5 "the tunnel carries packets" on node ping -n -c 1 -W 1 192.0.2.10
}

# links_fresh: both links as they were, and a daemon that has not seen anything of them.
links_fresh() {
    links_restore
    bg_stop hawserd-node
    pair_daemon node
    wait_for 10 "both links of the node are active" pair_active node l1 l2
    links_carry
}
links_restore() {
    local i
    for i in 1 2; do
        carrier_up node:l$i core:n$i
        blackhole node:l$i core:n$i off
    done
}
# links_hit carrier|silent LINK
links_hit() {
    case $1 in
    carrier) carrier_down "node:l$2" "core:n$2" ;;
    silent) blackhole "node:l$2" "core:n$2" on ;;
    esac
}

# links_mptcp up|down both|each: which subflows the next connections that way make; 1 if this kernel has no MPTCP.
links_mptcp() {
    local flag=subflow
    [[ -e /proc/sys/net/mptcp/enabled ]] || return 1
    [[ $1 == up ]] || flag=signal
    on node ip mptcp limits set subflow 1 add_addr_accepted 1 &&
        on agent ip mptcp limits set subflow 1 add_addr_accepted 1 &&
        on node ip mptcp endpoint flush || return 1
    [[ $2 == each ]] || on node ip mptcp endpoint add 10.2.0.2 dev l2 $flag
}

# links_flow hawser|split|mptcp up|down both|1|2 CC SECONDS NAME [SKIP]: starts one flow, both ends in the background; up is from
# the node. links_flow_end NAME waits for it; what was received is in "$(bg_log NAME)".
LINKS_PORT=9000
links_flow() {
    local system=$1 direction=$2 over=$3 cc=$4 seconds=$5 name=$6 from=node to=agent source target near far at args=()
    LINKS_PORT=$((LINKS_PORT < 29999 ? LINKS_PORT + 1 : 9001))
    if [[ $system == hawser ]]; then
        near=$LINKS_HOME far=192.0.2.10
        [[ $over == both ]] || far=192.0.2.1$over
    elif [[ $system == split ]]; then
        near=$LINKS_HOME far=192.0.2.13
        [[ $over == both ]] || far=192.0.2.1$((over + 3))
    else
        near=10.1.0.2 far=$LINKS_AGENT args=(--mptcp)
        [[ $over == both ]] || near=10.$over.0.2
    fi
    source=$near target=$far
    [[ $direction == up ]] || from=agent to=node source=$far target=$near
    # MPTCP's second subflow may come to another address.
    at=$target
    [[ $system != mptcp ]] || at=0.0.0.0
    bg $to "$name" "$LAB_XFER" recv "$at:$LINKS_PORT" "${args[@]}" --skip "${7:-0}"
    wait_for 5 "the receiver listens" listening $to tcp "$LINKS_PORT"
    bg $from "$name-from" timeout $((${seconds%.*} + 20)) "$LAB_XFER" send "$target:$LINKS_PORT" "${args[@]}" \
        --source "$source" --cc "$cc" --seconds "$seconds"
}
links_flow_end() {
    bg_wait "$1-from" || lab_fail "send $1: $(<"$(bg_log "$1-from")")"
    bg_wait "$1" || lab_fail "receive $1: $(<"$(bg_log "$1")")"
}

# links_steady NAME SECONDS: Mbit/s of a flow of so many seconds.
links_steady() {
    jq -r --argjson from "$LINKS_WARM" --argjson to "$2" \
        '(.series[$from * 10:$to * 10] | add // 0) * 8e-6 / ($to - $from) * 1000 | round / 1000' "$(bg_log "$1")"
}

# links_bytes up|down: what each link has delivered that way.
links_bytes() {
    local direction=ab
    [[ $1 == up ]] || direction=ba
    echo "$(link_stat node:l1 core:n1 $direction delivered_bytes) $(link_stat node:l2 core:n2 $direction delivered_bytes)"
}

# links_both SYSTEM WAY CC SECONDS: one flow over both; sets RATE (Mbit/s) and PINNED: 1 if one of them carried
# nothing worth the name, so the figure is not one of both; 0 otherwise.
links_both() {
    local i before after
    [[ $1 != mptcp ]] || links_mptcp "$2" both || lab_fail "ip mptcp"
    read -ra before < <(links_bytes "$2")
    links_flow "$1" "$2" both "$3" "$4" flow
    links_flow_end flow
    read -ra after < <(links_bytes "$2")
    # shellcheck disable=SC2034 # for those that source this
    RATE=$(links_steady flow "$4") PINNED=0
    for i in 0 1; do
        # shellcheck disable=SC2034 # the same
        holds "${after[i]} - ${before[i]} >= $LINKS_PINNED * ${LINKS_RATES[i]} * 125000 * $4" || PINNED=1
    done
}

# links_each SYSTEM WAY CC SECONDS: one flow on each link, both at once: they share nothing but the processors, and it
# takes half the time; sets EACH (Mbit/s of either).
links_each() {
    local i
    [[ $1 != mptcp ]] || links_mptcp "$2" each || lab_fail "ip mptcp"
    for i in 1 2; do links_flow "$1" "$2" $i "$3" "$4" flow$i; done
    for i in 1 2; do links_flow_end flow$i; done
    # shellcheck disable=SC2034 # for those that source this
    EACH=("$(links_steady flow1 "$4")" "$(links_steady flow2 "$4")")
}
