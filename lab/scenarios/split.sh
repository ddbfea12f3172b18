#!/bin/bash
# Split connections with real programs: what a server and a client see, and what becomes of them when something breaks.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core 198.51.100.9 -- 198.51.100.10 agent 192.0.2.1 -- 192.0.2.10 server
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#   hawser0 203.0.113.2 . . . . . . . . . . . . . . . . . . . 203.0.113.1
#           2001:db8:1::2                                     2001:db8:1::1    2001:db8:2::1 -- 2001:db8:2::10
#
# == is 20 Mbit/s and 10 ms, and 10 Mbit/s and 40 ms; -- is veth. The core also knows a way to the server that is not by
# the tunnel, and the agent lets it pass: what the node sent past the tunnel would arrive, from 10.1.0.2.
# Of what the node may ask the agent for: 198.18.0.0/24 and 2001:db8:18::/48 it may not reach (AllowedDestinations), to
# 198.18.1.0/24 and 2001:db8:19::/48 the agent has no route, 192.0.2.99 nobody has, and the server is silent on port 82.
# Parts of it can be named (first arguments); the first one, about what began as packets, always comes.
# An emulator may be late by two of the shorter delays: what is judged here is bytes and ends, and of times only those
# that are ten times as long.
LAB_LATE_LIMIT_US=${LAB_LATE_LIMIT_US:-20000}
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init split "$@"
need jq curl nginx ss nft ethtool sha256sum
# shellcheck source-path=SCRIPTDIR source=../split-lib.sh
. "$LAB_TOP/lab/split-lib.sh"
TALK=${TALK:-$HAWSER_BUILD/lab/hawser-talk}
[[ -x $HAWSERD && -x $HAWSER && -x $TALK ]] || lab_skip "$HAWSERD, $HAWSER or $TALK is not built"

BYTES=4000000      # of a file: about a second of both links
SHARE=.1           # of it, that the lesser link must have carried; chosen: a third would be its due
STALL_MS=380       # 300 and a round trip of the slower link: promised of a link that goes silent
HELD_MAX=50e6      # bytes on their way while nobody reads: a channel's buffer at either end (session/channel.h), 4 MB, the
                   # kernels' 6 and 4 MB
FAR=(192.0.2.10 2001:db8:2::10)
HOME_OF=(203.0.113.2 2001:db8:1::2)
AGENT_AT=(192.0.2.1 2001:db8:2::1)
FAST="rate=100mbit delay=10ms" # so that filling what there is to fill takes a second
WEB=$LAB_DIR/web PORT=7000

net() {
    split_net
    lab__addr agent eth1 2001:db8:2::1/64
    lab__addr server eth0 2001:db8:2::10/64
    lab__addr agent eth1 fe80::1/64 # who forwards asks for neighbours from such a one (RFC 4861 7.2.2)
    # The agent has no default route: there must be destinations to which it has none.
    ip -n "$(lab__ns core)" route add 192.0.2.0/24 via "$LINKS_AGENT" || lab_fail "a way past the tunnel"
    default_route server 2001:db8:2::1
    on server nft -f - <<EOR || lab_fail "nft at server"
table inet lab_silent {
    chain in {
        type filter hook input priority filter
        tcp dport 82 drop
    }
}
EOR
}

# config stripe|split
config() {
    # shellcheck disable=SC2034 # pair_config's
    NODE_LINES=('Routes = 192.0.2.0/24, 198.18.0.0/23, 2001:db8:2::/64, 2001:db8:18::/47' "Mode = $1")
    pair_config node agent "$LINKS_AGENT:51820" 203.0.113.1/24,2001:db8:1::1/64 "${HOME_OF[0]}/32, ${HOME_OF[1]}/128" l1 l2
    echo 'AllowedDestinations = 192.0.2.0/24, 198.18.1.0/24, 2001:db8:2::/64, 2001:db8:19::/48' >>"$LAB_DIR/hawser/agent.conf"
}

