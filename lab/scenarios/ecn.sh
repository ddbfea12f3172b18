#!/bin/bash
# DSCP and ECN through the tunnel, with the kernel's sockets, GSO and GRO on the way.
#
# Topology: lab/um3n-lib.sh. The core counts and marks what goes to the agent's port; server1 counts what comes out.
#
# Promised: the DSCP of a ping is seen at the core; CE that the core sets there reaches the server where the ping is
# ECN-capable, and drops it (with a count) where it is not; a TCP flow with ECN meets marks of the tunnel's own queue
# and every packet's checksum is right.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init ecn "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
um3n_start

# counter HOST NAME: its packets.
counter() {
    on "$1" nft -j list counter ip hawser_lab "$2" | jq '.nftables[] | select(.counter) | .counter.packets'
}
# pings TOS: 10 pings from the phone to server1; sets ANSWERED.
pings() {
    ANSWERED=$(on phone ping -c 10 -i 0.05 -W 1 -Q "$1" "$UM3N_STRIPED" |
        sed -n 's/.* \([0-9]*\) received.*/\1/p')
}
drops() {
    pair_status agent '.drops["inner-ecn"] // 0'
}

on core nft -f - <<EOF
table ip hawser_lab {
    counter ef { }
    counter capable { }
    chain congested { }
    chain forward {
        type filter hook forward priority 0
        ip daddr 198.51.100.8/29 udp dport 51820 ip dscp ef counter name ef
        ip daddr 198.51.100.8/29 udp dport 51820 ip ecn != not-ect counter name capable
        ip daddr 198.51.100.8/29 udp dport 51820 udp length > 100 jump congested
    }
}
EOF
on server1 nft -f - <<EOF
table ip hawser_lab {
    counter ce { }
    counter capable { }
    counter ef { }
    chain input {
        type filter hook input priority 0
        ip ecn ce counter name ce
        ip ecn ect0 counter name capable
        ip dscp ef counter name ef
    }
}
EOF

# DSCP EF with ECT(0).
pings 0xba
assert "pings are answered" holds "$ANSWERED" == 10
assert "the DSCP is seen outside" holds "$(counter core ef)" '>=' 10
assert "the packets are ECN-capable outside" holds "$(counter core capable)" '>=' 10
assert "the DSCP comes out" holds "$(counter server1 ef)" == 10
assert "ECT(0) comes out" holds "$(counter server1 capable)" == 10
assert "nothing is marked" holds "$(counter server1 ce)" == 0

on core nft add rule ip hawser_lab congested ip ecn set ce
pings 0x02
result marked "$(counter server1 ce)" of_10
assert "marked pings are answered" holds "$ANSWERED" == 10
assert "each mark reaches the server" holds "$(counter server1 ce)" == 10
assert "none is dropped" holds "$(drops)" == 0
pings 0x00
result dropped "$(drops)" of_10
assert "what cannot tell of congestion is dropped" holds "$ANSWERED" == 0
assert "and counted" holds "$(drops)" == 10
on core nft flush chain ip hawser_lab congested

# Our own queue: TCP with ECN, up, by one link, for 5 s.
for h in phone server1; do
    lab__sysctl "$h" ipv4/tcp_ecn=1
done
um3n_iperf_servers
before=$(counter server1 ce)
um3n_iperf up "$UM3N_VIA_WLAN" 5 bulk
um3n_iperf_rate bulk
marks=$(($(counter server1 ce) - before))
result goodput "$RATE" Mbit/s
result marks "$marks"
result retransmits "$(jq '.end.sum_sent.retransmits' "$(bg_log bulk)")"
assert "the tunnel's queue marks" holds "$marks" '>' 0
lab_done
