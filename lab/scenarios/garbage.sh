#!/bin/bash
# Garbage at line rate: random bytes, cut, flipped, replayed and reordered records cost little of the goodput.
#
# Topology: lab/um3n-lib.sh with a WiFi of 100 Mbit/s and 10 ms. The core, which sees the records on their way, sends
# RATE datagrams a second (first argument, default 20000: about twice the datagrams of the WiFi at its rate) to the agent.
# Promised: honest goodput (one TCP flow, cubic, up and down) keeps 90 % of what it is without; no path and no session
# is lost.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init garbage "$@"
UM3N_WLAN="rate=100mbit delay=5ms"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
GARBAGE=$HAWSER_BUILD/lab/hawser-garbage
um3n_start
um3n_iperf_servers
rate=${LAB_ARGS[0]:-20000}
handshakes=$(pair_status phone '.peers[0].handshakes')

for way in up down; do
    um3n_iperf "$way" "$UM3N_VIA_WLAN" 4 "calm-$way"
    um3n_iperf_rate "calm-$way"
    calm=$RATE
    um3n_iperf "$way" "$UM3N_VIA_WLAN" 6 "load-$way"
    # It listens for up to a second, while the flow begins.
    bg core garbage "$GARBAGE" --listen wifi --rate "$rate" --seconds 7 198.51.100.10:51820
    UM3N_OMIT=2 um3n_iperf_rate "load-$way"
    bg_wait garbage || lab_fail "$(<"$(bg_log garbage)")"
    made=$(um3n_figure garbage per_second)
    share=$(figure "100 * $RATE / $calm" 1)
    result "garbage_$way" "$made" 1/s
    result "goodput_calm_$way" "$calm" Mbit/s
    result "goodput_$way" "$RATE" Mbit/s
    result "share_$way" "$share" %
    holds "$made" '>=' "$rate * .9" || lab_skip "this machine made $made datagrams a second, not $rate"
    assert "goodput keeps 90 %" holds "$share" '>=' 90
done
for cause in replay auth; do
    result "$cause" "$(pair_status agent ".peers[0].drops[\"$cause\"] // 0")"
    assert "$cause is counted" holds "$(pair_status agent ".peers[0].drops[\"$cause\"] // 0")" '>' 0
done
assert "unknown connections are counted" holds "$(pair_status agent '.drops["unknown-cid"] // 0')" '>' 0
assert "no new handshake was needed" holds "$(pair_status phone '.peers[0].handshakes')" == "$handshakes"
assert "both paths are active" pair_active phone wlan0 wwan0
lab_done