# host_of ADDRESS: as it stands in a URL.
host_of() {
    if [[ $1 == *:* ]]; then echo "[$1]"; else echo "$1"; fi
}
# begun: connections that the node has split.
begun() {
    pair_status node '.split.begun'
}
# seen ADDRESS COUNT WHAT: since ACCEPTED there was that many connections, and nginx logged this address and no other.
seen() {
    local peers
    peers=$(cut -d ' ' -f 1 "$WEB_PEERS" | sort -u | tr '\n' ' ')
    [[ $peers == "$1 " ]] || lab_fail "$3: the server saw ${peers:-nobody}, expected $1"
    [[ $(($(accepted) - ACCEPTED)) == "$2" ]] || lab_fail "$3: $(($(accepted) - ACCEPTED)) connections at the server, expected $2"
}
forget() {
    : >"$WEB_PEERS"
    ACCEPTED=$(accepted)
}

# fetch ADDRESS FILE: by curl.
fetch() {
    on node curl -sS --max-time 20 -o "$2" "http://$(host_of "$1")/file"
}
# shared up|down NAME BEFORE1 BEFORE2: what the links have carried since then of a file.
shared() {
    local after i share
    read -ra after < <(links_bytes "$1")
    for i in 1 2; do
        share=$(figure "(${after[i - 1]} - ${*:i+2:1}) / $BYTES" 2)
        result "$2_$1_l$i" "$share" "of the file's size"
        holds "$share >= $SHARE" || lab_fail "$2: l$i carried $share of what went $1"
    done
}

# --- what began as packets, and what begins after a reload ----------------------------------------------------------
reloaded() {
    local before rtt_new rtt_old
    forget
    before=$(begun)
    xfer up old --seconds 2
    nap 0.8
    config split
    kill -HUP "$(bg_pid hawserd-node)" || lab_fail "SIGHUP"
    wait_for 5 "the rule says split" mode_is split
    xfer up new --bytes 1000000
    nap 0.3
    rtt_new=$(rtt "$PORT") rtt_old=$(rtt $((PORT - 1)))
    result reload_new_rtt "$rtt_new" ms
    result reload_old_rtt "$rtt_old" ms
    # Who ends it is on this machine; the other's packets go and come by the links.
    holds "$rtt_new < 10 && $rtt_old >= 20" || lab_fail "the new connection does not end at the node, or the old one does"
    xfer_end new
    [[ $(begun) == $((before + 1)) ]] || lab_fail "$(($(begun) - before)) connections were split, expected the new one"
    xfer_end old
    [[ $(begun) == $((before + 1)) ]] || lab_fail "the old connection was split in mid-life"
    [[ $(($(accepted) - ACCEPTED)) == 2 ]] || lab_fail "$(($(accepted) - ACCEPTED)) connections at the server, expected the two"
}
rtt() { # PORT: as the client's kernel has it
    on node ss -Htin "dport = :$1" | sed -n 's/.* rtt:\([0-9.]*\).*/\1/p'
}
mode_is() {
    MODE=$(pair_ask node why 192.0.2.10:80 --json | jq -r .mode) && echo "$MODE" && [[ $MODE == "$1" ]]
}

# xfer up|down NAME OPTION...: starts a flow that the node opens, whatever its way; xfer_end NAME.
xfer() {
    local way=$1 name=$2
    shift 2
    PORT=$((PORT + 1))
    if [[ $way == up ]]; then
        bg server "$name" "$LAB_XFER" recv "${FAR[0]}:$PORT"
        wait_for 5 "the server listens" listening server tcp "$PORT"
        bg node "$name-from" timeout 30 "$LAB_XFER" send "${FAR[0]}:$PORT" "$@"
    else
        bg server "$name-from" timeout 30 "$LAB_XFER" send "${FAR[0]}:$PORT" --listen "$@"
        wait_for 5 "the server listens" listening server tcp "$PORT"
        bg node "$name" "$LAB_XFER" recv "${FAR[0]}:$PORT" --connect
    fi
}
xfer_end() {
    bg_wait "$1-from" || lab_fail "send $1: $(<"$(bg_log "$1-from")")"
    bg_wait "$1" || lab_fail "receive $1: $(<"$(bg_log "$1")")"
    [[ $(jq .intact "$(bg_log "$1")") == true ]] || lab_fail "$1: not what was sent"
}

