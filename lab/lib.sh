# shellcheck shell=bash
# lab/lib.sh - hosts, links, NATs, timed events and waits for scenarios. Source it; needs root and bash 5.
#
# Theory of operation. Every host is a network namespace named after the run (hw<pid>-NAME), so runs can coexist, and
# whatever bears the name can be deleted with all processes in it, even if the run's own directory has gone. Processes
# outside the namespaces are noted in that directory with their start times. The script's exit cleans up; a reaper in a
# session of its own waits for the script's process to vanish and then does the same, so that not even kill -9 leaves
# anything. Waits poll conditions; nothing sleeps "long enough".
#
# Verdicts: `ok` (exit 0), `failed` (1), `inconclusive` (3: an emulator's p99 lateness was above LAB_LATE_LIMIT_US, so the
# machine was too busy for the figures to mean anything; with less than 500 packets its p90, with less than 50 its p50;
# or the scenario said so, by lab_busy),
# `skipped` (77: the kernel or machine lacks something). Without root: exit 2.
#
# Environment: HAWSER_BUILD (default: build/ at the repository's top), LAB_LATE_LIMIT_US (1000), LAB_KEEP=1 (keep the
# logs' directory), LAB_JSON (as --json).
#
# Limits: interface names of 15 bytes, host names of 12 that are words; one emulator process a link.

LAB_LIB=$(readlink -f "${BASH_SOURCE[0]}")
LAB_TOP=${LAB_LIB%/lab/lib.sh}
HAWSER_BUILD=${HAWSER_BUILD:-$LAB_TOP/build}
LAB_LATE_LIMIT_US=${LAB_LATE_LIMIT_US:-1000}
LAB_EMU=${LAB_EMU:-$HAWSER_BUILD/lab/hawser-emu}
# For scenarios:
# shellcheck disable=SC2034
LAB_XFER=${LAB_XFER:-$HAWSER_BUILD/lab/hawser-xfer}

# --- inside ---------------------------------------------------------------------------------------------------------

# lab__starttime PID: field 22 of /proc/PID/stat, which tells two processes of one number apart.
lab__starttime() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    # A zombie is gone but for its parent.
    [[ $1 != Z ]] || return 1
    echo "${20}"
}

# lab__own PID: notes a process for the clean-up.
lab__own() {
    local start
    start=$(lab__starttime "$1") && echo "$1 $start" >>"$LAB_DIR/pids"
}

# lab__alive PID START
lab__alive() {
    [[ $(lab__starttime "$1") == "$2" ]]
}

# lab__signal DIR PREFIX SIG: to every process of the run that is left; 1 if there was none.
lab__signal() {
    local pid start ns any=1
    if [[ -e $1/pids ]]; then
        while read -r pid start; do
            if lab__alive "$pid" "$start"; then
                kill "-$3" "$pid" 2>/dev/null
                any=0
            fi
        done <"$1/pids"
    fi
    for ns in /run/netns/"$2"*; do
        [[ -e $ns ]] || continue
        for pid in $(ip netns pids "${ns##*/}" 2>/dev/null); do
            kill "-$3" "$pid" 2>/dev/null
            any=0
        done
    done
    return "$any"
}

# lab__reap DIR PREFIX: ends the run's processes and deletes its namespaces and DIR.
lab__reap() {
    local ns i
    for ((i = 0; i < 40; i++)); do
        if ((i < 20)); then
            lab__signal "$1" "$2" TERM || break
        else
            lab__signal "$1" "$2" KILL || break
        fi
        lab__nap 0.025
    done
    for ns in /run/netns/"$2"*; do
        [[ ! -e $ns ]] || ip netns del "${ns##*/}" 2>/dev/null
    done
    if [[ -n ${LAB_KEEP-} && -d $1 ]]; then
        echo "lab: logs are in $1" >&2
        rm -f "$1/pids"
    else
        rm -rf "$1"
    fi
}

# lab__nap SECONDS: a sleep without a process.
lab__nap() {
    [[ -n ${LAB_NAP_FD-} ]] || exec {LAB_NAP_FD}<> <(:)
    read -rt "$1" -u "$LAB_NAP_FD"
    return 0
}

