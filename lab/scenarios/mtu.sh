#!/bin/bash
# The only link shrinks without a word, twice: transfers go on within 3 s each time and arrive intact.
#
# Topology: lab/um3n-lib.sh, the WiFi alone. It carries packets of 1,500 bytes, then 1,280, then 1,124 (less than IPv6
# asks of a link) and swallows larger ones; no ICMP tells of it. A download (curl) and then an
# upload (ssh) run meanwhile.
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init mtu "$@"
# shellcheck source=../um3n-lib.sh
. "$LAB_TOP/lab/um3n-lib.sh"
# shellcheck source=../um3n-apps.sh
. "$LAB_TOP/lab/um3n-apps.sh"
um3n_start
apps_start 10000000
pair_ask phone link wwan0 down >/dev/null || lab_fail "hawser link wwan0 down"
wait_for 5 "the WiFi alone is active" pair_active phone wlan0
wait_for 5 "the agent has one path" pair_paths agent 1
dir=$LAB_DIR/apps

mtu() { # mtu phone|agent: of its active path
    pair_status "$1" '.peers[].paths[] | select(.state == "active" and (.leaving | not)) | .mtu'
}
mtu_is() {
    local now
    now=$(mtu "$1") || return 1
    echo "$1: $now"
    ((now <= $2 && now >= $2 - 8))
}
size() {
    stat -c %s "$1" 2>/dev/null || echo 0
}
grown() { # grown FILE BYTES
    local now
    now=$(size "$1")
    echo "$1: $now bytes of $2"
    ((now >= $2))
}
# goes_on down|up MTU: shrinks the link and sees the transfer move on by 200 kB; the result in ms.
goes_on() {
    local file=$dir/$1load.out had began=${EPOCHREALTIME/./} ms
    link_set phone:wlan0 wifi:in "mtu=$2"
    nap 0.1 # what had passed the narrow place already
    had=$(size "$file")
    wait_for 10 "the $1load goes on at $2" grown "$file" $((had + 200000))
    ms=$(((${EPOCHREALTIME/./} - began) / 1000))
    result "$1_$2" $ms ms
    assert "within 3 s" test $ms -le 3000
}

wait_for 5 "1500 is found" mtu_is phone 1500
wait_for 5 "1500 is found" mtu_is agent 1500
# Connected before the link shrinks: a new connection would be told of what the download has found.
mkfifo "$dir/go"
bg phone upload bash -c "{ read -r <$dir/go; cat $dir/file; } | ssh -F none -q \
    -i $dir/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
    root@$UM3N_STRIPED 'cat >$dir/upload.out'"
wait_for 5 "the upload is connected" test -e "$dir/upload.out"
apps_curl download
wait_for 5 "the download runs" grown "$dir/download.out" 1000000
goes_on down 1280
nap 1 # of a transfer in its stride
goes_on down 1124
assert "the download is intact" apps_curl_check download
result mtu_agent "$(mtu agent)" bytes

# The phone has sent nothing large meanwhile: its direction is still believed to carry 1,500, and does again.
link_set phone:wlan0 wifi:in mtu=0
echo >"$dir/go"
wait_for 5 "the upload runs" grown "$dir/upload.out" 1000000
goes_on up 1280
nap 1
goes_on up 1124
assert "the upload ends" bg_wait upload
read -r sum _ < <(sha256sum "$dir/upload.out")
assert "the upload is intact" test "$sum" = "$APPS_SUM"
result mtu_phone "$(mtu phone)" bytes
lab_done
