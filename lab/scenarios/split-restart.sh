#!/bin/bash
# Split connections and daemons that begin anew: a planned restart of the agent or of the node, in the middle of
# transfers, is a pause and no more; after kill -9 they are reset, and that is told.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core 198.51.100.9 -- 198.51.100.10 agent 192.0.2.1 -- 192.0.2.10 server
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#   hawser0 203.0.113.2 . . . . . . . . . . . . . . . . . . . 203.0.113.1
#
# == is 20 Mbit/s and 10 ms, and 10 Mbit/s and 40 ms; -- is veth. What is judged is bytes and ends.
LAB_LATE_LIMIT_US=${LAB_LATE_LIMIT_US:-50000}
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init split-restart "$@"
need jq curl nginx sha256sum
# shellcheck source-path=SCRIPTDIR source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
TALK=${TALK:-$HAWSER_BUILD/lab/hawser-talk}
[[ -x $HAWSERD && -x $HAWSER && -x $TALK ]] || lab_skip "$HAWSERD, $HAWSER or $TALK is not built"

BYTES=8000000 # of a file: more than two seconds of both links
SERVER=192.0.2.10 HOME_OF=203.0.113.2
SLOW=("rate=20mbit delay=10ms" "rate=10mbit delay=40ms")
WEB=$LAB_DIR/web

net() {
    local i
    host node
    router core
    router agent
    host server
    for i in 1 2; do
        link node:l$i core:n$i 10.$i.0.2/24 10.$i.0.1/24 both="${SLOW[i - 1]}"
        default_route node 10.$i.0.1 l$i $((i * 100))
        ip -n "$(lab__ns node)" route add default via 10.$i.0.1 dev l$i table 10$i || lab_fail "table 10$i"
        ip -n "$(lab__ns node)" rule add from 10.$i.0.2 table 10$i || lab_fail "rule of 10.$i.0.2"
    done
    wire core:agent agent:eth0 198.51.100.9/29 $LINKS_AGENT/29
    wire agent:eth1 server:eth0 192.0.2.1/24 $SERVER/24
    offload_off core:agent agent:eth0
    ip -n "$(lab__ns agent)" route add 10.0.0.0/8 via 198.51.100.9 || lab_fail "the agent's way to the node"
    default_route server 192.0.2.1
    # shellcheck disable=SC2034 # pair_config's
    NODE_LINES=('Routes = 192.0.2.0/24' 'Mode = split')
    pair_config node agent $LINKS_AGENT:51820 203.0.113.1/24 $HOME_OF/32 l1 l2
    echo 'AllowedDestinations = 192.0.2.0/24' >>"$LAB_DIR/hawser/agent.conf"
}

web() {
    mkdir -p "$WEB/www/up" "$WEB/tmp"
    chmod 777 "$WEB/www/up" "$WEB/tmp"
    head -c $BYTES /dev/urandom >"$WEB/www/file"
    read -r SUM _ < <(sha256sum "$WEB/www/file")
    cat >"$WEB/nginx.conf" <<EOC
daemon off;
worker_processes 1;
user root;
pid $WEB/nginx.pid;
error_log $WEB/nginx.log;
events { }
http {
    access_log off;
    client_body_temp_path $WEB/tmp;
    client_max_body_size 0;
    proxy_temp_path $WEB/tmp;
    fastcgi_temp_path $WEB/tmp;
    uwsgi_temp_path $WEB/tmp;
    scgi_temp_path $WEB/tmp;
    server {
        listen 80;
        root $WEB/www;
        location /up/ { dav_methods PUT; create_full_put_path on; }
    }
}
EOC
    bg server nginx nginx -c "$WEB/nginx.conf" -e "$WEB/nginx.log"
    wait_for 5 "nginx listens" listening server tcp 80
}

# accepted: connections that the server's kernel has taken since it is there.
accepted() {
    # shellcheck disable=SC2016 # awk's
    on server awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ { print $7 }' /proc/net/snmp
}
# same FILE: is it what the server has?
same() {
    local sum
    read -r sum _ < <(sha256sum "$1")
    [[ $sum == "$SUM" ]]
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
    bg node curl curl -sS --max-time 60 -T "$WEB/www/file" "http://$SERVER/up/file"
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
web
refused
pair_start node agent l1 l2
PID=$(pair_status agent .pid)
for end in agent node; do
    down $end
    up $end
    half $end
done
assert "the agent is the same process" test "$(pair_status agent .pid)" = "$PID"
killed
lab_done
