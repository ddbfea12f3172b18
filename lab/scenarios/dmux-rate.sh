#!/bin/bash
# How many packets a second pass a gateway: in the kernel, in user space, and, on the same wire, a program that only
# passes datagrams on, and a program of the kernel that only sends frames back.
#
#   c ======== g    c has a client, a router of "mirror" and the generator; packets are of 150 bytes inside, and go
#    10.0.1/30      from c to the gateway and back to the router.
#
# The generator sends from the kernel, from one processor at the gateway in user space, which then has the other one, and
# from two at that in the kernel, which runs where its frames were sent from.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init dmux-rate "$@"
# shellcheck source=../dmux-lib.sh
. "$LAB_TOP/lab/dmux-lib.sh"
RATE=$HAWSER_BUILD/bench/bench-dmux-rate FORWARDER=$HAWSER_BUILD/bench/bench-forwarder
[[ -x $RATE ]] || lab_skip "built without XDP"
# What lab/dmux-lib.sh takes:
# shellcheck disable=SC2034
DMUX_PROTOCOL=mirror
EACH_S=2 ROUNDS=${LAB_ARGS[0]:-3}
threads=$(($(nproc) < 2 ? 1 : 2))

host c
host g
wire c:wan g:wan 10.0.1.1/30 10.0.1.2/30
default_route g 10.0.1.1
default_route c 10.0.1.2
mkdir -p "$DMUX"
dmux_keys

# rate KEY THREADS: the median of thousands of datagrams a second that come back.
rate() {
    local key=$1 out code values=() i
    for ((i = 0; i < ROUNDS; i++)); do
        bg c ping ping -q -i 0.02 -s 122 10.77.3.4
        code=0
        out=$(on c "$RATE" wan 51822 $EACH_S "$2" 2>"$(bg_log rate)") || code=$?
        bg_stop ping
        ((code != 77)) || lab_skip "$(<"$(bg_log rate)")"
        ((code == 0)) || lab_fail "$key: $(<"$(bg_log rate)")"
        values+=("$(jq '.arrived / .seconds / 1000 | floor' <<<"$out")")
    done
    got[$key]=$(median "${values[@]}")
    result "$key" "${got[$key]}" "thousand/s"
}

# serve [LINE...]: the gateway, known to the router, with these lines.
serve() {
    DMUX_DATA_PATH=("$@")
    dmux_gateway_alone g 1 10.0.1.2
}
proved() {
    wait_for 20 "the gateway has its proof" dmux_says g '[.routers[] | select(.state == "proved")] | length' 1
}

# What XDP sends into a veth arrives only if there is a program at its other end; this one passes all to sockets.
pass() { # on | off
    local what=(object "$HAWSER_BUILD/bpf/veth_pass.bpf.o" section xdp)
    [[ $1 == on ]] || what=(off)
    ip -n "$(lab__ns g)" link set dev wan xdp "${what[@]}" || lab_skip "no XDP here"
}

declare -A got
pass on
serve
dmux_router c - 10.0.1.2
proved
cat >"$DMUX/client.conf" <<EOC
[Client]
Protocol = mirror
Gateway = 192.0.2.1
Routes = 10.77.0.0/16
Control = $DMUX/client.sock
EOC
bg c dmuxd-client "$DMUXD" "$DMUX/client.conf"
wait_for 20 "the client is served" dmux_says client .state up
rate user 1
bg_stop dmuxd-g
pass off

serve 'DataPath = xdp' 'Interface = wan'
proved
rate xdp "$threads"
bg_stop dmuxd-g

# With the gateway gone the client still sends, with the cookie that it had.
pass on
ip -n "$(lab__ns g)" addr add 192.0.2.1/32 dev lo || lab_fail "address of g"
bg g forwarder "$FORWARDER" 51821 10.0.1.1 51822
wait_for 5 "the forwarder" listening g udp 51821
rate forwarder 1
bg_stop forwarder
pass off
bg g bounce "$RATE" wan 51822 bounce
wait_for 5 "the program that sends back" grep -q bouncing "$(bg_log bounce)"
rate wire "$threads"

result xdp_to_forwarder "$(figure "${got[xdp]} / ${got[forwarder]}" 2)"
result user_to_forwarder "$(figure "${got[user]} / ${got[forwarder]}" 2)"
result xdp_to_wire "$(figure "${got[xdp]} / ${got[wire]}" 2)"
assert "all of them passed packets" holds "${got[user]} * ${got[xdp]} * ${got[forwarder]} * ${got[wire]}" '>' 0
lab_done
