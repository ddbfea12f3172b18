# shellcheck shell=bash
# bench/rounds-lib.sh - measurements that take turns, round by round: whether the machine was left alone meanwhile, and
# medians with both ends. Source it after lab/lib.sh.

# rounds_quiet: notes which share of the processors is idle while nothing of ours is to do. rounds_done: ends; the run is
# inconclusive if other work took IDLE_MIN of them away (the median of what was noted).
IDLE_MIN=90 # %; chosen: with a tenth gone, a queue of 10 ms overflows now and then
IDLE=()
rounds_quiet() {
    local before after
    read -ra before </proc/stat
    nap 0.2
    read -ra after </proc/stat
    IDLE+=("$(awk -v a="${before[*]}" -v b="${after[*]}" 'BEGIN { n = split(a, x); split(b, y)
        for (i = 2; i <= n && i <= 9; i++) all += y[i] - x[i]
        printf "%.0f", (all > 0 ? 100 * (y[5] + y[6] - x[5] - x[6]) / all : 100) }')")
}
rounds_done() {
    local idle
    # Of an even count the lower of the middle two.
    idle=$(sorted "${IDLE[@]}" | sed -n "$(((${#IDLE[@]} + 1) / 2))p")
    result idle "$idle" %
    holds "$idle >= $IDLE_MIN" || lab_busy "the processors were $idle % idle before the rounds, expected $IDLE_MIN"
    lab_done
}

# sorted NUMBER...: one a line.
sorted() {
    printf '%s\n' "$@" | sort -g
}

# told KEY UNIT more|less DECIMALS NUMBER...: results KEY, KEY_worst, KEY_best: the median and both ends; `more` is better.
told() {
    local key=$1 unit=$2 better=$3 decimals=$4 low high
    shift 4
    low=$(sorted "$@" | head -n 1) high=$(sorted "$@" | tail -n 1)
    [[ $better == more ]] || { local swap=$low && low=$high high=$swap; }
    result "$key" "$(figure "$(median "$@")" "$decimals")" "$unit"
    result "${key}_worst" "$(figure "$low" "$decimals")" "$unit"
    result "${key}_best" "$(figure "$high" "$decimals")" "$unit"
}
