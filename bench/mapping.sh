# shellcheck shell=bash
# bench/mapping.sh - the mapping plane: what records and chains cost, the table of bindings, its stores and a manager alone,
# and what an answer costs that goes over the network. Sourced by bench/run.sh.

# By processor time of one process. A record is to cost little more than its signature, a chain that was seen before
# little beside one that was not.
bench_mapping_chain() {
    local out=$BENCH_RUNS/chain.out verdict=ok
    "$HAWSER_BUILD/bench/bench-chain" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.signature, .record, .record_worst, (.record / .signature * 100 | round), .decode, .cold, .warm,
        .warm_worst, (.warm / .cold * 10 | round / 10)] | map(tostring) | join(" ")' "$out")
    figure_file chain "$verdict" signature "${1-}" /s record "${2-}" /s record_worst "${3-}" /s share "${4-}" % \
        decode "${5-}" /s cold "${6-}" /s warm "${7-}" /s warm_worst "${8-}" /s ratio "${9-}" x
    row "records verified, one core" record /s - - 5 record_worst signature decode
    row "records verified: of libcrypto's signatures alone" share % '>=' 80 5
    row "chains of 4, all seen before" warm /s - - 5 warm_worst cold
    row "chains of 4: seen before, to never seen" ratio x '>=' 5 5
    scenario_end
}

# The table in memory, without sessions, signatures or a store around it.
bench_mapping_bindings() {
    local out=$BENCH_RUNS/bindings.out verdict=ok
    "$HAWSER_BUILD/bench/bench-bindings" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.mb, .put, .refresh, .find] | map(tostring) | join(" ")' "$out")
    figure_file bindings "$verdict" mb "${1-}" MB put "${2-}" /s refresh "${3-}" /s find "${4-}" /s
    row "table of 1,000,000 bindings: memory" mb MB '<=' 600
    row "table alone, one core: lookups" find /s - - 1 - refresh put
    scenario_end
}

# knot_run NAMES DIRECTORY: knotd with one UDP worker on 127.0.0.1:5399 and so many AAAA of n0.example and on; $knot is its
# process once it answers, or empty.
knot_run() {
    local names=$1 dir=$2 i
    mkdir -p "$dir"
    cat >"$dir/knot.conf" <<EOF
server:
    rundir: "$dir"
    listen: 127.0.0.1@5399
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "$dir"
zone:
  - domain: example
    file: "$dir/example.zone"
    zonefile-sync: -1
    journal-content: none
EOF
    awk -v names="$names" 'BEGIN {
        print "$ORIGIN example.\n$TTL 300\n@ SOA ns admin 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1"
        for (i = 0; i < names; i++) printf "n%d AAAA 2001:db8::%x:%x\n", i, int(i / 65536), i % 65536 }' >"$dir/example.zone"
    knotd -c "$dir/knot.conf" >"$dir/knot.log" 2>&1 &
    knot=$!
    for ((i = 0; i < 600; i++)); do
        grep -q 'loaded, serial' "$dir/knot.log" && return
        kill -0 "$knot" 2>/dev/null || break
        sleep .1
    done
    kill "$knot" 2>/dev/null
    knot=''
}

# oor_ask NAMES DIRECTORY: what bench-exchange tells of Open Overlay Router as a map-server with so many mappings. Both run
# in a network of their own, since the server listens on every address that there is.
oor_ask() {
    local leaves=/tmp/oor-ipc # what it makes and forgets
    [[ ! -e $leaves ]] || leaves=''
    mkdir -p "$2"
    cat >"$2/oor.conf" <<EOF
debug = 0
operating-mode = MS
control-iface = lo
lisp-site {
    eid-prefix = 10.0.0.0/8
    key-type = 1
    key = bench
    iid = 0
    accept-more-specifics = true
}
EOF
    # shellcheck disable=SC2016 # for the shell inside
    unshare --net bash -c '
        ip link set lo up && ip addr add 198.51.100.1/32 dev lo || exit
        oor -f "$2/oor.conf" >"$2/oor.log" 2>&1 &
        oor=$!
        for ((i = 0; i < 100; i++)); do
            [[ -z $(ss -Huln "sport = :4342") ]] || break
            sleep .1
        done
        "$3" lisp 127.0.0.1 "$oor" "$1" bench
        kill "$oor" 2>/dev/null
        wait "$oor"' - "$1" "$2" "$HAWSER_BUILD/bench/bench-exchange"
    [[ -z $leaves ]] || rm -f "$leaves"
}

