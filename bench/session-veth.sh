#!/bin/bash
# bench/session-veth.sh - a session over two links that are not shaped, beside the least that seals and writes, and one
# without encryption beside the least that writes.
# Usage: session-veth.sh [ROUNDS [SECONDS]]
#
#          .-- l1 10.1.0.2 ---- veth ---- 10.1.0.1 l1 --.
#   client |                                            | server 10.9.0.1
#          '-- l2 10.2.0.2 ---- veth ---- 10.2.0.1 l2 --'
#
# ROUNDS (5) rounds; in each the ways take turns, so all meet the same machine: `loop` (bench/session-flow.c: one TCP
# connection, records as large as its writes), `plain` (one TCP connection with the same writes), and sessions over tcp,
# mptcp and udp, a path by each link; `clear` is one over tcp of which both ends avoid encryption. Each flow lasts
# SECONDS (2) and is counted from half a second after its first byte. Told are medians, worst and best, and of each
# session the median, worst and best of the rounds' quotients by the loop, of `clear` by plain. Both ends share one machine; the session seals
# by the suite that is the fastest here, the loop by AES-256-GCM.
# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init session-veth "$@"
need jq
ROUNDS=${LAB_ARGS[0]:-5} SECONDS_EACH=${LAB_ARGS[1]:-2}
FLOW=$HAWSER_BUILD/bench/bench-session-flow
[[ -x $FLOW ]] || lab_skip "$FLOW is not built"
WAYS=(loop tcp udp plain clear)
[[ ! -e /proc/sys/net/mptcp/enabled ]] || WAYS+=(mptcp)
declare -A RATES RATIOS
LOOP=0 PLAIN=0

host client
host server
lab__addr server lo 10.9.0.1/32
for i in 1 2; do
    wire client:l$i server:l$i 10.$i.0.2/24 10.$i.0.1/24
    default_route client 10.$i.0.1 l$i $((i * 100))
    ip -n "$(lab__ns client)" route add default via 10.$i.0.1 dev l$i table 10$i || lab_fail "table 10$i"
    ip -n "$(lab__ns client)" rule add from 10.$i.0.2 table 10$i || lab_fail "rule of 10.$i.0.2"
done

# flow WAY: sets RATE, Gbit/s.
PORT=20000
flow() {
    local kind=session proto=udp args=()
    case $1 in loop | plain | clear) kind=$1 ;; esac
    [[ $1 == udp ]] || proto=tcp
    PORT=$((PORT + 1))
    bg server listen "$FLOW" listen "$kind" $PORT
    wait_for 10 "the server listens" listening server $proto $PORT
    if [[ $kind == session || $kind == clear ]]; then
        wait_for 5 "the server tells its key" test -s "$(bg_log listen)"
        args=("$(head -n 1 "$(bg_log listen)")" "${1/clear/tcp}")
    fi
    bg client call timeout 30 "$FLOW" call "$kind" 10.9.0.1 $PORT "$SECONDS_EACH" "${args[@]}"
    bg_wait call || lab_fail "call by $1: $(<"$(bg_log call)")"
    bg_wait listen || lab_fail "listen by $1: $(<"$(bg_log listen)")"
    RATE=$(tail -n 1 "$(bg_log listen)" | jq -r .gbps)
}
# told NAME UNIT FIGURE...: median, worst, best.
told() {
    local name=$1 unit=$2
    shift 2
    result "$name" "$(median "$@")" "$unit"
    result "${name}_worst" "$(printf '%s\n' "$@" | sort -g | head -n 1)" "$unit"
    result "${name}_best" "$(printf '%s\n' "$@" | sort -g | tail -n 1)" "$unit"
}

for ((round = 0; round < ROUNDS; round++)); do
    for way in "${WAYS[@]}"; do
        flow "$way"
        RATES[$way]+=" $RATE"
        LEAST=$LOOP
        case $way in
        loop) LOOP=$RATE ;;
        plain) PLAIN=$RATE ;;
        clear) LEAST=$PLAIN ;;
        esac
        [[ $way == loop || $way == plain ]] || RATIOS[$way]+=" $(figure "$RATE / $LEAST" 3)"
    done
done
for way in "${WAYS[@]}"; do
    # shellcheck disable=SC2086 # a list of figures
    told "$way" Gbit/s ${RATES[$way]}
    # shellcheck disable=SC2086 # the same
    case $way in
    loop | plain) ;;
    clear) told clear_of_plain x ${RATIOS[$way]} ;;
    *) told "${way}_of_loop" x ${RATIOS[$way]} ;;
    esac
done
lab_done
