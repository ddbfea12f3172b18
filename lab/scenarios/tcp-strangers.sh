#!/bin/bash
# The agent's TCP port: in use by another, and visited by strangers who say nothing, or nonsense.
#
# Topology: lab/um3n-lib.sh; UDP does not pass, so the phone needs that port too. The strangers come from server1.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init tcp-strangers "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
need jq conntrack nft ss iperf3
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
um3n_net
um3n_config
um3n_udp wifi off
um3n_udp cell off

# The port is another's: an error if the file names it, else a warning.
bg agent web iperf3 -s -p 443
wait_for 5 "the other program listens" listening agent tcp 443
sed 's/^ListenPort.*/&\nListenTcp = 443/' "$LAB_DIR/hawser/agent.conf" >"$LAB_DIR/hawser/named.conf"
if on agent "$HAWSERD" "$LAB_DIR/hawser/named.conf" >"$(bg_log named)" 2>&1; then
    lab_fail "an agent began though the port that its file names is in use"
fi
grep -q "cannot listen on TCP port 443 (ListenTcp): Address already in use" "$(bg_log named)" ||
    lab_fail "no clear error: $(<"$(bg_log named)")"
pair_daemon agent
wait_for 5 "the agent answers" pair_status agent .pid
grep -q "cannot listen on TCP port 443: Address already in use" "$(bg_log hawserd-agent)" || lab_fail "no warning"
bg_stop hawserd-agent
bg_stop web

pair_daemon agent
wait_for 5 "the agent takes TCP" listening agent tcp 443
# Twenty who say nothing, of one network: 16 are let in.
# shellcheck disable=SC2016
bg server1 silent bash -c 'for i in {1..20}; do exec {fd}<>/dev/tcp/198.51.100.10/443; done; exec sleep 60' # holds them
strangers() {
    local n
    n=$(on agent ss -Htn state established "sport = :443" "dst 192.0.2.0/26" | wc -l)
    echo "strangers: $n"
    [[ $n == "$1" ]]
}
wait_for 5 "sixteen strangers" strangers 16
# Who speaks another protocol is sent away at once, also by a free place: from the phone's network there are some. In one
# write, by a program: bash's own printf writes line by line, and what comes after the end is answered with a reset.
# shellcheck disable=SC2016
on core timeout 5 bash -c 'exec {fd}<>/dev/tcp/198.51.100.10/443; env printf "GET / HTTP/1.0\r\n\r\n" >&$fd; cat <&$fd' ||
    lab_fail "a browser is kept waiting"
pair_daemon phone
wait_for 15 "the phone comes by TCP all the same" pair_active phone wlan0 wwan0
[[ $(pair_status phone '[.peers[].paths[] | select(.state == "active") | .transport] | unique | join(" ")') == tcp ]] ||
    lab_fail "not over TCP"
wait_for 20 "the strangers have to go" strangers 0
pair_active phone wlan0 wwan0 >/dev/null || lab_fail "the phone had to go too"
lab_done
