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
apps_wifi_alone
before=$(apps_remote)
move() {
    addr_change phone wlan0 10.1.0.2/24 10.1.0.77/24
    default_route phone 10.1.0.1 wlan0 100
}
apps_across move
assert "the agent has the phone elsewhere than at $before" test "$(apps_remote)" != "$before"
lab_done
