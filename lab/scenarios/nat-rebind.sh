#!/bin/bash
# The provider's NAT forgets its mappings and gives others: traffic again within a second.
#
# Topology: lab/um3n-lib.sh; streams both ways and an ssh session, on the WiFi alone.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init nat-rebind "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 1000
apps_wifi_alone
before=$(apps_remote)
apps_across nat_rebind wifi
assert "the agent has the phone elsewhere than at $before" test "$(apps_remote)" != "$before"
lab_done
