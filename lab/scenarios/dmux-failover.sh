#!/bin/bash
# Two sites behind one anycast prefix, and what an application sees when one of them goes.
#
# Topology: lab/dmux-lib.sh. c sends 500 datagrams a second to s, over IPv6; the nearest gateway is g1. g1's process is
# killed (COUNT times, first argument, default 5), hangs, goes silent behind a live link, is drained; then a router leaves,
# and one dies. Promised: killed 20 ms (median), hung 500 ms, silent with BFD 200 ms; drain: nothing lost; a router that dies
# 3.5 s. What a router that leaves costs is seen through a ping's 200 ms here; sim/dmux.c has the figure in virtual time.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-failover "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
PROBE=$HAWSER_BUILD/lab/hawser-probe
COUNT=${LAB_ARGS[0]:-5}
SERVER=2001:db8:5::5

# stream SECONDS: begins a stream from c to s.
stream() {
    bg s recv "$PROBE" recv "[$SERVER]:9000"
    wait_for 5 "the receiver" listening s udp 9000
    bg c send "$PROBE" send --pps 500 --seconds "$1" "[$SERVER]:9000"
}

# stream_end: waits for its end; sets GAP (ms) and LOST.
stream_end() {
    bg_wait send || lab_fail "sender: $(<"$(bg_log send)")"
    bg_wait recv || lab_fail "receiver: $(<"$(bg_log recv)")"
    GAP=$(jq .gap_ms "$(bg_log recv)") LOST=$(jq .lost "$(bg_log recv)")
    [[ -n $GAP && $GAP != null ]] || lab_fail "no gap: $(<"$(bg_log recv)")"
}

device_gone() {
    ! ip -n "$(lab__ns g1)" link show dev dmux0 >/dev/null 2>&1
}

# served ADDRESS GATEWAY: c's packets go through it, and it has a router.
served() {
    dmux_announced t1 "$1" && dmux_birdc "g$2" show protocols | grep -q "dmux_up .*Established" &&
        dmux_says c '"\(.state) \(.gateway)"' "up $2"
}

dmux_world
dmux_gateway g1 1 10.0.1.2 65011 65001
dmux_gateway g2 2 10.0.2.2 65012 65002
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
dmux_router r1 2001:db8:100::/64 "10.0.1.2, 10.0.2.2"
for g in g1 g2; do
    wait_for 5 "$g has its proof" dmux_says "$g" '[.routers[] | select(.state == "proved")] | length' 1
done
dmux_client c
wait_for 10 "c is served by g1" served 10.0.1.2 1
wait_for 5 "s answers" on c ping -6 -qc 1 -W 1 "$SERVER"

KILLED=()
for ((i = 0; i < COUNT; i++)); do
    stream 4
    nap 1
    bg_stop dmuxd-g1 KILL
    stream_end
    echo "  killed: $GAP ms, $LOST lost"
    KILLED+=("$GAP")
    assert "the device went with the process" device_gone
    dmux_gateway_start g1
    wait_for 10 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
    wait_for 20 "c is served by g1 again" served 10.0.1.2 1
done

stream 4
nap 1
kill -STOP "$(bg_pid dmuxd-g1)"
stream_end
HUNG=$GAP
kill -CONT "$(bg_pid dmuxd-g1)"
wait_for 10 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
wait_for 20 "c is served by g1 again" served 10.0.1.2 1

stream 6
nap 1
dmux_ask g1 drain >/dev/null || lab_fail "drain"
nap 2
dmux_ask g1 undrain >/dev/null || lab_fail "undrain"
stream_end
DRAIN_GAP=$GAP DRAIN_LOST=$LOST
wait_for 20 "c is served by g1 again" served 10.0.1.2 1

# Silent: packets are dropped, links and sockets stay.
stream 4
nap 1
on g1 nft add table inet silent '{ chain in { type filter hook prerouting priority -400; policy drop; }; chain out { type filter hook output priority -400; policy drop; }; }' ||
    lab_fail "nft"
stream_end
SILENT=$GAP
on g1 nft delete table inet silent
wait_for 10 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1
wait_for 30 "c is served by g1 again" served 10.0.1.2 1

# Routers: a second one, then the one that serves c leaves, and comes back, and the one that serves then dies.
dmux_router r2 2001:db8:200::/64 "10.0.1.2, 10.0.2.2"
wait_for 5 "g1 has two" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 2

# moved FROM: a packet of c's is answered, and its address is of another router than FROM.
moved() {
    on c ping -6 -qc 1 -W 0.2 "$SERVER" >/dev/null 2>&1 && [[ $(dmux_status c .address) != "$1"* ]]
}
# gone SIGNAL: the router that serves c goes; sets ELSEWHERE to the ms until c is served by the other, and GONE.
gone() {
    local prefix t0
    wait_for 10 "s answers c" on c ping -6 -qc 3 -i 0.2 -W 1 "$SERVER"
    prefix=$(dmux_status c .address)
    case $prefix in
    2001:db8:100:*) GONE=r1 prefix=2001:db8:100: ;;
    *) GONE=r2 prefix=2001:db8:200: ;;
    esac
    t0=${EPOCHREALTIME/./}
    kill "-$1" "$(bg_pid "dmuxd-$GONE")"
    until moved "$prefix"; do
        ((${EPOCHREALTIME/./} - t0 < 10000000)) || lab_fail "c was never served again"
    done
    ELSEWHERE=$(((${EPOCHREALTIME/./} - t0) / 1000))
    wait "$(bg_pid "dmuxd-$GONE")" 2>/dev/null
}
gone TERM
LEAVES=$ELSEWHERE
bg "$GONE" "dmuxd-$GONE" "$DMUXD" "$DMUX/$GONE.conf"
wait_for 15 "g1 has two again" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 2
gone KILL
DIES=$ELSEWHERE

result killed_gap_median "$(median "${KILLED[@]}")" ms
result killed_gap_max "$(printf '%s\n' "${KILLED[@]}" | sort -g | tail -n 1)" ms
result hung_gap "$HUNG" ms
result silent_gap "$SILENT" ms
result drain_gap "$DRAIN_GAP" ms
result drain_lost "$DRAIN_LOST" packets
result router_leaves "$LEAVES" ms
result router_dies "$DIES" ms
read -r load _ </proc/loadavg
! holds "$load" '>' "$(nproc)" || lab_busy "load average $load"
assert "a killed gateway costs at most 20 ms" holds "$(median "${KILLED[@]}")" '<=' 20
assert "one that hangs at most 500 ms" holds "$HUNG" '<=' 500
assert "one that is silent at most 200 ms" holds "$SILENT" '<=' 200
assert "a drain loses nothing" test "$DRAIN_LOST" = 0
assert "a router that dies costs at most 3.5 s" holds "$DIES" '<=' 3500
lab_done
