#!/bin/bash
# Five sites behind one anycast prefix, real BGP, 12 senders of 10 packets a second each: the gateway of one site is killed, or with
# the argument silent drops all that comes and goes while its links and sockets stay.
#
#            g1        g2        g3  r == s    g4        g5       t1 to t5 are transit networks in a ring, AS 65001 to 65005;
#            |         |         | /           |         |        g1 to g5 gateways, AS 65011 to 65015; r gives IPv6 addresses
#   ... ---- t1 ------ t2 ------ t3 ---------- t4 ------ t5 ----  of 2001:db8:100::/64 and registers with all five;
#            |         |         |             |         |        s is 2001:db8:5::5
#         c1 c6 c11 c2 c7 c12   c3 c8         c4 c9    c5 c10
#
# Each sender pings s. Told are two figures, as in the paper: recovery, from the kill until the first sender of that site is
# served again; and stabilisation, until none loses a packet any more; 0 where none was lost, which is
# between two packets, .1 s. Loss over time is drawn in dmux-sites-FAULT.svg of
# the build's bench/. The paper: 4.1 to 28.1 s, and 4.1 to 42.5 s.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-sites "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
SERVER=2001:db8:5::5
SENDERS=12 SITES=5 BEFORE=3 AFTER=7 FAULT=${LAB_ARGS[0]:-kill}

site_of() {
    echo $((($1 - 1) % SITES + 1))
}
neighbors=()
for ((i = 1; i <= SITES; i++)); do
    router "t$i"
    host "g$i"
    wire "g$i:wan" "t$i:g" "10.0.$i.2/30" "10.0.$i.1/30"
    neighbors[i]="10.0.$i.2 6501$i"
done
for ((i = 1; i <= SITES; i++)); do
    j=$((i % SITES + 1))
    wire "t$i:next" "t$j:last" "10.1.$i.1/30" "10.1.$i.2/30"
    neighbors[i]+=";10.1.$i.2 6500$j"
    neighbors[j]+=";10.1.$i.1 6500$i"
    default_route "g$i" "10.0.$i.1"
done
router r
host s
wire r:wan t3:r 203.0.113.2/24 203.0.113.1/24
wire r:lan s:r 2001:db8:51::1/64 2001:db8:51::2/64
default_route r 203.0.113.1
ip -n "$(lab__ns r)" addr add fe80::1/64 dev lan nodad || lab_fail "link-local address of r"
ip -n "$(lab__ns s)" addr add fe80::2/64 dev r nodad || lab_fail "link-local address of s"
ip -n "$(lab__ns s)" -6 route add 2001:db8:100::/64 via 2001:db8:51::1 || lab_fail "route of s"
ip -n "$(lab__ns s)" -6 addr add $SERVER/128 dev lo || lab_fail "address of s"
ip -n "$(lab__ns r)" -6 route add $SERVER/128 via 2001:db8:51::2 || lab_fail "route of r"
for ((i = 1; i <= SENDERS; i++)); do
    host "c$i"
    wire "c$i:wan" "t$(site_of $i):c$i" "198.51.$((100 + i)).2/24" "198.51.$((100 + i)).1/24"
    default_route "c$i" "198.51.$((100 + i)).1"
done
dmux_keys
for ((i = 1; i <= SITES; i++)); do
    IFS=';' read -ra list <<<"${neighbors[i]}"
    dmux__transit "t$i" "10.0.$i.1" "6500$i" "${list[@]}"
done
for ((i = 1; i <= SITES; i++)); do
    dmux_gateway "g$i" "$i" "10.0.$i.2" "6501$i" "6500$i"
done
for ((i = 1; i <= SITES; i++)); do
    wait_for 30 "the prefix at t$i by way of g$i" dmux_announced "t$i" "10.0.$i.2"
done
dmux_router r 2001:db8:100::/64 "10.0.1.2, 10.0.2.2, 10.0.3.2, 10.0.4.2, 10.0.5.2"
for ((i = 1; i <= SITES; i++)); do
    wait_for 10 "g$i has its proof" dmux_says "g$i" '[.routers[] | select(.state == "proved")] | length' 1
done
for ((i = 1; i <= SENDERS; i++)); do
    dmux_client "c$i"
