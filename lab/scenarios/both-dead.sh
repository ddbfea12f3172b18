#!/bin/bash
# Both links dead for a while: the ssh session goes on within 2 s after one of them returns.
#
# Topology: lab/um3n-lib.sh. For so many seconds (first argument, default 60) both links swallow everything; then the 3G
# is back.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init both-dead "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 1000

apps_ssh shell
nap 2
blackhole phone:wlan0 wifi:in on
blackhole phone:wwan0 cell:in on
nap "${LAB_ARGS[0]:-60}"
blackhole phone:wwan0 cell:in off
back=$EPOCHREALTIME
nap 4
bg_stop shell
# The longest gap ends with the first echo after the dead time.
after=$(awk "BEGIN { printf \"%.2f\", $(um3n_figure shell gap_at) - $back }")
result ssh_after "$after" s
result ssh_alive "$(um3n_figure shell alive)"
assert "the ssh session goes on" test "$(um3n_figure shell alive)" = true
assert "that gap was the dead time" holds "$after" '>' 0
assert "within 2 s" holds "$after" '<=' 2
lab_done
