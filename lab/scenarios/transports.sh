#!/bin/bash
# hawser pipe over each transport: bytes arrive as they were sent, over two unequal links, whatever happens to one.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core  198.51.100.9 ---- veth ---- 198.51.100.10 agent
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#
# (lab/links-lib.sh without its daemons.) l1 is 20 Mbit/s and 10 ms, l2 10 Mbit/s and 40 ms. Each time the node calls and
# sends BYTES (first argument, 10,000,000: 2.7 s of both links), and the agent answers with the digest of what it read:
#   udp, tcp, mptcp, sctp   each transport alone, on both links: each link carries an eighth at least
#   mix                     UDP passes l1 alone, TCP l2 alone, and both are wanted: likewise
#   instead                 UDP passes nowhere, and nothing is said of transports: TCP takes its place
#   carrier                 over TCP: the first link loses its carrier in the middle, and stays away
#   silent                  over TCP: the second goes silent
#   sctp, silent            over SCTP: the first goes silent
#   neither                 over TCP: both go for 3 s, one with notice and one without, and come back
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init transports "$@"
need nft
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
BYTES=${LAB_ARGS[0]:-10000000}
PORT=20000

links_bare "$BYTES" "rate=20mbit delay=10ms" "rate=10mbit delay=40ms"

# over_begin LIST: the node sends to the agent by these transports; nothing is said of them if LIST is empty.
over_begin() {
    local list=() by=udp
    [[ -z $1 ]] || list=(--transport "$1")
    [[ -z $1 || $1 == *udp* || $1 == sctp ]] || by=tcp
    PORT=$((PORT + 1))
    rm -f "$LAB_DIR/got"
    # shellcheck disable=SC2016
    bg agent answer bash -c 'got=$1 && shift && "$0" pipe "$@" </dev/null >"$got"' "$HAWSER" "$LAB_DIR/got" \
        --listen $PORT --key "$LAB_DIR/agent.key" "${list[@]}"
    wait_for 5 "the agent listens" listening agent $by $PORT
    # shellcheck disable=SC2016
    bg node call timeout 60 bash -c 'from=$1 paths=$2 && shift 2 && "$0" pipe --verbose "$@" <"$from" 2>"$paths"' "$HAWSER" \
        "$LAB_DIR/sent" "$LAB_DIR/paths" "${list[@]}" "$(<"$LAB_DIR/agent.pub")" "$LINKS_AGENT:$PORT"
}
over_end() {
    bg_wait call && bg_wait answer && links_got
}
# carried LINK [TRANSPORT]: bytes that it sent.
carried() {
    awk -v link="$1" -v transport="${2-}" '$1 == link && (transport == "" || $2 == transport) {
        for (i = 3; i < NF; i++) if ($i == "sent") sum += $(i + 1) } END { print sum + 0 }' "$LAB_DIR/paths"
}
# whole NAME LIST: BYTES by that, and how fast.
whole() {
    local began=$EPOCHREALTIME
    over_begin "$2"
    assert "$1: what came is what was sent" over_end
    result "$1" "$(figure "$BYTES * 8e-6 / ($EPOCHREALTIME - $began)" 1)" Mbit/s
}
# pass LINK udp|tcp|both|none: what passes there, besides.
pass() {
    on core nft delete table ip "pass$1" 2>/dev/null
    [[ $2 != both ]] || return 0
    on core nft -f - <<<"table ip pass$1 {
        chain forward { type filter hook forward priority 0;
            iifname n$1 meta l4proto { tcp, udp } meta l4proto != $2 drop
            oifname n$1 meta l4proto { tcp, udp } meta l4proto != $2 drop
        }
    }" || lab_fail "nft"
}

for transport in udp tcp mptcp sctp; do
    if [[ $transport == mptcp && ! -e /proc/sys/net/mptcp/enabled ]]; then
        echo "mptcp: this kernel has none"
        continue
    fi
    whole $transport $transport
    for link in l1 l2; do
        assert "$transport: $link carries an eighth at least" holds "$(carried $link $transport)" '>=' $((BYTES / 8))
    done
done

pass 1 udp
pass 2 tcp
whole mix udp,tcp
assert "mix: UDP by l1" holds "$(carried l1 udp)" '>=' $((BYTES / 8))
assert "mix: TCP by l2" holds "$(carried l2 tcp)" '>=' $((BYTES / 8))
pass 1 tcp
whole instead ""
assert "instead: by TCP" holds "$(carried l1 tcp) + $(carried l2 tcp)" '>=' "$BYTES"
pass 1 both
pass 2 both

over_begin tcp
nap 1
links_hit carrier 1
assert "carrier: what came is what was sent" over_end
links_restore

over_begin tcp
nap 1
links_hit silent 2
assert "silent: what came is what was sent" over_end
links_restore

over_begin sctp
nap 1
links_hit silent 1
assert "sctp, silent: what came is what was sent" over_end
links_restore

over_begin tcp
nap 1
links_hit carrier 1
links_hit silent 2
nap 3
links_restore
assert "neither: what came is what was sent" over_end
lab_done
