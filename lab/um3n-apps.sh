# shellcheck shell=bash
# lab/um3n-apps.sh - real programs for um3n-lib.sh: nginx and curl, sshd and ssh, ffmpeg.
#
# All run between the phone and server1 at its striped address. nginx and sshd use the congestion control of their
# namespace (APPS_CC); the video is RTP, 720p30 in H.264 of at most 2 Mbit/s with a keyframe each second.

# What scenarios use:
# shellcheck disable=SC2034

APPS_VIDEO_PORT=5004
APPS_RULE="any udp $APPS_VIDEO_PORT class interactive"
APPS_CC=''

# shellcheck source=web-lib.sh
. "$LAB_TOP/lab/web-lib.sh"

# apps_start BYTES: the servers, with one file of BYTES to download.
apps_start() {
    local dir=$LAB_DIR/apps
    need curl nginx sshd ssh ssh-keygen ffmpeg sha256sum
    mkdir -p "$dir" /run/sshd
    APPS_CC=$(on server1 cat /proc/sys/net/ipv4/tcp_congestion_control)
    head -c "$1" /dev/urandom >"$dir/file"
    read -r APPS_SUM _ < <(sha256sum "$dir/file")
    web_start server1 80 "$dir/file"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host" || lab_fail "ssh-keygen"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/user" || lab_fail "ssh-keygen"
    cat >"$dir/sshd.conf" <<EOC
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
PrintMotd no
EOC
    bg server1 sshd "$(command -v sshd)" -D -e -f "$dir/sshd.conf"
    wait_for 5 "sshd listens" listening server1 tcp 22
}

# apps_ssh NAME: an interactive session that is typed into ten times a second until `bg_stop NAME`.
apps_ssh() {
    local dir=$LAB_DIR/apps
    bg phone "$1" "$PROBE" echo --log "$dir/$1.echoes" -- ssh -F none -tt -q -i "$dir/user" \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o ServerAliveInterval=0 \
        "root@$UM3N_STRIPED" "stty -echo; echo ready; exec cat"
}

# apps_curl NAME: a download; apps_curl_check NAME: waits for its end; is it what the server has?
apps_curl() {
    bg phone "$1" curl -sS --max-time 90 -o "$LAB_DIR/apps/$1.out" "http://$UM3N_STRIPED/file"
}
apps_curl_check() {
    local sum
    bg_wait "$1" || return 1
    read -r sum _ < <(sha256sum "$LAB_DIR/apps/$1.out")
    [[ $sum == "$APPS_SUM" ]]
}

# apps_video NAME: from server1 to the phone until apps_video_stop NAME. Frames are listed in "$LAB_DIR/apps/NAME.frames".
apps_video() {
    bg phone "$1" "$PROBE" video "$UM3N_HOME:6000" --frames "$LAB_DIR/apps/$1.frames"
    wait_for 5 "the video's receiver listens" listening phone udp 6000
    bg server1 "$1-from" ffmpeg -nostdin -v error -re -f lavfi -i testsrc2=size=1280x720:rate=30 -c:v libx264 \
        -preset ultrafast -tune zerolatency -pix_fmt yuv420p -b:v 1500k -maxrate 1800k -bufsize 300k -g 30 \
        -f rtp "rtp://$UM3N_HOME:6000?localrtpport=$APPS_VIDEO_PORT&localaddr=$UM3N_STRIPED&pkt_size=1200"
}
apps_video_stop() {
    bg_stop "$1-from"
    nap 0.5
    bg_stop "$1"
}

# apps_frames_lost NAME FROM UNTIL: of the frames due in that time (seconds of CLOCK_REALTIME).
apps_frames_lost() {
    awk -v from="$2" -v until="$3" '$1 >= from && $1 < until && !$3 { n++ } END { print n + 0 }' "$LAB_DIR/apps/$1.frames"
}

# apps_wifi_alone: only the WiFi carries: with the other link what follows would be no feat. apps_remote: where the agent
# has the path.
apps_wifi_alone() {
    pair_ask phone link wwan0 down >/dev/null || lab_fail "hawser link wwan0 down"
    wait_for 5 "the WiFi alone is active" pair_active phone wlan0
    wait_for 5 "the agent has one path" pair_paths agent 1
}
apps_remote() {
    pair_status agent '.peers[].paths[] | select(.state == "active" and (.leaving | not)) | .remote'
}

# apps_across COMMAND...: streams both ways and an ssh session, with COMMAND in their middle: the session goes on, and
# traffic within a second.
apps_across() {
    local way
    apps_ssh shell
    um3n_stream down "$UM3N_STRIPED" 5 down
    um3n_stream up "$UM3N_STRIPED" 5 up
    nap 1.5
    "$@"
    bg_wait down
    bg_wait up
    nap 0.5
    bg_stop shell
    for way in down up; do
        result "gap_$way" "$(um3n_figure $way gap_ms)" ms
        result "lost_$way" "$(um3n_figure $way lost)" packets
    done
    result ssh_gap "$(um3n_figure shell gap_ms)" ms
    result ssh_alive "$(um3n_figure shell alive)"
    assert "the ssh session goes on" test "$(um3n_figure shell alive)" = true
    for way in down up; do
        assert "traffic $way within a second" holds "$(um3n_figure $way gap_ms)" '<=' 1000
    done
}
