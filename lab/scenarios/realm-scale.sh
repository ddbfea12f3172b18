#!/bin/bash
# A realm of many hosts with managers on several levels and a Redis Cluster behind the top one. Under a load of moves,
# refreshes and lookups a master of the cluster is killed, the manager in the middle, and a master that takes the last
# changes with it; then all managers are started anew, in any order.
# Usage: realm-scale.sh [HOSTS [all]]      1000 hosts; three orders of restarts, or six
#
#   crowd                    10.0.1.2 --+          +-- 10.0.2.2 top      registers, and has the store
#   (hosts 10.9.0.0/16)                 |  core    +-- 10.0.3.2 middle   is pushed to by top
#                                       |          +-- 10.0.4.2 bottom   pulls from middle
#   redis: six nodes         10.0.5.2 --+          +-- 10.0.6.2 edge     asks middle for what it is asked for, and keeps it
#          10.0.5.11 .. .16, port 7000: three masters and their replicas
#
# What is wrong ends hawser-crowd, which is the hosts and asks after them (lab/crowd_ask.c says what that is). How stale
# answers were is a figure, and has to be within the class's bound of who moves often and of who does not.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init realm-scale "$@"
# shellcheck source=../pair-lib.sh
. "$LAB_TOP/lab/pair-lib.sh"
# shellcheck source=../realm-lib.sh
. "$LAB_TOP/lab/realm-lib.sh"
need curl jq nft redis-server redis-cli
HOSTS=${LAB_ARGS[0]:-1000}
CROWD=${LAB_CROWD:-$HAWSER_BUILD/lab/hawser-crowd}
[[ -x $CROWD ]] || lab_skip "$CROWD is not built"
DIR=$LAB_DIR/hawser/top.realm
INTERVAL=1 # s, of bottom

router core
n=0
for h in crowd top middle bottom redis edge; do
    n=$((n + 1))
    host $h
    wire $h:eth0 core:x$n 10.0.$n.2/24 10.0.$n.1/24
    default_route $h 10.0.$n.1
done
# The hosts' addresses are all of one machine here.
ip -n "$(lab__ns crowd)" route add local 10.9.0.0/16 dev lo || lab_fail "addresses of the hosts"
ip -n "$(lab__ns core)" route add 10.9.0.0/16 via 10.0.1.2 || lab_fail "route to the hosts"

# --- the cluster ---
nodes=()
for n in 1 2 3 4 5 6; do
    ip -n "$(lab__ns redis)" addr add 10.0.5.1$n/24 dev eth0 || lab_fail "address of a node"
    mkdir "$LAB_DIR/node$n"
    bg redis "node$n" redis-server --bind 10.0.5.1$n --bind-source-addr 10.0.5.1$n --port 7000 --dir "$LAB_DIR/node$n" \
        --protected-mode no --cluster-enabled yes --cluster-node-timeout 1000 --cluster-replica-validity-factor 0 \
        --save '' --appendonly no --repl-diskless-sync-delay 0
    nodes+=("10.0.5.1$n:7000")
done
redis_says() { # NODE WORD COMMAND...
    on redis redis-cli -h "10.0.5.1$1" -p 7000 "${@:3}" | grep -q "$2"
}
for n in 1 2 3 4 5 6; do
    wait_for 20 "node $n answers" redis_says $n PONG ping
done
on redis redis-cli --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes >"$(bg_log create)" 2>&1 ||
    lab_fail "$(<"$(bg_log create)")"
for n in 1 2 3 4 5 6; do
    wait_for 30 "node $n is of the cluster" redis_says $n cluster_state:ok cluster info
done
replicas_linked() { # a master that dies now has a successor
    local n
    for n in 1 2 3; do
        redis_says "$n" 'state=online' info replication || return 1
    done
}
wait_for 30 "each master has its replica" replicas_linked
declare -A REPLICA # of each master
for n in 1 2 3; do
    id=$(on redis redis-cli -h 10.0.5.1$n -p 7000 cluster myid)
    for k in 4 5 6; do
        ! redis_says $k "myself,slave $id" cluster nodes || REPLICA[$n]=$k
    done
done