# --- files ----------------------------------------------------------------------------------------------------------
files() {
    local i before
    for i in 0 1; do
        forget
        read -ra before < <(links_bytes down)
        fetch "${FAR[i]}" "$WEB/down$i" || lab_fail "curl of a file at ${FAR[i]}: code $?"
        same "$WEB/down$i" || lab_fail "not the file that is at ${FAR[i]}"
        shared down "v$((i * 2 + 4))" "${before[@]}"
        seen "${HOME_OF[i]}" 1 "a download from ${FAR[i]}"

        forget
        read -ra before < <(links_bytes up)
        on node curl -sS --max-time 20 -T "$LAB_DIR/file" "http://$(host_of "${FAR[i]}")/up/file$i" || lab_fail "curl -T: code $?"
        same "$WEB/www/up/file$i" || lab_fail "not the file that was put at ${FAR[i]}"
        shared up "v$((i * 2 + 4))" "${before[@]}"
        seen "${HOME_OF[i]}" 1 "an upload to ${FAR[i]}"
    done
}

# --- what is refused ------------------------------------------------------------------------------------------------
# refused NAME ADDRESS:PORT CODE SECONDS [ERROR]: curl ends with this exit code within the time, and never connected; what
# connect says of it is ERROR.
refused() {
    local code=0 connected total said error
    said=$(on node curl -sS -o /dev/null --connect-timeout "$4" --max-time "$4" -w '%{time_connect} %{time_total}\n' \
        "http://$2/file" 2>"$LAB_DIR/curl") || code=$?
    read -r connected total <<<"$said"
    [[ $code == "$3" ]] || lab_fail "$1: curl's code is $code, expected $3: $(<"$LAB_DIR/curl")"
    holds "$connected == 0" || lab_fail "$1: connected after $connected s"
    # 28: curl's own time is over, which is what was asked for.
    [[ $code == 28 ]] || holds "$total < $4" || lab_fail "$1: only after $total s"
    result "$1" "$(figure "$total * 1000" 0)" ms
    [[ -n ${5-} ]] || return 0
    if error=$(on node timeout 5 "$TALK" connect "$2" 2>&1) || [[ $error != *": connect: $5 after"* ]]; then
        lab_fail "$1: connect says $error, expected $5"
    fi
}
# Which error an ICMP message becomes: Linux, icmp_err_convert (net/ipv4/icmp.c) and icmpv6_err_convert.
refusals() {
    forget
    refused refused_v4 "${FAR[0]}:81" 7 1 "Connection refused"
    refused refused_v6 "[${FAR[1]}]:81" 7 1 "Connection refused"
    refused prohibited_v4 198.18.0.1:80 7 1 "No route to host"
    refused prohibited_v6 '[2001:db8:18::1]:80' 7 1 "Permission denied"
    refused no_route_v4 198.18.1.1:80 7 1 "Network is unreachable"
    refused no_route_v6 '[2001:db8:19::1]:80' 7 1 "Network is unreachable"
    refused nobody 192.0.2.99:80 7 6
    refused silent "${FAR[0]}:82" 28 2
    [[ $(accepted) == "$ACCEPTED" ]] || lab_fail "the server took something of that"
}

# --- what the daemon says meanwhile ---------------------------------------------------------------------------------
asked() {
    local why
    talk told echo "write 5 read 5 tick"
    wait_for 5 "they talk" grep -q "^read 5" "$(bg_log told)"
    why=$(pair_ask node why "${FAR[0]}:$PORT" --json) || lab_fail "hawser why"
    [[ $(jq -r .mode <<<"$why") == split ]] || lab_fail "hawser why: $why"
    pair_ask node why "${FAR[1]}" | grep -q '^mode *split' || lab_fail "hawser why ${FAR[1]}"
    result asked_why "$(jq -r .why <<<"$why")"
    result asked_connections "$(pair_status node .split.connections)"
    result asked_begun "$(begun)"
    result asked_refused "$(pair_status node .split.refused)"
    assert "the node counts the connection" test "$(pair_status node .split.connections)" -ge 1
    assert "the agent counts the connection" test "$(pair_status agent .split.connections)" -ge 1
    bg_stop told
}

