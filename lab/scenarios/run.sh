#!/bin/bash
# hawser run: unmodified programs use both links where both ends run it, and plain TCP where one does not.
#
#        .-- l1 10.1.0.2 ==== 10.1.0.1 n1 --.
#   node |                                  | core  198.51.100.9 ---- veth ---- 198.51.100.10 agent: nginx, sshd
#        '-- l2 10.2.0.2 ==== 10.2.0.1 n2 --'
#
# (lab/links-lib.sh without its daemons.) == are 10 Mbit/s and 5 Mbit/s, of 10 ms. nginx runs twice: under `hawser run` on
# port 80, and by itself on 81. A file of BYTES (first argument, 8,000,000) is fetched by curl:
#   both        under hawser run from port 80: bytes equal, more than the better link could, each link carries its part
#   to plain    under hawser run from port 81; the second time nothing is lost by asking
#   from plain  by itself from port 80; what nginx logs is the true address, for sessions too
#   refused     nobody listens: curl says so
#   pinned      the right key is taken, another is refused, and so is a plain server
#   strangers   who fill the pump's socket with silence and descriptors change nothing
#   carrier     l1 loses its carrier in the middle; longest stall
#   silent      l1 goes silent in the middle; longest stall
#   programs    python3 with threads and both kinds of connect; fork, exec, half-closed connections
#   ports       a server that has closed forty ports is served on the next; who calls from a port of the pump's number over
#               IPv6 is himself
#   full        a pump without descriptors waits for some, and takes what was asked then
#   ssh         a server that speaks first
#   redirect    a program that is linked statically, with both kinds of server; nothing stays, or after kill -9 only what
#               refuses, until the next one begins
#   killed      the client's pump dies by kill -9: curl fails, and nothing goes the plain way; then the server's
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
lab_init run "$@"
need nginx curl
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || lab_skip "$PYTHON is not installed"
# shellcheck source=../links-lib.sh
. "$LAB_TOP/lab/links-lib.sh"
[[ -x $HAWSER ]] || lab_skip "$HAWSER is not built"
BYTES=${LAB_ARGS[0]:-8000000}
LINK=("rate=10mbit delay=10ms" "rate=5mbit delay=10ms")
AGENT=$LINKS_AGENT

links_net "${LINK[@]}"
mkdir -p "$LAB_DIR/www"
chmod 755 "$LAB_DIR" "$LAB_DIR/www"
head -c "$BYTES" /dev/urandom >"$LAB_DIR/www/file"
: >"$LAB_DIR/www/empty"
"$HAWSER" keygen "$LAB_DIR/agent.key" >"$LAB_DIR/agent.pub"
"$HAWSER" keygen "$LAB_DIR/other.key" >"$LAB_DIR/other.pub"

# server_conf NAME PORT
server_conf() {
    cat >"$LAB_DIR/$1.conf" <<EOC
daemon off;
pid $LAB_DIR/$1.pid;
error_log $LAB_DIR/$1.error;
worker_processes 2;
events { worker_connections 64; }
http {
    log_format peer '\$remote_addr \$uri \$status \$bytes_sent';
    access_log $LAB_DIR/$1.access peer;
    client_body_temp_path $LAB_DIR; proxy_temp_path $LAB_DIR; fastcgi_temp_path $LAB_DIR; uwsgi_temp_path $LAB_DIR;
    scgi_temp_path $LAB_DIR;
    sendfile on;
    server { listen $2; listen [::]:$2; root $LAB_DIR/www; }
}
EOC
}
server_conf run 80
server_conf plain 81
server_begin() {
    bg agent server "$HAWSER" run --verbose --key "$LAB_DIR/agent.key" -- nginx -c "$LAB_DIR/run.conf"
    wait_for 5 "nginx listens under hawser run" listening agent tcp 80
    wait_for 5 "its pump listens" listening agent udp 80
}
server_begin
bg agent plain nginx -c "$LAB_DIR/plain.conf"
wait_for 5 "nginx listens by itself" listening agent tcp 81

