# shellcheck shell=bash
# lab/pair-lib.sh - a node and its agent: their files, their daemons, and what one asks them. Source it after lib.sh.
#
# Each is called as its host. Files are $LAB_DIR/hawser/HOST.conf, .key and .sock; a daemon in the background is
# hawserd-HOST. The device is hawser0 on both, and the agent translates nothing.

HAWSER=${HAWSER:-$HAWSER_BUILD/src/prog/hawser}
HAWSERD=${HAWSERD:-$HAWSER_BUILD/src/prog/hawserd}

# pair_key HOST: makes its key if there is none, and tells the public one.
pair_key() {
    local file=$LAB_DIR/hawser/$1.key
    [[ -e $file ]] || "$HAWSER" keygen "$file" >/dev/null || lab_fail "keygen"
    "$HAWSER" pubkey <"$file" || lab_fail "pubkey"
}

# pair_config NODE AGENT ENDPOINT AGENT_ADDRESSES NODE_ADDRESSES LINK...: both files. Lines of the arrays NODE_LINES and
# AGENT_LINES stand in their [Interface] sections, those of LINK_LINES in each [Link].
NODE_LINES=() AGENT_LINES=() LINK_LINES=()
pair_config() {
    local node=$1 agent=$2 endpoint=$3 ours=$4 dir=$LAB_DIR/hawser
    shift 4
    mkdir -p "$dir/$agent"
    pair__interface "$agent" 'ListenPort = 51820' "Address = $ours" 'NAT = no' "${AGENT_LINES[@]}" >"$dir/$agent.conf"
    pair_join "$node" "$agent" "$endpoint" "$@"
}

# pair_join NODE AGENT ENDPOINT NODE_ADDRESSES LINK...: the node's file, and one peer more in the agent's.
pair_join() {
    local node=$1 agent=$2 endpoint=$3 theirs=$4 dir=$LAB_DIR/hawser host link
    shift 4
    mkdir -p "$dir/$node"
    {
        pair__interface "$node" "${NODE_LINES[@]}"
        for link; do
            printf '[Link %s]\nWifiSignal = off\n' "$link"
            printf '%s\n' "${LINK_LINES[@]}" ''
        done
        printf '[Peer %s]\nPublicKey = %s\nEndpoint = %s\n' "$agent" "$(pair_key "$agent")" "$endpoint"
    } >"$dir/$node.conf"
    printf '[Peer %s]\nPublicKey = %s\nAddress = %s\n' "$node" "$(pair_key "$node")" "$theirs" >>"$dir/$agent.conf"
    for host in "$node" "$agent"; do
        "$HAWSER" check "$dir/$host.conf" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
    done
}
pair__interface() { # HOST LINE...
    local dir=$LAB_DIR/hawser host=$1
    shift
    printf '[Interface]\nName = hawser0\nPrivateKeyFile = %s.key\nStateDir = %s\nControl = %s\n' "$host" "$dir/$host" "$dir/$host.sock"
    printf '%s\n' "$@" ''
}

# pair_daemon HOST: starts it.
pair_daemon() {
    bg "$1" "hawserd-$1" "$HAWSERD" "$LAB_DIR/hawser/$1.conf"
}

# pair_start NODE AGENT LINK...: both daemons, until just these links of the node's are active.
pair_start() {
    pair_daemon "$2"
    wait_for 5 "the agent answers" pair_status "$2" .pid
    pair_daemon "$1"
    wait_for 10 "the links of $1 are active" pair_active "$1" "${@:3}"
}

# pair_ask HOST VERB...: the hawser command.
pair_ask() {
    local host=$1
    shift
    HAWSER_CONTROL=$LAB_DIR/hawser/$host.sock on "$host" "$HAWSER" "$@"
}

# pair_status HOST FILTER: the answer of jq -r over the status.
pair_status() {
    local doc
    # Code 3 is "degraded", which is an answer.
    doc=$(pair_ask "$1" status --json) || [[ $? == 3 ]] || return 1
    jq -r "$2" <<<"$doc"
}

# pair_active HOST LINK...: are these paths, and no others, active and not being left? A condition for wait_for.
pair_active() {
    local host=$1 now
    shift
    now=$(pair_status "$host" '[.peers[].paths[] | select(.state == "active" and (.leaving | not)) | .link] | unique | join(" ")') || return 1
    echo "active: ${now:-none}"
    [[ $now == "$*" ]]
}

# pair_paths AGENT N: has the agent N active paths? It does not know the node's names for them.
pair_paths() {
    local now
    now=$(pair_status "$1" '[.peers[].paths[] | select(.state == "active" and (.leaving | not))] | length') || return 1
    echo "active: $now"
    [[ $now == "$2" ]]
}