# --- ends and breaks ------------------------------------------------------------------------------------------------
# talk NAME SERVER_STEPS CLIENT_STEPS: both ends in the background.
talk() {
    local there here
    PORT=$((PORT + 1))
    read -ra there <<<"$2"
    read -ra here <<<"$3"
    bg server "$1-server" timeout 30 "$TALK" listen "${FAR[0]}:$PORT" "${there[@]}"
    wait_for 5 "the server listens" listening server tcp "$PORT"
    bg node "$1" timeout 30 "$TALK" connect "${FAR[0]}:$PORT" "${here[@]}"
}
talk_end() { # NAME CLIENT_CODE
    local code=0
    bg_wait "$1" || code=$?
    [[ $code == "$2" ]] || lab_fail "$1: the client's code is $code, expected $2: $(cat "$(bg_log "$1")" "$(bg_log "$1-server")")"
}
says() { # NAME TEXT
    grep -qF "$2" "$(bg_log "$1")" || lab_fail "$1 does not say \"$2\": $(<"$(bg_log "$1")")"
}
ends() {
    talk half "end write 700000 finish" "write 300000 finish end"
    talk_end half 0
    bg_wait half-server || lab_fail "half: $(<"$(bg_log half-server)")"
    says half-server "end 300000"
    says half "end 700000"
    grep -q "^peer ${HOME_OF[0]}:" "$(bg_log half-server)" || lab_fail "$(<"$(bg_log half-server)")"

    talk flah "write 300000 finish end" "end write 700000 finish"
    talk_end flah 0
    bg_wait flah-server || lab_fail "flah: $(<"$(bg_log flah-server)")"
    says flah "end 300000"
    says flah-server "end 700000"

    talk reset "read 5 reset" "write 5 end"
    talk_end reset 1
    says reset "read: Connection reset by peer"
    talk rst "echo" "write 5 read 5 reset"
    talk_end rst 0
    bg_wait rst-server
    says rst-server "read: Connection reset by peer"
}

# --- a server that does not read ------------------------------------------------------------------------------------
# taken: what the client's kernel has got rid of. served: what the server's has got. unread: of that, what waits for the server.
taken() {
    on node ss -Htin "dport = :$PORT" | sed -n 's/.*bytes_acked:\([0-9]*\).*/\1/p'
}
served() {
    on server ss -Htin state established "sport = :$PORT" | sed -n 's/.*bytes_received:\([0-9]*\).*/\1/p'
}
unread() {
    on server ss -Htn state established "sport = :$PORT" | awk '{ print $1 }'
}
# stands: the client gets rid of nothing more; a condition that looks for 0.4 s.
stands() {
    local before
    before=$(taken)
    nap 0.4
    TAKEN=$(taken)
    echo "$before, then $TAKEN"
    [[ -n $TAKEN && $TAKEN == "$before" ]]
}
pressure() {
    local i held
    for i in 1 2; do link_set "node:l$i" "core:n$i" both="$FAST"; done
    xfer up slow --bytes 64000000
    nap 1
    kill -STOP "$(bg_pid slow)" || lab_fail "SIGSTOP"
    wait_for 10 "the client stops when nobody reads" stands
    held=$(($(taken) - $(served) + $(unread)))
    result pressure_held "$(figure "$held / 1e6" 1)" MB
    result pressure_taken "$(figure "$(taken) / 1e6" 1)" MB
    holds "$held < $HELD_MAX" || lab_fail "$held bytes were taken that nobody reads"
    kill -CONT "$(bg_pid slow)"
    xfer_end slow
    holds "$(jq .bytes "$(bg_log slow)") == 64000000" || lab_fail "not all arrived: $(jq .bytes "$(bg_log slow)")"
    for i in 1 2; do link_set "node:l$i" "core:n$i" both="${SPLIT_LINKS[i - 1]}"; done
}

# --- a link goes ----------------------------------------------------------------------------------------------------
# longest CONDITION: ms of the longest time without a byte of which that is so; $at: of the fault, on the gaps' clock.
longest() {
    jq --argjson fault "$FAULT" "(\$fault - .began) as \$at | [.gaps[] | select($1) | .ms] | max // 0" "$(bg_log hit)"
}
# hit carrier|silent up|down LINK
hit() {
    local stall
    links_fresh
    xfer "$2" hit --seconds 2.5
    nap 1.3
    FAULT=$EPOCHREALTIME
    links_hit "$1" "$3"
    xfer_end hit
    # A later one than half a second is not the fault's; before .4 s the flow has hardly begun.
    # shellcheck disable=SC2016
    stall=$(longest '.at + .ms / 1000 > $at and .at < $at + .5')
    result "$1_$2_l$3_stall" "$stall" ms
    # shellcheck disable=SC2016
    result "$1_$2_l$3_calm" "$(longest '.at > .4 and .at + .ms / 1000 <= $at')" "ms, before it"
    holds "$stall <= $STALL_MS" || lab_fail "$1 $2 l$3: nothing for $stall ms"
}
hits() {
    hit carrier up 2
    hit silent up 1
    hit silent down 2
    links_restore
}