# --- managers ---
realm_make top rid.example
"$CROWD" enrol "$DIR" "$HOSTS" >"$(bg_log enrol)" 2>&1 || lab_fail "$(<"$(bg_log enrol)")"
declare -A ADDRESS=([top]=10.0.2.2 [middle]=10.0.3.2 [bottom]=10.0.4.2 [edge]=10.0.6.2)
declare -A FOLLOWS=([middle]="10.0.2.2 push" [bottom]="10.0.3.2 pull" [edge]="10.0.3.2 cache")
{
    realm_file top 10.0.2.2
    printf '[Store]\nEngine = redis:%s,%s,%s\n' "${nodes[@]:0:3}"
} >"$LAB_DIR/hawser/top.realmd"
# A folder with the realm's key, and nothing else: the log comes from the manager that is followed.
for level in middle bottom edge; do
    mkdir -m 700 "$LAB_DIR/hawser/$level.realm" || lab_fail "folder of $level"
    cp "$DIR/key" "$LAB_DIR/hawser/$level.realm/key" || lab_fail "key of $level"
    {
        realm_file $level "${ADDRESS[$level]}" $level
        printf 'Http = %s\n' "$LAB_DIR/hawser/$level.http"
        printf '[Follow]\nManagers = %s\nMode = %s\n' "${FOLLOWS[$level]% *}" "${FOLLOWS[$level]#* }"
        [[ $level != bottom ]] || printf 'Interval = %s\n' $INTERVAL
    } >"$LAB_DIR/hawser/$level.realmd"
done
start() { # LEVEL
    "$REALMD" check "$LAB_DIR/hawser/$1.realmd" >"$(bg_log check)" 2>&1 || lab_fail "$(<"$(bg_log check)")"
    bg "$1" "realmd-$1" "$REALMD" "$LAB_DIR/hawser/$1.realmd"
    wait_for 20 "$1 has started" grep -q '>started' "$(bg_log "realmd-$1")"
}
caught_up() { # LEVEL
    grep -q 'follow state=caught_up' "$(bg_log "realmd-$1")"
}
for level in top middle bottom edge; do
    start $level
done
has_log() { # LEVEL
    grep -q 'log state=caught_up' "$(bg_log "realmd-$1")"
}
for level in middle bottom edge; do
    wait_for 20 "$level has the log" has_log $level
    assert "the log of $level is that of top" cmp -s "$DIR/log" "$LAB_DIR/hawser/$level.realm/log"
done
for level in middle bottom; do
    wait_for 20 "$level knows what there is" caught_up $level
    assert "its metrics say both" test 11 = "$(on middle curl -sf --max-time 10 --unix-socket "$LAB_DIR/hawser/$level.http" \
        http://x/metrics | sed -nE 's/^hawser_realm_(follow|log)_caught_up //p' | tr -d '\n')"
done

realm_knows() { # LEVEL NAMES
    local now
    now=$(realm_status "$1" .names) || return 1
    echo "$1 has $now names"
    ((now >= $2))
}
late_is() { # LEVEL LOCATOR
    on crowd timeout 10 "$HAWSER" resolve late.h.rid.example --root "$DIR/root" --manager "${ADDRESS[$1]}" \
        --as "$LAB_DIR/hawser/late.key" --chain "$LAB_DIR/hawser/late.chain" --json | grep -qF "\"$2\""
}

# --- load ---
crowd() { # VERB
    bg crowd "crowd-$1" "$CROWD" "$1" "$DIR" "$HOSTS" "$LAB_DIR/state" \
        10.0.2.2 10.0.3.2 10.0.4.2 10.0.6.2
}
crowd_says() { # VERB WORD: it, and that nothing was wrong until then
    kill -0 "$(bg_pid "crowd-$1")" 2>/dev/null || lab_fail "the crowd has ended: $(<"$(bg_log "crowd-$1")")"
    grep -qx "$2" "$(bg_log "crowd-$1")"
}
# What has happened since: so many records more have been taken by the one that pulls.
taken() {
    realm_status bottom .follow.taken
}
goes_on() { # COUNT
    local now
    now=$(taken) || return 1
    echo "bottom has taken $now"
    ((now >= $1))
}
crowd load
wait_for 60 "all $HOSTS hosts are registered" crowd_says load registered
wait_for 30 "bottom knows all of them" goes_on "$HOSTS"
wait_for 30 "the load goes on" goes_on $(($(taken) + 200))

# A master goes, under load.
bg_stop node1 KILL
promoted() { # NODE: is a node with slots
    redis_says "$1" 'myself,master' cluster nodes && redis_says "$1" cluster_state:ok cluster info
}
wait_for 30 "its replica takes over" promoted "${REPLICA[1]}"
wait_for 30 "changes are known at the bottom again" goes_on $(($(taken) + 200))

# So does the manager in the middle.
bg_stop realmd-middle KILL
start middle
wait_for 30 "middle knows all again" caught_up middle
wait_for 30 "changes are known at the bottom again" goes_on $(($(taken) + 100))

