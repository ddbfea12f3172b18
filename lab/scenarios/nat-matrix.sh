#!/bin/bash
# Hosts behind NATs that call each other by identifier: which kinds of NAT let them go directly.
#
#   a 192.168.1.2 --+
#                   +-- na 10.0.2.2 --+
#   c 192.168.1.4 --+                 +-- core --+-- m: manager of acme.example
#   b 192.168.1.3 ----- nb 10.0.3.2 --+          +-- r: an agent that relays for its hosts
#
# Both networks have the same inside addresses, as homes have. A NAT of the kernel is address- and port-dependent in whom
# it lets in (RFC 4787 section 5); in its mappings it is endpoint-independent in effect as long as it may keep the inside's
# port (plain), address- and port-dependent where it draws one (random, section 4.1); a static map lets everybody in
# (cone). No file says where anybody is: each host asks the manager how it is seen, registers that too, and is told who is
# about to call. Promised: what the table says; what does not go directly goes by the agent, and directly from when it can;
# c is reached inside, not by way of the NAT.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init nat-matrix "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need jq nft conntrack ping

router core
router na
router nb
for h in m r a b c; do
    host $h
done
link m:eth0 core:x1 10.0.1.2/24 10.0.1.1/24 both="delay=5ms"
link r:eth0 core:x4 10.0.4.2/24 10.0.4.1/24 both="delay=5ms"
link na:out core:x2 10.0.2.2/24 10.0.2.1/24 both="delay=10ms"
link nb:out core:x3 10.0.3.2/24 10.0.3.1/24 both="delay=10ms"
default_route m 10.0.1.1
default_route r 10.0.4.1
default_route na 10.0.2.1
default_route nb 10.0.3.1
ip -n "${LAB_PREFIX}na" link add lan type bridge
ip -n "${LAB_PREFIX}na" link set lan up
ip -n "${LAB_PREFIX}na" addr add 192.168.1.1/24 dev lan
wire a:eth0 na:p1 192.168.1.2/24 -
wire c:eth0 na:p2 192.168.1.4/24 -
wire b:eth0 nb:p1 192.168.1.3/24 192.168.1.1/24
for p in p1 p2; do
    ip -n "${LAB_PREFIX}na" link set $p master lan
done
for h in a b c; do
    default_route $h 192.168.1.1
done

realm_make m acme.example
mkdir -p "$LAB_DIR/hawser/r"
R=$(pair_key r)
M=$("$HAWSER" pubkey <"$LAB_DIR/hawser/m.realm/key")
{
    pair__interface r 'Role = agent' 'Address = 10.8.0.1/24' "RelayFor = $M"
    printf '[Peer nobody]\nPublicKey = %s\n' "$(pair_key nobody)"
} >"$LAB_DIR/hawser/r.conf"
"$HAWSER" check "$LAB_DIR/hawser/r.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
pair_daemon r
wait_for 5 "the relay listens" listening r udp 51820
realm_daemon m 10.0.1.2 '' "$R" 10.0.4.2
for h in a b c; do
    realm_host $h m m 10.0.1.2
done

# nat_kind ROUTER KIND INSIDE
nat_kind() {
    case $2 in
    plain) nat "$1" out ;;
    random) nat "$1" out symmetric ;;
    cone) nat "$1" out cone="$3:51820" ;;
    esac
    ip netns exec "$LAB_PREFIX$1" conntrack -F >/dev/null 2>&1
}

# known HOST: the manager knows it, and it knows how it is seen.
known() {
    grep -q 'attach state=registered' "$(bg_log "hawserd-$1")" && grep -q 'seen link=eth0' "$(bg_log "hawserd-$1")"
}

# start HOST...: each anew.
start() {
    local h
    for h; do
        pair_daemon "$h"
    done
    for h; do
        wait_for 10 "$h is known" known "$h"
    done
}

# reaches FROM TO: within 8 s.
reaches() {
    on "$1" ping -6 -c 1 -W 8 "$(pair_status "$2" '.tun.addresses[0]')" </dev/null >"$(bg_log ping)" 2>&1
}

# how FROM: directly, relayed or both, by the paths that work; a condition for wait_for with what is expected.
how() {
    pair_status "$1" '[.peers[].paths[] | select(.state == "active") | if (.remote | startswith("[100::")) then "relayed" else "directly" end]
        | unique | join(" ")'
}
goes() { # FROM HOW
    local now
    now=$(how "$1")
    echo "$now"
    [[ $now == "$2" ]]
}

while read -r at_a at_b expected; do
    nat_kind na "$at_a" 192.168.1.2
    nat_kind nb "$at_b" 192.168.1.3
    start a b
    assert "$at_a calls $at_b" reaches a b
    wait_for 5 "$at_a calls $at_b: $expected" goes a "$expected"
    result "${at_a}_$at_b" "$expected"
    result "${at_a}_${at_b}_first" "$(awk -F'time=' '/seq=1 /{ print $2 + 0 }' "$(bg_log ping)")" ms
    bg_stop hawserd-a
    bg_stop hawserd-b
done <<EOF
plain  plain  directly
cone   plain  directly
random cone   directly
plain  cone   directly
cone   cone   directly
cone   random directly
plain  random relayed
random plain  relayed
random random relayed
EOF

assert "the agent says what it has passed on" holds "$(pair_status r '.relay.passed')" '>' 0
assert "and has refused nobody" holds "$(pair_status r '.relay.refused')" '==' 0

# --- behind one NAT ---
nat_kind na plain 192.168.1.2
start a c
assert "a reaches c, behind the same NAT" reaches a c
remote() {
    pair_status a '[.peers[].paths[] | select(.state == "active") | .remote] | join(" ")' | grep -F 192.168.1.4
}
wait_for 5 "by its inside address" remote
bg_stop hawserd-a
bg_stop hawserd-c
lab_done
