#!/bin/bash
# hawser send and recv over two links: files arrive whole, whatever happens to links, sender, receiver and disk meanwhile.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core  198.51.100.9 ---- veth ---- 198.51.100.10 agent: hawser recv
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#
# (lab/links-lib.sh without its daemons.) == is 20 Mbit/s and 10 ms. A file of BYTES (first argument, 20,000,000: 4 s of
# both links) goes from the node to the agent, and what is in the folder there is compared with it:
#   both       nothing happens, and an empty file and a small one go with it; each link carries a quarter at least
#   carrier    the first link loses its carrier when a quarter has come, and stays away
#   at once    another sender, of another key, sends a file while the first stands still, which then goes on
#   sender     is killed then; the next one, of the same key, goes on from there
#   stranger   the same, and the next one is of another key, while the receiver still holds the first
#   receiver   is killed then, and another started; the sender says so, and the next one goes on
#   names      that would leave the folder, or the line, are refused
#   full       a disk of 4 MB: both ends say so, and nothing has the name
#   changes    the file becomes shorter while it is sent: both ends say so, and nothing has the name
#   ping       tells the round trip of each link
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init send "$@"
need jq
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
[[ -x $HAWSER ]] || lab_skip "$HAWSER is not built"
BYTES=${LAB_ARGS[0]:-20000000}
PORT=51821
FROM=$LAB_DIR/from TO=$LAB_DIR/to

links_net "rate=20mbit delay=10ms" "rate=20mbit delay=10ms"
mkdir "$FROM" "$TO"
head -c "$BYTES" /dev/urandom >"$FROM/large"
for key in agent node other; do
    "$HAWSER" keygen "$LAB_DIR/$key.key" >"$LAB_DIR/$key.pub"
done
AGENT=$(<"$LAB_DIR/agent.pub")

# recv_begin: the agent receives into TO.
recv_begin() {
    bg agent recv "$HAWSER" recv --key "$LAB_DIR/agent.key" --port $PORT --allow "$(<"$LAB_DIR/node.pub")" \
        --allow "$(<"$LAB_DIR/other.pub")" "$TO"
    wait_for 5 "the agent listens" listening agent udp $PORT
}
# send_begin NAME FILE...: in the background; KEY is whose. send_end: waits, and gives the exit code; send_is FILTER: jq -e
# over what it said.
KEY=node
send_begin() {
    bg node send "$HAWSER" send --json --key "$LAB_DIR/$KEY.key" "$@" "$AGENT" "$LINKS_AGENT:$PORT"
}
send_end() {
    bg_wait send
}
send_fails() {
    ! bg_wait send
}
send_is() {
    jq -e "$1" "$(bg_log send)" >/dev/null || { cat "$(bg_log send)" && return 1; }
}
same() {
    cmp -s "$FROM/$1" "$TO/$1"
}
# part_has FILE BYTES: a condition.
part_has() {
    local size
    size=$(stat -c %s "$TO/$1.hawser-part" 2>/dev/null) && ((size >= $2))
}
# quarter NAME: sends the large file under that name until a quarter is there.
quarter() {
    ln "$FROM/large" "$FROM/$1"
    send_begin "$FROM/$1"
    wait_for 20 "$1: a quarter is there" part_has "$1" $((BYTES / 4))
    assert "$1: nothing has the name yet" test ! -e "$TO/$1"
}

recv_begin
: >"$FROM/empty"
printf 'small\n' >"$FROM/small"
began=$EPOCHREALTIME
send_begin "$FROM/large" "$FROM/empty" "$FROM/small"
assert "both: sent" send_end
result both "$(figure "$BYTES * 8e-6 / ($EPOCHREALTIME - $began)" 1)" Mbit/s
for name in large empty small; do assert "both: $name is what was sent" same $name; done
assert "both: each link carries a quarter at least" send_is "[.links[] | select(.sent_bytes >= $BYTES / 4) | .link] | sort == [\"l1\", \"l2\"]"

quarter carrier
links_hit carrier 1
assert "carrier: sent" send_end
assert "carrier: what came is what was sent" same carrier
links_restore

quarter first
kill -STOP "$(bg_pid send)"
ln "$FROM/small" "$FROM/second"
assert "at once: the second is sent" on node "$HAWSER" send --quiet --key "$LAB_DIR/other.key" "$FROM/second" "$AGENT" \
    "$LINKS_AGENT:$PORT"
