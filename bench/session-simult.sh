#!/bin/bash
# bench/session-simult.sh - Linux' own test of two MPTCP subflows (tools/testing/selftests/net/mptcp/simult_flows.sh), for
# sessions and MPTCP beside each other. Usage: session-simult.sh CASE [ROUNDS]
#
#   1   10 + 10 Mbit/s, no delay     2   10 of 1 ms (one way) + 10 of 25
#   3   10 + 3, no delay             4   10 of 1 ms + 3 of 25       5   10 of 25 ms + 3 of 1
#   6   30 of 1 ms + 10 of 50        7   30 of 50 ms + 10 of 1: beyond that test
#
# LARGE bytes one way while SMALL go the other, from the node (up) and then from the agent (down), by `hawser pipe` and by
# hawser-talk over MPTCP; in each of ROUNDS (3) they take turns. What counts is the time from the caller's start until both
# ends have all and are gone; keys and handshakes are in it. LIMIT is that test's formula: the time that LARGE take with nine
# tenths of both rates, and 450 ms. Links hold 50 packets, as there.
#
# Topology: lab/links-lib.sh without its daemons.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init session-simult "$@"
# shellcheck source=../lab/links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
TALK=${TALK:-$HAWSER_BUILD/lab/hawser-talk}
ROUNDS=${LAB_ARGS[1]:-3} LARGE=16777216 SMALL=81920 PORT=21000
links_simult "${LAB_ARGS[0]-}" || lab_fail "case ${LAB_ARGS[0]-}: expected 1 to 7"
[[ -x $HAWSER ]] || lab_skip "$HAWSER is not built"

links_net "${LINKS_CASE[0]} queue=75000" "${LINKS_CASE[1]} queue=75000"
head -c $LARGE /dev/urandom >"$LAB_DIR/large"
head -c $SMALL /dev/urandom >"$LAB_DIR/small"
"$HAWSER" keygen "$LAB_DIR/agent.key" >"$LAB_DIR/agent.pub"
LIMIT=$(figure "1000 * $LARGE * 8 * 10 / ((${LINKS_RATES[0]} + ${LINKS_RATES[1]}) * 1e6 * 9) + 450" 0)
declare -A TIMES RATIOS

# Each is told what the node and the agent send, and sets TOOK (ms).
simult_session() {
    local began name
    # shellcheck disable=SC2016
    bg agent answer bash -c '"$0" pipe --listen "$1" --key "$2" <"$3" >"$4"' \
        "$HAWSER" $PORT "$LAB_DIR/agent.key" "$LAB_DIR/$2" "$LAB_DIR/at-agent"
    wait_for 5 "the agent listens" listening agent udp $PORT
    began=$EPOCHREALTIME
    # shellcheck disable=SC2016
    bg node call timeout 120 bash -c '"$0" pipe "$1" "$2" <"$3" >"$4"' \
        "$HAWSER" "$(<"$LAB_DIR/agent.pub")" "$LINKS_AGENT:$PORT" "$LAB_DIR/$1" "$LAB_DIR/at-node"
    for name in call answer; do bg_wait $name || lab_fail "pipe: $(<"$(bg_log $name)")"; done
    TOOK=$(figure "($EPOCHREALTIME - $began) * 1000" 0)
    assert "what came to the agent is what was sent" cmp "$LAB_DIR/$1" "$LAB_DIR/at-agent"
    assert "what came to the node is what was sent" cmp "$LAB_DIR/$2" "$LAB_DIR/at-node"
}
# Linux makes no subflow of a connection that says its end: the side with little says it last.
simult_mptcp() {
    local began name
    declare -A bytes=([large]=$LARGE [small]=$SMALL) steps=([large]="write $LARGE finish end" [small]="write $SMALL end finish")
    # shellcheck disable=SC2086
    bg agent answer "$TALK" --mptcp listen "0.0.0.0:$PORT" ${steps[$2]}
    wait_for 5 "the agent listens" listening agent tcp $PORT
    began=$EPOCHREALTIME
    # shellcheck disable=SC2086
    bg node call timeout 120 "$TALK" --mptcp connect "$LINKS_AGENT:$PORT" ${steps[$1]}
    for name in call answer; do bg_wait $name || lab_fail "MPTCP: $(<"$(bg_log $name)")"; done
    TOOK=$(figure "($EPOCHREALTIME - $began) * 1000" 0)
    assert "all came to the agent" grep -qx "end ${bytes[$1]}" "$(bg_log answer)"
    assert "all came to the node" grep -qx "end ${bytes[$2]}" "$(bg_log call)"
}

systems=(session)
if links_mptcp up both; then
    systems+=(mptcp)
else
    echo "lab: this kernel has no MPTCP, so there is nothing beside sessions" >&2
fi
result limit "$LIMIT" ms
for ((i = 0; i < ROUNDS; i++)); do
    for way in "up large small" "down small large"; do
        read -r way at_node at_agent <<<"$way"
        for system in "${systems[@]}"; do
            PORT=$((PORT + 1))
            "simult_$system" "$at_node" "$at_agent"
            echo "  round $((i + 1)), $way, $system: $TOOK ms"
            TIMES[${system}_$way]+=" $TOOK"
            [[ $system == session ]] && ours=$TOOK || RATIOS[$way]+=" $(figure "$TOOK / $ours" 4)"
        done
    done
done
for way in up down; do
    for system in "${systems[@]}"; do
        # shellcheck disable=SC2086
        told "${system}_$way" ms less 0 ${TIMES[${system}_$way]}
    done
    # The speed of a session over MPTCP's.
    # shellcheck disable=SC2086
    [[ -z ${RATIOS[$way]-} ]] || told "of_mptcp_$way" x more 3 ${RATIOS[$way]}
done
lab_done
