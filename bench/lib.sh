# shellcheck shell=bash
# bench/lib.sh - runs scenarios and collects their figures as rows. Sourced by bench/run.sh.
#
# Theory of operation. A scenario measures and writes its own JSON; nothing is measured again here. Each row takes one
# figure of one such file, and its peers are figures of the same file, so of the same run. What a row keeps:
#   yes, no       the figure against what was asked
#   -             nothing was asked
#   inconclusive  the run's emulator was later than its limit: the machine was too busy, and the figure is no verdict
#   skipped       the kernel or the machine lacks something that the scenario needs
# A figure that a run did not come to is null and not kept. A scenario that failed for a reason that no row shows gets a
# row of its own, so that no failure is lost.
#
# Limits: one area at a time. Needs jq.

# bench_begin AREA
bench_begin() {
    BENCH_AREA=$1 BENCH_FILE=$HAWSER_BUILD/bench/$1.json BENCH_RUNS=$HAWSER_BUILD/bench/$1
    mkdir -p "$BENCH_RUNS" || exit 1
    # What an earlier run left must not pass for this one's.
    rm -f "$BENCH_FILE" "$BENCH_RUNS"/*.json "$BENCH_RUNS"/*.log
    BENCH_ROWS=$BENCH_RUNS/rows
    : >"$BENCH_ROWS"
    printf '%-60s %12s %-9s %-10s %-12s %s\n' "$BENCH_AREA" value unit asked kept peers
}

# bench_end: writes the area's file; 1 if a row is not kept.
bench_end() {
    jq -s . "$BENCH_ROWS" >"$BENCH_FILE.new" && mv "$BENCH_FILE.new" "$BENCH_FILE" || exit 1
    jq -r '"\(map(select(.kept == "yes")) | length) kept, \(map(select(.kept == "no")) | length) not kept, " +
        "\(map(select(.kept == "inconclusive")) | length) inconclusive, \(map(select(.kept == "skipped")) | length) skipped"' "$BENCH_FILE"
    jq -e 'all(.[]; .kept != "no")' "$BENCH_FILE" >/dev/null
}

# scenario NAME [ARGUMENT...]: runs it; the rows that follow are of this run.
scenario() {
    local name=$1
    shift
    scenario_of "$name" "$BENCH_RUNS/$name.json" "$BENCH_TOP/lab/scenarios/$name.sh" "$@"
}

# scenario_of NAME JSON FILE [ARGUMENT...]: the same, with the run's JSON and the script named.
scenario_of() {
    local name=$1 file=$3 code
    BENCH_JSON=$2 BENCH_SCENARIO=$name
    shift 3
    rm -f "$BENCH_JSON"
    [[ ! -t 2 ]] || echo "bench: $name" >&2
    bash "$file" --json "$BENCH_JSON" "$@" >"$BENCH_RUNS/$name.log" 2>&1 </dev/null
    code=$?
    # One that ended before it could tell anything.
    if ! jq -e .verdict "$BENCH_JSON" >/dev/null 2>&1; then
        jq -n --arg why "no figures, code $code" '{verdict: "failed", results: {}, failures: [$why]}' >"$BENCH_JSON"
    fi
}

# scenario_ran NAME JSON: the rows that follow are of a run that was made before.
scenario_ran() {
    BENCH_SCENARIO=$1 BENCH_JSON=$2
}

# scenario_end: what the run says of itself, if no row has shown it.
scenario_end() {
    local verdict why
    verdict=$(jq -r .verdict "$BENCH_JSON")
    [[ $verdict == failed ]] || return 0
    why=$(jq -r '.failures | join("; ")' "$BENCH_JSON")
    echo "bench: $BENCH_SCENARIO: ${why:-failed}; see $BENCH_RUNS/$BENCH_SCENARIO.log" >&2
    if ! jq -se --arg of "$BENCH_SCENARIO" 'any(.[]; .of == $of and .kept == "no")' "$BENCH_ROWS" >/dev/null; then
        row "scenario $BENCH_SCENARIO as a whole" verdict '' == ok
    fi
}

# row NAME KEY UNIT OP|- LIMIT [RUNS [SPREAD_KEY [PEER_KEY...]]]: a figure of the last scenario. KEY verdict is the
# scenario's own. SPREAD_KEY (or -) names the run's worst figure.
row() {
    local name=$1 key=$2 unit=$3 op=$4 limit=$5 runs=${6:-1} spread=${7:--} line
    shift $(($# < 7 ? $# : 7))
    line=$(jq -c --arg name "$name" --arg key "$key" --arg unit "$unit" --arg op "$op" --arg limit "$limit" \
        --argjson runs "$runs" --arg spread "$spread" --arg of "$BENCH_SCENARIO" '
        def number: if type == "string" then (tonumber? // .) else . end;
        def of($k): if $k == "verdict" then .verdict else .results[$k].value | number end;
        . as $run | of($key) as $v | ($limit | number) as $l
        | {name: $name, value: $v, unit: $unit, asked: (if $op == "-" then null else "\($op) \($limit)" end),
           kept: (if .verdict == "inconclusive" or .verdict == "skipped" then .verdict
                  elif $v == null then "no"
                  elif $op == "-" then "-"
                  elif ($v | type) != ($l | type) then "no"
                  elif ($op == "==" and $v == $l) or ($op == "<=" and $v <= $l) or ($op == ">=" and $v >= $l) then "yes"
                  else "no" end),
           runs: $runs, spread: (if $spread == "-" then null else {worst: of($spread)}
                + (($spread | sub("_worst$"; "_best")) as $best | if $best != $spread and ($run.results | has($best)) then {best: of($best)} else {} end) end),
           peers: [$ARGS.positional[] as $p | {name: $p, value: ($run | of($p)), unit: $run.results[$p].unit}],
           of: $of}' "$BENCH_JSON" --args -- "$@") || { echo "bench: $name: no row" >&2 && exit 1; }
    echo "$line" >>"$BENCH_ROWS"
    jq -r '[.name, (.value | tostring), .unit, .asked // "-", .kept,
        ([(.spread | select(.) | "worst \(.worst)" + (if has("best") then " best \(.best)" else "" end)), (.peers[] | "\(.name) \(.value) \(.unit // "")")] | join(", "))] | join("\u001f")' <<<"$line" |
        { IFS=$'\037' read -r name key unit op limit runs &&
            printf '%-60s %12s %-9s %-10s %-12s %s\n' "$name" "$key" "$unit" "$op" "$limit" "$runs"; }
}

# figure_file NAME VERDICT KEY VALUE UNIT [KEY VALUE UNIT...]: a run that was no scenario, in a scenario's form.
figure_file() {
    BENCH_SCENARIO=$1 BENCH_JSON=$BENCH_RUNS/$1.json
    local verdict=$2
    shift 2
    jq -n --arg verdict "$verdict" '{verdict: $verdict, failures: [],
        results: ([range(0; $ARGS.positional | length; 3) as $i | {key: $ARGS.positional[$i],
            value: {value: $ARGS.positional[$i + 1], unit: $ARGS.positional[$i + 2]}}] | from_entries)}' --args -- "$@" >"$BENCH_JSON"
}
