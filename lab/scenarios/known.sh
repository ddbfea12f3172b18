#!/bin/bash
# What sessions of libhawser leave with the daemon of their machine (src/prog/known.c): hawser status --paths-known says
# it, programs of another user are heard but believed by nobody else, and without a daemon all goes on as well.
#
# Topology: lab/links-lib.sh without its tunnel, two links of 20 Mbit/s and 10 ms. On the node a daemon runs whose agent
# is nowhere, and hawser pipe brings BYTES (first argument, 4,000,000) to the agent's. What the node runs has a /run of
# its own, so that no other daemon of this machine answers.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init known "$@"
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
BYTES=${LAB_ARGS[0]:-4000000}
PORT=20100

links_bare "$BYTES" "rate=20mbit delay=10ms" "rate=20mbit delay=10ms"
"$HAWSER" keygen "$LAB_DIR/nobody.key" >"$LAB_DIR/nobody.pub"
"$HAWSER" keygen "$LAB_DIR/daemon.key" >/dev/null
mkdir "$LAB_DIR/run" "$LAB_DIR/state"
chmod 755 "$LAB_DIR"
chmod 644 "$LAB_DIR/sent"
cat >"$LAB_DIR/daemon.conf" <<CONF
[Interface]
Role = agent
Name = known
PrivateKeyFile = $LAB_DIR/daemon.key
ListenPort = 51999
Address = 10.99.0.1/24
NAT = no
StateDir = $LAB_DIR/state
Control = $LAB_DIR/run/daemon.sock
[Peer nobody]
PublicKey = $(<"$LAB_DIR/nobody.pub")
Address = 10.99.0.2/32
CONF

# on_node COMMAND...: with the /run of the node's own.
on_node() {
    # shellcheck disable=SC2016
    on node bash -c 'mkdir -p /run/hawser && mount --bind "$0/run" /run/hawser && exec "$@"' "$LAB_DIR" "$@"
}
# carry NAME [COMMAND...]: BYTES from the node to the agent; COMMAND runs what sends.
carry() {
    local name=$1
    shift
    PORT=$((PORT + 1))
    # shellcheck disable=SC2016
    bg agent "answer-$name" bash -c '"$0" pipe --listen "$1" --key "$2" </dev/null >"$3"' "$HAWSER" "$PORT" "$LAB_DIR/agent.key" "$LAB_DIR/got"
    wait_for 5 "the agent listens" listening agent udp "$PORT"
    on_node timeout 60 "$@" "$HAWSER" pipe "$(<"$LAB_DIR/agent.pub")" "$LINKS_AGENT:$PORT" <"$LAB_DIR/sent" || return 1
    bg_wait "answer-$name" && links_got
}
known() {
    on_node "$HAWSER" status --paths-known --json "$LAB_DIR/run/daemon.sock"
}
# rows FILTER: how many of what is known.
rows() {
    known | jq "[.known[] | select($1)] | length"
}
# shellcheck disable=SC2016
bg node daemon bash -c 'mkdir -p /run/hawser && mount --bind "$0/run" /run/hawser && exec "$1" "$2"' "$LAB_DIR" "$HAWSERD" "$LAB_DIR/daemon.conf"
wait_for 10 "the daemon can be asked" test -S "$LAB_DIR/run/known"
assert "nothing is known at first" test "$(rows true)" = 0
assert "a session of root's" carry first
for link in l1 l2; do
    assert "its rate of $link is known" test "$(rows ".link == \"$link\" and .tx_rate_bps > 1000000 and .srtt_ms >= 20")" = 1
done
result known_mbit "$(known | jq '[.known[].tx_rate_bps] | add / 1e6')"
told=$(known | jq -c '[.known[].reports]')
assert "a session of somebody else's" carry second setpriv --reuid 65534 --regid 65534 --clear-groups
assert "it is believed by nobody else" test "$(known | jq -c '[.known[].reports]')" = "$told"
bg_stop daemon
assert "without a daemon" carry third
lab_done