# What an answer costs who gives it, by its processor time, over 1,000 sealed associations: a lookup among a million
# bindings, and one of 300 bytes that is the same for all; beside a name server with a million names, and a map-server with
# a tenth of that. Each three times in turn, the middle one counts.
bench_mapping_exchange() {
    local dir=$BENCH_RUNS/knot verdict=ok i knot='' all=()
    if ! command -v knotd >/dev/null || ! command -v oor >/dev/null; then
        verdict=skipped
    else
        knot_run 1000000 "$dir"
        for i in 1 2 3; do
            all+=("$("$HAWSER_BUILD/bench/bench-exchange" lookups | jq .per_cpu_s)"
                "$("$HAWSER_BUILD/bench/bench-exchange" exchange | jq .per_cpu_s)"
                "$([[ -z $knot ]] || "$HAWSER_BUILD/bench/bench-exchange" dns 127.0.0.1:5399 "$knot" 1000000 | jq .per_cpu_s)"
                "$(oor_ask 100000 "$dir" | jq .per_cpu_s)")
        done
        [[ -z $knot ]] || { kill "$knot" && wait "$knot"; }
        rm -rf "$dir"
    fi
    # shellcheck disable=SC2046
    set -- $(jq -rn '[$ARGS.positional[] | tonumber?]
        | if length == 12 then [range(4) as $k | [.[$k, $k + 4, $k + 8]] | sort]
            | [.[0][1], .[0][0], .[1][1], .[2][1], .[3][1], (.[0][1] / .[2, 3][1] * 100 | round / 100)]
          else [] end | map(tostring) | join(" ")' --args -- "${all[@]}")
    [[ $# -eq 7 || $verdict == skipped ]] || verdict=failed
    figure_file exchange "$verdict" lookups "${1-}" /s lookups_worst "${2-}" /s answers "${3-}" /s knot "${4-}" /s oor "${5-}" /s \
        of_knot "${6-}" x of_oor "${7-}" x
    row "lookups over 1,000,000 bindings, 1,000 sealed sessions, one core" lookups /s '>=' 100000 3 lookups_worst knot oor
    row "the same: to Knot DNS, 1,000,000 names" of_knot x '>=' 1.3 3
    row "the same: to Open Overlay Router, 100,000 mappings" of_oor x '>=' 2 3
    row "sealed answers of 300 B without a lookup" answers /s - - 3
    scenario_end
}

# Stores alone: what is put was verified before. The file is on the disk that has the build.
bench_mapping_lmdb() {
    local out=$BENCH_RUNS/lmdb.out folder verdict=ok
    folder=$(mktemp -d "$BENCH_RUNS/lmdb-XXXXXX") || return
    "$HAWSER_BUILD/bench/bench-bindstore" "lmdb:$folder/bindings" 1000000 100000 >"$out" || verdict=failed
    rm -r "$folder"
    # shellcheck disable=SC2046
    set -- $(jq -r '[.changes, .fill, .alone_ms, .alone_p99_ms, .restart_s, .sync_ms] | map(tostring) | join(" ")' "$out")
    figure_file lmdb "$verdict" changes "${1-}" /s fill "${2-}" /s alone "${3-}" ms alone_p99 "${4-}" ms restart "${5-}" s \
        sync "${6-}" ms
    row "store alone, LMDB of 1,000,000: durable changes" changes /s '>=' 10000 1 - fill sync
    row "store alone, LMDB: a change by itself, durable" alone ms - - 1 - alone_p99 sync
    row "store alone, LMDB: restart with 1,000,000" restart s '<=' 10
    scenario_end
}
bench_mapping_redis() {
    scenario_of mapping-redis "$BENCH_RUNS/mapping-redis.json" "$BENCH_TOP/bench/mapping-redis.sh"
    row "store alone, Redis Cluster of 3 masters: changes" changes /s '>=' 30000 1 - fill alone
    row "store alone, Redis Cluster: all 200,000 rows read" restart s - -
    scenario_end
}

# A manager as its daemon has it, without associations, sockets and a store around it.
bench_mapping_manager() {
    local out=$BENCH_RUNS/manager.out verdict=ok
    "$HAWSER_BUILD/bench/bench-manager" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.found, .refresh, .changes, .verified, (.changes / .verified * 100 | round), .denied, .none,
        (.none / .denied * 100 | round / 100)] | map(tostring) | join(" ")' "$out")
    figure_file manager "$verdict" found "${1-}" /s refresh "${2-}" /s changes "${3-}" /s verified "${4-}" /s \
        share "${5-}" % denied "${6-}" /s none "${7-}" /s alike "${8-}" x
    row "manager alone, one core: lookups over 1,000,000 bindings" found /s '>=' 100000 1
    row "manager alone, one core: refreshes" refresh /s '>=' 60000 1
    row "manager alone: signed changes, of the signatures that one core verifies" share % '>=' 70 1 changes verified
    row "denied and not there: the time of one to that of the other" alike x '<=' 1.25 1 denied none
    scenario_end
}

# The same before a store on the disk that has the build: a change counts when it is durable. The store's thread has the
# other processor.
bench_mapping_durable() {
    local out=$BENCH_RUNS/durable.out folder verdict=ok
    folder=$(mktemp -d "$BENCH_RUNS/durable-XXXXXX") || return
    "$HAWSER_BUILD/bench/bench-durable" "lmdb:$folder/bindings" >"$out" || verdict=failed
    rm -r "$folder"
    # shellcheck disable=SC2046
    set -- $(jq -r '[.durable, .verified, (.durable / .verified * 100 | round), .wait_ms, .wait_p99_ms] | map(tostring)
        | join(" ")' "$out")
    figure_file durable "$verdict" durable "${1-}" /s verified "${2-}" /s share "${3-}" % wait "${4-}" ms wait_p99 "${5-}" ms
    row "durable signed changes, of the signatures that one core verifies" share % '>=' 70 1 durable verified
    row "durable signed changes, 64 under way: how long one waits" wait ms '<=' 5 1 - wait_p99
    scenario_end
}

# From the request of a host that moves to the notice that was read, without a network: its round trips come on top.
bench_mapping_push() {
    local out=$BENCH_RUNS/push.out verdict=ok
    "$HAWSER_BUILD/bench/bench-push" >"$out" || verdict=failed
    # shellcheck disable=SC2046
    set -- $(jq -r '[.one_p99_ms, .levels_p99_ms, .one_ms, .levels_ms] | map(tostring) | join(" ")' "$out")
    figure_file push "$verdict" one_p99 "${1-}" ms levels_p99 "${2-}" ms one "${3-}" ms levels "${4-}" ms
    row "push after a re-homing, one manager, p99" one_p99 ms '<=' 5 1 - one
    row "push after a re-homing, three levels, p99, beside the round trips" levels_p99 ms '<=' 20 1 - levels
    scenario_end
}

for part in ${BENCH_PARTS:-chain bindings manager durable push exchange lmdb redis}; do
    case $part in
    chain | bindings | manager | durable | push | exchange | lmdb | redis) "bench_mapping_$part" ;;
    *) echo "bench: mapping: unknown part $part" >&2 && exit 2 ;;
    esac
done
