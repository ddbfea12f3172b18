#!/bin/bash
# Does the library do what it says? Links, faults, NAT, timed events, and clean-up after kill -9.
#
#   c:w0 ===== 20 Mbit/s, 5 ms ===== n:lan (NAT) n:wan ===== 10 Mbit/s, 10 ms ===== isp:x (isp) isp:core ----- s:e0
#   192.168.1.2        192.168.1.1               100.64.0.2             100.64.0.1      203.0.113.1      203.0.113.2
#
# With --victim it builds one link, waits, and is killed by itself.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init lib-self "$@"
need ping nft conntrack

if [[ ${LAB_ARGS[0]-} == --victim ]]; then
    host a
    host b
    link a:x b:x - -
    bg a sleeper sleep 1000
    echo "$LAB_PREFIX $LAB_DIR" >"${LAB_ARGS[1]}"
    on a sleep 1000
fi

# reply HOST ADDRESS: it answers within a second.
reply() {
    ip netns exec "$LAB_PREFIX$1" ping -qc 1 -W 1 "$2" >/dev/null
}

not() {
    ! "$@"
}

# flow PORT: the NAT's line of the UDP flow to that port.
flow() {
    ip netns exec "${LAB_PREFIX}n" conntrack -L -p udp --dport "$1" 2>/dev/null | grep -m 1 "dport=$1"
}

# mapping PORT: sends to it (nobody listens) and sets inner and outer to the source port before and behind the NAT.
mapping() {
    on c bash -c "echo x >/dev/udp/203.0.113.2/$1"
    wait_for 2 "a mapping" flow "$1"
    [[ $(flow "$1") =~ sport=([0-9]+)\ dport=$1\ .*dport=([0-9]+) ]] || lab_fail "no ports in: $(flow "$1")"
    inner=${BASH_REMATCH[1]} outer=${BASH_REMATCH[2]}
}

# up HOST IF: it has its carrier.
up() {
    ip -n "$LAB_PREFIX$1" link show dev "$2" | grep -q LOWER_UP
}

host c
router n
router isp
host s
link c:w0 n:lan 192.168.1.2/24 192.168.1.1/24 both="rate=20mbit delay=5ms"
link n:wan isp:x 100.64.0.2/24 100.64.0.1/24 both="rate=10mbit delay=10ms"
wire isp:core s:e0 203.0.113.1/24 203.0.113.2/24
default_route c 192.168.1.1 w0
default_route n 100.64.0.1
default_route s 203.0.113.1

assert "no way from inside without a NAT" not reply c 203.0.113.2
nat n wan timeout=2
assert "a way out through the NAT" reply c 203.0.113.2

mapping 7001
assert "a NAT keeps ports" test "$inner" = "$outer"
nat_rebind n
mapping 7002
assert "a rebound NAT does not" test "$inner" != "$outer"
nat n wan symmetric timeout=2
mapping 7003
assert "nor does a symmetric one" test "$inner" != "$outer"
wait_for 4 "its end" not flow 7003

blackhole isp:x n:wan ab on
assert "a black hole swallows" not reply c 203.0.113.2
assert "in one direction" test "$(link_stat n:wan isp:x ba blackhole) $(link_stat n:wan isp:x ab blackhole)" = "1 0"
assert "and the carrier stays" up n wan
blackhole n:wan isp:x off
assert "and ends" reply c 203.0.113.2

carrier_down n:wan isp:x
assert "no carrier here" not up n wan
assert "no carrier there" not up isp x
carrier_up isp:x n:wan
wait_for 2 "carrier" up n wan
default_route n 100.64.0.1
wait_for 3 "the way back" reply c 203.0.113.2

at 0.3 link_down c:w0
wait_for 3 "the link goes down" not up c w0
link_up c:w0
wait_for 3 "the link comes up" up c w0
default_route c 192.168.1.1
addr_change c w0 192.168.1.2/24 192.168.1.9/24
default_route c 192.168.1.1
wait_for 3 "the new address" reply c 203.0.113.2

link_set n:lan c:w0 ab="delay=100ms"
rtt=$(on c ping -qc 3 -i 0.2 192.168.1.1 | sed -n 's/^rtt [^=]*= \([0-9.]*\).*/\1/p')
result rtt "$rtt" ms
# 5 ms there, 100 ms back; 84 bytes at 20 Mbit/s take .03 ms each way.
assert "the delay is what was set" holds "$rtt > 105.06 && $rtt < 110"

# A killed script leaves nothing.
victim=$LAB_DIR/victim
: >"$victim"
"$0" --victim "$victim" >/dev/null 2>&1 &
pid=$!
lab__own "$pid"
wait_for 5 "the victim's link" test -s "$victim"
read -r prefix dir <"$victim"
nothing_left() {
    [[ ! -e $dir ]] && ! ip netns list | grep "^$prefix" && ! pgrep -f "hawser-emu --a $prefix"
}
assert "there is something to clean" not nothing_left
kill -9 "$pid"
wait_for 2 "clean-up after kill -9" nothing_left
lab_done
