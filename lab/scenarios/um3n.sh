#!/bin/bash
# The demo: a phone on WiFi and 3G uses both at once, and nothing stops when the WiFi goes.
#
# Topology: lab/um3n-lib.sh. The WiFi and 3G rates are those that the UM3N paper measured. What is promised:
#   1. each link alone, through the tunnel                                       (measured, not promised)
#   2. both links by the paper's static table, two applications at once: 95 % of the sum of 1
#   3. both links striped, one TCP flow: 90 % of the sum of 1
#   4. video, an ssh session and a download while the WiFi goes in three ways and comes back
#   5. the longest gap of 500 packets a second, and the modes that lose nothing
# Figures of 1-3 are iperf3's (cubic), at the receiver. DEMO_OUT: where the picture goes (build/demo).
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init um3n "$@"
UM3N_OMIT=2
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
# shellcheck source=../um3n-promises.sh
. "$LAB_TOP/lab/um3n-promises.sh"

need iperf3 curl nginx ssh ffmpeg
demo_begin "${DEMO_OUT:-$HAWSER_BUILD/demo}"
act "A phone with WiFi (14.67 Mbit/s, 30 ms) and 3G (3.61 Mbit/s, 100 ms), each behind a NAT, and its home agent."
um3n_start "Rule = $APPS_RULE"
um3n_iperf_servers
apps_start 8000000
demo_sample

# rate DIRECTION ADDRESS SECONDS NAME TEXT: sets RATE.
rate() {
    local began=$EPOCHREALTIME
    act "$5"
    um3n_iperf "$1" "$2" "$3" iperf
    um3n_iperf_rate iperf
    stream "$1" "$began" "$EPOCHREALTIME" "$4"
}
# pair DIRECTION SECONDS NAME TEXT: two applications, one on each link; sets RATE.
pair() {
    local began=$EPOCHREALTIME first
    act "$4"
    um3n_iperf "$1" "$UM3N_VIA_WLAN" "$2" iperf-wlan
    um3n_iperf "$1" "$UM3N_VIA_WWAN" "$2" iperf-wwan
    um3n_iperf_rate iperf-wlan
    first=$RATE
    um3n_iperf_rate iperf-wwan
    RATE=$(awk "BEGIN { print $first + $RATE }")
    stream "$1" "$began" "$EPOCHREALTIME" "$3"
}
percent() {
    awk "BEGIN { printf \"%.1f\", 100 * $1 / $2 }"
}

# --- 1 to 3: rates --------------------------------------------------------------------------------------------------
declare -A sum
for way in down up; do
    rate $way "$UM3N_VIA_WLAN" 5 "WiFi $way" "WiFi alone, $way, one TCP flow"
    wlan=$RATE
    measured "wlan_$way" "$RATE" Mbit/s "WiFi alone, $way (cubic)" "14.67"
    rate $way "$UM3N_VIA_WWAN" 5 "3G $way" "3G alone, $way, one TCP flow"
    measured "wwan_$way" "$RATE" Mbit/s "3G alone, $way (cubic)" "3.61"
    sum[$way]=$(awk "BEGIN { print $wlan + $RATE }")
done
for way in down up; do
    pair $way 5 "table $way" "both links, static table, $way, two applications"
    promise "static_$way" "$(percent "$RATE" "${sum[$way]}")" % '>=' 95 \
        "table, two TCP flows (cubic), $way: $RATE Mbit/s" "97.5 (17.82)"
done
for way in down up; do
    rate $way "$UM3N_STRIPED" 6 "stripe $way" "both links striped, $way, one TCP flow"
    promise "stripe_$way" "$(percent "$RATE" "${sum[$way]}")" % '>=' 90 \
        "striped, one TCP flow (cubic), $way: $RATE Mbit/s" "no figure"
done

