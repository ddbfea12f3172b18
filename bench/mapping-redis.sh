#!/bin/bash
# bench/mapping-redis.sh - a store of bindings on a Redis Cluster: three masters on one machine, which also has the writer.
# Usage: mapping-redis.sh [ROWS [CHANGES]]
#
#   m: three redis-server on lo, ports 7001 to 7003, in memory only; bench/bindstore.c beside them
#
# What is told as done is in the memory of a master. ROWS (200000) rows first, then CHANGES (300000) newer ones.
# shellcheck source-path=SCRIPTDIR source=../lab/lib.sh
. "$(dirname "$(readlink -f "$0")")/../lab/lib.sh"
lab_init mapping-redis "$@"
need jq redis-server redis-cli
ROWS=${LAB_ARGS[0]:-200000} CHANGES=${LAB_ARGS[1]:-300000}
BENCH=$HAWSER_BUILD/bench/bench-bindstore
[[ -x $BENCH ]] || lab_skip "$BENCH is not built"

read -r load _ </proc/loadavg
holds "$load <= $(nproc)" || lab_busy "load $load before it began"

host m
nodes=()
for port in 7001 7002 7003; do
    mkdir "$LAB_DIR/$port"
    bg m "redis$port" redis-server --bind 127.0.0.1 --port $port --dir "$LAB_DIR/$port" --cluster-enabled yes --save '' \
        --appendonly no
    nodes+=("127.0.0.1:$port")
done
for port in 7001 7002 7003; do
    wait_for 20 "$port answers" on m redis-cli -p $port ping
done
on m redis-cli --cluster create "${nodes[@]}" --cluster-yes >"$(bg_log create)" 2>&1 || lab_fail "$(<"$(bg_log create)")"
for port in 7001 7002 7003; do
    wait_for 20 "$port is of the cluster" on m bash -c "redis-cli -p $port cluster info | grep -q cluster_state:ok"
done
bg m bench timeout 300 "$BENCH" "redis:${nodes[0]}" "$ROWS" "$CHANGES"
bg_wait bench || lab_fail "$(<"$(bg_log bench)")"
while read -r key value unit; do
    result "$key" "$value" "$unit"
done < <(jq -r '"fill \(.fill) /s", "changes \(.changes) /s", "alone \(.alone_ms) ms", "alone_p99 \(.alone_p99_ms) ms", "restart \(.restart_s) s"' \
    "$(bg_log bench)")
lab_done
