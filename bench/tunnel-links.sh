#!/bin/bash
# bench/tunnel-links.sh - what one TCP flow gets of two links through Hawser beside what the kernel's MPTCP gets.
# Usage: tunnel-links.sh A|B|C|D [ROUNDS [SECONDS|- [emu|tbf [up|down]]]]
#
#   A   14.67 Mbit/s of 15 ms + 3.61 of 50 ms (one way; UM3N's WiFi and 3G, as in tests/sim/stripe.c)
#   B   100 + 100, no delay          C   100 + 20, no delay          D   100 of 10 ms + 20 of 50 ms
#
# Topology: lab/links-lib.sh. emu (the default): rate, delay and queue are the emulator's; tbf: the rate is of the
# kernel's token buckets at both ends of each link, the delay still the emulator's. The node sends (up) unless told
# otherwise.
#
# ROUNDS (5) rounds of SECONDS, of which the first do not count: 8 less 3 in A and D, 5 less 2 in B and C, where TCP is at
# its rate sooner. In each round, for cubic and for bbr, take turns: Hawser with a flow on each link (by rule), Hawser
# with one flow over both, MPTCP with a connection on each, MPTCP with one over both. A share is of the sum of what the
# same system carried on each link in the same round, so what its framing costs is not held against it; shares and
# their quotients are medians over the rounds. `nominal` is the median's share of the links' own rates. A run that left
# one link idle is counted (pinned), and its round left out of that system's shares.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-links "$@"
# shellcheck source=../lab/links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
ROUNDS=${LAB_ARGS[1]:-5} RUN=${LAB_ARGS[2]:--} SHAPER=${LAB_ARGS[3]:-emu} WAY=${LAB_ARGS[4]:-up}
case ${LAB_ARGS[0]-} in
A) CASE=("rate=14.67mbit delay=15ms" "rate=3.61mbit delay=50ms") ;;
B) CASE=("rate=100mbit" "rate=100mbit") ;;
C) CASE=("rate=100mbit" "rate=20mbit") ;;
D) CASE=("rate=100mbit delay=10ms" "rate=20mbit delay=50ms") ;;
*) lab_fail "case ${LAB_ARGS[0]-}: expected A, B, C or D" ;;
esac
case ${LAB_ARGS[0]} in
A | D) LINKS_WARM=3 DEFAULT_RUN=8 ;;
*) LINKS_WARM=2 DEFAULT_RUN=5 ;;
esac
[[ $RUN != - ]] || RUN=$DEFAULT_RUN
[[ $SHAPER == emu || $SHAPER == tbf ]] || lab_fail "$SHAPER: expected emu or tbf"
[[ $WAY == up || $WAY == down ]] || lab_fail "$WAY: expected up or down"
((RUN > LINKS_WARM)) || lab_fail "runs of $RUN s: expected more than $LINKS_WARM"
declare -A SHARES QUOTIENTS BOTH FIRST SECOND PINNED_RUNS

# turn SYSTEM CC: sets SHARE; empty if the run was pinned.
turn() {
    local key=$1_$2
    links_each "$1" "$WAY" "$2" "$RUN"
    links_both "$1" "$WAY" "$2" "$RUN"
    holds "${EACH[0]} > 0 && ${EACH[1]} > 0" || lab_fail "$1, $2: a link alone carried nothing"
    FIRST[$key]+=" ${EACH[0]}" SECOND[$key]+=" ${EACH[1]}"
    SHARE=''
    if ((PINNED)); then
        PINNED_RUNS[$key]=$((${PINNED_RUNS[$key]:-0} + 1))
    else
        SHARE=$(figure "100 * $RATE / (${EACH[0]} + ${EACH[1]})" 2)
        SHARES[$key]+=" $SHARE" BOTH[$key]+=" $RATE"
    fi
    echo "  round $((i + 1)), $1, $2: ${EACH[0]} and ${EACH[1]} Mbit/s, both $RATE: ${SHARE:-pinned} %"
}

# system_told SYSTEM CC
system_told() {
    local key=$1_$2
    # shellcheck disable=SC2086
    {
        result "${key}_first" "$(median ${FIRST[$key]})" Mbit/s
        result "${key}_second" "$(median ${SECOND[$key]})" Mbit/s
        result "${key}_pinned" "${PINNED_RUNS[$key]:-0}" runs
        [[ -n ${SHARES[$key]-} ]] || return 0
        result "${key}_both" "$(median ${BOTH[$key]})" Mbit/s
        result "${key}_nominal" "$(figure "100 * $(median ${BOTH[$key]}) / (${LINKS_RATES[0]} + ${LINKS_RATES[1]})" 1)" %
        told "${key}_share" % more 1 ${SHARES[$key]}
    }
}

links_start "${CASE[@]}" "$SHAPER"
systems=(hawser)
if links_mptcp "$WAY" each; then
    systems+=(mptcp)
else
    echo "lab: this kernel has no MPTCP, so there is nothing beside Hawser" >&2
fi
for ((i = 0; i < ROUNDS; i++)); do
    for cc in cubic bbr; do
        hawser=''
        for system in "${systems[@]}"; do
            turn "$system" "$cc"
            [[ $system != hawser ]] || hawser=$SHARE
        done
        [[ ${#systems[@]} == 1 || -z $hawser || -z $SHARE ]] || QUOTIENTS[$cc]+=" $(figure "$hawser / $SHARE" 4)"
    done
done
for cc in cubic bbr; do
    for system in "${systems[@]}"; do system_told "$system" "$cc"; done
    # shellcheck disable=SC2086
    [[ -z ${QUOTIENTS[$cc]-} ]] || told "of_mptcp_$cc" x more 3 ${QUOTIENTS[$cc]}
done
lab_done