# fetch NAME PORT [OPTION...]: curl under hawser run, into the file NAME; its words are in run_log.
fetch() {
    local name=$1 port=$2
    shift 2
    on node "$HAWSER" run --verbose "$@" -- curl -sS --max-time 40 -o "$LAB_DIR/$name" \
        -w '%{time_connect} %{time_total} %{remote_ip} %{local_ip}\n' "http://$AGENT:$port/file" \
        >"$LAB_DIR/curl" 2>"$LAB_DIR/run_log" || { cat "$LAB_DIR/run_log" && return 1; }
}
same() {
    cmp -s "$LAB_DIR/www/file" "$LAB_DIR/$1"
}
says() {
    grep -q "$1" "$LAB_DIR/run_log" || { cat "$LAB_DIR/run_log" && return 1; }
}
# carried LINK: bytes that came to the node by it.
carried() {
    link_stat "node:l$1" "core:n$1" ba delivered_bytes
}

assert "both: fetched" fetch both 80
assert "both: as it is" same both
assert "both: by a session" says "session, unauthenticated"
read -r connect total remote local <"$LAB_DIR/curl"
rate=$(figure "$BYTES * 8e-6 / $total" 1)
result run_both "$rate" Mbit/s
result run_connected "$(figure "$connect * 1000" 1)" ms
assert "both: more than the better link" holds "$rate > 10"
assert "both: what curl sees are the addresses" test "$remote" = "$AGENT" -a "$local" = 10.1.0.2
for link in 1 2; do
    assert "both: l$link carries a quarter of its share" holds "$(carried $link) > $BYTES / 12 * $((3 - link))"
done

# --- one end without ------------------------------------------------------------------------------------------------

assert "to plain: fetched" fetch plain 81
assert "to plain: as it is" same plain
assert "to plain: by a plain connection" says "81: plain"
# The same pump, twice: what it found out is known. A silent UDP port, so that the first has to wait.
on agent nft add table ip lab_silent
on agent nft add chain ip lab_silent in '{ type filter hook input priority filter; }'
on agent nft add rule ip lab_silent in udp dport 81 counter drop
cat >"$LAB_DIR/twice.sh" <<EOC
for i in 1 2; do
    curl -sS -o /dev/null -w '%{time_connect}\n' http://$AGENT:81/empty || exit 1
    ip netns exec $(lab__ns agent) nft list table ip lab_silent | sed -n 's/.*counter packets \([0-9]*\).*/\1/p'
done
EOC
on node "$HAWSER" run -- bash "$LAB_DIR/twice.sh" >"$LAB_DIR/twice" || lab_fail "to plain, twice"
{ read -r first && read -r asked && read -r second && read -r asked_then; } <"$LAB_DIR/twice"
on node curl -sS -o /dev/null -w '%{time_connect}\n' "http://$AGENT:81/empty" >"$LAB_DIR/twice"
read -r bare <"$LAB_DIR/twice"
result run_unknown_later "$(figure "($first - $bare) * 1000" 1)" ms
result run_known_later "$(figure "($second - $bare) * 1000" 1)" ms
assert "to plain, unknown: it asked over both links" test "$asked" -ge 2
assert "to plain, known: it did not" test "$asked_then" = "$asked"
on agent nft delete table ip lab_silent

assert "from plain: fetched" on node curl -sS --max-time 40 -o "$LAB_DIR/bare" "http://$AGENT:80/file"
assert "from plain: as it is" same bare
assert "nginx logs true addresses" test "$(grep -cvE '^10\.[12]\.0\.2 ' "$LAB_DIR/run.access")" = 0

refused() {
    on node "$HAWSER" run --verbose -- curl -sS --max-time 20 "http://$AGENT:83/" 2>"$LAB_DIR/run_log"
    [[ $? -eq 7 ]] && says "83: Connection refused" # 7: failed to connect
}
assert "refused: curl says so" refused

PIN=$AGENT=$(<"$LAB_DIR/agent.pub")
assert "pinned: the key is taken" fetch pinned 80 --pin "$PIN"
assert "pinned: and is not unauthenticated" says "80: session$"
rejected() {
    ! fetch rejected "$1" --pin "$2" >"$LAB_DIR/rejected.log" && says "the key that is pinned does not answer there"
}
assert "pinned: another key is refused" rejected 80 "$AGENT=$(<"$LAB_DIR/other.pub")"
assert "pinned: a plain server is refused" rejected 81 "$PIN"

# --- strangers -------------------------------------------------------------------------------------------------------

# Somebody without the token, on the server's machine: sends the pump descriptors, then calls and says nothing.
cat >"$LAB_DIR/stranger.py" <<'EOC'
import array, glob, os, re, signal, socket
def call():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("\0" + name)
    return s
