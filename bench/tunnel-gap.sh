#!/bin/bash
# bench/tunnel-gap.sh - one TCP flow over two links, and in its middle the busier one goes: how long is nothing read?
# Usage: tunnel-gap.sh [ROUNDS [RATE [hawser]]]
#
# Topology: lab/links-lib.sh, two links of RATE (100) Mbit/s and 10 ms one way. The flow is of cubic, 5 s long; 2.6 s after
# its start the link that has carried more of it loses its carrier (the node is told; the agent, behind the core, is
# not) or goes silent (nobody is told). Up: the node sends. ROUNDS (5) rounds; in each, carrier and silent, up and down,
# Hawser and the kernel's MPTCP (unless left out) take turns. Hawser's node starts anew each time: links that flap are
# kept away for longer and longer.
#
#   SYSTEM_KIND_WAY_gap    the longest time between two reads, of those that end after the fault and begin within OWN ms
#                          of it: a later one is not the fault's
#   SYSTEM_KIND_WAY_calm   the same of as long before the fault: what the machine and TCP do by themselves
#   SYSTEM_KIND_WAY_back   from the fault to the first of three tenths of a second that each carried 85 % of what a link
#                          carries alone (chosen: three tenths of a steady flow do); NEVER if none did. Tenths are counted
#                          from the first byte, so up to 100 ms of it are the grid's
#   hawser_silent_WAY_suspected, _down   from the fault to the asking of the first `hawser status`, at the sender, that
#                          said so; NEVER if none did. It is asked without a pause (asked: the longest between two)
#   hawser_silent_WAY_late runs in which suspicion was first told after the end of the fault's own gap: the longest that
#                          began within 200 ms of the fault
#
# A flow of MPTCP's that does not end within 25 s counts as NEVER. All in ms. A fault's time is that before the emulator is told. Medians, with worst and best.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-gap "$@"
# shellcheck source=../lab/links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
ROUNDS=${LAB_ARGS[0]:-5} RATE_EACH=${LAB_ARGS[1]:-100} ONLY=${LAB_ARGS[2]-}
NEVER=5000 FLOW=5
OWN=500 # chosen: what is asked of the goodput, too
declare -A GAP CALM BACK SUSPECTED DOWN LATE ASKED ALONE

# asker up|down LINK: the state of that link's path at the sender, with the time of asking, until it is stopped.
asker() {
    local host=node of="select(.link == \"l$2\")"
    [[ $1 == up ]] || host=agent of="select(.remote | startswith(\"10.$2.0.2:\"))"
    : >"$LAB_DIR/asking"
    # What is asked is read afterwards, so that asking takes little.
    # shellcheck disable=SC2016
    HAWSER_CONTROL=$LAB_DIR/hawser/$host.sock bg "$host" asked bash -c 'while [[ -e $1 ]]; do
        echo "$EPOCHREALTIME"
        "$0" status --json
    done' "$HAWSER" "$LAB_DIR/asking"
    ASKED_OF=$of
}
# asked_end: stops it and leaves {at, states} in the file answers.
asked_end() {
    rm "$LAB_DIR/asking"
    bg_wait asked
    jq -n "def pairs: try (input as \$at | input as \$doc | {at: \$at, states: [\$doc.peers[].paths[] | $ASKED_OF | .state]}, pairs)
        catch empty; pairs" "$(bg_log asked)" >"$(bg_log answers)"
}
# asked_ms FILTER: when the states first were so, from FAULT.
asked_ms() {
    jq -sr --argjson fault "$FAULT" --argjson never "$NEVER" \
        "[.[] | select(.at >= \$fault and (.states | $1)) | (.at - \$fault) * 1000] | (.[0] // \$never) | round" "$(bg_log answers)"
}
asked_longest() {
    jq -sr '[.[].at] | [.[1:], .[:-1]] | transpose | map((.[0] - .[1]) * 1000) | max // 0 | round' "$(bg_log answers)"
}

# gap_ms NAME FILTER: of the gaps that FILTER takes, {from, to: ms from FAULT; ms}, the longest.
gap_ms() {
    jq -c --argjson fault "$FAULT" "(\$fault - .began) as \$at
        | [.gaps[] | {from: ((.at - \$at) * 1000), to: ((.at - \$at) * 1000 + .ms), ms} | select($2)]
        | max_by(.ms) // {from: 0, to: 0, ms: 0}" "$(bg_log "$1")"
}

