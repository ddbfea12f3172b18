#!/bin/bash
# Split connections and daemons that begin anew: a planned restart of the agent or of the node, in the middle of
# transfers, is a pause and no more, in the same process or by a service manager that keeps what it leaves; after kill -9
# they are reset, and that is told.
#
# Topology: lab/split-lib.sh; 203.0.113.1 is the agent inside the tunnel, 203.0.113.2 the node. What is judged is bytes and
# ends.
LAB_LATE_LIMIT_US=${LAB_LATE_LIMIT_US:-50000}
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init split-restart "$@"
need jq curl nginx sha256sum
# shellcheck source-path=SCRIPTDIR source=../split-lib.sh
. "$LAB_TOP/lab/split-lib.sh"
TALK=${TALK:-$HAWSER_BUILD/lab/hawser-talk}
KEEPER=${KEEPER:-$HAWSER_BUILD/lab/hawser-keeper}
[[ -x $HAWSERD && -x $HAWSER && -x $TALK && -x $KEEPER ]] || lab_skip "$HAWSERD, $HAWSER, $TALK or $KEEPER is not built"

BYTES=8000000 # of a file: more than two seconds of both links
SERVER=192.0.2.10 HOME_OF=203.0.113.2
WEB=$LAB_DIR/web

net() {
    split_net
    # shellcheck disable=SC2034 # pair_config's
    NODE_LINES=('Routes = 192.0.2.0/24' 'Mode = split')
    pair_config node agent "$LINKS_AGENT:51820" 203.0.113.1/24 $HOME_OF/32 l1 l2
    echo 'AllowedDestinations = 192.0.2.0/24' >>"$LAB_DIR/hawser/agent.conf"
}

# carried FLOOR: has the node's lane moved that many bytes since BEFORE?
carried() {
    local now
    now=$(pair_status node .split.bytes) || return 1
    echo "$((now - BEFORE)) bytes"
    [[ $((now - BEFORE)) -ge $1 ]]
}
begin() {
    BEFORE=$(pair_status node .split.bytes)
    ACCEPTED=$(accepted)
}
# restart HOST COUNT: and so many connections go on.
restart() {
    local said
    said=$(pair_ask "$1" restart) || lab_fail "hawser restart at $1: code $?, $(tail -n 5 "$(bg_log "hawserd-$1")")"
    [[ $said == *": $2 connections go on" ]] || lab_fail "$1 says: $said"
}
# one WHAT: the server saw one connection.
one() {
    [[ $(($(accepted) - ACCEPTED)) == 1 ]] || lab_fail "$1: the server took $(($(accepted) - ACCEPTED)) connections, expected 1"
}

# down HOST; up HOST: that end is restarted in the middle of a file.
down() {
    begin
    bg node curl curl -sS --max-time 60 -o "$WEB/got" "http://$SERVER/file"
    wait_for 10 "the file is on its way" carried 1000000
    restart "$1" 1
    bg_wait curl || lab_fail "down, $1 restarted: $(<"$(bg_log curl)")"
    assert "a file comes down whole while the $1 is restarted" same "$WEB/got"
    one "down, $1"
}
up() {
    rm -f "$WEB/www/up/file"
    begin
    bg node curl curl -sS --max-time 60 -T "$LAB_DIR/file" "http://$SERVER/up/file"
    wait_for 10 "the file is on its way" carried 1000000
    restart "$1" 1
    bg_wait curl || lab_fail "up, $1 restarted: $(<"$(bg_log curl)")"
    assert "a file goes up whole while the $1 is restarted" same "$WEB/www/up/file"
    one "up, $1"
}

# half HOST: the client has ended its direction, and then that end is restarted: the other goes on, and back.
half() {
    begin
    bg server half-server timeout 60 "$TALK" listen $SERVER:7000 end write 4000000 finish
    wait_for 5 "the server listens" listening server tcp 7000
    bg node half timeout 60 "$TALK" connect $SERVER:7000 write 300000 finish end
    wait_for 10 "the server answers" carried 1000000
    restart "$1" 1
    bg_wait half || lab_fail "half, $1 restarted: $(cat "$(bg_log half)" "$(bg_log half-server)")"
    bg_wait half-server || lab_fail "half, $1 restarted: $(<"$(bg_log half-server)")"
    assert "a half-closed connection goes on when the $1 is restarted" grep -qF "end 4000000" "$(bg_log half)"
    one "half, $1"
}

