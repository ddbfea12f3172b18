#!/bin/bash
# A node that knows its agents by name alone: the records of a realm say their keys, and managers where they are. The one
# that it has dies, and it goes on by the other.
#
#   realm:eth0 --+      +-- g1:eth0   hawserd, an agent
#                + core +
#   node:eth0 ---+      +-- g2:eth0   another, with a key of its own
#
# realm has the manager of example. The node's default route is the tunnel from the first agent on, so that its
# questions must leave beside a tunnel that is dead.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init agent-names "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
REALMD=${REALMD:-$HAWSER_BUILD/src/prog/hawser-realmd}
for program in "$HAWSERD" "$REALMD"; do
    [[ -x $program ]] || lab_skip "$program is not built"
done
need jq ping
DIR=$LAB_DIR/hawser
mkdir -p "$DIR"

star "rate=100mbit delay=5ms" realm node g1 g2

quiet() {
    "$HAWSER" "$@" >>"$(bg_log hawser)" 2>&1 || lab_fail "hawser $*: $(<"$(bg_log hawser)")"
}
for h in node g1 g2; do
    pair_key $h >/dev/null
done
quiet realm init "$DIR/example" example
for h in g1 g2; do
    quiet realm enrol "$DIR/example" $h.h "$(pair_key $h)" "$DIR/$h.chain"
done
quiet realm policy "$DIR/example" 2001:3f::/32=agent
printf '[Realm]\nDirectory = %s\nControl = %s\n' "$DIR/example" "$DIR/realmd.sock" >"$DIR/realmd.conf"
bg realm realmd "$REALMD" "$DIR/realmd.conf"
wait_for 5 "the manager listens" listening realm udp 51823

# Each gives the node an address of its own network.
n=2
for h in g1 g2; do
    n=$((n + 1))
    mkdir -p "$DIR/$h"
    {
        pair__interface $h 'ListenPort = 51820' "Address = 10.77.$n.1/24" 'NAT = no'
        printf '[Peer node]\nPublicKey = %s\nAddress = 10.77.%s.2/32\n' "$(pair_key node)" $n
    } >"$DIR/$h.conf"
    pair_daemon $h
    wait_for 5 "$h answers" pair_status $h .pid
    bg $h "attach-$h" "$HAWSER" id attach "$DIR/$h.key" "$DIR/$h.chain" --manager 10.0.1.2:51823 --at 10.0.$n.2:51820 --class agent
    wait_for 10 "$h is attached" grep -q registered "$(bg_log "attach-$h")"
done

mkdir -p "$DIR/node"
{
    pair__interface node
    printf '[Link eth0]\nWifiSignal = off\n[Names]\nRoot = %s\nManager = 10.0.1.2\n' example/root
    printf '[Peer home]\nEndpoint = g1.h.example, g2.h.example\n'
} >"$DIR/node.conf"
assert "the file is sound" "$HAWSER" check "$DIR/node.conf"
pair_daemon node
reaches() { # N: the agent of 10.77.N, over the tunnel
    on node ping -c 1 -W 1 "10.77.$1.1"
}
wait_for 10 "an agent was found by name" pair_active node eth0
first=$(pair_status node '.peers[0].paths[0].remote' | sed -n 's/^10\.0\.\([34]\)\..*/\1/p')
assert "it is one of the two" test -n "$first"
wait_for 5 "what is behind it can be reached" reaches "$first"
other=$((7 - first))
before=$EPOCHREALTIME
bg_stop "hawserd-g$((first - 2))" KILL
wait_for 40 "the other is the agent" reaches "$other"
result moved "$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $before }")" s
assert "which is said" grep -q "agent name=g$((other - 2)).h.example" "$(bg_log hawserd-node)"
lab_done
