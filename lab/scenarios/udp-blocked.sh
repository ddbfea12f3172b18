#!/bin/bash
# UDP does not pass: at the start on both links, later on one of two in the middle of a transfer, and then it does again.
#
# Topology: lab/um3n-lib.sh; the providers' routers drop UDP (nft). Each link goes over TCP after three seconds, as
# "degraded", and leaves TCP again after UDP has worked for three.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init udp-blocked "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
need jq conntrack nft curl iperf3
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"

# transports HOST: of its active paths, a word for each; over HOST WORDS: a condition for wait_for.
transports() {
    pair_status "$1" '[.peers[].paths[] | select(.state == "active" and .tier != "never") | .link + ":" + .transport] | sort | join(" ")'
}
over() {
    local now
    now=$(transports "$1") || return 1
    echo "active: ${now:-none}"
    [[ $now == "$2" ]]
}
# since: seconds since the last call of begin.
begin() {
    BEGAN=${EPOCHREALTIME/./}
}
since() {
    figure "(${EPOCHREALTIME/./} - $BEGAN) / 1e6" 1
}

um3n_net
um3n_config
pair_daemon agent
wait_for 5 "the agent answers" pair_status agent .pid
um3n_iperf_servers
um3n_udp wifi off
um3n_udp cell off
begin
pair_daemon phone
wait_for 15 "both links over TCP" over phone "wlan0:tcp wwan0:tcp"
result start_over_tcp "$(since)" s
pair_ask phone status | grep -q "tcp, degraded: UDP does not pass" || lab_fail "hawser status does not say why"
[[ $(pair_status agent '[.peers[].paths[] | select(.degraded)] | length') == 2 ]] || lab_fail "the agent does not say it"
wait_for 5 "the tunnel carries packets" on phone ping -c 1 -W 1 "$UM3N_STRIPED"

um3n_iperf down "$UM3N_STRIPED" 5 down
nap 1
on phone ping -q -i 0.2 -c 20 "$UM3N_VIA_WLAN" >"$(bg_log ping)"
um3n_iperf_rate down
result rate_over_tcp "$RATE" Mbit/s
worst=$(sed -n 's|.*= [0-9.]*/[0-9.]*/\([0-9.]*\)/.*|\1|p' "$(bg_log ping)")
result ping_worst_under_load "$worst" ms
assert "an inner TCP flow gets most of one link" holds "$RATE" '>=' 9
assert "delay does not grow" holds "$worst" '<=' 500

um3n_udp wifi on
um3n_udp cell on
begin
wait_for 25 "both links over UDP" over phone "wlan0:udp wwan0:udp"
result back_over_udp "$(since)" s
no_tcp() {
    [[ $(pair_status agent '[.peers[].paths[] | select(.transport == "tcp")] | length') == 0 ]] &&
        [[ -z $(on agent ss -Htn state established "sport = :443") ]]
}
wait_for 5 "no TCP is left at the agent" no_tcp

um3n_iperf down "$UM3N_STRIPED" 13 middle
nap 2
um3n_udp wifi off
begin
wait_for 10 "the WiFi over TCP, the other link over UDP" over phone "wlan0:tcp wwan0:udp"
result middle_over_tcp "$(since)" s
um3n_udp wifi on
begin
wait_for 25 "both links over UDP" over phone "wlan0:udp wwan0:udp"
result middle_back "$(since)" s
um3n_iperf_rate middle
result rate_middle "$RATE" Mbit/s
slow=$(jq '[(.server_output_json // .).intervals[].sum.bits_per_second] | min / 1e6 * 10 | round / 10' "$(bg_log middle)")
result slowest_second "$slow" Mbit/s
assert "the transfer goes on" holds "$RATE" '>=' 5
lab_done
