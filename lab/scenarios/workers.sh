#!/bin/bash
# An agent of two workers: nodes of both shares at once, from one to another, over TCP, after a kill, and one that comes
# with a reload.
#
#   n1:eth0 10.0.1.2 --- 10.0.1.1 eth1:agent
#   n2:eth0 10.0.2.2 --- 10.0.2.1 eth2:agent       203.0.113.1 at hawser0, nodes 203.0.113.2 to .5
#   n3, n4  likewise, n4 over TCP
#
# The first and third node are of the first worker, the others of the second.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init workers "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
need jq ss
BYTES=20000000
NODE_LINES=('Routes = 203.0.113.0/24')

router agent
for i in 1 2 3 4; do
    host "n$i"
    wire "n$i:eth0" "agent:eth$i" "10.0.$i.2/30" "10.0.$i.1/30"
    default_route "n$i" "10.0.$i.1"
done

# join NUMBER VERB: its file and its place in the agent's.
join() {
    local config=(pair_join "n$1" agent "10.0.$1.1:51820")
    [[ $2 == join ]] || config=(pair_config "n$1" agent "10.0.$1.1:51820" 203.0.113.1/24)
    "${config[@]}" "203.0.113.$(($1 + 1))/32" eth0
}

# carried: the bytes that each of the agent's workers wrote to its device.
carried() {
    pair_status agent '[.workers[].tx_bytes] | join(" ")'
}

# all_ping N...: can each of these nodes be reached? A condition for wait_for.
all_ping() {
    local i
    for i; do on agent ping -q -c 1 -W 1 "203.0.113.$((i + 1))" >/dev/null || return 1; done
}

# transfers FROM:TO...: at once; each byte as it was sent. Hosts by number, 0 is the agent.
transfers() {
    local pair from to
    for pair; do
        to=${pair#*:}
        bg "$(name "$to")" "recv$to" "$LAB_XFER" recv "203.0.113.$((to + 1)):9000"
        wait_for 5 "the receiver listens" listening "$(name "$to")" tcp 9000
    done
    for pair; do
        from=${pair%:*} to=${pair#*:}
        bg "$(name "$from")" "send$to" "$LAB_XFER" send "203.0.113.$((to + 1)):9000" --bytes "$BYTES"
    done
    for pair; do
        to=${pair#*:}
        bg_wait "send$to" || lab_fail "$pair: $(<"$(bg_log "send$to")")"
        bg_wait "recv$to" || lab_fail "$pair: $(<"$(bg_log "recv$to")")"
        assert "$WHAT, $pair: every byte" test "$(jq -r "(.bytes == $BYTES) and .intact" "$(bg_log "recv$to")")" = true
    done
}
# A build with the thread sanitizer says so.
no_race() {
    ! grep -q 'WARNING: ThreadSanitizer' "$(bg_log hawserd-agent)" || lab_fail "$(<"$(bg_log hawserd-agent)")"
}
name() {
    if (($1 == 0)); then echo agent; else echo "n$1"; fi
}

AGENT_LINES=('Workers = 2')
join 1 config
join 2 join
join 3 join
pair_start n1 agent eth0
for i in 2 3; do
    pair_daemon "n$i"
    wait_for 10 "n$i is there" pair_active "n$i" eth0
done
[[ $(pair_status agent '.workers | length') == 2 ]] || lab_fail "the agent has not two workers"
wait_for 5 "all answer" all_ping 1 2 3

WHAT="to the agent and from it"
transfers 1:0 0:2 0:3
transfers 2:0
WHAT="from node to node"
transfers 1:2 2:3 3:1
read -r first second < <(carried)
result first_worker "$first" bytes
result second_worker "$second" bytes
assert "each wrote what its nodes sent" holds "$first >= $BYTES && $second >= $BYTES"

# A reload brings one more, whose links take nothing but TCP.
LINK_LINES=('Tcp = only')
join 4 join
kill -HUP "$(bg_pid hawserd-agent)"
pair_daemon n4
wait_for 10 "n4 is there, over TCP" pair_active n4 eth0
[[ $(pair_status n4 '[.peers[].paths[].transport] | unique | join(" ")') == tcp ]] || lab_fail "n4 is not over TCP"
WHAT="over TCP"
transfers 4:1 0:4
LINK_LINES=()

# It is killed, and calls those whom it knows.
wait_for 3 "the agent has stored where they are" test -s "$LAB_DIR/hawser/agent/hawser0.json"
no_race
bg_stop hawserd-agent KILL
pair_daemon agent
wait_for 10 "the agent answers" pair_status agent .pid
wait_for 10 "all are back" all_ping 1 2 3 4
WHAT="after a kill"
transfers 1:2 2:0 0:3

# It stops in order, and nothing is left.
bg_stop hawserd-agent
assert "the device is gone" test -z "$(ip -n "$(lab__ns agent)" link show hawser0 2>/dev/null)"
no_race
grep -q stopped "$(bg_log hawserd-agent)" || lab_fail "the agent did not say that it stopped"
lab_done
