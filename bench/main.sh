# shellcheck shell=bash
# bench/main.sh - the main job: a node with two links and its agent. Sourced by bench/run.sh.
#
# Rates, and frames of the video, are of the demo (lab/scenarios/um3n.sh): one run measures each link alone, the static
# table and the stripe. If the demo ran with this build, its result is taken; otherwise it runs. All flows are cubic.
# The paper's static table carried 97.5 % of that sum.

bench_main_demo() {
    local json=$HAWSER_BUILD/demo/result.json way
    if [[ $json -nt $HAWSER_BUILD/src/prog/hawserd ]] && jq -e .verdict "$json" >/dev/null 2>&1; then
        scenario_ran um3n "$json"
    else
        mkdir -p "${json%/*}"
        scenario_of um3n "$json" "$BENCH_TOP/lab/scenarios/um3n.sh"
    fi
    for way in down up; do
        row "static table, two flows, $way (cubic)" "static_$way" "% of sum" '>=' 95 1 - "wlan_$way" "wwan_$way"
    done
    for way in down up; do
        row "stripe, one TCP flow, $way (cubic)" "stripe_$way" "% of sum" '>=' 90 1 - "wlan_$way" "wwan_$way"
    done
    row "video frames lost, planned handover" video_planned frames '<=' 0 1 - video_frames
    row "video frames lost, carrier loss" video_carrier frames '<=' 2 1 - video_frames
    row "video frames lost, silent blackhole" video_blackhole frames '<=' 10 1 - video_frames
    scenario_end
}

bench_main_faults() {
    local key runs
    scenario gap-carrier 10
    row "carrier loss: longest gap, 500 packets/s" gap_median ms '<=' 50 10 gap_max lost
    row "carrier loss: download intact, no reset (cubic)" download_intact '' == 1
    scenario_end
    scenario gap-blackhole 10
    row "silent blackhole: longest gap beside TCP (cubic)" gap_median ms '<=' 330 10 gap_max lost
    scenario_end
    scenario planned 5
    row "planned handover: packets lost" lost packets == 0 5 - gap_median
    scenario_end
    scenario redundant 2
    for key in lost_carrier lost_blackhole lost_lossy_down lost_lossy_up; do
        runs=2
        [[ $key != lost_lossy* ]] || runs=1
        row "redundant, ${key#lost_}: packets lost" "$key" packets == 0 "$runs" - duplicates
    done
    scenario_end
}

bench_main_restarts() {
    local name
    scenario node-restart
    row "node killed and restarted: gap" gap ms '<=' 1000 1 - stale
    scenario_end
    scenario agent-restart
    row "agent restarted: gap" gap ms '<=' 3000 1 - ssh_gap
    row "agent restarted: ssh goes on" ssh_alive '' == true
    scenario_end
    scenario both-dead
    row "both links dead for 60 s: ssh goes on after" ssh_after s '<=' 2 1 - ssh_alive
    scenario_end
    for name in nat-rebind address-change agent-address; do
        scenario "$name"
        row "$name: gap down" gap_down ms '<=' 1000 1 - lost_down ssh_gap
        row "$name: gap up" gap_up ms '<=' 1000 1 - lost_up ssh_gap
        row "$name: ssh goes on" ssh_alive '' == true
        scenario_end
    done
}

bench_main_flood() {
    scenario flood
    row "handshake flood, 50000/s: goodput kept (cubic)" share % '>=' 80 1 - goodput_calm goodput_flooded initiations
    row "handshake flood, 50000/s: a new node connects" connect ms '<=' 2000 1 - initiations
    scenario_end
}

bench_main_garbage() {
    scenario garbage
    row "garbage, 20000/s: goodput kept, up (cubic)" share_up % '>=' 90 1 - goodput_calm_up goodput_up garbage_up
    row "garbage, 20000/s: goodput kept, down (cubic)" share_down % '>=' 90 1 - goodput_calm_down goodput_down garbage_down
    scenario_end
}

# The simulator's own test tells its seeds and its speed in processor time.
bench_main_sim() {
    local out=$BENCH_RUNS/sim.log verdict=ok
    "$HAWSER_BUILD/tests/sim/sim-faults" >"$out" 2>&1 || verdict=failed
    # shellcheck disable=SC2046
    set -- $(sed -n 's/^# \([0-9]*\) seeds of \([0-9]*\) s in .* \([0-9.]*\) times real time.*/\1 \2 \3/p' "$out")
    figure_file sim "$verdict" seeds "${1-}" '' seconds "${2-}" s speed "${3-}" "x"
    row "simulator: seeds" seeds '' - - 1 - seconds
    row "simulator: times real time" speed x '>=' 100 1 - seeds seconds
    scenario_end
}

bench_main_demo
bench_main_faults
bench_main_restarts
bench_main_flood
bench_main_garbage
bench_main_sim
