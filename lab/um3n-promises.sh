# shellcheck shell=bash
# lab/um3n-promises.sh - what the demo promises, beside what it measured: lines while it runs, a table at its end.
#
# On a terminal a table is drawn over and over while the demo runs (hawser-probe sample --panel); elsewhere plain lines
# are printed. Files in DEMO_OUT: samples.txt (interface counters), marks.txt (faults), streams.txt (what ran when),
# promises.txt (tab-separated), for hawser-picture and for result.json.

# demo_begin DIR
demo_begin() {
    DEMO_OUT=$1 DEMO_NOW=''
    mkdir -p "$DEMO_OUT" || lab_fail "$DEMO_OUT"
    rm -f "$DEMO_OUT"/{samples,marks,streams,promises}.txt "$DEMO_OUT"/{result.json,demo.svg,last}
    : >"$DEMO_OUT/promises.txt"
    : >"$DEMO_OUT/marks.txt"
    : >"$DEMO_OUT/streams.txt"
    : >"$LAB_DIR/panel"
    DEMO_TTY=''
    [[ ! -t 1 ]] || DEMO_TTY=1
}

# demo_sample: from now on the phone's counters are sampled, and the live table is drawn.
demo_sample() {
    local args=(sample --every 100 --out "$DEMO_OUT/samples.txt")
    if [[ -n $DEMO_TTY ]]; then
        ip netns exec "$(lab__ns phone)" "$PROBE" "${args[@]}" --panel "$LAB_DIR/panel" wlan0 wwan0 hawser0 </dev/null &
        DEMO_PANEL=$!
        lab__own "$DEMO_PANEL"
    else
        bg phone samples "$PROBE" "${args[@]}" wlan0 wwan0 hawser0
    fi
}
demo_sample_end() {
    if [[ -n $DEMO_TTY ]]; then
        kill -TERM "$DEMO_PANEL" 2>/dev/null
        wait "$DEMO_PANEL" 2>/dev/null
        DEMO_TTY=''
    else
        bg_stop samples
    fi
}

# act TEXT: what happens now.
act() {
    DEMO_NOW=$1
    if [[ -n $DEMO_TTY ]]; then demo__panel; else printf '%s\n' "$1"; fi
}
demo__panel() {
    {
        printf '\n  \033[1m%s\033[0m\n\n' "$DEMO_NOW"
        demo_table
    } >"$LAB_DIR/panel.new"
    mv "$LAB_DIR/panel.new" "$LAB_DIR/panel"
}

# fault TEXT, back TEXT: for the picture.
fault() {
    printf '%s fault %s\n' "$EPOCHREALTIME" "$1" >>"$DEMO_OUT/marks.txt"
}
back() {
    printf '%s back %s\n' "$EPOCHREALTIME" "$1" >>"$DEMO_OUT/marks.txt"
}
# stream KIND START END TEXT: something ran; KIND chooses the colour.
stream() {
    printf '%s %s %s %s\n' "$2" "$3" "$1" "$4" >>"$DEMO_OUT/streams.txt"
}

# measured KEY VALUE UNIT TEXT [PAPER]: measured, not promised.
measured() {
    demo__row "$1" "$2" "$3" - - "${5--}" "$4"
}
# promise KEY VALUE UNIT OP LIMIT TEXT [PAPER]
promise() {
    demo__row "$1" "$2" "$3" "$4" "$5" "${7--}" "$6"
}
demo__row() {
    local kept=-
    if [[ $4 != - ]]; then
        kept=no
        ! holds "$2" "$4" "$5" || kept=yes
        [[ $kept == yes ]] || echo "promise not kept: $7: $2 $3, promised $4 $5" >>"$LAB_DIR/failures"
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$6" "$kept" "$7" >>"$DEMO_OUT/promises.txt"
    result "$1" "$2" "$3" >/dev/null
    if [[ -n $DEMO_TTY ]]; then
        demo__panel
    else
        demo_rows < <(tail -n 1 "$DEMO_OUT/promises.txt")
    fi
}

# demo_rows: table rows from promises.txt's lines.
demo_rows() {
    local colour=''
    [[ ! -t 1 && -z $DEMO_TTY ]] || colour=1
    awk -F '\t' -v colour="$colour" '{
        limit = $4 == "-" ? "" : ($4 == "==" ? $5 : ($4 == ">=" ? "≥ " : "≤ ") $5) " " $3
        state = $7 == "yes" ? "kept" : $7 == "no" ? "NOT KEPT" : ""
        paint = !colour ? "" : $7 == "yes" ? "\033[32m" : $7 == "no" ? "\033[31m" : ""
        # ≥ and ≤ take three bytes and one column.
        wide = limit ~ /[≥≤]/ && length("≥") > 1 ? 15 : 13
        printf "  %-50s %7s %-7s %-" wide "s %-13s %s%s%s\n", $8, $2, $3, limit, $6 == "-" ? "" : $6, paint, state, paint ? "\033[0m" : ""
    }'
}
demo_table() {
    printf '  %-50s %15s %-13s %-13s\n' '' 'measured       ' promised 'the paper'
    demo_rows <"$DEMO_OUT/promises.txt"
}

# demo_end: the table, and the counts in DEMO_KEPT and DEMO_MADE.
demo_end() {
    DEMO_MADE=$(awk -F '\t' '$7 != "-"' "$DEMO_OUT/promises.txt" | wc -l)
    DEMO_KEPT=$(awk -F '\t' '$7 == "yes"' "$DEMO_OUT/promises.txt" | wc -l)
    echo
    demo_table
    echo "demo: $DEMO_KEPT of $DEMO_MADE promises kept" >"$DEMO_OUT/last"
}
