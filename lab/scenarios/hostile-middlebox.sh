#!/bin/bash
# Middleboxes that change TCP on both uplinks: what MPTCP, the tunnel and hawser send make of it.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 edge1 -- box1 --.
#   node |                                             | core  198.51.100.9 ---- veth ---- 198.51.100.10 agent
#        '-- l2 10.2.0.2 ==== 10.2.0.1 edge2 -- box2 --'
#   hawser0 203.0.113.2 . . . . . . . . . . . . . . . . . . . . . . . . . . . . . . . . 203.0.113.1, for 192.0.2.10, striped, and .13, split
#
# == is 20 Mbit/s and 10 ms; a box is hawser-middlebox, from a TUN interface of the edge's to one of the core's. Both
# boxes have the same habit, of those below. Under each of them the node sends BYTES (first argument, 2,000,000: 0.4 s of
# both links) to the agent, one after the other by
#   tcp     a TCP flow in the tunnel, striped and then split, whose paths go over TCP (Tcp = only) and so through the
#           boxes' hands
#   udp     the same two over UDP, under no habit and under all of them at once
#   send    hawser send, a file
#   mptcp   the kernel's MPTCP, one subflow a link. It is told what came of it, whatever that was.
# Hawser must deliver every byte as it was sent each time, and the boxes must have done to it what they are there for.
#
# `grow` inserts four bytes into what the client sends, behind a quarter of BYTES of each connection. A carrier
# over TCP has no framing from there on: the connection has to be given up and another made, to which it happens again.
# MPTCP that fell back before is plain TCP, and its reader gets those four bytes.
# An emulator may be late by two of its links' delays: what is judged here is bytes, and rates are only told.
LAB_LATE_LIMIT_US=${LAB_LATE_LIMIT_US:-20000}
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init hostile-middlebox "$@"
need jq ethtool
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
MIDDLEBOX=${MIDDLEBOX:-$HAWSER_BUILD/lab/hawser-middlebox}
[[ -x $HAWSERD && -x $HAWSER ]] || lab_skip "$HAWSERD or $HAWSER is not built"
[[ -x $MIDDLEBOX ]] || lab_skip "$MIDDLEBOX is not built"
BYTES=${LAB_ARGS[0]:-2000000}
PATIENCE=20      # s for a transfer of a second; chosen: a few connections more
MPTCP_PATIENCE=3 # s; chosen: what is slower stands still
PORT=51821

declare -A HABIT=(
    [none]=''
    [strip-options]='--strip-options'
    [strip-mptcp]='--strip-mptcp'
    [rewrite-seq]='--rewrite-seq'
    [recut]='--recut 536'
    [grow]="--grow $((BYTES / 4))::EPRT"
    [all]="--strip-options --rewrite-seq --recut 536 --grow $((BYTES / 4))::EPRT"
)
# What the boxes must say that they did to a carrier's connections. None of these has an option of MPTCP's.
declare -A DONE=(
    [none]='.connections > 0'
    [strip-options]='.options_stripped > 0'
    [rewrite-seq]='.numbers_moved > 0'
    [recut]='.segments_recut > 0'
    [grow]='.edits > 0 and .bytes_inserted == .edits * 4'
    [all]='.options_stripped > 0 and .numbers_moved > 0 and .segments_recut > 0 and .edits > 0'
)

net() {
    local i
    host node
    router core
    host agent
    for i in 1 2; do
        router edge$i
        link node:l$i edge$i:in 10.$i.0.2/24 10.$i.0.1/24 both="rate=20mbit delay=10ms"
        default_route node 10.$i.0.1 l$i $((i * 100))
        ip -n "$(lab__ns node)" route add default via 10.$i.0.1 dev l$i table 10$i || lab_fail "table 10$i"
        ip -n "$(lab__ns node)" rule add from 10.$i.0.2 table 10$i || lab_fail "rule of 10.$i.0.2"
    done
    lab__addr agent lo 192.0.2.10/32
    lab__addr agent lo 192.0.2.13/32
    wire core:agent agent:eth0 198.51.100.9/29 $LINKS_AGENT/29
    offload_off core:agent agent:eth0
    default_route agent 198.51.100.9
}

