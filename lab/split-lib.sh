# shellcheck shell=bash
# lab/split-lib.sh - a node of two slow links whose TCP connections are split, and a server behind its agent. Source it
# after lib.sh and lab_init.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core 198.51.100.9 -- 198.51.100.10 agent 192.0.2.1 -- 192.0.2.10 server
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#
# == is 20 Mbit/s and 10 ms, and 10 Mbit/s and 40 ms; -- is veth.

# shellcheck source-path=SCRIPTDIR source=links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
# shellcheck source-path=SCRIPTDIR source=web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
SPLIT_LINKS=("rate=20mbit delay=10ms" "rate=10mbit delay=40ms")

# split_net: hosts and links, of IPv4. The agent knows its way to the node and to the server, and no other.
split_net() {
    local i
    host node
    router core
    router agent
    host server
    for i in 1 2; do
        link node:l$i core:n$i 10.$i.0.2/24 10.$i.0.1/24 both="${SPLIT_LINKS[i - 1]}"
        default_route node 10.$i.0.1 l$i $((i * 100))
        ip -n "$(lab__ns node)" route add default via 10.$i.0.1 dev l$i table 10$i || lab_fail "table 10$i"
        ip -n "$(lab__ns node)" rule add from 10.$i.0.2 table 10$i || lab_fail "rule of 10.$i.0.2"
    done
    wire core:agent agent:eth0 198.51.100.9/29 $LINKS_AGENT/29
    wire agent:eth1 server:eth0 192.0.2.1/24 192.0.2.10/24
    offload_off core:agent agent:eth0
    ip -n "$(lab__ns agent)" route add 10.0.0.0/8 via 198.51.100.9 || lab_fail "the agent's way to the node"
    default_route server 192.0.2.1
}

# split_web BYTES [LINE...]: a web server at server, with a file of so many bytes, that takes others below /up/; the lines
# stand in its `server` section.
split_web() {
    head -c "$1" /dev/urandom >"$LAB_DIR/file"
    read -r SPLIT_SUM _ < <(sha256sum "$LAB_DIR/file")
    web_start server 80 "$LAB_DIR/file" 'location /up/ { dav_methods PUT; create_full_put_path on; }' "${@:2}"
}

# same FILE: is it what the server has?
same() {
    local sum
    read -r sum _ < <(sha256sum "$1")
    [[ $sum == "$SPLIT_SUM" ]]
}

# accepted: connections that the server's kernel has taken since it is there.
accepted() {
    # shellcheck disable=SC2016 # awk's
    on server awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ { print $7 }' /proc/net/snmp
}
