#!/bin/bash
# Does the kernel's MPTCP gain over two emulated 20 Mbit/s links what it gains over two token buckets?
#
#          x1 ------- x1       === emulated 20 Mbit/s === e1
#   ea                    er                                  eb        and the same as ta, tr, tb with veth and
#          x2 ------- x2       === emulated 20 Mbit/s === e2            tbf at 20 Mbit/s x 1514/1500
#
# tbf counts Ethernet frames, the emulator IP packets: hence the factor. Delay is 0, each queue 40 full packets, cubic.
# CALIBRATE_RUNS (5, odd) transfers of CALIBRATE_BYTES (10 MB), emulated and tbf at once; the medians of what the receiver
# saw must agree to 2 %.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init calibrate-mptcp "$@"
need ethtool
[[ -e /proc/sys/net/mptcp/enabled ]] || lab_skip "this kernel has no MPTCP"

runs=${CALIBRATE_RUNS:-5}
bytes=${CALIBRATE_BYTES:-10000000}

# world PREFIX LINK-COMMAND: both hosts and the router of one kind, with routes and MPTCP's endpoint.
world() {
    local p=$1 connect=$2 i
    host "${p}a"
    router "${p}r"
    host "${p}b"
    for i in 1 2; do
        wire "${p}a:x$i" "${p}r:x$i" "10.0.$i.2/24" "10.0.$i.1/24"
        "$connect" "${p}r:e$i" "${p}b:e$i" "10.1.$i.1/24" "10.1.$i.2/24"
        offload_off "${p}a:x$i" "${p}r:x$i"
        on "${p}a" ip route add "10.1.$i.0/24" via "10.0.$i.1"
        on "${p}b" ip route add "10.0.$i.0/24" via "10.1.$i.1"
    done
    on "${p}a" ip mptcp limits set subflow 1 add_addr_accepted 1
    on "${p}b" ip mptcp limits set subflow 1 add_addr_accepted 1
    on "${p}b" ip mptcp endpoint add 10.1.2.2 dev e2 signal || lab_skip "no MPTCP path manager"
}

# shellcheck disable=SC2317 # called by world
emulated() {
    link "$@" ab="rate=20mbit queue=60000"
}

# shellcheck disable=SC2317 # called by world
bucket() {
    wire "$@"
    offload_off "$1" "$2"
    on "${1%%:*}" tc qdisc add dev "${1#*:}" root tbf rate $((20000000 * 1514 / 1500))bit burst 6000 limit 60560 ||
        lab_skip "no tbf here"
}

world e emulated
world t bucket

# rate NAME: bit/s in the receiver's line.
rate() {
    sed -n 's/.*"bps":\([0-9]*\).*"intact":true.*/\1/p' "$(bg_log "$1")"
}

e_rates=() t_rates=()
for ((i = 0; i < runs; i++)); do
    for p in e t; do
        bg "${p}b" "recv-$p" "$LAB_XFER" recv 0.0.0.0:9000 --mptcp
        wait_for 5 "the receiver listens" listening "${p}b" tcp 9000
    done
    for p in e t; do
        bg "${p}a" "send-$p" "$LAB_XFER" send 10.1.1.2:9000 --mptcp --cc cubic --bytes "$bytes"
    done
    for p in e t; do
        bg_wait "send-$p" || lab_fail "send: $(<"$(bg_log "send-$p")")"
        bg_wait "recv-$p" || lab_fail "recv: $(<"$(bg_log "recv-$p")")"
    done
    e_rates+=("$(rate recv-e)")
    t_rates+=("$(rate recv-t)")
done

for i in 1 2; do
    carried=$(link_stat "er:e$i" "eb:e$i" ab delivered_bytes)
    result "emulated_link$i" "$(figure "$carried / 1e6" 1)" MB
    assert "link $i carried a share" holds "$carried > .3 * $runs * $bytes"
done
e=$(median "${e_rates[@]}")
t=$(median "${t_rates[@]}")
result emulated "$(figure "$e / 1e6" 2)" Mbit/s
result tbf "$(figure "$t / 1e6" 2)" Mbit/s
result ratio "$(figure "$e / $t" 4)"
assert "the medians agree to 2 % (${e_rates[*]} against ${t_rates[*]})" holds "$e / $t > .98 && $e / $t < 1.02"
lab_done
