#!/bin/bash
# The node is killed (-9) and started again: traffic within a second, and nothing stale.
#
# Topology: lab/um3n-lib.sh. A stream from a server reaches the phone by the tunnel alone. Afterwards rules, routes and
# devices are what they were with the first daemon, and after an orderly end what they were before it.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init node-restart "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# What the daemon adds to the phone: rules, routes of all tables, devices.
state() {
    on phone ip rule
    on phone ip -6 rule
    on phone ip route show table all | grep -v ' linkdown'
    on phone ip -6 route show table all
    on phone ip -br link | awk '{ print $1 }'
}
um3n_net
um3n_config
state >"$LAB_DIR/before"
pair_daemon agent
wait_for 5 "the agent answers" pair_status agent .pid
pair_daemon phone
um3n_up
state >"$LAB_DIR/running"

um3n_stream down "$UM3N_STRIPED" 4 stream
nap 1
bg_stop hawserd-phone KILL
pair_daemon phone
bg_wait stream
result gap "$(um3n_figure stream gap_ms)" ms
um3n_up
state >"$LAB_DIR/again"
diff "$LAB_DIR/running" "$LAB_DIR/again" || lab_fail "rules, routes or devices differ after kill -9 and a new start"
bg_stop hawserd-phone
state >"$LAB_DIR/after"
diff "$LAB_DIR/before" "$LAB_DIR/after" || lab_fail "rules, routes or devices are left after an orderly end"
result stale 0 objects
assert "traffic within a second" holds "$(um3n_figure stream gap_ms)" '<=' 1000
lab_done
