#!/bin/bash
# Hosts behind NATs that call each other by identifier: which kinds of NAT let them go directly.
#
#   a 192.168.1.2 --+
#                   +-- na 20.0.2.2 --+
#   c 192.168.1.4 --+                 +-- core --+-- m: manager of acme.example
#   b 192.168.1.3 ----- nb 20.0.3.2 --+          +-- r: an agent that relays for its hosts
#                                     |
#                                     +-- n 10.0.6.2: a manager that follows m
#   f 192.168.1.2 ----- nf 10.0.9.2 --+-- ni 20.0.5.2: the NAT of a provider, before those of two homes
#   g 192.168.1.3 ----- ng 10.0.9.3 --'
#
# All homes have the same inside addresses, as homes have. A NAT of the kernel is address- and port-dependent in whom
# it lets in (RFC 4787 section 5); in its mappings it is endpoint-independent in effect as long as it may keep the inside's
# port (plain), address- and port-dependent where it draws one (random, section 4.1); a static map lets everybody in
# (cone). No file says where anybody is: each host asks the manager how it is seen, registers that too, and is told who is
# about to call. Two more kinds draw ports as random does, and give one for good to who asks: miniupnpd, by PCP (RFC 6887)
# or by NAT-PMP (RFC 6886). It has public addresses outside, as it gives no private ones.
#
# Promised: what the table says; a session goes on, directly, when a NAT has begun anew; what does not go directly goes
# by the agent, and directly from when it can; who speaks to a manager that follows calls and is called as others; c is
# reached inside, not by way of the NAT; f and g go by the provider's NAT if it turns back what comes from inside for a
# mapping of its own (hairpin, RFC 4787 section 6), and are relayed if it does not.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init nat-matrix "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need jq nft conntrack ping miniupnpd

# lan_of_two ROUTER ADDRESS: what is behind its p1 and p2 is one network.
lan_of_two() {
    local ns=${LAB_PREFIX}$1 p
    ip -n "$ns" link add lan type bridge
    ip -n "$ns" link set lan up
    ip -n "$ns" addr add "$2" dev lan
    for p in p1 p2; do
        ip -n "$ns" link set $p master lan
    done
}

router core
for h in na nb nf ng ni; do
    router $h
done
for h in m n r a b c f g; do
    host $h
done
link m:eth0 core:x1 10.0.1.2/24 10.0.1.1/24 both="delay=5ms"
link r:eth0 core:x4 10.0.4.2/24 10.0.4.1/24 both="delay=5ms"
link na:out core:x2 20.0.2.2/24 20.0.2.1/24 both="delay=10ms"
link nb:out core:x3 20.0.3.2/24 20.0.3.1/24 both="delay=10ms"
link n:eth0 core:x6 10.0.6.2/24 10.0.6.1/24 both="delay=5ms"
default_route m 10.0.1.1
default_route n 10.0.6.1
default_route r 10.0.4.1
default_route na 20.0.2.1
default_route nb 20.0.3.1
link ni:out core:x5 20.0.5.2/24 20.0.5.1/24 both="delay=10ms"
default_route ni 20.0.5.1
wire nf:out ni:p1 10.0.9.2/24 -
wire ng:out ni:p2 10.0.9.3/24 -
lan_of_two ni 10.0.9.1/24
wire f:eth0 nf:p1 192.168.1.2/24 192.168.1.1/24
wire g:eth0 ng:p1 192.168.1.3/24 192.168.1.1/24
default_route nf 10.0.9.1
default_route ng 10.0.9.1
wire a:eth0 na:p1 192.168.1.2/24 -
wire c:eth0 na:p2 192.168.1.4/24 -
lan_of_two na 192.168.1.1/24
wire b:eth0 nb:p1 192.168.1.3/24 192.168.1.1/24
for h in a b c f g; do
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
for h in a b c f g; do
    realm_host $h m m 10.0.1.2
done

# nat_kind ROUTER KIND INSIDE
nat_kind() {
    case $2 in
    plain) nat "$1" out ;;
    random | pcp | nat-pmp) nat "$1" out symmetric ;;
    cone) nat "$1" out cone="$3:51820" ;;
    esac
    [[ $2 != pcp && $2 != nat-pmp ]] || gateway "$1"
    ip netns exec "$LAB_PREFIX$1" conntrack -F >/dev/null 2>&1
}