name = re.search("@(hawser-pump-.*)", open("/proc/net/unix").read()).group(1)
pipe = os.pipe()
for message in (b"", b"?") * 8:
    s = call()
    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", pipe))])
    s.recv(1000)
    s.close()
silent = [call() for _ in range(300)]
def holds(at):
    try:
        return os.readlink(at) == os.readlink(f"/proc/self/fd/{pipe[0]}")
    except OSError:
        return False
mine = f"/proc/{os.getpid()}/"
print("kept", sum(holds(at) for at in glob.glob("/proc/[0-9]*/fd/*") if not at.startswith(mine)), flush=True)
signal.pause()
EOC
bg agent stranger "$PYTHON" "$LAB_DIR/stranger.py"
wait_for 10 "strangers: they are there" grep -q kept "$(bg_log stranger)"
assert "strangers: no descriptor of theirs is kept" grep -qx "kept 0" "$(bg_log stranger)"
assert "strangers: fetched" fetch stranger 80
assert "strangers: as it is" same stranger
bg_stop stranger

# --- links die ------------------------------------------------------------------------------------------------------

# Reads FILE from ADDRESS:PORT by one connection, and tells bytes, SHA-256 and the longest gap in ms.
cat >"$LAB_DIR/read.py" <<'EOC'
import hashlib, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"GET /file HTTP/1.0\r\n\r\n")
digest, size, head, longest, last = hashlib.sha256(), 0, b"", 0, None
while chunk := s.recv(65536):
    now = time.monotonic()
    longest = max(longest, now - last) if last else 0
    last = now
    if b"\r\n\r\n" not in head:
        head += chunk
        if b"\r\n\r\n" not in head:
            continue
        chunk = head.split(b"\r\n\r\n", 1)[1]
    digest.update(chunk)
    size += len(chunk)
    if size > int(sys.argv[3]):
        open(sys.argv[4], "w").close()
print(size, digest.hexdigest(), round(longest * 1000, 1))
EOC
DIGEST=$(sha256sum <"$LAB_DIR/www/file")
# reads KIND LINK: while one reads, a third having come, the link dies.
reads() {
    rm -f "$LAB_DIR/third"
    bg node read timeout 60 "$HAWSER" run --verbose -- "$PYTHON" "$LAB_DIR/read.py" "$AGENT" 80 $((BYTES / 3)) "$LAB_DIR/third"
    wait_for 30 "$1: a third has come" test -e "$LAB_DIR/third"
    links_hit "$1" "$2"
    assert "$1: read" bg_wait read
    read -r size digest stall < <(grep -v ^hawser "$(bg_log read)")
    assert "$1: as it is" test "$size $digest" = "$BYTES ${DIGEST%% *}"
    result "run_stall_$1" "$stall" ms
    links_restore
}
reads carrier 1
reads silent 1

# --- programs -------------------------------------------------------------------------------------------------------

# A server that reads to the end and then tells what it read, and of whom; with "reset" it breaks off.
cat >"$LAB_DIR/server.py" <<'EOC'
import socket, struct, sys, threading
def serve(s, peer):
    data = b""
    while chunk := s.recv(65536):
        data += chunk
        if data == b"reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            return
    assert s.getpeername() == peer
    s.sendall(b"%d %s" % (len(data), peer[0].encode()))
    s.close()
l = socket.create_server(("", 82))
while True:
    threading.Thread(target=serve, args=l.accept(), daemon=True).start()
EOC
bg agent pyserver "$HAWSER" run --verbose -- "$PYTHON" "$LAB_DIR/server.py"
wait_for 5 "the server's pump listens" listening agent udp 82

cat >"$LAB_DIR/client.py" <<'EOC'
import asyncio, errno, os, select, socket, subprocess, sys, threading
at = (sys.argv[1], 82)
def check(got, size): # by the link whose first datagram was there first
    assert got in (b"%d 10.1.0.2" % size, b"%d 10.2.0.2" % size), got
def talk(s, size, wait=True):
    s.sendall(b"x" * size)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while chunk := s.recv(1000):
        got += chunk
    check(got, size)
    s.close()
