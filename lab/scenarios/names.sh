#!/bin/bash
# Names of a realm for programs that know nothing of Hawser: dig, getent and curl ask the daemon of their host, which asks
# realm managers from the root on. What a policy denies does not exist for them.
#
#   root:eth0 ---+
#                +--- core --- a:eth0   hawserd with [Names] and [Dns]
#   acme:eth0 ---+      |
#                       b:eth0          is attached, answers at its tag
#
# root has the manager of example, acme that of acme.example, and its zone. The tag of b is an address of its own here, to which core
# has a route, since how tags are carried is the matter of another scenario (hosts).
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init names "$@"
HAWSER=${HAWSER:-$HAWSER_BUILD/src/prog/hawser}
HAWSERD=${HAWSERD:-$HAWSER_BUILD/src/prog/hawserd}
REALMD=${REALMD:-$HAWSER_BUILD/src/prog/hawser-realmd}
for program in "$HAWSER" "$HAWSERD" "$REALMD"; do
    [[ -x $program ]] || lab_skip "$program is not built"
done
need jq dig curl nginx getent
# shellcheck source=../web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"
DIR=$LAB_DIR/names
mkdir -p "$DIR/state"

star "rate=100mbit delay=2ms" root acme a b
# Who forwards IPv6 looks for neighbours from an address of the link.
for at in a:eth0=fd00:a::2 b:eth0=fd00:b::2 core:x3=fd00:a::1 core:x4=fd00:b::1 core:x3=fe80::1 core:x4=fe80::1 \
    a:eth0=fe80::2 b:eth0=fe80::2; do
    dev=${at#*:}
    on "${at%%:*}" ip -6 addr add "${at#*=}/64" dev "${dev%%=*}"
done

# --- who is who ---
quiet() {
    "$HAWSER" "$@" >>"$(bg_log hawser)" 2>&1 || lab_fail "hawser $*: $(<"$(bg_log hawser)")"
}
for key in acme a b hidden; do
    quiet keygen "$DIR/$key.key"
done
key_of() {
    "$HAWSER" pubkey <"$DIR/$1.key"
}
quiet realm init "$DIR/example" example
quiet realm delegate "$DIR/example" acme "$(key_of acme)" "$DIR/acme.chain"
quiet realm init "$DIR/acme" --key "$DIR/acme.key" --chain "$DIR/acme.chain"
for h in a b hidden; do
    quiet realm enrol "$DIR/acme" $h.h "$(key_of $h)" "$DIR/$h.chain"
done
quiet realm policy "$DIR/acme" 2001:3f::/32=agent
quiet realm policy "$DIR/acme" hidden.h.acme.example 2001:3f::/32=none
B=$("$HAWSER" id check "$DIR/b.chain" --root "$DIR/example/root" --json | jq -r .tag)

# --- managers ---
realmd() { # HOST REALM LINE...
    {
        printf '[Realm]\nDirectory = %s\nControl = %s\n' "$DIR/$2" "$DIR/$2.sock"
        printf '%s\n' "${@:3}"
    } >"$DIR/realmd-$1.conf"
    bg "$1" "realmd-$1" "$REALMD" "$DIR/realmd-$1.conf"
    wait_for 5 "the manager on $1 listens" listening "$1" udp 51823
}
realmd root example
realmd acme acme '[Parent]' 'Managers = 10.0.1.2:51823' 'Announce = 10.0.2.2:51823' \
    '[Dns]' 'Listen = 10.0.2.2' 'Server = ns.acme.example' 'Address = 10.0.2.2'
attach() { # HOST
    bg b "attach-$1" "$HAWSER" id attach "$DIR/$1.key" "$DIR/$1.chain" --manager 10.0.2.2:51823 --at 10.0.4.2:4500 --class agent
    wait_for 10 "$1 is attached" grep -q registered "$(bg_log "attach-$1")"
}
attach b
attach hidden

# --- the command: one of the root's two managers is nowhere ---
resolve() {
    on a "$HAWSER" resolve "$@" --root "$DIR/example/root" --manager 10.0.1.77 --manager 10.0.1.2 --json
}
# shellcheck disable=SC2016 # eval expands it
wait_for 10 "acme.example is known above" eval 'resolve b.h.acme.example >"$DIR/b.json"'
assert "hawser resolve: the tag" test "$(jq -r .tag "$DIR/b.json")" = "$B"
assert "where it is" test "$(jq -r '.targets[0].locator' "$DIR/b.json")" = 10.0.4.2:4500
# shellcheck disable=SC2016 # eval expands it
assert "by the tag, too" eval 'resolve "$B" --trace >"$DIR/tag.json"'
assert "a referral led there" test "$(jq -r '[.steps[] | select(.step == "referral").to] | unique | join(" ")' "$DIR/tag.json")" = acme.example
assert "who signed each record" test "$(jq -r '[.links[].signed_by] | join(" ")' "$DIR/tag.json")" = "itself example acme.example itself"
# shellcheck disable=SC2016 # eval expands it
assert "who is denied is not there" eval '! resolve hidden.h.acme.example >"$DIR/hidden.json"'
# shellcheck disable=SC2016 # eval expands it
assert "no name either" eval '! resolve nobody.h.acme.example >"$DIR/nobody.json"'
# How long it may be remembered is all that could differ.
assert "the same in each way" cmp "$DIR/hidden.json" "$DIR/nobody.json"

# --- the daemon ---
cat >"$DIR/a.conf" <<CONF
[Interface]
Name = hawser0
Role = agent
PrivateKeyFile = a.key
Address = 10.99.0.1/24
NAT = no
StateDir = $DIR/state
Control = $DIR/a.sock
[Names]
Root = example/root
Manager = 10.0.1.77, 10.0.1.2
[Dns]
Listen = 127.0.0.77
CONF
bg a hawserd "$HAWSERD" "$DIR/a.conf"
wait_for 5 "the daemon can be asked for names" listening a udp 53
ask() {
    on a dig @127.0.0.77 +tries=1 +time=5 "$@"
}
# says WORDS... -- TEXT: dig prints TEXT.
says() {
    local text=${*: -1}
    ask "${@:1:$#-1}" >"$DIR/dig" && grep -qF -- "$text" "$DIR/dig"
}
assert "dig: AAAA is the tag" says b.h.acme.example AAAA +short "$B"
assert "over TCP, too" says b.h.acme.example AAAA +short +tcp "$B"
ttl=$(ask b.h.acme.example AAAA +noall +answer | awk '{ print $2 }')
lease=$(resolve b.h.acme.example | jq .lease_left)
assert "it is remembered no longer than its lease" holds "$ttl > 0 && $ttl <= $lease + 1"
assert "dig: no A" says b.h.acme.example A 'status: NOERROR'
assert "but a SOA, which says for how long" says b.h.acme.example A 'IN	SOA	example.'
assert "dig: HIP, with the tag and its key" says b.h.acme.example HIP 'IN	HIP	4 2001003F'
assert "dig: who is denied" says hidden.h.acme.example AAAA 'status: NXDOMAIN'
assert "dig: nobody" says nobody.h.acme.example AAAA 'status: NXDOMAIN'
assert "dig: a tier" says h.acme.example AAAA 'status: NOERROR'
assert "dig: names of others" says www.example.net A 'status: REFUSED'

# --- the zone of acme.example, for everybody ---
public() {
    local text=${*: -1}
    on a dig @10.0.2.2 +norec +tries=1 +time=5 "${@:1:$#-1}" >"$DIR/dig" && grep -qF -- "$text" "$DIR/dig"
}
assert "A: who stands for it" public b.h.acme.example A +short 10.0.4.2
assert "by authority" public b.h.acme.example A 'flags: qr aa;'
assert "SVCB: the port, too" public b.h.acme.example SVCB +short '1 . port=4500 ipv4hint=10.0.4.2'
assert "HIP" public b.h.acme.example HIP 'IN	HIP	4 2001003F'
assert "AAAA: never a tag" public b.h.acme.example AAAA 'ANSWER: 0, AUTHORITY: 1'
assert "the zone" public acme.example SOA +short 'ns.acme.example. hostmaster.acme.example.'
assert "its server" public acme.example NS +short ns.acme.example.
assert "and where that is" public ns.acme.example A +short 10.0.2.2
assert "who is denied, for everybody" public hidden.h.acme.example A 'status: NXDOMAIN'
assert "names of others are not answered" public www.example.net A 'status: REFUSED'
assert "the zone is not given away" public acme.example AXFR +tcp 'Transfer failed'

# --- programs ---
echo 'nameserver 127.0.0.77' >"$DIR/resolv.conf"
# on_a COMMAND...: with that for its /etc/resolv.conf.
on_a() {
    # shellcheck disable=SC2016
    on a bash -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$DIR/resolv.conf" "$@"
}
assert "getent finds it" test "$(on_a getent ahostsv6 b.h.acme.example | awk 'NR == 1 { print $1 }')" = "$B"
assert "getent: nobody" eval '! on_a getent hosts nobody.h.acme.example'
on b ip -6 addr add "$B/128" dev lo
on b ip -6 route add default via fd00:b::1
on core ip -6 route add "$B/128" via fd00:b::2
on a ip -6 route add "$B/128" via fd00:a::1
echo "from b" >"$DIR/index.html"
web_start b "[$B]:80" "$DIR/index.html"
assert "curl by name" test "$(on_a curl -s --max-time 10 http://b.h.acme.example/)" = "from b"

# --- systemd-resolved in front, which gives it the names below the root alone ---
RESOLVED=${RESOLVED:-/lib/systemd/systemd-resolved}
# with_resolved NAME: the AAAA that it gives. Its /run is its own, and so is the user that it wants.
with_resolved() {
    # shellcheck disable=SC2016
    on a unshare -m bash -c '
        mount -t tmpfs none /run && mkdir -p /run/systemd/resolved.conf.d || exit
        printf "[Resolve]\nDNS=127.0.0.77\nDomains=~example\nDNSSEC=no\n" >/run/systemd/resolved.conf.d/hawser.conf
        for file in passwd group; do
            { cat /etc/$file; echo "systemd-resolve:x:65533:65533::/:/bin/false"; } | cut -d: -f1-7 >/run/$file
            [[ $file == passwd ]] || sed -i "s/^\(systemd-resolve:x:65533:\).*/\1/" /run/$file
            mount --bind /run/$file /etc/$file
        done
        "$0" 2>/dev/null &
        trap "kill $!" EXIT
        for ((i = 0; i < 100; i++)); do
            [[ -z $(ss -Hlun "src 127.0.0.53") ]] || break
            sleep .05
        done
        dig @127.0.0.53 "$1" AAAA +short +tries=1 +time=5' "$RESOLVED" "$1"
}
if [[ -x $RESOLVED ]]; then
    assert "systemd-resolved finds it" test "$(with_resolved b.h.acme.example)" = "$B"
else
    echo "  systemd-resolved is not installed: not asked"
fi

# --- managers that die: what is known is used while its lease runs ---
bg_stop realmd-root
bg_stop realmd-acme
assert "what is known" says b.h.acme.example AAAA +short "$B"
assert "what is not" says c.h.acme.example AAAA 'status: SERVFAIL'
lab_done