# Another master, whose replica has not heard the last that it told as done; and nobody moves again after that.
replica=${REPLICA[2]}
on redis nft "add table ip lab; add chain ip lab out { type filter hook output priority 0; }; \
    add rule ip lab out ip saddr 10.0.5.12 ip daddr 10.0.5.1$replica tcp sport 7000 drop" || lab_fail "nft"
wait_for 30 "there are changes that the replica lacks" goes_on $(($(taken) + 100))
kill -USR1 "$(bg_pid crowd-load)"
wait_for 60 "all is acknowledged" crowd_says load settled
given=$(grep -c 'store forward rows' "$(bg_log realmd-top)")
bg_stop node2 KILL
wait_for 30 "its replica takes over" promoted "$replica"
given_again() {
    (($(grep -c 'store forward rows' "$(bg_log realmd-top)") > given))
}
wait_for 60 "the cluster is given again what it lost" given_again
kill -TERM "$(bg_pid crowd-load)"
bg_wait crowd-load || lab_fail "$(<"$(bg_log crowd-load)")"

figures=$(grep '^{' "$(bg_log crowd-load)")
say() { # FILTER
    jq -r ".levels$1" <<<"$figures"
}
n=0
for level in top middle bottom edge; do
    result "lookups_$level" "$(say "[$n].found")"
    result "stale_movers_$level" "$(say "[$n].stale_movers_ms")" ms
    result "stale_others_$level" "$(say "[$n].stale_others_ms")" ms
    assert "$level answered" holds "$(say "[$n].found") > 100"
    n=$((n + 1))
done
# mapping/manager.h: what an answer of one who moves often may be used for, 5 s; who is settled is told of within 5 s.
# A machine that does much else may be late.
read -r busy _ </proc/loadavg
within() { # MILLISECONDS LIMIT
    holds "$1 <= $2" && return
    holds "$busy <= 2 * $(nproc)" || lab_busy "load $busy, and an answer was stale by $1 ms"
    [[ -e $LAB_DIR/busy ]]
}
assert "of who moves, the middle is not behind its class" within "$(say '[1].stale_movers_ms')" 5000
assert "nor is the bottom" within "$(say '[2].stale_movers_ms')" $((5000 + 1000 * INTERVAL))
assert "nor of the others the middle" within "$(say '[1].stale_others_ms')" 10000
assert "and the bottom" within "$(say '[2].stale_others_ms')" $((10000 + 1000 * INTERVAL))
# What is cached is used for as long as it says, and was no older than at the middle when it was asked for.
result beyond_edge "$(say '[3].beyond_ms')" ms
assert "nothing is used for longer than it said" within "$(say '[3].beyond_ms')" 10000

# --- members may speak to any manager: what they say goes on to the top, and comes back ---
realm_do enrol "$DIR" late.h "$(pair_key late)" "$LAB_DIR/hawser/late.chain"
for level in bottom edge; do
    wait_for 20 "$level knows who is enrolled" realm_knows $level $((HOSTS + 1))
    on crowd timeout 30 "$HAWSER" id attach "$LAB_DIR/hawser/late.key" "$LAB_DIR/hawser/late.chain" \
        --manager "${ADDRESS[$level]}:51823" --at "${ADDRESS[$level]}:4500" --once >"$(bg_log attach)" 2>&1 ||
        lab_fail "attach at $level: $(<"$(bg_log attach)")"
    # The edge remembers what it has once been asked for, so it is asked at last.
    for at in top middle bottom edge; do
        [[ $at != edge || $level == edge ]] || continue
        wait_for 20 "what was said at $level is known at $at" late_is $at "${ADDRESS[$level]}:4500"
    done
done

# --- all anew ---
# Nobody is there any more who could say again where he is: all that is found was kept.
orders=('bottom top edge middle' 'edge middle bottom top' 'top middle bottom edge')
[[ ${LAB_ARGS[1]:-} != all ]] || orders+=('top bottom middle edge' 'middle edge top bottom' 'bottom edge middle top')
for order in "${orders[@]}"; do
    for level in top middle bottom edge; do
        bg_stop "realmd-$level" KILL
    done
    for level in $order; do
        start "$level"
    done
    crowd check
    for ((i = 0; i < 1200; i++)); do
        kill -0 "$(bg_pid crowd-check)" 2>/dev/null || break
        nap 0.05
    done
    kill -TERM "$(bg_pid crowd-check)" 2>/dev/null
    bg_wait crowd-check || lab_fail "started anew as $order: $(<"$(bg_log crowd-check)")"
done
result orders ${#orders[@]}
lab_done
