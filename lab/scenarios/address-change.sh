#!/bin/bash
# The node gets another address: traffic again within a second.
#
# Topology: lab/um3n-lib.sh; streams both ways and an ssh session, on the WiFi alone. The route goes with the old address
# and comes with the new one, as with a new lease.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init address-change "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 1000
# Only the WiFi carries: with the other link it would be no feat.
pair_ask phone link wwan0 down >/dev/null || lab_fail "hawser link wwan0 down"
remote() {
    pair_status agent '.peers[].paths[] | select(.state == "active" and (.leaving | not)) | .remote'
}
wait_for 5 "the WiFi alone is active" pair_active phone wlan0
wait_for 5 "the agent has one path" pair_paths agent 1
before=$(remote)
move() {
    addr_change phone wlan0 10.1.0.2/24 10.1.0.77/24
    default_route phone 10.1.0.1 wlan0 100
}

apps_ssh shell
um3n_stream down "$UM3N_STRIPED" 5 down
um3n_stream up "$UM3N_STRIPED" 5 up
nap 1.5
move
bg_wait down
bg_wait up
nap 0.5
bg_stop shell
[[ $(remote) != "$before" ]] || lab_fail "the agent still has $before: nothing has moved"
for way in down up; do
    result "gap_$way" "$(um3n_figure $way gap_ms)" ms
    result "lost_$way" "$(um3n_figure $way lost)" packets
done
result ssh_gap "$(um3n_figure shell gap_ms)" ms
result ssh_alive "$(um3n_figure shell alive)"
assert "the ssh session goes on" test "$(um3n_figure shell alive)" = true
for way in down up; do
    assert "traffic $way within a second" holds "$(um3n_figure $way gap_ms)" '<=' 1000
done
lab_done
