#!/bin/bash
# bench/tunnel-links.sh - what one inner TCP flow gets of two links, beside what each of them carries alone.
#
# Usage: tunnel-links.sh NAME LINK LINK [ROUNDS]; LINK: parameters of the emulator, as sim/link_params.c reads them.
# Topology: lab/um3n-lib.sh, whose WiFi and 3G are the two links.
#
# ROUNDS rounds (5) for cubic and for bbr; in each, the first link alone, the second alone and both take turns, downwards,
# through the same tunnel: the server's address decides. Goodput is the receiver's, of the last 6 of 8 s. The sum is that
# of the round's own two. A round counts when both links carried at least a twentieth of what went by both; those that did
# not are told as pinned.

# shellcheck source-path=SCRIPTDIR source=../lab/um3n-lib.sh
NAME=$1 UM3N_WLAN=$2 UM3N_WWAN=$3
shift 3
. "$(dirname "$(readlink -f "$0")")/../lab/um3n-lib.sh"
lab_init "tunnel-links-$NAME" "$@"
need iperf3 jq
[[ -x $HAWSERD ]] || lab_skip "$HAWSERD is not built"
ROUNDS=${LAB_ARGS[0]:-5} PINNED=0
UM3N_OMIT=2
declare -A RATES
um3n_start
um3n_iperf_servers

# sent LINK: bytes that the agent has sent on its path.
sent() {
    um3n_status agent "[.peers[].paths[] | select(.link == \"$1\") | .tx_bytes] | add"
}

# flow KEY ADDR CC: adds the rate to RATES[KEY] and sets RATE.
flow() {
    bg phone flow iperf3 -J -C "$3" -c "$2" -t 8 -R
    um3n_iperf_rate flow
    RATES[$1]+=" $RATE"
}

for cc in cubic bbr; do
    for ((i = 0; i < ROUNDS; i++)); do
        flow "${cc}_first" "$UM3N_VIA_WLAN" $cc
        first=$RATE
        flow "${cc}_second" "$UM3N_VIA_WWAN" $cc
        sum=$(figure "$first + $RATE" 2)
        before=("$(sent wlan0)" "$(sent wwan0)")
        flow "${cc}_both" "$UM3N_STRIPED" $cc
        after=("$(sent wlan0)" "$(sent wwan0)")
        a=$((after[0] - before[0])) b=$((after[1] - before[1]))
        if ((20 * a < a + b || 20 * b < a + b)); then
            ((++PINNED))
            continue
        fi
        RATES[${cc}_share]+=" $(figure "100 * $RATE / $sum" 1)"
    done
    for key in first second both share; do
        # shellcheck disable=SC2086
        [[ -z ${RATES[${cc}_$key]-} ]] || result ${cc}_$key "$(median ${RATES[${cc}_$key]})" "$([[ $key == share ]] && echo % || echo Mbit/s)"
    done
    # shellcheck disable=SC2086
    [[ -z ${RATES[${cc}_share]-} ]] || result ${cc}_worst "$(printf '%s\n' ${RATES[${cc}_share]} | sort -g | head -n 1)" %
done
result pinned "$PINNED" runs
lab_done