config() {
    pair_config node agent $LINKS_AGENT:51820 203.0.113.1/24 $LINKS_HOME/32 l1 l2
}

# boxes_begin HABIT: one on each link, with the routes through it. boxes_end: what both did, in the file boxes.
boxes_begin() {
    local i args
    read -ra args <<<"${HABIT[$1]}"
    for i in 1 2; do
        bg core box$i "$MIDDLEBOX" --a "$(lab__ns edge$i):out" --b "$(lab__ns core):box$i" "${args[@]}"
        wait_for 5 "box $i is there" boxes_route $i
    done
}
boxes_route() {
    ip -n "$(lab__ns "edge$1")" route replace default dev out &&
        ip -n "$(lab__ns core)" route replace "10.$1.0.0/24" dev "box$1" && return
    cat "$(bg_log "box$1")" && return 1
}
boxes_end() {
    bg_stop box1
    bg_stop box2
    jq -s 'map(to_entries) | add | group_by(.key) | map({ key: .[0].key, value: (map(.value) | add) }) | from_entries' \
        "$(bg_log box1)" "$(bg_log box2)" >"$LAB_DIR/boxes" || lab_fail "the boxes' last words: $(<"$(bg_log box1)")"
}
# boxes_say FILTER: jq -e over that.
boxes_say() {
    jq -e "$1" "$LAB_DIR/boxes" >/dev/null
}

# flow SECONDS ADDRESS SOURCE [OPTION]: sends BYTES with hawser-xfer; SAID is what became of them, RATE Mbit/s.
flow() {
    local patience=$1 at=$2 source=$3 code=0
    shift 3
    LINKS_PORT=$((LINKS_PORT + 1)) RATE=0
    bg agent recv "$LAB_XFER" recv "0.0.0.0:$LINKS_PORT" "$@"
    wait_for 5 "the receiver listens" listening agent tcp $LINKS_PORT
    carried_begin
    bg node xfer timeout "$patience" "$LAB_XFER" send "$at:$LINKS_PORT" "$@" --source "$source" --bytes "$BYTES"
    bg_wait xfer || code=$?
    if ((code != 0)); then
        SAID=broke
        ((code != 124)) || SAID="stood still" # timeout's
        bg_stop recv
        return
    fi
    bg_wait recv
    SAID=$(jq -r --argjson bytes "$BYTES" \
        'if .intact and .bytes == $bytes then "right" else "wrong bytes" end' "$(bg_log recv)") || SAID=nothing
    RATE=$(jq -r '.bps / 1e5 | round / 10' "$(bg_log recv)") || RATE=0
}

# carried_begin; carried: the links that then took a tenth of BYTES at least from the node.
carried_begin() {
    CARRIED=("$(link_stat node:l1 edge1:in ab delivered_bytes)" "$(link_stat node:l2 edge2:in ab delivered_bytes)")
}
carried() {
    local i now words=()
    for i in 1 2; do
        now=$(link_stat node:l$i edge$i:in ab delivered_bytes)
        ((now - CARRIED[i - 1] < BYTES / 10)) || words+=("l$i")
    done
    echo "${words[*]:-neither link}"
}

# fallbacks: how often MPTCP has become TCP, at both ends.
fallbacks() {
    local host
    for host in node agent; do on "$host" cat /proc/net/netstat; done |
        awk '$1 == "MPTcpExt:" && !names { names = split($0, name); next }
             $1 == "MPTcpExt:" {
                 for (i = 2; i <= NF; i++) if (name[i] ~ /Fallback(SYN|)(ACK|)$|^InfiniteMap/) n += $i
                 names = 0
             }
             END { print n + 0 }'
}

# told WHAT RATE WORDS
told() {
    result "$1" "$2" Mbit/s
    result "$1 came" "$3"
}

