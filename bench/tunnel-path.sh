#!/bin/bash
# bench/tunnel-path.sh - one TCP flow over each way of bench/tunnel-lib.sh, in turns.
# Usage: tunnel-path.sh [full|no-udp-gso|no-uso|no-offload [ROUNDS]]
#
#   full         every offload that the kernel has
#   no-udp-gso   the veth cannot cut UDP trains (tx-udp-segmentation off at both its ends): the kernel does, for all
#   no-uso       Hawser and the bare loop without TUN's USO
#   no-offload   Hawser and the bare loop without any: a packet is a read, a datagram is a send
#
# ROUNDS (5) rounds; in each, all ways take turns, so all meet the same machine; nothing but the idle daemons runs
# beside. One iperf3 flow of cubic from the client for 2 s, of which the receiver counts the last 1.5. Each way's median,
# worst and best are told, and of Hawser the median of the rounds' ratios. Plain keeps the veth's offloads, so its TCP is
# handed over in segments of up to 64 KB. Beside the rate, the processor time of a
# tunnel's two ends for each 1348 bytes that the flow delivered (a packet of 1400). During a tunnel's turn no packet of the flow may reach the agent unsealed (an
# nft counter, proved by the plain turn), and the tunnel's own device must have taken it.
#
# Not like for like: the ciphers (see the library). Both ends share one machine.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-path "$@"
CONDITION=${LAB_ARGS[0]:-full} ROUNDS=${LAB_ARGS[1]:-5}
case $CONDITION in
full | no-udp-gso) OFFLOAD=yes ;;
no-uso) OFFLOAD=csum,tso,gso,gro ;;
no-offload) OFFLOAD=no ;;
*) lab_fail "condition $CONDITION: expected full, no-udp-gso, no-uso or no-offload" ;;
esac
declare -A FIGURES SPENT

flow() { # WAY
    bg client iperf iperf3 -J -C cubic -c "${SERVER[$1]}" -t 2 --get-server-output
    bg_wait iperf || lab_fail "iperf3 by $1: $(jq -r .error "$(bg_log iperf)" 2>/dev/null || cat "$(bg_log iperf)")"
    BYTES=$(jq -r .end.sum_received.bytes "$(bg_log iperf)")
    RATE=$(jq -r '.server_output_json.intervals | map(.sum | select(.start >= .45 and .seconds > .2))
        | (map(.bytes) | add) * 8e-9 / (map(.seconds) | add) * 1000 | round / 1000' "$(bg_log iperf)")
    [[ $RATE == [0-9]* ]] || lab_fail "iperf3 by $1 told no rate"
}

tunnel_net
if [[ $CONDITION == no-udp-gso ]]; then
    for end in client agent; do
        on $end ethtool -K eth0 tx-udp-segmentation off >/dev/null || lab_skip "ethtool cannot turn off tx-udp-segmentation"
    done
fi
tunnel_start "$OFFLOAD"
WAYS+=(split)
bg server iperf3 iperf3 -s -J -i 0.5
wait_for 5 "iperf3 listens" listening server tcp 5201
for ((i = 0; i < ROUNDS; i++)); do
    rounds_quiet
    for way in "${WAYS[@]}"; do
        spent=$(tunnel_spent "$way")
        tunnel_way "$way" flow "$way"
        FIGURES[$way]+=" $RATE"
        [[ -z $spent ]] || SPENT[$way]+=" $(figure "($(tunnel_spent "$way") - $spent) * 1e3 / ($BYTES / 1348)" 2)"
    done
done
tunnel_told '' Gbit/s more
tunnel_compared ''
FIGURES=()
for way in "${!SPENT[@]}"; do FIGURES[$way]=${SPENT[$way]}; done
tunnel_told spent_ us less
rounds_done
