#!/bin/bash
# The agent is killed (-9) and started again: traffic within 3 s, and no application notices more than that.
#
# Topology: lab/um3n-lib.sh.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init agent-restart "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 4000000

apps_ssh shell
um3n_stream down "$UM3N_STRIPED" 6 stream
nap 1.5
bg_stop hawserd-agent KILL
pair_daemon agent
bg_wait stream
nap 1
bg_stop shell
result gap "$(um3n_figure stream gap_ms)" ms
result ssh_gap "$(um3n_figure shell gap_ms)" ms
result ssh_alive "$(um3n_figure shell alive)"
apps_curl download
assert "a download is intact" apps_curl_check download
assert "the ssh session goes on" test "$(um3n_figure shell alive)" = true
assert "traffic within 3 s" holds "$(um3n_figure stream gap_ms)" '<=' 3000
lab_done