# back_ms NAME MBIT: from FAULT until the flow carried so much again.
back_ms() {
    jq -r --argjson fault "$FAULT" --argjson want "$2" --argjson never "$NEVER" '
        ($fault - .began) as $at | [.series[] * 8e-5] as $mbit
        | [range($at * 10 | ceil; ($mbit | length) - 2) | select(all($mbit[. : . + 3][]; . >= .85 * $want))]
        | if length > 0 then (.[0] / 10 - $at) * 1000 | round else $never end' "$(bg_log "$1")"
}

# strike SYSTEM KIND WAY
strike() {
    local key=$1_$2_$3 before after busy=1 gap end said=''
    if [[ $1 == hawser ]]; then
        links_fresh
    else
        links_restore
        links_mptcp "$3" both || lab_fail "ip mptcp"
    fi
    read -ra before < <(links_bytes "$3")
    links_flow "$1" "$3" both cubic $FLOW flow 2
    nap 2.4
    read -ra after < <(links_bytes "$3")
    ((after[1] - before[1] <= after[0] - before[0])) || busy=2
    [[ $key != hawser_silent_* ]] || asker "$3" $busy
    nap 0.2
    FAULT=$EPOCHREALTIME
    links_hit "$2" $busy
    if [[ $1 == hawser ]]; then
        links_flow_end flow
    elif bg_wait flow-from; then
        bg_wait flow || lab_fail "receive flow: $(<"$(bg_log flow)")"
    else
        bg_stop flow
        GAP[$key]+=" $NEVER" BACK[$key]+=" $NEVER"
        echo "  round $((i + 1)), $key: l$busy hit, and the flow never ended"
        return
    fi
    gap=$(gap_ms flow ".to > 0 and .from < $OWN" | jq .ms)
    GAP[$key]+=" $gap"
    CALM[$key]+=" $(gap_ms flow ".to <= 0 and .from > -$OWN" | jq .ms)"
    BACK[$key]+=" $(back_ms flow "${ALONE[$3]}")"
    if [[ $key == hawser_silent_* ]]; then
        asked_end
        end=$(gap_ms flow '.to > 0 and .from < 200' | jq '.to | round')
        SUSPECTED[$key]+=" $(asked_ms '. == ["suspected"] or . == ["down"]')"
        DOWN[$key]+=" $(asked_ms '. == ["down"]')"
        ASKED[$key]+=" $(asked_longest)"
        holds "${SUSPECTED[$key]##* } <= $end" || LATE[$key]=$((${LATE[$key]:-0} + 1))
        said=", the gap's end at $end, suspected at ${SUSPECTED[$key]##* }, down at ${DOWN[$key]##* }"
    fi
    echo "  round $((i + 1)), $key: l$busy hit, gap $gap ms (before ${CALM[$key]##* }), back after ${BACK[$key]##* } ms$said"
}

links_start "rate=${RATE_EACH}mbit delay=10ms" "rate=${RATE_EACH}mbit delay=10ms"
systems=(hawser)
if [[ $ONLY != hawser ]] && links_mptcp up each; then systems+=(mptcp); fi
# Both links are the same, so the lesser of the two is what the other one carries.
for way in up down; do
    links_each hawser $way cubic 4
    ALONE[$way]=$(sorted "${EACH[@]}" | head -n 1)
    result "alone_$way" "${ALONE[$way]}" Mbit/s
done
for ((i = 0; i < ROUNDS; i++)); do
    for kind in carrier silent; do
        for way in up down; do
            for system in "${systems[@]}"; do strike "$system" $kind $way; done
        done
    done
done
# shellcheck disable=SC2086
for key in "${!GAP[@]}"; do
    told "${key}_gap" ms less 1 ${GAP[$key]}
    told "${key}_calm" ms less 1 ${CALM[$key]}
    told "${key}_back" ms less 0 ${BACK[$key]}
    [[ $key == hawser_silent_* ]] || continue
    told "${key}_suspected" ms less 0 ${SUSPECTED[$key]}
    told "${key}_down" ms less 0 ${DOWN[$key]}
    result "${key}_late" "${LATE[$key]:-0}" runs
    result "${key}_asked" "$(sorted ${ASKED[$key]} | tail -n 1)" ms
done
for way in up down; do
    # shellcheck disable=SC2086
    [[ -z ${GAP[mptcp_silent_$way]-} ]] ||
        result "of_mptcp_silent_$way" "$(figure "$(median ${GAP[hawser_silent_$way]}) / $(median ${GAP[mptcp_silent_$way]})" 2)" x
done
lab_done