# lab__watch PID START DIR PREFIX: the reaper's main.
lab__watch() {
    trap '' INT TERM HUP
    while lab__alive "$1" "$2"; do
        lab__nap 0.3
    done
    # Logs that were to be kept are, unless the run never came to its end.
    [[ -e $3/pids || ! -d $3 ]] || return 0
    LAB_KEEP='' lab__reap "$3" "$4"
}

lab__string() {
    local s=${1//\\/\\\\}
    s=${s//\"/\\\"}
    s=${s//$'\n'/\\n}
    printf '"%s"' "${s//[$'\001'-$'\037']/ }"
}

lab__number_or_string() {
    if [[ $1 =~ ^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$ ]]; then printf '%s' "$1"; else lab__string "$1"; fi
}

# lab__late: collects the emulators' figures into emulators; true if one was too late.
lab__late() {
    local sock stats share late=1
    : >"$LAB_DIR/emulators"
    for sock in "$LAB_DIR"/emu*.sock; do
        [[ -S $sock ]] || continue
        stats=$("$LAB_EMU" ctl "$sock" stats 2>/dev/null) || continue
        echo "$stats" >>"$LAB_DIR/emulators"
        [[ $stats =~ \"count\":([0-9]+),\"p50\":([0-9]+),\"p90\":([0-9]+),\"p99\":([0-9]+) ]] || continue
        # A share means something only if it stands for five packets or more.
        share=4
        ((BASH_REMATCH[1] >= 500)) || share=3
        ((BASH_REMATCH[1] >= 50)) || share=2
        if ((BASH_REMATCH[share] > LAB_LATE_LIMIT_US)); then
            echo "lab: an emulator was too late (limit $LAB_LATE_LIMIT_US us): ${BASH_REMATCH[0]}" >&2
            late=0
        fi
    done
    return "$late"
}

lab__json() {
    local key value unit line sep=''
    printf '{"scenario":%s,"verdict":"%s","seed":%s,"kernel":%s,"congestion_control":%s,"seconds":%s,\n "results":{' \
        "$(lab__string "$LAB_NAME")" "$1" "$LAB_SEED" "$(lab__string "$LAB_KERNEL")" "$(lab__string "$LAB_CC")" "$SECONDS"
    while IFS=$'\t' read -r key value unit; do
        printf '%s\n  %s:{"value":%s,"unit":%s}' "$sep" "$(lab__string "$key")" "$(lab__number_or_string "$value")" "$(lab__string "$unit")"
        sep=,
    done <"$LAB_DIR/results"
    printf '},\n "failures":['
    sep=''
    while read -r line; do
        printf '%s\n  %s' "$sep" "$(lab__string "$line")"
        sep=,
    done <"$LAB_DIR/failures"
    printf '],\n "emulators":['
    sep=''
    while read -r line; do
        printf '%s\n  %s' "$sep" "$line"
        sep=,
    done <"$LAB_DIR/emulators"
    printf ']}\n'
}

# lab__finish CODE: verdict, figures, clean-up. Runs once, from the EXIT trap.
lab__finish() {
    local verdict=failed code=1
    trap - EXIT
    trap '' INT TERM HUP
    : >"$LAB_DIR/emulators"
    case $1 in
    0 | 1)
        if lab__late || [[ -e $LAB_DIR/busy ]]; then
            verdict=inconclusive code=3
        elif [[ $1 == 0 && ! -s $LAB_DIR/failures && -n ${LAB_ENDED-} ]]; then
            verdict=ok code=0
        elif [[ $1 == 0 && -z ${LAB_ENDED-} ]]; then
            echo "the script ended without lab_done" >>"$LAB_DIR/failures"
        fi
        ;;
    77) verdict=skipped code=77 ;;
    *)
        echo "the script ended with code $1" >>"$LAB_DIR/failures"
        code=$1
        ;;
    esac
    if [[ -n $LAB_JSON ]]; then
        lab__json "$verdict" >"$LAB_JSON" || echo "lab: $LAB_JSON: not written" >&2
    fi
    lab__reap "$LAB_DIR" "$LAB_PREFIX"
    echo "scenario $LAB_NAME: $verdict"
    exit "$code"
}

# lab__ns HOST: its namespace's name.
lab__ns() {
    echo "$LAB_PREFIX$1"
}

lab__host_exists() {
    [[ -e /run/netns/$LAB_PREFIX$1 ]] || lab_fail "no host $1"
}

# lab__sysctl HOST PATH=VALUE...: inside the host, under /proc/sys/net.
lab__sysctl() {
    local host=$1
    shift
    # shellcheck disable=SC2016
    ip netns exec "$LAB_PREFIX$host" sh -c \
        'for s; do p=/proc/sys/net/${s%%=*}; [ ! -e "$p" ] || echo "${s#*=}" >"$p" || exit 1; done' sh "$@" ||
        lab_fail "sysctl of $host: $*"
}

# lab__link_find A:if B:if: sets LAB_SOCK and LAB_AB, LAB_BA (the emulator's names of these directions).
lab__link_find() {
    if [[ -e $LAB_DIR/link/$1,$2 ]]; then
        read -r LAB_SOCK <"$LAB_DIR/link/$1,$2"
        LAB_AB=ab LAB_BA=ba
    elif [[ -e $LAB_DIR/link/$2,$1 ]]; then
        read -r LAB_SOCK <"$LAB_DIR/link/$2,$1"
        LAB_AB=ba LAB_BA=ab
    else
        lab_fail "no emulated link $1 $2"
    fi
}

lab__emu() {
    local out
    out=$("$LAB_EMU" ctl "$LAB_SOCK" "$@" 2>&1) || lab_fail "emulator: $*: $out"
}

lab__addr() {
    [[ $3 == - ]] || ip -n "$LAB_PREFIX$1" addr add "$3" dev "$2" || lab_fail "address $3 on $1:$2"
}

# --- a scenario's beginning and end ---------------------------------------------------------------------------------

# lab_init NAME "$@": begins; reads --seed N and --json FILE, leaves the other arguments in LAB_ARGS.
lab_init() {
    LAB_NAME=$1
    shift
    LAB_SEED=1 LAB_JSON=${LAB_JSON-} LAB_ARGS=() LAB_LINKS=0 LAB_ENDED=''
    while (($# > 0)); do
        case $1 in
        --seed | --json)
            [[ $# -ge 2 ]] || { echo "lab: $1: expected a value" >&2 && exit 2; }
            if [[ $1 == --json ]]; then LAB_JSON=$2; else LAB_SEED=$2; fi
            shift 2
            ;;
        *)
            LAB_ARGS+=("$1")
            shift
            ;;
        esac
    done
    [[ $LAB_SEED =~ ^(0|[1-9][0-9]{0,14})$ ]] || { echo "lab: --seed $LAB_SEED: expected a number" >&2 && exit 2; }
    ((EUID == 0)) || { echo "lab: scenarios make network namespaces: run this as root" >&2 && exit 2; }
    [[ -x $LAB_EMU ]] || { echo "lab: $LAB_EMU: not built; set HAWSER_BUILD" >&2 && exit 2; }
    LAB_PREFIX=hw$$-
    LAB_DIR=$(mktemp -d /tmp/hawser-lab.XXXXXX) || exit 2
    # Whatever bears our process number was left by a run that had it before.
    LAB_KEEP='' lab__reap "$LAB_DIR/none" "$LAB_PREFIX"
    LAB_KERNEL=$(uname -r)
    LAB_CC=$(</proc/sys/net/ipv4/tcp_congestion_control)
    mkdir "$LAB_DIR/link" "$LAB_DIR/log"
    : >"$LAB_DIR/pids"
    : >"$LAB_DIR/results"
    : >"$LAB_DIR/failures"
    lab__nap 0
    setsid bash "$LAB_LIB" --watch $$ "$(lab__starttime $$)" "$LAB_DIR" "$LAB_PREFIX" </dev/null >/dev/null 2>&1 &
    disown
    trap 'lab__finish $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    echo "lab: $LAB_NAME, seed $LAB_SEED, Linux $LAB_KERNEL, congestion control $LAB_CC"
}

# lab_fail TEXT: notes a failure and ends the scenario; in a timed event it ends the event and the verdict is failed.
lab_fail() {
    echo "lab: $*" >&2
    echo "$*" >>"$LAB_DIR/failures"
    exit 1
}

# lab_skip REASON: ends the scenario: something that it needs is missing here.
lab_skip() {
    echo "lab: SKIP: $*" >&2
    exit 77
}

# need PROGRAM...: skips the scenario if one is not installed.
need() {
    local p
    for p; do
        command -v "$p" >/dev/null || lab_skip "$p is not installed"
    done
}

# lab_busy REASON: the machine does other work, so the figures mean little: unless something fails before its end, the
# run is inconclusive.
lab_busy() {
    echo "lab: too busy: $*" >&2
    echo "$*" >>"$LAB_DIR/busy"
}

# lab_done: ends the scenario; prints its verdict and exits.
lab_done() {
    LAB_ENDED=1
    exit 0
}

# result KEY VALUE [UNIT]: prints a figure and keeps it for --json.
result() {
    printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" >>"$LAB_DIR/results"
    printf '  %-40s %s %s\n' "$1" "$2" "${3-}"
}

# assert DESCRIPTION CMD...: fails the scenario unless CMD succeeds.
assert() {
    local what=$1
    shift
    "$@" || lab_fail "$what: not so: $*"
}

# wait_for SECONDS DESCRIPTION CMD...: polls until CMD succeeds; fails the scenario with CMD's last output otherwise.
wait_for() {
    local end=$((${EPOCHREALTIME/./} + $(lab_us "$1"))) what=$2 out
    shift 2
    until out=$("$@" 2>&1); do
        ((${EPOCHREALTIME/./} < end)) || lab_fail "$what: not within the time; last output of $*: ${out:-none}"
        lab__nap 0.05
    done
}

# lab_us SECONDS: decimal seconds in microseconds.
lab_us() {
    local whole=${1%%.*} part=000000
    [[ $1 != *.* ]] || part=${1#*.}000000
    echo $((10#${whole:-0} * 1000000 + 10#${part:0:6}))
}

# at SECONDS CMD...: runs CMD that long from now, in the background.
at() {
    (
        trap - EXIT INT TERM HUP
        lab__nap "$1"
        shift
        "$@"
    ) &
    lab__own $!
}

# nap SECONDS: for the length of a measurement; to wait for something, use wait_for.
nap() {
    lab__nap "$1"
}

# median NUMBER...: of an odd count.
median() {
    printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"
}

# figure EXPRESSION DECIMALS: its value (awk).
figure() {
    awk "BEGIN { printf \"%.$2f\", $1 }"
}

# holds EXPRESSION...: true if it does (awk; the words are one expression); for assert.
holds() {
    awk "BEGIN { exit !($*) }"
}

# iperf3_received FILE: bits per second that the receiver counted, from `iperf3 -J`.
iperf3_received() {
    sed -n '/"sum_received"/,/}/s/.*"bits_per_second":[^0-9]*\([0-9.e+]*\).*/\1/p' "$1"
}

# --- hosts ----------------------------------------------------------------------------------------------------------

# host NAME: a namespace with lo up, IPv6 addresses usable at once, and no traffic of its own.
host() {
    local name=$1
    [[ $name =~ ^[A-Za-z0-9_]{1,12}$ ]] || lab_fail "host $name: expected 1 to 12 letters, digits or _"
    ip netns add "$LAB_PREFIX$name" || lab_fail "host $name"
    lab__sysctl "$name" ipv6/conf/{all,default}/{accept_dad,accept_ra,autoconf,router_solicitations}=0 \
        ipv6/conf/{all,default}/addr_gen_mode=1 ipv4/conf/{all,default}/rp_filter=0 ipv4/tcp_no_metrics_save=1
    ip -n "$LAB_PREFIX$name" link set lo up || lab_fail "host $name: lo"
}

# router NAME: a host that forwards.
router() {
    host "$1"
    lab__sysctl "$1" ipv4/conf/{all,default}/forwarding=1 ipv6/conf/{all,default}/forwarding=1
}

# on HOST CMD...: runs CMD inside HOST, in the foreground. A signal to the script need not wait for CMD.
on() {
    local ns=$LAB_PREFIX$1
    shift
    ip netns exec "$ns" "$@" <&0 &
    wait $!
}

# bg HOST NAME CMD...: runs CMD inside HOST in the background; its output goes to the file "$(bg_log NAME)".
bg() {
    local ns=$LAB_PREFIX$1 name=$2
    shift 2
    : >"$LAB_DIR/log/$name" # now: who waits for a word in it must not find that of the one before
    ip netns exec "$ns" "$@" </dev/null >"$LAB_DIR/log/$name" 2>&1 &
    echo $! >"$LAB_DIR/log/$name.pid"
    lab__own $!
}

# bg_log NAME, bg_pid NAME: the log file and the process of bg.
bg_log() {
    echo "$LAB_DIR/log/$1"
}
bg_pid() {
    cat "$LAB_DIR/log/$1.pid"
}

# bg_wait NAME: waits for its end and returns its exit code.
bg_wait() {
    wait "$(bg_pid "$1")"
}

# bg_stop NAME [SIGNAL]: ends it and waits for its end.
bg_stop() {
    kill "-${2:-TERM}" "$(bg_pid "$1")" 2>/dev/null
    wait "$(bg_pid "$1")" 2>/dev/null
    return 0
}

# default_route HOST GATEWAY [IF [METRIC]]
default_route() {
    local family=-4
    [[ $2 != *:* ]] || family=-6
    ip "$family" -n "$LAB_PREFIX$1" route replace default via "$2" ${3:+dev "$3"} ${4:+metric "$4"} ||
        lab_fail "default route of $1 via $2"
}

# star PARAMS HOST...: hosts around a router, core: the N-th has 10.0.N.2 at eth0, and core 10.0.N.1 at xN. PARAMS are of
# both ways of each link; `-`: plain veth pairs.
star() {
    local params=$1 host n=0
    shift
    router core
    for host; do
        n=$((n + 1))
        host "$host"
        if [[ $params == - ]]; then
            wire "$host:eth0" core:x$n 10.0.$n.2/24 10.0.$n.1/24
        else
            link "$host:eth0" core:x$n 10.0.$n.2/24 10.0.$n.1/24 both="$params"
        fi
        default_route "$host" 10.0.$n.1 eth0 100
    done
}

# listening HOST tcp|udp PORT: a condition for wait_for.
listening() {
    [[ -n $(ip netns exec "$LAB_PREFIX$1" ss -Hln "--$2" "sport = :$3") ]]
}

# --- links ----------------------------------------------------------------------------------------------------------

# link A:if B:if ADDR_A/LEN ADDR_B/LEN [both=PARAMS] [ab=PARAMS] [ba=PARAMS] [mtu=N]: an emulated link; `-` for no address.
# PARAMS are sim/link.h's, e.g. both="rate=20mbit delay=15ms". The rate counts IP bytes. The link lives as long as the
# shell that made it: not in a timed event or a $( ).
link() {
    local a=$1 b=$2 addr_a=$3 addr_b=$4 sock word args=()
    shift 4
    lab__host_exists "${a%%:*}"
    lab__host_exists "${b%%:*}"
    for word; do
        case $word in
        both=* | ab=* | ba=* | mtu=*) args+=("--${word%%=*}" "${word#*=}") ;;
        *) lab_fail "link $a $b: found $word, expected both=, ab=, ba= or mtu=" ;;
        esac
    done
    LAB_LINKS=$((LAB_LINKS + 1))
    sock=$LAB_DIR/emu$LAB_LINKS.sock
    "$LAB_EMU" --a "$LAB_PREFIX$a" --b "$LAB_PREFIX$b" --seed $((LAB_SEED * 1000 + LAB_LINKS)) --control "$sock" \
        "${args[@]}" </dev/null 2>"$LAB_DIR/log/emu$LAB_LINKS" &
    lab__own $!
    echo "$sock" >"$LAB_DIR/link/$a,$b"
    lab__link_wait "$a $b" "$sock" $! "$LAB_DIR/log/emu$LAB_LINKS"
    lab__addr "${a%%:*}" "${a#*:}" "$addr_a"
    lab__addr "${b%%:*}" "${b#*:}" "$addr_b"
}

# lab__link_wait NAME SOCK PID LOG: until the emulator answers, its end, or 5 s.
lab__link_wait() {
    local i
    for ((i = 0; i < 500; i++)); do
        [[ ! -S $2 ]] || return 0
        kill -0 "$3" 2>/dev/null || break
        lab__nap 0.01
    done
    [[ -S $2 ]] || lab_fail "link $1: $(<"$4")"
}

# wire A:if B:if ADDR_A/LEN ADDR_B/LEN: a plain veth pair; `-` for no address.
wire() {
    local a=$1 b=$2 ns_a=$LAB_PREFIX${1%%:*} ns_b=$LAB_PREFIX${2%%:*}
    ip link add "${a#*:}" netns "$ns_a" type veth peer name "${b#*:}" netns "$ns_b" || lab_fail "wire $a $b"
    ip -n "$ns_a" link set "${a#*:}" up || lab_fail "wire $a"
    ip -n "$ns_b" link set "${b#*:}" up || lab_fail "wire $b"
    lab__addr "${a%%:*}" "${a#*:}" "$3"
    lab__addr "${b%%:*}" "${b#*:}" "$4"
}

# offload_off HOST:IF...: whole packets on a wire, as on an emulated link.
offload_off() {
    local end
    for end; do
        ip netns exec "$LAB_PREFIX${end%%:*}" ethtool -K "${end#*:}" tso off gso off gro off >/dev/null ||
            lab_fail "offload_off $end"
    done
}

# link_set A:if B:if PARAMS|ab=PARAMS|ba=PARAMS...: changes an emulated link; what is not named stays.
link_set() {
    local word a=$1 b=$2
    shift 2
    lab__link_find "$a" "$b"
    for word; do
        case $word in
        ab=*) lab__emu set "$LAB_AB" "${word#*=}" ;;
        ba=*) lab__emu set "$LAB_BA" "${word#*=}" ;;
        both=*) lab__emu set both "${word#*=}" ;;
        *) lab__emu set both "$word" ;;
        esac
    done
}

# link_stats A:if B:if: the emulator's counters, one line of JSON (its own ab and ba: as the link was made).
link_stats() {
    lab__link_find "$1" "$2"
    "$LAB_EMU" ctl "$LAB_SOCK" stats
}

# link_stat A:if B:if ab|ba KEY: one counter, e.g. delivered_bytes or loss.
link_stat() {
    local stats direction
    stats=$(link_stats "$1" "$2") || return 1
    lab__link_find "$1" "$2"
    direction=$LAB_AB
    [[ $3 == ab ]] || direction=$LAB_BA
    [[ $stats =~ \"$direction\":\{\"params\":\"[^\"]*\",[^}]*[\"{,]\"?$4\":([0-9]+) ]] ||
        [[ $stats =~ \"$direction\":\{\"params\":\"[^\"]*\",[^}]*\}[^}]*\"$4\":([0-9]+) ]] || return 1
    echo "${BASH_REMATCH[1]}"
}

# link_down HOST:IF, link_up HOST:IF: what an administrator does (ip link set down, up).
link_down() {
    ip -n "$LAB_PREFIX${1%%:*}" link set "${1#*:}" down || lab_fail "link_down $1"
}
link_up() {
    ip -n "$LAB_PREFIX${1%%:*}" link set "${1#*:}" up || lab_fail "link_up $1"
}

# carrier_down A:if B:if, carrier_up A:if B:if: the cable goes or the radio loses its cell; both ends see it.
carrier_down() {
    lab__link_find "$1" "$2"
    lab__emu carrier down
}
carrier_up() {
    lab__link_find "$1" "$2"
    lab__emu carrier up
}

# blackhole A:if B:if [ab|ba|both] on|off: the link swallows everything and nobody is told.
blackhole() {
    local which=both value
    [[ $# -lt 4 ]] || which=$3
    case ${!#} in
    on) value=1 ;;
    off) value=0 ;;
    *) lab_fail "blackhole $*: expected on or off at the end" ;;
    esac
    lab__link_find "$1" "$2"
    case $which in
    ab) which=$LAB_AB ;;
    ba) which=$LAB_BA ;;
    both) ;;
    *) lab_fail "blackhole $*: expected ab, ba or both" ;;
    esac
    lab__emu set "$which" "blackhole=$value"
}

# addr_change HOST IF OLD/LEN NEW/LEN: a new care-of address; the old one goes first, as with a new lease.
addr_change() {
    ip -n "$LAB_PREFIX$1" addr del "$3" dev "$2" || lab_fail "addr_change $*"
    ip -n "$LAB_PREFIX$1" addr add "$4" dev "$2" || lab_fail "addr_change $*"
}

# --- NAT ------------------------------------------------------------------------------------------------------------

# lab__nat_load HOST: the rules for LAB_DIR/nat-HOST (out interface, flags, first mapped port or 0, cone's inside or -).
lab__nat_load() {
    local out flags port cone to='' into=''
    read -r out flags port cone <"$LAB_DIR/nat-$1"
    [[ $cone == - ]] || into="iifname \"$out\" udp dport ${cone#*:} dnat to $cone"
    flags=${flags#-}
    ((port == 0)) || to="meta l4proto { tcp, udp } oifname \"$out\" masquerade to :$port-$((port + 9999)) $flags"
    ip netns exec "$LAB_PREFIX$1" nft -f - <<EOR || lab_fail "nat $1: nft"
table ip lab_nat
delete table ip lab_nat
table ip lab_nat {
    chain out {
        type nat hook postrouting priority srcnat
        $to
        oifname "$out" masquerade $flags
    }
    chain cone {
        type nat hook prerouting priority dstnat
        $into
    }
    chain in {
        type filter hook forward priority filter
        ct status dnat accept
        iifname "$out" ct state new drop
    }
    chain self {
        type filter hook input priority filter
        iifname "$out" ct state new drop
    }
}
EOR
}

# nat HOST OUT_IF [timeout=SECONDS] [symmetric] [port-rebind] [cone=ADDR:PORT]: masquerades what leaves by OUT_IF and lets nothing new in.
# timeout: of UDP mappings; symmetric: a port of its own for each destination; port-rebind: mapped ports never equal the
# inner ones; cone: whatever comes to that UDP port, from whomever, is for that inside (a static map).
nat() {
    local name=$1 out=$2 word flags=- port=0 timeout='' cone=-
    shift 2
    for word; do
        case $word in
        timeout=*) timeout=${word#*=} ;;
        symmetric) flags=fully-random ;;
        port-rebind) port=20000 ;;
        cone=*) cone=${word#*=} ;;
        *) lab_fail "nat $name: found $word, expected timeout=, symmetric, port-rebind or cone=" ;;
        esac
    done
    echo "$out $flags $port $cone" >"$LAB_DIR/nat-$name"
    lab__nat_load "$name"
    [[ -z $timeout ]] ||
        lab__sysctl "$name" netfilter/nf_conntrack_udp_timeout="$timeout" netfilter/nf_conntrack_udp_timeout_stream="$timeout"
}

# nat_rebind HOST: forgets all mappings and gives the next ones other ports, as a carrier's NAT that restarts.
nat_rebind() {
    local out flags port cone
    read -r out flags port cone <"$LAB_DIR/nat-$1" || lab_fail "nat_rebind $1: it is no NAT"
    echo "$out $flags $((port < 20000 || port >= 50000 ? 20000 : port + 10000)) $cone" >"$LAB_DIR/nat-$1"
    lab__nat_load "$1"
    ip netns exec "$LAB_PREFIX$1" conntrack -F >/dev/null 2>&1 || lab_fail "nat_rebind $1: conntrack -F"
}

# The reaper: bash lib.sh --watch PID START DIR PREFIX.
if [[ ${BASH_SOURCE[0]} == "$0" && ${1-} == --watch ]]; then
    shift
    lab__watch "$@"
    # Here, so that an edit of this file while we run cannot make us read on.
    exit 0
fi
