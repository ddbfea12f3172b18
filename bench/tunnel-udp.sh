#!/bin/bash
# bench/tunnel-udp.sh - inner UDP over each way of bench/tunnel-lib.sh, in turns: the highest rate with less than one
# packet of a thousand lost (bench/udp-mix.c searches), for packets of 1400 bytes and for a mix of 64, 576 and 1400.
# Usage: tunnel-udp.sh [ROUNDS]
#
# ROUNDS (5) rounds as in bench/tunnel-path.sh. The generator sends single packets, as most programs do: there is no
# super-packet at the TUN. Generator, both ends and the sink share one machine, so what a tunnel spends is missing
# elsewhere. Plain is left out: its limit is the generator's.

# shellcheck source-path=SCRIPTDIR source=tunnel-lib.sh
. "$(dirname "$(readlink -f "$0")")/tunnel-lib.sh"
lab_init tunnel-udp "$@"
ROUNDS=${LAB_ARGS[0]:-5}
declare -A FIGURES
KEYS=(large_WAY mix_WAY)

# udp_search WAY 1400|mix: sets FOUND, the JSON of bench-udp-mix.
udp_search() {
    FOUND=$(on client "$UDP_MIX" search "${SERVER[$1]}:5202" "$2") || lab_fail "search by $1"
}

udp_rounds() { # 1400|mix KEY PER
    local i way
    FIGURES=()
    for ((i = 0; i < ROUNDS; i++)); do
        rounds_quiet
        for way in "${WAYS[@]}"; do
            [[ $way != plain ]] || continue
            tunnel_way "$way" udp_search "$way" "$1"
            FIGURES[$way]+=" $(jq -r ".$2 / $3" <<<"$FOUND")"
        done
    done
}

tunnel_net
tunnel_start yes
tunnel_sinks
udp_rounds 1400 bps 1e9
tunnel_told large_ Gbit/s more
tunnel_compared large_
udp_rounds mix pps 1000
tunnel_told mix_ 1000/s more
tunnel_compared mix_
rounds_done