# threads, blocking
threads = [threading.Thread(target=lambda n: talk(socket.create_connection(at), n), args=(100000 * i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
# not blocking, by poll
s = socket.socket()
s.setblocking(False)
assert s.connect_ex(at) == errno.EINPROGRESS
assert s.connect_ex(at) in (errno.EALREADY, errno.EISCONN)
select.select([], [s], [])
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
assert s.getpeername() == at and s.getsockname()[0] == "10.1.0.2"
assert s.connect_ex(at) == errno.EISCONN
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
assert s.family == socket.AF_INET and s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
s.setblocking(True)
talk(s, 10)
# given to epoll before it connects
s = socket.socket()
s.setblocking(False)
e = select.epoll()
e.register(s, select.EPOLLOUT)
assert s.connect_ex(at) == errno.EINPROGRESS
while e.poll() != [(s.fileno(), select.EPOLLOUT)]:
    pass
assert s.getpeername() == at
e.unregister(s)
s.setblocking(True)
talk(s, 30)
# given to an epoll that is closed, and whose number is another's when it connects
s = socket.socket()
s.setblocking(False)
e = select.epoll()
e.register(s, select.EPOLLOUT)
number = e.fileno()
e.close()
e = select.epoll()
os.dup2(e.fileno(), number)
assert s.connect_ex(at) == errno.EINPROGRESS
select.select([], [s], [])
assert e.poll(0) == []
os.close(number)
s.setblocking(True)
talk(s, 40)
# refused, not blocking
s = socket.socket()
s.setblocking(False)
assert s.connect_ex((at[0], 83)) in (errno.EINPROGRESS, errno.ECONNREFUSED)
select.select([], [s], [])
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
s.close()
# refused, blocking; the descriptor is good for another try
s = socket.socket()
assert s.connect_ex((at[0], 83)) == errno.ECONNREFUSED
assert s.connect_ex(at) == 0
talk(s, 20)
# reset
s = socket.create_connection(at)
s.sendall(b"reset")
try:
    assert s.recv(1) != b"", "an end in place of a reset"
    assert False, "bytes"
except ConnectionResetError:
    pass
# fork and exec
s = socket.create_connection(at)
if os.fork() == 0:
    s.sendall(b"y" * 30)
    os._exit(0)
os.wait()
os.set_inheritable(s.fileno(), True)
subprocess.run([sys.executable, "-c", """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
assert s.getpeername() == (sys.argv[2], 82)
s.sendall(b"z" * 12)
s.shutdown(socket.SHUT_WR)
s.detach()
""", str(s.fileno()), at[0]], pass_fds=[s.fileno()], check=True)
check(s.recv(100), 42)
# epoll, by the event loop
async def loop():
    async def one(size):
        r, w = await asyncio.open_connection(*at)
        w.write(b"w" * size)
        w.write_eof()
        check(await r.read(), size)
        w.close()
    await asyncio.gather(*[one(50000 * i) for i in range(8)])
asyncio.run(loop())
# left alone
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(at)
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
assert c.getpeername() == l.getsockname() and l.accept()[1] == c.getsockname()
# a stranger who calls a Unix socket from a name like a carried connection's is no host
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[2])
l.listen()
c = socket.socket(socket.AF_UNIX)
c.bind(b"\0hawser-run/" + b"0" * 16 + b"4" + (b"c0000201" + b"0" * 24 + b"0050") * 2)
c.connect(sys.argv[2])
assert l.accept()[0].getpeername() == c.getsockname()
print("fine")
EOC
programs() {
    on node timeout 60 "$HAWSER" run -- "$PYTHON" "$LAB_DIR/client.py" "$AGENT" "$LAB_DIR/unix" >"$LAB_DIR/programs" 2>&1
    [[ $(<"$LAB_DIR/programs") == fine ]] || { cat "$LAB_DIR/programs" && return 1; }
}
assert "programs: a client of all kinds" programs

# A server that opens and closes forty ports, and then listens on 84, both families; tells each who he is.
cat >"$LAB_DIR/ports.py" <<'EOC'
import socket
for port in range(1000, 1040):
    socket.create_server(("", port)).close()
l = socket.create_server(("::", 84), family=socket.AF_INET6, dualstack_ipv6=True)
held = []
while True:
    s, peer = l.accept()
    s.sendall(peer[0].encode() + b"\n")
    held.append(s)
EOC
bg agent ports "$HAWSER" run --verbose -- "$PYTHON" "$LAB_DIR/ports.py"
wait_for 5 "the server of forty ports listens" listening agent tcp 84
wait_for 5 "ports: its pump listens beside" listening agent udp 84
cat >"$LAB_DIR/call.py" <<'EOC'
import socket, sys, signal
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
if len(sys.argv) > 2:
    s.bind((sys.argv[1], int(sys.argv[2])))
s.connect((sys.argv[1], 84))
print(s.makefile().readline().strip(), flush=True)
if len(sys.argv) == 2:
    signal.pause()
EOC
bg node held "$HAWSER" run -- "$PYTHON" "$LAB_DIR/call.py" "$AGENT"
wait_for 10 "ports: the client is served" grep -qE '^::ffff:10\.[12]\.0\.2$' "$(bg_log held)"
SOURCE=$(on agent ss -Htn state established "dport = :84 and src 127.72.87.83" | awk '{ sub(".*:", "", $3); print $3; exit }')
assert "ports: who calls from $SOURCE over IPv6 is himself" \
    test "$(on agent timeout 10 "$PYTHON" "$LAB_DIR/call.py" ::1 "$SOURCE")" = ::1
bg_stop held
bg_stop ports

# A client whose pump may have forty descriptors: each connection takes some of them. The state of the pump's process is
# looked at while a question waits, and then all but that are closed.
cat >"$LAB_DIR/full.py" <<'EOC'
import os, resource, socket, sys, time
at = (sys.argv[1], 80)
resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (40, 40))
held = []
def call():
    while len(held) < 30:
        s = socket.socket()
        s.settimeout(30)
        if s.connect_ex(at) != 0:
            break
        held.append(s)
def ask():
    for i in range(200): # silent ones, until it has no descriptor left
        c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        c.connect("\0" + os.environ["HAWSER_RUN"].split(":")[0])
        held.append(c)
call()
ask()
states = []
for i in range(40):
    states.append(open(f"/proc/{os.getppid()}/stat").read().rsplit(") ", 1)[1][0])
    time.sleep(.02)
for s in held:
    s.close()
s = socket.create_connection(at, 30)
s.sendall(b"GET /empty HTTP/1.0\r\n\r\n")
assert s.recv(12) == b"HTTP/1.1 200", "no answer"
print("sleeps" if states.count("S") > 10 else states) # who spins never does
EOC
full() {
    on node timeout 60 "$HAWSER" run -- "$PYTHON" "$LAB_DIR/full.py" "$AGENT" >"$LAB_DIR/full" 2>&1
    grep -qx sleeps "$LAB_DIR/full" || { cat "$LAB_DIR/full" && return 1; }
}
assert "full: it waits, and takes what is asked then" full

if command -v sshd >/dev/null && command -v ssh-keygen >/dev/null; then
    mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$LAB_DIR/host"
    ssh-keygen -q -t ed25519 -N '' -f "$LAB_DIR/user"
    printf '%s\n' "HostKey $LAB_DIR/host" "AuthorizedKeysFile $LAB_DIR/user.pub" "PermitRootLogin yes" "StrictModes no" \
        "UsePAM no" "PidFile none" "PrintMotd no" >"$LAB_DIR/sshd.conf"
    bg agent sshd "$HAWSER" run --verbose -- "$(command -v sshd)" -D -e -f "$LAB_DIR/sshd.conf"
    wait_for 5 "sshd's pump listens" listening agent udp 22
    SSH=(ssh -F none -q -i "$LAB_DIR/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes)
    ssh_sum() {
        # shellcheck disable=SC2016
        on node "$@" "${SSH[@]}" "root@$AGENT" 'echo ${SSH_CLIENT%% *}; cat' <"$LAB_DIR/www/file" >"$LAB_DIR/ssh" &&
            [[ $(head -n 1 "$LAB_DIR/ssh") == 10.[12].0.2 ]] && tail -n +2 "$LAB_DIR/ssh" | cmp -s - "$LAB_DIR/www/file"
    }
    assert "ssh: under hawser run" ssh_sum timeout 60 "$HAWSER" run --
    assert "ssh: by itself" ssh_sum timeout 60
fi

# --- a program without a C library to be put before ------------------------------------------------------------------

# Fetches a file from an address and port, reads to the end or an error, and with a fourth argument begins anew.
cat >"$LAB_DIR/fetch.c" <<'EOC'
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fetch(char **argv, FILE *to)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), head = 1;
    char buf[65536], *p;
    ssize_t n;
    inet_pton(AF_INET, argv[1], &at.sin_addr);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return perror("connect"), 1;
    dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", argv[3]);
    while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
        buf[n] = 0;
        p = head && (p = strstr(buf, "\r\n\r\n")) ? p + 4 : buf;
        if (head)
            fprintf(stderr, "reads\n");
        head = 0;
        fwrite(p, 1, buf + n - p, to);
    }
    if (n < 0)
        perror("read");
    close(fd);
    return n < 0;
}
int main(int argc, char **argv)
{
    int r = fetch(argv, stdout);
    return argc > 4 ? fetch(argv, stdout) : r;
}
EOC
# redirected COMMAND...: in the node, where control groups are to be seen.
redirected() {
    # shellcheck disable=SC2016
    on node bash -c 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' - "$@"
}
# left TABLES: so many tables of ours are there.
left() {
    [[ $(on node nft list tables | grep -c hawser_run) -eq $1 ]]
}
fetch_static() {
    redirected timeout 60 "$HAWSER" run --redirect --verbose -- "$LAB_DIR/fetch" "$AGENT" "$2" /file >"$LAB_DIR/$1" 2>"$LAB_DIR/run_log" ||
        { cat "$LAB_DIR/run_log" && return 1; }
}
if gcc -w -static -o "$LAB_DIR/fetch" "$LAB_DIR/fetch.c" 2>/dev/null && redirected true; then
    unredirected() {
        on node "$HAWSER" run -- "$LAB_DIR/fetch" 2>"$LAB_DIR/run_log"
        [[ $? -eq 126 ]] && says "carried with --redirect only"
    }
    assert "redirect: without it a static program is refused" unredirected
    assert "redirect: fetched" fetch_static static 80
    assert "redirect: as it is" same static
    assert "redirect: by a session" says "80: session, unauthenticated"
    assert "redirect: fetched from a plain server" fetch_static static 81
    assert "redirect: that is as it is" same static
    assert "redirect: by a plain connection" says "81: plain"
    assert "redirect: no rule stays" left 0
    # shellcheck disable=SC2016
    bg node static bash -c 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@" >/dev/null' - "$HAWSER" run --redirect -- \
        bash -c 'echo waits >&2; until [[ -e $0 ]]; do sleep .1; done; "$@"' "$LAB_DIR/go" "$LAB_DIR/fetch" "$AGENT" 80 /file
    wait_for 10 "redirect: the program waits" grep -q waits "$(bg_log static)"
    bg_stop static KILL
    assert "redirect: killed: its rule is there" left 1
    assert "redirect: killed: another begins" redirected "$HAWSER" run --redirect -- true
    assert "redirect: killed: it leaves the rule of who lives" left 1
    : >"$LAB_DIR/go"
    wait_for 10 "redirect: killed: what is left is refused" grep -q "connect: Connection refused" "$(bg_log static)"
    wait_for 10 "redirect: killed: the last one ends" bash -c "! pgrep -f '$LAB_DIR/[g]o'"
    assert "redirect: killed: and another" redirected "$HAWSER" run --redirect -- true
    assert "redirect: killed: nothing stays then" left 0