case_mptcp() { # HABIT
    local before fell=''
    if ! links_mptcp up both; then
        result "$1 mptcp" "none in this kernel"
        return
    fi
    before=$(fallbacks)
    flow $MPTCP_PATIENCE $LINKS_AGENT 10.1.0.2 --mptcp
    (($(fallbacks) == before)) || fell=', fell back to TCP'
    told "$1 mptcp" "$RATE" "$SAID, over $(carried)$fell"
}

case_tunnel() { # HABIT udp|tcp
    local now lost
    LINK_LINES=('Tcp = no')
    # shellcheck disable=SC2034 # pair-lib.sh's
    [[ $2 == udp ]] || LINK_LINES=('Tcp = only')
    config
    pair_daemon node
    wait_for 10 "$1, $2: both links are active" pair_active node l1 l2
    wait_for 10 "$1, $2: the agent has both paths" pair_paths agent 2
    flow $PATIENCE 192.0.2.10 $LINKS_HOME
    told "$1 $2" "$RATE" "$SAID, over $(carried)"
    assert "$1, $2: every byte is what was sent ($SAID)" test "$SAID" = right
    flow $PATIENCE 192.0.2.13 $LINKS_HOME
    told "$1 $2, split" "$RATE" "$SAID, over $(carried)"
    assert "$1, $2, split: every byte is what was sent ($SAID)" test "$SAID" = right
    now=$(pair_status node '[.peers[].paths[] | select(.state == "active") | .transport] | unique | join(" ")')
    bg_stop hawserd-node
    lost=$(grep -c tcp-closed "$(bg_log hawserd-node)")
    result "$1 $2 lost" "$lost" connections
    assert "$1, $2: by nothing else ($now)" test "${now:-$2}" = "$2"
    case $1:$2 in *:udp) ;; grow:* | all:*) assert "$1, $2: the edit is noticed" test "$lost" -gt 0 ;; esac
}

case_send() { # HABIT
    local began=$EPOCHREALTIME
    rm -f "$LAB_DIR/to/sent"
    carried_begin
    bg node send timeout $PATIENCE "$HAWSER" send --quiet --key "$LAB_DIR/node.key" "$LAB_DIR/sent" \
        "$(<"$LAB_DIR/agent.pub")" "$LINKS_AGENT:$PORT"
    assert "$1, send: it ends well" bg_wait send
    RATE=$(figure "$BYTES * 8e-6 / ($EPOCHREALTIME - $began)" 1)
    assert "$1, send: what came is what was sent" cmp -s "$LAB_DIR/sent" "$LAB_DIR/to/sent"
    told "$1 send" "$RATE" "right, over $(carried)"
}

net
head -c "$BYTES" /dev/urandom >"$LAB_DIR/sent"
mkdir "$LAB_DIR/to"
for key in agent node; do "$HAWSER" keygen "$LAB_DIR/$key.key" >"$LAB_DIR/$key.pub"; done
bg agent hawser-recv "$HAWSER" recv --quiet --key "$LAB_DIR/agent.key" --port $PORT \
    --allow "$(<"$LAB_DIR/node.pub")" "$LAB_DIR/to"
wait_for 5 "hawser recv listens" listening agent udp $PORT
# shellcheck disable=SC2034 # pair-lib.sh's
NODE_LINES=('Routes = 192.0.2.0/24' 'Mode = stripe' 'Rule = 192.0.2.13/32 mode split')
config
pair_daemon agent
wait_for 5 "the agent answers" pair_status agent .pid

for habit in none strip-options rewrite-seq recut grow all; do
    boxes_begin $habit
    case_tunnel $habit tcp
    case $habit in none | all) case_tunnel $habit udp ;; esac
    case_send $habit
    boxes_end
    assert "$habit: the boxes did it ($(tr -d ' \n' <"$LAB_DIR/boxes"))" boxes_say "${DONE[$habit]}"
done
# MPTCP has boxes of its own, so that what those above say is of Hawser's connections only.
for habit in none strip-options strip-mptcp rewrite-seq recut grow all; do
    boxes_begin $habit
    case_mptcp $habit
    boxes_end
done
lab_done