# --- a daemon goes --------------------------------------------------------------------------------------------------
# old_begin: a connection on which a byte goes to and fro. old_end SECONDS: it breaks within that time from now; BROKE s.
old_begin() {
    talk old echo tick
    wait_for 5 "they talk" grep -q ^peer "$(bg_log old-server)"
    nap 0.3
}
old_broken() {
    ! kill -0 "$(bg_pid old)" 2>/dev/null
}
old_end() {
    local from=$EPOCHREALTIME
    wait_for "$1" "the old connection breaks" old_broken
    BROKE=$(figure "$EPOCHREALTIME - $from" 1)
    talk_end old 1
}
fetch_again() {
    forget
    fetch "${FAR[0]}" "$WEB/again" || lab_fail "$1: curl's code is $?"
    same "$WEB/again" || lab_fail "$1: not the file that is at ${FAR[0]}"
    seen "${HOME_OF[0]}" 1 "$1"
    [[ $(begun) -ge 1 ]] || lab_fail "$1: not split"
}
node_dies() {
    local code=0 past=no
    old_begin
    bg_stop hawserd-node KILL
    forget
    on node curl -s --max-time 2 -o /dev/null "http://${FAR[0]}/file" || code=$?
    [[ ! -s $WEB_PEERS && $(accepted) == "$ACCEPTED" ]] || past=yes
    assert "no connection goes past the tunnel when the daemon is dead" test "$past" = no
    result node_killed_curl "$code" "curl's code"
    pair_daemon node
    wait_for 10 "both links of the node are active" pair_active node l1 l2
    links_carry
    old_end 10
    says old "Connection reset by peer"
    result node_killed_old_breaks "$BROKE" "s after the links were there"
    fetch_again "after the node's restart"
}
agent_dies() {
    old_begin
    bg_stop hawserd-agent KILL
    pair_daemon agent
    old_end 5
    says old "Connection reset by peer"
    result agent_killed_old_breaks "$BROKE" "s after its restart"
    wait_for 10 "both links of the node are active" pair_active node l1 l2
    links_carry
    fetch_again "after the agent's restart"
}

# Whoever waits for bytes, and sends none, hears of an orderly end at once.
stopped() {
    local host
    for host in node agent; do
        talk idle "read 5 end" "write 5 end"
        wait_for 5 "they talk" grep -q "^read 5" "$(bg_log idle-server)"
        bg_stop "hawserd-$host"
        wait_for 2 "the client of a $host that stops is told" grep -qF "Connection reset by peer" "$(bg_log idle)"
        wait_for 2 "the server of a $host that stops is told" grep -qF "Connection reset by peer" "$(bg_log idle-server)"
        pair_daemon "$host"
        wait_for 10 "both links of the node are active" pair_active node l1 l2
        links_carry
    done
}

# --- an agent that translates ---------------------------------------------------------------------------------------
translated() {
    local i
    bg_stop hawserd-agent
    sed -i 's/^NAT = no/NAT = yes/' "$LAB_DIR/hawser/agent.conf"
    pair_daemon agent
    wait_for 5 "the agent answers" pair_status agent .pid
    links_fresh
    for i in 0 1; do
        forget
        fetch "${FAR[i]}" "$WEB/nat$i" || lab_fail "curl through a NAT: code $?"
        same "$WEB/nat$i" || lab_fail "not the file that is at ${FAR[i]}, through a NAT"
        seen "${AGENT_AT[i]}" 1 "through a NAT"
    done
    [[ $(begun) == 2 ]] || lab_fail "$(begun) connections were split, expected both"
}

step() {
    echo "--- $SECONDS s: $1"
    "$1"
}
net
split_web $BYTES 'listen [::]:80;'
config stripe
pair_start node agent l1 l2
links_carry
((${#LAB_ARGS[@]} > 0)) || LAB_ARGS=(files refusals asked ends pressure hits node_dies agent_dies stopped translated)
for part in reloaded "${LAB_ARGS[@]}"; do step "$part"; done
lab_done