else
    echo "  redirect: left out: there is no static libc, or no control groups of version 2"
fi

# --- the pump dies --------------------------------------------------------------------------------------------------

# A client that reads, is killed its pump, and calls again.
cat >"$LAB_DIR/orphan.py" <<'EOC'
import errno, socket, sys
s = socket.create_connection((sys.argv[1], 80))
s.sendall(b"GET /file HTTP/1.0\r\n\r\n")
s.recv(1)
print("reads", flush=True)
try:
    while s.recv(65536):
        pass
    print("an end")
except OSError as e:
    print(errno.errorcode[e.errno])
try:
    socket.create_connection((sys.argv[1], 80))
    print("connected")
except OSError as e:
    print(errno.errorcode[e.errno])
EOC
bg node orphan "$HAWSER" run -- "$PYTHON" "$LAB_DIR/orphan.py" "$AGENT"
wait_for 10 "the client reads" grep -q reads "$(bg_log orphan)"
bg_stop orphan KILL
wait_for 10 "killed: the client has called again" test 3 = "$(wc -l <"$(bg_log orphan)")"
killed() {
    [[ $(<"$(bg_log orphan)") == $'reads\nECONNRESET\nENETUNREACH' ]] || { cat "$(bg_log orphan)" && return 1; }
}
assert "killed: reset, and nothing went another way" killed
bg_stop server KILL
wait_for 10 "the server's pump is gone" bash -c "! ip netns exec $(lab__ns agent) ss -Hlun 'sport = :80' | grep -q ."
assert "killed: the server has plain clients then" fetch after 80
assert "killed: and they are" says "80: plain"
assert "killed: as it is" same after
lab_done