assert "at once: the second is what was sent" same second
assert "at once: the first is under way" test -e "$TO/first.hawser-part"
kill -CONT "$(bg_pid send)"
assert "at once: the first is sent" send_end
assert "at once: the first is what was sent" same first

quarter sender
bg_stop send KILL
send_begin "$FROM/sender"
assert "sender: sent" send_end
assert "sender: it went on where it was" send_is ".files[0].had_bytes >= $BYTES / 4"
assert "sender: what came is what was sent" same sender

quarter stranger
bg_stop send KILL
KEY=other send_begin "$FROM/stranger"
assert "stranger: sent" send_end
assert "stranger: it went on where it was" send_is ".files[0].had_bytes >= $BYTES / 4"
assert "stranger: what came is what was sent" same stranger

quarter receiver
bg_stop recv KILL
recv_begin
assert "receiver: the sender fails" send_fails
assert "receiver: it says so" send_is '.files[0].error | test("the peer ended the session, or began anew; send it again")'
assert "receiver: nothing has the name" test ! -e "$TO/receiver"
send_begin "$FROM/receiver"
assert "receiver: sent" send_end
assert "receiver: it went on where it was" send_is ".files[0].had_bytes >= $BYTES / 4"
assert "receiver: what came is what was sent" same receiver

ln "$FROM/small" "$FROM/two"$'\n'"lines"
ln "$FROM/small" "$FROM/small.hawser-part"
ln "$FROM/small" "$FROM/fine"
send_begin "$FROM/two"$'\n'"lines" "$FROM/small.hawser-part" "$FROM/fine"
assert "names: the sender fails" send_fails
assert "names: two are refused and one is sent" send_is '[.files[].outcome] == ["failed", "failed", "sent"]'
assert "names: they are not there" test "$(find "$TO" -name 'two*' -o -name '*.hawser-part')" = ""
assert "names: the third is" same fine

quarter changes
cp "$FROM/changes" "$FROM/copy" && mv "$FROM/copy" "$FROM/changes" # the others are links to what is being sent
bg_stop send KILL
send_begin "$FROM/changes"
wait_for 20 "changes: half is there" part_has changes $((BYTES / 2))
truncate -s $((BYTES / 4)) "$FROM/changes"
assert "changes: the sender fails" send_fails
assert "changes: it says so" send_is '.files[0].error == "it became shorter while it was sent"'
wait_for 5 "changes: the receiver says so" grep -q "changes: it became shorter while it was sent" "$(bg_log recv)"
assert "changes: nothing has the name" test ! -e "$TO/changes"

node_ping() {
    on node "$HAWSER" ping --json --count 3 --interval .2 --key "$LAB_DIR/node.key" "$AGENT" "$LINKS_AGENT:$PORT" >"$(bg_log ping)"
}
assert "ping: answered" node_ping
for link in l1 l2; do
    result "ping $link" "$(jq -r ".paths[] | select(.link == \"$link\") | .rtt_avg_ms" "$(bg_log ping)")" ms
done
assert "ping: both links, thrice, of 20 ms at least" test 2 = \
    "$(jq '[.paths[] | select(.answered == 3 and .rtt_min_ms >= 20)] | length' "$(bg_log ping)")"

bg_stop recv INT
PORT=51822
# shellcheck disable=SC2016 # they are for the other shell; the mount is of this host's own and goes with it
bg agent full bash -c 'mount -t tmpfs -o size=4m none "$1" && exec "$0" recv --key "$2" --port "$3" --anyone "$1"' \
    "$HAWSER" "$TO" "$LAB_DIR/agent.key" $PORT
wait_for 5 "the agent listens" listening agent udp $PORT
ln "$FROM/large" "$FROM/full"
send_begin "$FROM/full"
assert "full: the sender fails" send_fails
assert "full: it says so" send_is '.files[0].error == "refused: No space left on device"'
wait_for 5 "full: the receiver says so" grep -q "full: No space left on device" "$(bg_log full)"
assert "full: nothing has the name" test ! -e "/proc/$(bg_pid full)/root$TO/full"
bg_stop full INT
lab_done
