# shellcheck shell=bash
# lab/realm-lib.sh - realms, their managers and their hosts. Source it after lib.sh and pair-lib.sh.
#
# The folder of the realm that HOST manages is $LAB_DIR/hawser/HOST.realm, its daemon in the background realmd-HOST.

REALMD=${REALMD:-$HAWSER_BUILD/src/prog/hawser-realmd}
[[ -x $REALMD && -x $HAWSERD ]] || lab_skip "hawser-realmd and hawserd are not built"
mkdir -p "$LAB_DIR/hawser"

# realm_do VERB...: hawser realm.
realm_do() {
    "$HAWSER" realm "$@" >>"$(bg_log realm)" 2>&1 || lab_fail "realm $*: $(tail -n 1 "$(bg_log realm)")"
}

# realm_make HOST NAME: a root. realm_below HOST SUB LABEL: of HOST's realm, a sub-realm managed by SUB. Who has an
# identifier may know where their members are.
realm_make() {
    realm_do init "$LAB_DIR/hawser/$1.realm" "$2"
    realm_do policy "$LAB_DIR/hawser/$1.realm" 2001:3f::/32=full
}
realm_below() {
    local dir=$LAB_DIR/hawser
    realm_do delegate "$dir/$1.realm" "$3" "$(pair_key "$2")" "$dir/$2.chain"
    realm_do init "$dir/$2.realm" --key "$dir/$2.key" --chain "$dir/$2.chain"
    realm_do policy "$dir/$2.realm" 2001:3f::/32=full
}

# realm_file HOST ADDRESS [OF]: the first section of its manager's file, of the realm whose folder OF has.
realm_file() {
    printf '[Realm]\nDirectory = %s\nListen = %s\nControl = %s\n' "$LAB_DIR/hawser/${3:-$1}.realm" "$2:51823" "$LAB_DIR/hawser/$1.realmd.sock"
}

# realm_daemon HOST ADDRESS [PARENT_ADDRESS] [RELAY_KEY RELAY_ADDRESS]: its manager.
realm_daemon() {
    local file=$LAB_DIR/hawser/$1.realmd
    realm_file "$1" "$2" >"$file"
    [[ -z ${3:-} ]] || printf '[Parent]\nManagers = %s:51823\nAnnounce = %s:51823\n' "$3" "$2" >>"$file"
    [[ -z ${4:-} ]] || printf '[Relay]\nAgent = %s\nPublicKey = %s\n' "$5" "$4" >>"$file"
    bg "$1" "realmd-$1" "$REALMD" "$file"
    wait_for 5 "the manager of $1 listens" listening "$1" udp 51823
}

# realm_status HOST FILTER: what its manager says of itself, by jq -r.
realm_status() {
    local doc
    doc=$("$HAWSER" realm status "$LAB_DIR/hawser/$1.realmd.sock" --json) || [[ $? == 3 ]] || return 1
    jq -r "$2" <<<"$doc"
}

# realm_host HOST REALM ROOT ROOT_ADDRESS: enrolled as HOST.h in the realm that REALM manages, and its daemon's file.
realm_host() {
    local dir=$LAB_DIR/hawser
    mkdir -p "$dir/$1"
    realm_do enrol "$dir/$2.realm" "$1.h" "$(pair_key "$1")" "$dir/$1.chain"
    {
        pair__interface "$1" 'Role = host'
        printf '[Names]\nRoot = %s\nManager = %s:51823\nChain = %s\n' "$dir/$3.realm/root" "$4" "$dir/$1.chain"
        printf '[Dns]\nListen = 127.0.0.1:53\n'
    } >"$dir/$1.conf"
    "$HAWSER" check "$dir/$1.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
}
