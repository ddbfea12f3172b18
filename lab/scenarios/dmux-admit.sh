#!/bin/bash
# A provider of IPv6 that asks its clients for credentials: c, whose key it lists, and e, whom a realm has enrolled, ping
# s and fetch a file; d, who has nothing to show, and then shows a key that nobody knows, gets nothing and says why.
# The provider's router is started anew while c pings.
#
# With the argument xdp the gateway passes packets and words in the kernel.
#
# Topology: lab/dmux-lib.sh; g1 alone, and two more hosts like c: d, 198.51.101/24, and e, 198.51.102/24.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-admit "$@"
need curl nginx
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
SERVER=2001:db8:5::5

dmux_world
[[ ${LAB_ARGS[0]-} != xdp ]] || dmux_xdp
n=101
for h in d e; do
    host "$h"
    wire "$h:wan" "t1:to-$h" "198.51.$n.2/24" "198.51.$n.1/24"
    default_route "$h" "198.51.$n.1"
    n=$((n + 1))
done
for key in c e stranger; do
    "$HAWSER" keygen "$DMUX/$key.key" >"$DMUX/$key.pub" || lab_fail "keygen"
done
"$HAWSER" realm init "$DMUX/clients" clients.example >/dev/null || lab_fail "realm"
"$HAWSER" realm enrol "$DMUX/clients" laptop.h "$(<"$DMUX/e.pub")" "$DMUX/e.chain" >/dev/null || lab_fail "enrol"

# credential KEY [CHAIN]: lines of a client.
credential() {
    printf '[Credential mine]\nProvider = 100\nProviderKey = %s\nKeyFile = %s\n' "$(<"$DMUX/provider.pub")" "$DMUX/$1.key"
    [[ -z ${2-} ]] || printf 'ChainFile = %s\n' "$DMUX/$2.chain"
}

dmux_gateway g1 1 10.0.1.2 65011 65001
wait_for 20 "the prefix by way of g1" dmux_announced t1 10.0.1.2
dmux_router r1 2001:db8:100::/64 192.0.2.1 "[Admit c]" "PublicKey = $(<"$DMUX/c.pub")" "[Admit realm]" \
    "Root = $("$HAWSER" id show "$DMUX/clients/key" --json | jq -r .ed25519)" "Realm = clients.example"
wait_for 5 "g1 has its proof" dmux_says g1 '[.routers[] | select(.state == "proved")] | length' 1

dmux_client c "$(credential c)"
dmux_client d
dmux_client e "$(credential e e)"
for h in c e; do
    wait_for 5 "$h is let in" dmux_says "$h" '"\(.state) \(.admission.state) \(.admission.provider)"' "up admitted 100"
    wait_for 5 "$h has an address" dmux_says "$h" '.address // "" | startswith("2001:db8:100:")' true
    assert "not one ping of $h is lost" on "$h" ping -6 -qc 20 -i 0.02 -W 2 "$SERVER"
done
head -c 2000000 /dev/urandom >"$LAB_DIR/file"
web_start s "[$SERVER]:80" "$LAB_DIR/file"
for h in c e; do
    assert "curl from $h" on "$h" curl -sf --max-time 60 -o "$LAB_DIR/got" "http://[$SERVER]/file"
    assert "every byte" cmp "$LAB_DIR/file" "$LAB_DIR/got"
done
"$HAWSER" dmux status "$DMUX/c.sock"

# d: nothing to show, so it has no address even.
wait_for 10 "d is told that it is asked" dmux_says d .state not-admitted
assert "d says by whom" test "$(dmux_status d .admission.why)" = \
    "provider 100 asks for credentials, and there is no [Credential] for it"
"$HAWSER" dmux trace "$DMUX/d.sock"
assert "status says so to scripts" test $? = 3
assert "d has no address" test -z "$(dmux_status d '.address // ""')"
assert "d has shown nothing" test "$(dmux_status d .admission.shown)" = 0
bg_stop "dmuxd-d"

# A key that the provider does not know.
dmux_client d "$(credential stranger)"
wait_for 10 "d is refused" dmux_says d '"\(.state) \(.admission.refused)"' "not-admitted unknown"
assert "by name" test "$(dmux_status d .admission.why)" = "provider 100 has refused the credentials: unknown"
assert "the log has it once" test "$(grep -c 'admission state=refused' "$(bg_log dmuxd-d)")" = 1
on d ping -6 -qc 5 -i 0.02 -W 1 "$SERVER"
assert "nothing of d passes" test $? != 0
assert "r1 drops what it says" holds "$(dmux_status r1 .drops.admission)" '>=' 1
assert "r1 has let in two" test "$(dmux_status r1 .admission.clients)" = 2
assert "and refused one key" holds "$(dmux_status r1 .admission.refused.unknown)" '>=' 1

# The router starts anew and knows nobody.
shown=$(dmux_status c .admission.shown)
bg_stop dmuxd-r1
bg r1 dmuxd-r1 "$DMUXD" "$DMUX/r1.conf"
wait_for 10 "r1 is registered again" dmux_says r1 '.registrars[0].state' registered
wait_for 10 "c is let in again" on c ping -6 -qc 1 -W 1 "$SERVER"
assert "and no ping is lost then" on c ping -6 -qc 20 -i 0.02 -W 2 "$SERVER"
assert "by one more showing" test "$(dmux_status c .admission.shown)" = $((shown + 1))
wait_for 10 "e is let in again" on e ping -6 -qc 1 -W 1 "$SERVER"
if [[ ${LAB_ARGS[0]-} == xdp ]]; then
    assert "in the kernel, to the router" holds "$(dmux_status g1 .xdp.to_router_pkts)" '>' 100
    assert "and to the client" holds "$(dmux_status g1 .xdp.to_client_pkts)" '>' 100
fi
lab_done