# A state that is none, where a predecessor would have left one.
refused() {
    bg agent strange env HAWSERD_STATE_FD=3 bash -c "exec 3<'$LAB_DIR/hawser/agent.conf'; exec '$HAWSERD' '$LAB_DIR/hawser/agent.conf'"
    wait_for 5 "the agent answers" pair_status agent .pid
    assert "what is no state is refused by name" grep -q "restart-state refused: not a sealed state" "$(bg_log strange)"
    bg_stop strange
}

# keeper HOST: its daemon under a manager that keeps what it leaves.
keeper() {
    bg "$1" "keeper-$1" "$KEEPER" "$LAB_DIR/$1.notify" "$HAWSERD" "$LAB_DIR/hawser/$1.conf"
}
# Is the node's daemon another process than OLD, and how many connections go on there?
resumed() {
    local pid
    pid=$(pair_status node .pid) && [[ $pid != "$1" ]] || return 1
    pair_status node .split.resumed
}
# The node's manager ends its daemon and starts the next.
managed() {
    local old code=0
    pair_ask node down >/dev/null || lab_fail "hawser down at node: code $?"
    keeper node
    wait_for 10 "the links of node are active" pair_active node l1 l2
    wait_for 5 "the manager heard that it runs" grep -q "heard READY=1" "$(bg_log keeper-node)"
    old=$(pair_status node .pid)
    begin
    bg node curl curl -sS --max-time 60 -o "$WEB/got" "http://$SERVER/file"
    wait_for 10 "the file is on its way" carried 1000000
    pair_ask node restart --manager >/dev/null || lab_fail "hawser restart --manager: code $?, $(tail -n 5 "$(bg_log keeper-node)")"
    wait_for 10 "the next daemon answers" resumed "$old"
    assert "the manager's next daemon goes on with the connection" test "$(resumed "$old")" = 1
    bg_wait curl || lab_fail "managed: $(<"$(bg_log curl)")"
    assert "a file comes down whole while a manager restarts the node" same "$WEB/got"
    one managed
    # The state was for one process.
    assert "the manager was told to keep it no longer" grep -q "heard FDSTOREREMOVE=1" "$(bg_log keeper-node)"
    # Who is only stopped leaves nothing.
    begin
    bg node curl curl -sS --max-time 30 -o "$WEB/got" "http://$SERVER/file"
    wait_for 10 "the file is on its way" carried 1000000
    bg_stop keeper-node
    bg_wait curl || code=$?
    assert "one that a manager stops for good resets its connections" test $code = 56
    assert "and left it nothing" test "$(grep -c "heard FDSTORE=1" "$(bg_log keeper-node)")" = 1
    # Without a manager nothing is left to one.
    bg node hawserd-node "$HAWSERD" "$LAB_DIR/hawser/node.conf"
    wait_for 10 "the links of node are active" pair_active node l1 l2
    code=0
    pair_ask node restart --manager 2>"$LAB_DIR/refused" || code=$?
    assert "without a manager that is refused" test $code = 1
    assert "and said why" grep -q "NOTIFY_SOCKET is not set" "$LAB_DIR/refused"
    pair_active node l1 l2 >/dev/null || lab_fail "and yet something happened to it"
}

# The agent dies: reset, and told.
killed() {
    local code=0 why
    why=$(pair_ask node why $SERVER:80)
    assert "hawser why says what a restart and a crash are" test "${why#*goes on when either is restarted*reset when either dies}" != "$why"
    BEFORE=$(pair_status node .split.bytes)
    bg node curl curl -sS --max-time 30 -o "$WEB/got" "http://$SERVER/file"
    wait_for 10 "the file is on its way" carried 1000000
    bg_stop hawserd-agent KILL
    pair_daemon agent
    bg_wait curl || code=$?
    result killed_curl "$code" "curl's code"
    assert "after kill -9 the connection is reset" grep -q "Connection reset" "$(bg_log curl)"
    assert "the node counts it" test "$(pair_status node .split.reset)" -ge 1
}

net
split_web $BYTES
refused
pair_start node agent l1 l2
PID=$(pair_status agent .pid)
for end in agent node; do
    down $end
    up $end
    half $end
done
assert "the agent is the same process" test "$(pair_status agent .pid)" = "$PID"
managed
killed
lab_done
