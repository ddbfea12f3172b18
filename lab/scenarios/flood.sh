#!/bin/bash
# A flood of handshakes from random addresses: honest traffic goes on, and a new node still gets in.
#
# Topology: lab/um3n-lib.sh with a WiFi of 100 Mbit/s and 10 ms, and one host more:
#
#   attacker --- 198.51.100.16/30 --- core
#
# RATE initiations a second (first argument, default 50000) with a valid mac1 from random addresses of 100.64.0.0/10.
# Promised: honest goodput (one TCP flow, cubic, down) keeps 80 % of what it is without; a node without memory is up
# within 2 s.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init flood "$@"
UM3N_WLAN="rate=100mbit delay=5ms"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
FLOOD=$HAWSER_BUILD/lab/hawser-flood
um3n_start
um3n_iperf_servers
host attacker
wire attacker:eth0 core:attacker 198.51.100.18/30 198.51.100.17/30
default_route attacker 198.51.100.17
# What is answered ends in the core.
ip -n "$(lab__ns core)" route add blackhole 100.64.0.0/10
key=$("$HAWSER" pubkey <"$LAB_DIR/hawser/agent.key")

um3n_iperf down "$UM3N_VIA_WLAN" 5 calm
um3n_iperf_rate calm
calm=$RATE
rate=${LAB_ARGS[0]:-50000}
bg attacker flood "$FLOOD" --key "$key" --rate "$rate" --seconds 13 198.51.100.10:51820
nap 0.5
um3n_iperf down "$UM3N_VIA_WLAN" 5 flooded
um3n_iperf_rate flooded
share=$(awk "BEGIN { printf \"%.1f\", 100 * $RATE / $calm }")
result goodput_calm "$calm" Mbit/s
result goodput_flooded "$RATE" Mbit/s
result share "$share" %

bg_stop hawserd-phone
rm -rf "$LAB_DIR/hawser/phone"
mkdir "$LAB_DIR/hawser/phone"
began=${EPOCHREALTIME/./}
pair_daemon phone
wait_for 10 "the node is up" on phone ping -c 1 -W 0.1 "$UM3N_AGENT"
connect=$(((${EPOCHREALTIME/./} - began) / 1000))
result connect "$connect" ms
bg_wait flood
made=$(um3n_figure flood per_second)
result initiations "$made" 1/s
# A lesser flood proves nothing.
holds "$made" '>=' "$rate * .9" || lab_skip "this machine made $made initiations a second, not $rate"
assert "goodput keeps 80 %" holds "$share" '>=' 80
assert "a new node connects within 2 s" holds "$connect" '<=' 2000
lab_done