# gateway ROUTER: gives ports to who asks, at its address inside, 192.168.1.1.
declare -A INSIDE_IF=([na]=lan [nb]=p1)
gateway() {
    local file=$LAB_DIR/gateway-$1
    ip netns exec "$LAB_PREFIX$1" nft -f - <<EOR || lab_fail "gateway $1: nft"
table inet gateway
delete table inet gateway
table inet gateway {
    chain forward {
    }
    chain into {
        type nat hook prerouting priority dstnat
    }
    chain out {
        type nat hook postrouting priority srcnat
    }
}
EOR
    cat >"$file" <<EOR
ext_ifname=out
listening_ip=${INSIDE_IF[$1]}
enable_upnp=no
enable_natpmp=yes
secure_mode=yes
upnp_table_name=gateway
upnp_nat_table_name=gateway
upnp_forward_chain=forward
upnp_nat_chain=into
upnp_nat_postrouting_chain=out
uuid=7e9b2f8c-0d0a-4d6e-9d0d-6d2a53a2c3d1
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
EOR
    bg "$1" "gateway-$1" miniupnpd -d -f "$file" -P "$file.pid"
    wait_for 5 "the gateway $1 listens" listening "$1" udp 5351
}

# asks HOST KIND: what its gateway is asked for; and what it is given, as everybody is told.
asks() {
    sed -i "/^PortMapping/d; s/^Role = host/&\nPortMapping = $([[ $2 == nat-pmp ]] && echo nat-pmp || echo yes)/" "$LAB_DIR/hawser/$1.conf"
}
given() {
    local at
    at=$(pair_status "$1" ".port_mappings[] | select(.used and .protocol == \"$2\") | .at")
    [[ -n $at ]] && on m "$HAWSER" resolve --config "$LAB_DIR/hawser/$1.conf" "$1.h.acme.example" 2>/dev/null | grep -qF "$at"
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
    asks a "$at_a"
    asks b "$at_b"
    start a b
    [[ $at_a != *p*p ]] || wait_for 10 "a has a port of its gateway" given a "$at_a"
    [[ $at_b != *p*p ]] || wait_for 10 "b has a port of its gateway" given b "$at_b"
    assert "$at_a calls $at_b" reaches a b
    wait_for 5 "$at_a calls $at_b: $expected" goes a "$expected"
    result "${at_a}_$at_b" "$expected"
    result "${at_a}_${at_b}_first" "$(awk -F'time=' '/seq=1 /{ print $2 + 0 }' "$(bg_log ping)")" ms
    bg_stop hawserd-a
    bg_stop hawserd-b
    [[ ! -e $LAB_DIR/log/gateway-na.pid ]] || bg_stop gateway-na
    [[ ! -e $LAB_DIR/log/gateway-nb.pid ]] || bg_stop gateway-nb
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
pcp    random directly
random pcp    directly
pcp    pcp    directly
nat-pmp nat-pmp directly
plain  nat-pmp directly
EOF

# --- a gateway that forgets, and a host that leaves ---
leads() {
    ip netns exec "${LAB_PREFIX}na" nft list chain inet gateway into | grep -q 192.168.1.2
}
for_seconds() {
    holds "$(pair_status a '.port_mappings[0].left_s')" '<' 7195
}
nat_kind na pcp 192.168.1.2
asks a pcp
start a
wait_for 10 "a has a port of its gateway" given a pcp
assert "which leads to it" leads
wait_for 10 "and has for some seconds, as less is no sign that it forgot" for_seconds
bg_stop gateway-na KILL
gateway na
assert "it has forgotten" eval '! leads'
wait_for 15 "the gateway began anew, and is asked again" leads
bg_stop hawserd-a
wait_for 5 "the port is given back" eval '! leads'
bg_stop gateway-na

assert "the agent says what it has passed on" holds "$(pair_status r '.relay.passed')" '>' 0
assert "and has refused nobody" holds "$(pair_status r '.relay.refused')" '==' 0

# --- NATs that begin anew, in the middle of a session ---

# anew ROUTER INSIDE PORT: it has forgotten all, and has that port for the host.
anew() {
    ip netns exec "$LAB_PREFIX$1" nft -f - <<EOR || lab_fail "anew $1: nft"
table ip lab_nat
delete table ip lab_nat
table ip lab_nat {
    chain out {
        type nat hook postrouting priority srcnat
        ip saddr $2 udp sport 51820 masquerade to :$3
        oifname "out" masquerade
    }
    chain in {
        type filter hook forward priority filter
        iifname "out" ct state new drop
    }
    chain self {
        type filter hook input priority filter
        iifname "out" ct state new drop
    }
}
EOR
    ip netns exec "$LAB_PREFIX$1" conntrack -F >/dev/null 2>&1
}

# goes_on: a packet of the session comes back, and no relay is in use.
goes_on() {
    on a ping -6 -c 1 -W 1 "$B" </dev/null >"$(bg_log ping)" 2>&1 && [[ $(how a) == directly ]]
}
anew na 192.168.1.2 6001
anew nb 192.168.1.3 6002
start a b
B=$(pair_status b '.tun.addresses[0]')
assert "a calls b" reaches a b
wait_for 5 "a calls b: directly" goes a directly
port=6003
for which in a b "a b"; do
    [[ $which != *a* ]] || anew na 192.168.1.2 $((port++))
    [[ $which != *b* ]] || anew nb 192.168.1.3 $((port++))
    before=$(date +%s%3N)
    wait_for 20 "it goes on, the NAT of $which anew" goes_on
    result "anew_${which// /_}" $(($(date +%s%3N) - before)) ms
done
bg_stop hawserd-a
bg_stop hawserd-b

# --- managers that follow ---

# manager HOST ADDRESS: which it speaks to.
manager() {
    sed -i "s/^Manager = .*/Manager = $2:51823/" "$LAB_DIR/hawser/$1.conf"
}
mkdir -m 700 "$LAB_DIR/hawser/n.realm"
cp "$LAB_DIR/hawser/m.realm/key" "$LAB_DIR/hawser/n.realm/key"
{
    realm_file n 10.0.6.2
    printf '[Follow]\nManagers = 10.0.1.2\nMode = push\n'
} >"$LAB_DIR/hawser/n.realmd"
bg n realmd-n "$REALMD" "$LAB_DIR/hawser/n.realmd"
wait_for 10 "n follows m" grep -q 'state=caught_up' "$(bg_log realmd-n)"
nat_kind na plain 192.168.1.2
nat_kind nb plain 192.168.1.3
while read -r name of_a of_b; do
    manager a "$of_a"
    manager b "$of_b"
    asks a plain
    asks b plain
    start a b
    assert "a calls b, $name" reaches a b
    wait_for 5 "a calls b, $name: directly" goes a directly
    result "$name" directly
    bg_stop hawserd-a
    bg_stop hawserd-b
done <<EOF
callee_at_follower 10.0.1.2 10.0.6.2
both_at_follower   10.0.6.2 10.0.6.2
caller_at_follower 10.0.6.2 10.0.1.2
EOF
manager a 10.0.1.2

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

# --- behind one NAT of a provider, in two homes ---

# provider IN: a port of its own for each home, and whatever comes in by these interfaces for that goes there.
provider() {
    ip netns exec "${LAB_PREFIX}ni" nft -f - <<EOR || lab_fail "provider: nft"
table ip provider
delete table ip provider
table ip provider {
    chain into {
        type nat hook prerouting priority dstnat
        iifname { $1 } ip daddr 20.0.5.2 udp dport 6001 dnat to 10.0.9.2:51820
        iifname { $1 } ip daddr 20.0.5.2 udp dport 6002 dnat to 10.0.9.3:51820
    }
    chain out {
        type nat hook postrouting priority srcnat
        ip saddr 10.0.9.2 udp sport 51820 snat to 20.0.5.2:6001
        ip saddr 10.0.9.3 udp sport 51820 snat to 20.0.5.2:6002
        oifname "out" masquerade
    }
}
EOR
    ip netns exec "${LAB_PREFIX}ni" conntrack -F >/dev/null 2>&1
}

while read -r name into expected; do
    provider "$into"
    nat_kind nf plain 192.168.1.2
    nat_kind ng plain 192.168.1.3
    start f g
    assert "f reaches g, $name" reaches f g
    wait_for 5 "f and g, $name: $expected" goes f "$expected"
    result "$name" "$expected"
    bg_stop hawserd-f
    bg_stop hawserd-g
done <<EOF
hairpin    out,lan directly
no_hairpin out     relayed
EOF
lab_done
