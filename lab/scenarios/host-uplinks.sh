#!/bin/bash
# A host of two uplinks and the manager that it registers with: they speak over whichever works, from the port of sessions.
#
#                     .-- u0 10.1.0.2 --.
#   realm -- core ----+                 +-- phone       each line 10 ms; u0 has the better route
#   10.0.1.2          '-- u1 10.2.0.2 --'
#
# Then u0 swallows everything and nobody is told, and u1 gets another address. Promised: the manager knows it within seconds;
# and all the while it hears of the phone from one port alone, the one that peers are told.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init host-uplinks "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need jq nft

router core
host realm
host phone
wire realm:eth0 core:x0 10.0.1.2/24 10.0.1.1/24
link phone:u0 core:x1 10.1.0.2/24 10.1.0.1/24 both="delay=10ms"
link phone:u1 core:x2 10.2.0.2/24 10.2.0.1/24 both="delay=10ms"
default_route realm 10.0.1.1
default_route phone 10.1.0.1 u0 100
default_route phone 10.2.0.1 u1 200
on realm nft -f - <<'RULES' || lab_fail "nft"
table ip heard {
    counter sessions { }
    counter others { }
    chain in {
        type filter hook input priority 0
        udp dport 51823 udp sport 51820 counter name sessions
        udp dport 51823 udp sport != 51820 counter name others
    }
}
RULES
heard() { # COUNTER: datagrams
    on realm nft -j list counter ip heard "$1" | jq '.nftables[] | .counter.packets? // empty'
}

realm_make realm acme.example
realm_daemon realm 10.0.1.2
realm_host phone realm realm 10.0.1.2
pair_daemon phone
attached() {
    grep -q 'attach state=registered' "$(bg_log hawserd-phone)"
}
wait_for 10 "the phone is registered" attached

registered() { # COUNT: more than that many times
    (($(realm_status realm .requests.register) > $1))
}
times=$(realm_status realm .requests.register)
blackhole phone:u0 core:x1 on
addr_change phone u1 10.2.0.2/24 10.2.0.77/24
default_route phone 10.2.0.1 u1 200
wait_for 5 "it says by the other uplink where it is" registered "$times"
assert "it was spoken to from the port of sessions" holds "$(heard sessions)" '>=' 4
assert "and from no other" test "$(heard others)" = 0
bg_stop hawserd-phone
lab_done
