#!/bin/bash
# hawser pipe over two links: bytes arrive as they were sent, whatever happens to the links meanwhile.
#
# Topology: lab/links-lib.sh without its daemons, two links of 20 Mbit/s and 10 ms. Each time the node calls and sends
# BYTES (first argument, 10,000,000: 2 s of both links), and the agent answers with the digest of what it read:
#   both        nothing happens; each path carries at least a quarter
#   carrier     the first link loses its carrier in the middle, and stays away
#   silent      the second goes silent
#   neither     both go for 3 s, one with notice and one without, and come back
# Then the other way round: the agent sends, and the first link goes.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init pipe "$@"
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
BYTES=${LAB_ARGS[0]:-10000000}
PORT=20000

links_bare "$BYTES" "rate=20mbit delay=10ms" "rate=20mbit delay=10ms"

# pipe_begin SENDER RECEIVER: in the background; SENDER is node or agent. pipe_end: waits, and says whether all came.
pipe_begin() {
    local call
    PORT=$((PORT + 1))
    rm -f "$LAB_DIR/got"
    # shellcheck disable=SC2016
    if [[ $1 == node ]]; then
        bg agent answer bash -c '"$0" pipe --listen "$1" --key "$2" </dev/null >"$3"' "$HAWSER" $PORT "$LAB_DIR/agent.key" "$LAB_DIR/got"
        call='"$0" pipe --verbose "$1" "$2" <"$3" 2>"$4"'
    else
        bg agent answer bash -c '"$0" pipe --listen "$1" --key "$2" <"$3"' "$HAWSER" $PORT "$LAB_DIR/agent.key" "$LAB_DIR/sent"
        call='"$0" pipe --verbose "$1" "$2" </dev/null 2>"$4" >"$5"'
    fi
    wait_for 5 "the agent listens" listening agent udp $PORT
    bg node call timeout 60 bash -c "$call" "$HAWSER" "$(<"$LAB_DIR/agent.pub")" "$LINKS_AGENT:$PORT" "$LAB_DIR/sent" "$LAB_DIR/paths" "$LAB_DIR/got"
}
pipe_end() {
    bg_wait call && bg_wait answer && links_got
}
# carried LINK sent|received: bytes.
carried() {
    awk -v link="$1" -v what="$2" '$1 == link { for (i = 2; i < NF; i++) if ($i == what) print $(i + 1) + 0 }' "$LAB_DIR/paths"
}

began=$EPOCHREALTIME
pipe_begin node
assert "both: what came is what was sent" pipe_end
result both "$(figure "$BYTES * 8e-6 / ($EPOCHREALTIME - $began)" 1)" Mbit/s
for link in l1 l2; do
    assert "both: $link carries a quarter at least" holds "$(carried $link sent)" '>=' $((BYTES / 4))
done

pipe_begin node
nap 1
links_hit carrier 1
assert "carrier: what came is what was sent" pipe_end
links_restore

pipe_begin node
nap 1
links_hit silent 2
assert "silent: what came is what was sent" pipe_end
links_restore

pipe_begin node
nap 1
links_hit carrier 1
links_hit silent 2
nap 3
links_restore
assert "neither: what came is what was sent" pipe_end

pipe_begin agent
nap 1
links_hit carrier 1
assert "the other way, carrier: what came is what was sent" pipe_end
links_restore
lab_done
