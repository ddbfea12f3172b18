#!/bin/bash
# bench/tunnel-rtt.sh - the round trip that each way of bench/tunnel-lib.sh adds to an idle path.
# Usage: tunnel-rtt.sh [SAMPLES]
#
# All ways are up at the same time and take turns datagram by datagram, each with a millisecond of silence before it
# (bench/udp-mix.c). SAMPLES (2000) of each way. What is added is the quantile less the plain path's median.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-rtt "$@"
SAMPLES=${LAB_ARGS[0]:-2000}
KEYS=(WAY_p50 WAY_p99)

tunnel_net
tunnel_start yes
tunnel_sinks
TO=()
for way in "${WAYS[@]}"; do TO+=("${SERVER[$way]}:5202"); done
for ((i = 0; i < 5; i++)); do rounds_quiet; done
on client "$UDP_MIX" rtt "$SAMPLES" "${TO[@]}" >"$LAB_DIR/rtt" || lab_fail "rtt"
quantile() { # WAY p50|p99
    jq -r --arg to "${SERVER[$1]}:5202" "select(.to == \$to) | .$2" "$LAB_DIR/rtt"
}
for way in "${WAYS[@]}"; do
    [[ $(quantile "$way" p99) != null ]] || lab_fail "$way loses packets: $(quantile "$way" count) of $SAMPLES came"
done
for q in p50 p99; do
    best=''
    for way in "${WAYS[@]}"; do
        [[ $way != plain ]] || continue
        added=$(figure "$(quantile "$way" $q) - $(quantile plain p50)" 1)
        result "${way}_$q" "${added}" us
        case " ${PEERS[*]} " in
        *" $way "*) [[ -n $best ]] && holds "$best <= ${added}" || best=${added} ;;
        esac
    done
    result "plain_$q" "$(quantile plain $q)" us
    [[ -z $best ]] || result "of_peer_$q" "$(figure "($(quantile hawser $q) - $(quantile plain p50)) / $best" 2)" x
done
rounds_done
