#!/bin/bash
# A site of two gateways behind one announcement: one of them dies, its clients go on by the other, and the world outside
# hears nothing of it. With the argument ospf the site speaks OSPF inside, else BGP.
#
#   c --- t1 ------ x ====== g1     t1 is a transit network, AS 65001; x the router of the site, AS 65010, which shares
#          |         \====== g2     its clients out among g1 and g2, gateways of 192.0.2.0/24 that know each other; r
#          r                        is a router of "mirror".
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-cluster "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=mirror
INSIDE=${LAB_ARGS[0]:-bgp}
mkdir -p "$DMUX"

for h in c r g1 g2; do host $h; done
for h in t1 x; do router $h; done
wire c:wan t1:c 198.51.100.2/24 198.51.100.1/24
wire r:wan t1:r 203.0.113.2/24 203.0.113.1/24
wire x:wan t1:x 10.0.0.2/30 10.0.0.1/30
wire g1:wan x:g1 10.0.1.2/30 10.0.1.1/30
wire g2:wan x:g2 10.0.2.2/30 10.0.2.1/30
default_route c 198.51.100.1
default_route r 203.0.113.1
default_route x 10.0.0.1
default_route g1 10.0.1.1
default_route g2 10.0.2.1
ip -n "$(lab__ns t1)" route add 10.0.0.0/14 via 10.0.0.2 || lab_fail "route of t1"
dmux_keys
dmux__transit t1 10.0.0.1 65001 "10.0.0.2 65010"

# The site's router: takes the prefix from its gateways, shares among them, and tells t1 of it as its own.
{
    printf 'router id 10.0.0.2;\nprotocol device { }\nprotocol direct { ipv4; }\n'
    printf 'protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }\n'
    printf 'protocol kernel { merge paths on; ipv4 { import none; export filter { if net = 192.0.2.0/24 then accept; reject; }; }; }\n'
    printf 'protocol bgp up { local as 65010; neighbor 10.0.0.1 as 65001; bfd on; hold time 9; connect delay time 1; error wait time 1, 4;\n'
    printf ' ipv4 { import none; next hop self; export filter { if net = 192.0.2.0/24 then accept; reject; }; }; }\n'
    if [[ $INSIDE == ospf ]]; then
        printf 'protocol ospf v2 inside { ecmp on; merge external on; ipv4 { import all; export none; };\n'
        printf ' area 0 { interface "g1", "g2" { hello 1; dead 4; bfd on; }; }; }\n'
    else
        for n in 1 2; do
            printf 'protocol bgp g%s { local as 65010; neighbor 10.0.%s.2 as 65010; direct; bfd on; hold time 9; connect delay time 1;\n' $n $n
            printf ' error wait time 1, 4; ipv4 { import all; export none; }; }\n'
        done
    fi
} >"$DMUX/x.bird"
dmux_bird x

dmux_mesh g1 1 g2 2
for n in 1 2; do
    dmux_gateway_conf g$n $n 10.0.$n.2 65010 65010
    if [[ $INSIDE == ospf ]]; then
        sed -i "/^\[Bgp\]/,\$d" "$DMUX/g$n.conf"
        printf '[Ospf]\nInterface = wan\n' >>"$DMUX/g$n.conf"
    fi
    "$DMUXD" bird-config "$DMUX/g$n.conf" >"$DMUX/g$n.bird" || lab_fail "bird-config"
    dmux_bird g$n
    dmux_gateway_start g$n
done
# ways: how many gateways x sends to.
ways() {
    ip -n "$(lab__ns x)" -j route show 192.0.2.0/24 | jq '[.[] | if .nexthops then .nexthops | length else 1 end] | add // 0'
}
both() {
    [[ $(ways) == "$1" ]]
}
wait_for 30 "x sends to both" both 2
wait_for 10 "t1 has the prefix from x" dmux_announced t1 10.0.0.2
wait_for 10 "they have a link" dmux_says g1 '[.mesh.peers[] | select(.up)] | length' 1
dmux_router r - "10.0.1.2"
for g in g1 g2; do
    wait_for 10 "$g has the router's proof" dmux_says $g '[.routers[] | select(.state == "proved")] | length' 1
done
dmux_client c
wait_for 10 "the client is served" dmux_says c .state up
wait_for 5 "a host of the mirror answers" on c ping -qc 1 -W 1 10.77.3.4

# updates, withdraws: what t1 was told by x.
told() {
    dmux_birdc t1 show protocols all | awk -v what="Import $1:" '/^bgp/ { bgp = 1 } bgp && index($0, what) { n += $3 } END { print n }'
}
updates=$(told updates) withdraws=$(told withdraws)
serving=$(dmux_status c .gateway)
bg c ping ping -qc 400 -i 0.01 -W 2 10.77.3.4
nap 1
bg_stop "dmuxd-g$serving" KILL
wait_for 10 "x sends to the other alone" both 1
bg_wait ping || lab_fail "ping: $(<"$(bg_log ping)")"
lost=$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$(bg_log ping)" | { read -r a b; echo $((a - b)); })
result lost "$lost" "packets of 400, one each 10 ms"
result updates "$(($(told updates) - updates))" "to the world outside"
wait_for 10 "the client is served by the other" dmux_says c '"\(.state) \(.gateway)"' "up $((3 - serving))"
assert "it was never withdrawn" test "$(told withdraws)" = "$withdraws"
# By OSPF it is another route, which BIRD announces again as it was.
[[ $INSIDE == ospf ]] || assert "the world outside heard nothing" test "$(told updates)" = "$updates"
assert "a second without service at most" holds "$lost" '<=' 100
lab_done
