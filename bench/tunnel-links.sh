#!/bin/bash
# bench/tunnel-links.sh - what one TCP flow gets of two links through Hawser beside what the kernel's MPTCP gets.
# Usage: tunnel-links.sh CASE [ROUNDS [SECONDS|- [emu|tbf [up|down [hawser|split [CC,...]]]]]]
#
#   A   14.67 Mbit/s of 15 ms + 3.61 of 50 ms (one way; UM3N's WiFi and 3G, as in tests/sim/stripe.c)
#   B   100 + 100, no delay          C   100 + 20, no delay          D   100 of 10 ms + 20 of 50 ms
#   E   50 of 20 ms + 50 of 40       F   50 of 20 ms + 50 of 120     G   100 of 20 ms + 10 of 20
#   H   300 of 8 ms + 30 of 40       W   WiFi 40 of 8 +-3 ms + LTE 30 of 30 +-5, .5 % lost
#   S   LTE 40 of 35 +-8 ms + LEO 100 of 50 +-25, 1 % lost
#   1 to 7   of Linux' simult_flows.sh: 10 + 10 of 0 and 0 ms, of 1 and 25; 10 + 3 of 0 and 0, 1 and 25, 25 and 1; and
#            30 + 10 of 1 and 50, 50 and 1
#
# hawser (the default): packets, striped; split: the mode of that name. A connection that is split begins at the node.
#
# Topology: lab/links-lib.sh. emu (the default): rate, delay and queue are the emulator's; tbf: the rate is of the
# kernel's token buckets at both ends of each link, the delay still the emulator's. The node sends (up) unless told
# otherwise.
#
# ROUNDS (5) rounds of SECONDS, of which the first do not count: 5 less 2 in B and C, where TCP is
# at its rate sooner, 8 less 3 in all others. In each round, for each CC (cubic and bbr), take turns: Hawser with a flow on each link (by rule), Hawser
# with one flow over both, MPTCP with a connection on each, MPTCP with one over both. A share is of the sum of what the
# same system carried on each link in the same round, so what its framing costs is not held against it; shares and
# their quotients are medians over the rounds. `nominal` is the median's share of the links' own rates. A run that left
# one link idle is counted (pinned), and its round left out of that system's shares.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-links "$@"
# shellcheck source=../lab/links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
ROUNDS=${LAB_ARGS[1]:-5} RUN=${LAB_ARGS[2]:--} SHAPER=${LAB_ARGS[3]:-emu} WAY=${LAB_ARGS[4]:-up} OURS=${LAB_ARGS[5]:-hawser}
IFS=, read -ra CCS <<<"${LAB_ARGS[6]:-cubic,bbr}"
case ${LAB_ARGS[0]-} in
A) CASE=("rate=14.67mbit delay=15ms" "rate=3.61mbit delay=50ms") ;;
B) CASE=("rate=100mbit" "rate=100mbit") ;;
C) CASE=("rate=100mbit" "rate=20mbit") ;;
D) CASE=("rate=100mbit delay=10ms" "rate=20mbit delay=50ms") ;;
E) CASE=("rate=50mbit delay=20ms" "rate=50mbit delay=40ms") ;;
F) CASE=("rate=50mbit delay=20ms" "rate=50mbit delay=120ms") ;;
G) CASE=("rate=100mbit delay=20ms" "rate=10mbit delay=20ms") ;;
H) CASE=("rate=300mbit delay=8ms" "rate=30mbit delay=40ms") ;;
W) CASE=("rate=40mbit delay=8ms jitter=3ms" "rate=30mbit delay=30ms jitter=5ms loss=0.5%") ;;
S) CASE=("rate=40mbit delay=35ms jitter=8ms" "rate=100mbit delay=50ms jitter=25ms loss=1%") ;;
*)
    links_simult "${LAB_ARGS[0]-}" || lab_fail "case ${LAB_ARGS[0]-}: expected one of A to H, W, S, 1 to 7"
    CASE=("${LINKS_CASE[@]}")
    ;;
esac
case ${LAB_ARGS[0]} in
B | C) LINKS_WARM=2 DEFAULT_RUN=5 ;;
*) LINKS_WARM=3 DEFAULT_RUN=8 ;;
esac
[[ $OURS == hawser || $OURS == split ]] || lab_fail "$OURS: expected hawser or split"
[[ $OURS == hawser || $WAY == up ]] || lab_fail "a split connection begins at the node: expected up"
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

larger() { sorted "$@" | tail -n 1; }

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
        [[ $1 != split ]] || result "split_$2_better" "$(figure "$(median ${BOTH[$key]}) / $(larger "$(median ${FIRST[$key]})" "$(median ${SECOND[$key]})")" 3)" "of the better"
    }
}

links_start "${CASE[@]}" "$SHAPER"
systems=("$OURS")
if links_mptcp "$WAY" each; then
    systems+=(mptcp)
else
    echo "lab: this kernel has no MPTCP, so there is nothing beside Hawser" >&2
fi
for ((i = 0; i < ROUNDS; i++)); do
    for cc in "${CCS[@]}"; do
        ours=''
        for system in "${systems[@]}"; do
            turn "$system" "$cc"
            [[ $system != "$OURS" ]] || ours=$SHARE
        done
        [[ ${#systems[@]} == 1 || -z $ours || -z $SHARE ]] || QUOTIENTS[$cc]+=" $(figure "$ours / $SHARE" 4)"
    done
done
for cc in "${CCS[@]}"; do
    for system in "${systems[@]}"; do system_told "$system" "$cc"; done
    # shellcheck disable=SC2086
    [[ -z ${QUOTIENTS[$cc]-} ]] || told "of_mptcp_$cc" x more 3 ${QUOTIENTS[$cc]}
done
lab_done
