#!/bin/bash
# The agent's address goes; it has announced another: traffic again within a second.
#
# Topology: lab/um3n-lib.sh; streams both ways and an ssh session, on both links.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init agent-address "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 1000
move() {
    ip -n "$(lab__ns agent)" addr del 198.51.100.10/29 dev eth0
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
