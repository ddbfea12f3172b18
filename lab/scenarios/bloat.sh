#!/bin/bash
# Latency under load on links whose queues hold a second: pings beside a bulk flow, up and down.
#
# Topology: lab/um3n-lib.sh, where the WiFi is a DSL line (20 Mbit/s down, 2 up, 20 ms) and the 3G is LTE (a trace, 50 ms).
# Queues of 1 s. The traces are Mahimahi's form; BLOAT_LTE_DOWN and BLOAT_LTE_UP name files, else both are made here: the
# rate changes each half second, 4 to 24 Mbit/s down and a third of that up, a period of 4 s.
#
# For each link, for both, and for each way, RUNS times (first argument, default 1): one TCP flow (cubic) for BLOAT_SECONDS
# (8, after 2 more), pings each 50 ms the same way. Aimed at: the middle of the pings' 95th percentiles is at most 30 ms
# above that of the idle link, at 90 % of what the link carries of a TCP flow (its rate less headers: 1348 bytes in 1472),
# or both carry alone. On a file's trace the shares of the LTE and of both are told only, since what it carried in that
# time is not known here. The LTE alone is far from it: that its rate has fallen to a third is known once what it no
# longer carries stands in its queue, where pings that have no other way stand too.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init bloat "$@"
UM3N_WLAN="rate=20mbit delay=10ms queue=1s"
UM3N_WWAN="rate=12mbit delay=25ms queue=1s"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"

# lte DIVISOR: a trace of 4 s.
lte() {
    awk -v divisor="$1" 'BEGIN {
        split("12 20 24 8 4 16 10 6", rate)
        for (ms = 0; ms < 4000; ms++)
            for (credit += rate[int(ms / 500) + 1] * 1000 / 8 / 1500 / divisor; credit >= 1; credit--)
                print ms
        print 4000
    }'
}
# mean FILE: Mbit/s.
mean() {
    awk '!/^#/ && NF { n++; last = $1 } END { print n * 1500 * 8 / last / 1000 }' "$1"
}

RUNS=${LAB_ARGS[0]:-1}
lte 1 >"$LAB_DIR/down.trace"
lte 3 >"$LAB_DIR/up.trace"
down_trace=${BLOAT_LTE_DOWN:-$LAB_DIR/down.trace}
up_trace=${BLOAT_LTE_UP:-$LAB_DIR/up.trace}
seconds=${BLOAT_SECONDS:-8}

um3n_start
link_set phone:wlan0 wifi:in ab="rate=2mbit queue=1s" ba="rate=20mbit queue=1s"
link_set phone:wwan0 cell:in ab="trace=$up_trace queue=1s" ba="trace=$down_trace queue=1s"
um3n_fresh
um3n_iperf_servers

# p95 LOG: of the pings, ms.
p95() {
    sed -n 's/.*time=\([0-9.]*\) ms/\1/p' "$(bg_log "$1")" | sort -g |
        awk '{ v[NR] = $1 } END { if (NR) print v[int((NR * 95 + 99) / 100)]; else print "none" }'
}

# once LINK ADDR up|down: one run; sets ADDED, IDLE (ms) and RATE.
once() {
    local link=$1 addr=$2 side=$3 beside
    bg phone "idle-$link-$side" ping -i 0.05 -c 60 "$addr"
    bg_wait "idle-$link-$side"
    IDLE=$(p95 "idle-$link-$side")
    UM3N_OMIT=2 um3n_iperf "$side" "$addr" "$seconds" "bulk-$link-$side"
    nap 2
    bg phone "ping-$link-$side" ping -i 0.05 -c "$((seconds * 20 - 20))" "$addr"
    UM3N_OMIT=2 um3n_iperf_rate "bulk-$link-$side"
    bg_wait "ping-$link-$side"
    beside=$(p95 "ping-$link-$side")
    [[ $IDLE != none && $beside != none ]] || lab_fail "$link $side: no ping came back"
    ADDED=$(figure "$beside - $IDLE" 1)
}

# loaded LINK ADDR MOST up|down: the middle of RUNS runs, and the worst. MOST: Mbit/s that would be all.
declare -A GOODPUT=()
WRONG=
loaded() {
    local link=$1 addr=$2 most=$3 side=$4 added share i idles=() addeds=() rates=()
    for ((i = 0; i < RUNS; i++)); do
        once "$link" "$addr" "$side"
        idles+=("$IDLE") addeds+=("$ADDED") rates+=("$RATE")
    done
    added=$(median "${addeds[@]}")
    GOODPUT[$link-$side]=$(median "${rates[@]}")
    share=$(figure "100 * ${GOODPUT[$link-$side]} / $most" 1)
    result "${link}_${side}_idle_p95" "$(median "${idles[@]}")" ms
    result "${link}_${side}_added_p95" "$added" ms
    result "${link}_${side}_added_p95_worst" "$(printf '%s\n' "${addeds[@]}" | sort -g | tail -n 1)" ms
    result "${link}_${side}_goodput" "${GOODPUT[$link-$side]}" Mbit/s
    result "${link}_${side}_share" "$share" %
    WRONG+=$(holds "$added" '<=' 30 || echo " $link $side: $added ms added;")
    [[ $link != dsl && -n ${BLOAT_LTE_DOWN-}${BLOAT_LTE_UP-} ]] ||
        WRONG+=$(holds "$share" '>=' 90 || echo " $link $side: $share %;")
}
inner() { # MBIT: what is left of a link's rate without headers
    figure "$1 * 1348 / 1472" 3
}

for side in down up; do
    if [[ $side == down ]]; then dsl=20 lte=$(mean "$down_trace"); else dsl=2 lte=$(mean "$up_trace"); fi
    loaded dsl "$UM3N_VIA_WLAN" "$(inner $dsl)" $side
    loaded lte "$UM3N_VIA_WWAN" "$(inner "$lte")" $side
    loaded both "$UM3N_STRIPED" "$(figure "${GOODPUT[dsl-$side]} + ${GOODPUT[lte-$side]}" 3)" $side
done
[[ -z $WRONG ]] || lab_fail "what is aimed at is not reached:$WRONG"
lab_done
