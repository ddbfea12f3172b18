#!/bin/bash
# The simulation of paths through a demultiplexer as a whole, over an Internet made here: 22 ISPs that are one city each
# and the way to another, and round trips that are all alike. Speaks TAP.
# Usage: stretch.sh HAWSER_STRETCH
set -u
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$(dirname "$0")/report.sh" "$1"
always=(--data "$dir/data" --runs 200)

mkdir -p "$dir/data/topology/rocketfuel" "$dir/data/topology/topologyzoo/graphml" "$dir/data/latency"
for isp in 1221 1239 1755 3257 3967 6461; do
    echo "Hub Leaf,+of$isp 4" >"$dir/data/topology/rocketfuel/$isp.latencies.intra"
done
# 7.2 degrees of the equator are 800.6 km: 4 ms.
for isp in Abvt Bandcon Bellcanada Bics BtEurope BtLatinAmerica BtNorthAmerica DeutscheTelekom Globenet HiberniaGlobal \
    Highwinds HostwayInternational HurricaneElectric Iij Ntt Packetexchange; do
    cat >"$dir/data/topology/topologyzoo/graphml/$isp.graphml" <<END
<graphml><key attr.name="Latitude" for="node" id="d1"/><key attr.name="Longitude" for="node" id="d2"/>
<key attr.name="label" for="node" id="d3"/><graph>
<node id="0"><data key="d1">0</data><data key="d2">0</data><data key="d3">Hub</data></node>
<node id="1"><data key="d1">0</data><data key="d2">7.2</data><data key="d3">Leaf of $isp</data></node>
<edge source="0" target="1"/></graph></graphml>
END
done
# Twelve nodes, 30 ms between any two.
for file in PlanetLabData_1.txt PlanetLabData_9.txt; do
    for ((i = 0; i < 12; i++)); do
        row=
        for ((j = 0; j < 12; j++)); do row+="$((i == j ? 0 : 30)) "; done
        echo "$row"
    done >"$dir/data/latency/$file"
done
for ((i = 0; i < 12; i++)); do
    for ((j = 0; j < 12; j++)); do echo "$i,$j,30000,31000,32000,1"; done
done >"$dir/data/latency/fleek222_rtt_us.csv"

ok "a run" run one
ok "22 ISPs, 44 POPs" found one '.isps == 22 and .pops == 44'
# With more gateways and routers than POPs there is one of each everywhere: no path is longer than the direct one.
ok "gateways and routers everywhere: no stretch" found one \
    '[.points[] | select(.gateways > 0) | .stretch[] | select(.count > 0) | .p10, .p50, .p99] | . == (map(1))'
ok "no gateway: nothing of gateways" found one \
    '[.points[] | select(.gateways == 0) | .stretch | to_entries[] | select(.key | startswith("dmux")) | .value.count == 0] | all'
# Five gateways of 12 nodes, five routers: a leg is 0 or 30 ms, so a path is 0 to 90 ms, and at most two legs more.
ok "round trips: whole legs" found one \
    '[.measured[] | select(.routers == 5) | .more_ms[] | .p10, .p50, .p90] | all(. == -30 or . == 0 or . == 30 or . == 60 or . == 90)'
ok "too few nodes for more routers: nothing" found one '[.measured[] | select(.routers > 5) | .more_ms[] | .count == 0] | all'
ok "a row for each point and path" test "$(wc -l <"$dir/one/stretch.csv")" = $((1 + 7 * 6 * 7))
ok "a picture" grep -q '</svg>' "$dir/one/stretch.svg"
run two
ok "the same seed, the same bytes, whatever thread did it" diff -r "$dir/one" "$dir/two"
run three --seed 2
ok "another seed, other draws" test "$(jq -c .measured "$dir/one/json")" != "$(jq -c .measured "$dir/three/json")"
echo "Hub Leaf" >"$dir/data/topology/rocketfuel/1239.latencies.intra"
ok "a line that is none is told" refused "1239.latencies.intra:1: found Hub Leaf, expected two cities"
rm "$dir/data/topology/rocketfuel/1239.latencies.intra"
ok "so is a file that is missing" refused "1239.latencies.intra: No such file or directory"
plan