done
for ((i = 1; i <= SENDERS; i++)); do
    wait_for 10 "c$i is served by its own site" dmux_says "c$i" '"\(.state) \(.gateway)"' "up $(site_of $i)"
    wait_for 10 "s answers c$i" on "c$i" ping -6 -qc 1 -W 1 $SERVER
done

for ((i = 1; i <= SENDERS; i++)); do
    bg "c$i" "ping-c$i" ping -6 -D -i 0.1 -c $(((BEFORE + AFTER) * 10)) -W 1 $SERVER
done
nap $BEFORE
killed=$EPOCHREALTIME
if [[ $FAULT == silent ]]; then
    on g1 nft add table inet silent '{ chain in { type filter hook prerouting priority -400; policy drop; }; chain out { type filter hook output priority -400; policy drop; }; }' ||
        lab_fail "nft"
else
    bg_stop dmuxd-g1 KILL
fi
for ((i = 1; i <= SENDERS; i++)); do
    bg_wait "ping-c$i" || lab_fail "ping of c$i: $(<"$(bg_log "ping-c$i")")"
done
# Of each sender: when each lost packet was sent, and when the next one was answered, in s from the fault. The first
# answer gives the clock.
losses=$LAB_DIR/losses
for ((i = 1; i <= SENDERS; i++)); do
    awk -v killed="$killed" -v sender="$i" -v count=$(((BEFORE + AFTER) * 10)) '
        /icmp_seq=/ { t = substr($1, 2) + 0; match($0, /icmp_seq=[0-9]+/); n = substr($0, RSTART + 9, RLENGTH - 9) + 0
                      got[n] = t; if (n == 1) start = t }
        END { for (n = count; n > 0; n--) if (n in got) next_at = got[n]; else
                  printf "%d %.3f %.3f\n", sender, start + (n - 1) * .1 - killed, (next_at ? next_at : 1e9) - killed }' \
        "$(bg_log "ping-c$i")"
done >"$losses"
read -r lost others recovery stabilisation <<<"$(awk -v sites=$SITES '
    { lost++; if (($1 - 1) % sites) others++; else if (!($1 in last) || $3 > last[$1]) last[$1] = $3 }
    END { for (s = 1; s <= 12; s += sites) { v = (s in last) ? last[s] : 0
              if (first == "" || v < first) first = v
              if (v > most) most = v }
          printf "%d %d %.2f %.2f", lost, others, first, most }' "$losses")"
result lost "$lost" packets
result lost_elsewhere "$others" packets
result recovery "$recovery" s
result stabilisation "$stabilisation" s
mkdir -p "$HAWSER_BUILD/bench"
awk -v before=$BEFORE -v after=$AFTER -v senders=$SENDERS -v fault="$FAULT" '
    { bin[int(($2 + before) * 2)]++ }
    END { w = 700; h = 220; n = (before + after) * 2
          printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", w + 80, h + 60
          printf "<text x=\"50\" y=\"16\">packets lost of %d in each half second, gateway g1 fails at 0 (%s)</text>\n", senders * 5, fault
          for (i = 0; i < n; i++) { v = bin[i] * h / (senders * 5)
              printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#b33\"/>\n", 50 + i * w / n, 30 + h - v, w / n - 2, v }
          printf "<path d=\"M50 30v%dh%d\" fill=\"none\" stroke=\"#000\"/>\n", h, w
          for (i = 0; i <= before + after; i++) printf "<text x=\"%.1f\" y=\"%d\">%d s</text>\n", 50 + i * w / (before + after), h + 48, i - before
          for (i = 0; i <= 4; i++) printf "<text x=\"20\" y=\"%.1f\">%d</text>\n", 34 + h - i * h / 4, i * senders * 5 / 4
          print "</svg>" }' "$losses" >"$HAWSER_BUILD/bench/dmux-sites-$FAULT.svg"
read -r load _ </proc/loadavg
! holds "$load" '>' "$(nproc)" || lab_busy "load average $load"
assert "other sites lose nothing" test "$others" = 0
assert "recovery within 1 s" holds "$recovery" '<=' 1
assert "stabilisation within 1 s" holds "$stabilisation" '<=' 1
lab_done