# --- 4: applications ------------------------------------------------------------------------------------------------
declare -A away_from away_until
act "a video call, an ssh session and a download"
apps_began=$EPOCHREALTIME
apps_video video
apps_ssh shell
nap 2
intact=0
for kind in planned carrier blackhole; do
    case $kind in
    planned) text="the WiFi is left as planned" short=planned ;;
    carrier) text="the WiFi loses its carrier" short="carrier lost" ;;
    blackhole) text="the WiFi goes silent" short=silent ;;
    esac
    began=$EPOCHREALTIME
    act "a video, an ssh session and a download; soon $text"
    apps_curl "curl-$kind"
    nap 1.5
    act "a video, an ssh session and a download, while $text"
    away_from[$kind]=$EPOCHREALTIME
    fault "$short"
    um3n_away "$kind"
    nap 3.5
    back "the WiFi is back"
    um3n_back "$kind"
    act "a video, an ssh session and a download: the WiFi is back in use"
    apps_curl_check "curl-$kind" && intact=$((intact + 1))
    away_until[$kind]=$EPOCHREALTIME
    stream download "$began" "$EPOCHREALTIME" "curl 8 MB"
done
bg_stop shell
apps_video_stop video
stream video "$apps_began" "$EPOCHREALTIME" "video 720p30 over RTP"
stream ssh "$apps_began" "$EPOCHREALTIME" "ssh, typed into ten times a second"
measured video_frames "$(um3n_figure video frames)" "" "video 720p30, RTP, under 2 Mbit/s: frames sent"
for kind in planned carrier blackhole; do
    case $kind in
    planned) limit=0 paper="none seen" text="the WiFi is left as planned" ;;
    carrier) limit=2 paper=- text="the WiFi loses its carrier" ;;
    blackhole) limit=10 paper=- text="the WiFi goes silent" ;;
    esac
    promise "video_$kind" "$(apps_frames_lost video "${away_from[$kind]}" "${away_until[$kind]}")" frames '<=' "$limit" \
        "video: frames lost, $text" "$paper"
done
measured video_lost "$(um3n_figure video lost)" frames "video: frames lost in all, faults or not"
promise ssh "$(um3n_figure shell 'alive | if . then 3 else 0 end')" "of 3" '==' 3 "ssh: goes on through the faults"
measured ssh_rtt "$(um3n_figure shell rtt_max_ms)" ms "ssh: longest wait for an echo, typed each 100 ms"
promise download "$intact" "of 3" '==' 3 "download: intact by sha256 (nginx, $APPS_CC)"

# --- 5: gaps --------------------------------------------------------------------------------------------------------
# interrupt KIND DIRECTION ADDRESS: a stream, and the fault in its middle.
interrupt() {
    local began=$EPOCHREALTIME
    um3n_stream "$2" "$3" 2.4 gap
    nap 1.6 # as um3n_interrupt
    fault "$1"
    um3n_away "$1"
    bg_wait gap
    stream packets "$began" "$EPOCHREALTIME" "500 packets/s"
    back "$1"
}
gaps_began=$EPOCHREALTIME
# The time that the other link is longer is no gap of ours: both get the WiFi's delay here.
link_set phone:wwan0 cell:in both="delay=15ms"
gaps=()
for way in down up down; do
    act "500 packets a second ($way); the WiFi loses its carrier"
    um3n_fresh
    interrupt carrier $way "$UM3N_STRIPED"
    gaps+=("$(um3n_figure gap gap_ms)")
done
promise gap_carrier "$(median "${gaps[@]}")" ms '<=' 50 "longest gap, carrier lost (links of 30 ms, 3 runs)"
gaps=()
for way in down up down; do
    act "500 packets a second ($way) beside a TCP flow; the WiFi goes silent"
    um3n_fresh
    um3n_iperf $way "$UM3N_STRIPED" 4 load
    nap 0.5
    interrupt blackhole $way "$UM3N_STRIPED"
    gaps+=("$(um3n_figure gap gap_ms)")
    bg_wait load
done
promise gap_blackhole "$(median "${gaps[@]}")" ms '<=' 330 "longest gap, silent beside cubic (30 ms, 3 runs)"
act "500 packets a second; the WiFi is left as planned"
um3n_fresh
interrupt planned down "$UM3N_STRIPED"
promise lost_planned "$(um3n_figure gap lost)" packets '==' 0 "packets lost, planned handover"
lost=0
for kind in carrier blackhole; do
    act "500 packets a second, redundant; the WiFi goes: $kind"
    um3n_fresh
    interrupt $kind down "$UM3N_REDUNDANT"
    lost=$((lost + $(um3n_figure gap lost)))
done
promise lost_redundant "$lost" packets '==' 0 "packets lost, redundant, carrier lost and silent"

stream note "$gaps_began" "$EPOCHREALTIME" "500 packets/s; the WiFi goes nine times"

demo_sample_end
demo_end
lab_done
