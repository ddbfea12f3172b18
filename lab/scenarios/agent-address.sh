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
apps_across ip -n "$(lab__ns agent)" addr del 198.51.100.10/29 dev eth0
lab_done
