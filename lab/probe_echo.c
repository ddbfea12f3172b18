/* echo: types a numbered line into a command each so often and times its echo.
 *
 * Theory of operation. The command has our pipes as its standard input and output; an interactive ssh session is
 * `ssh -tt HOST 'stty -echo; echo ready; exec cat'`. Typing begins with the command's first line of output. At the end
 * the lines under way get DRAIN_NS to come back; then the command is ended. `alive` says that it had not ended before
 * by itself and that every line came back once and in order: a session that was cut and made again would lose some.
 *
 * --log writes a line for each echo: when it was typed (seconds of CLOCK_REALTIME) and its round trip (ms).
 *
 * Limits: LINES_MAX lines. */
#include "lab/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES_MAX 100000
#define DRAIN_NS 5000000000
#define READY_NS 15000000000

struct typist {
    int in, out; /* to and from the command */
    pid_t pid;
    int64_t *typed; /* ns, by line */
    uint32_t lines, echoed;
    bool ready, ended, disorder;
    int64_t last_echo, gap, rtt_max;
    double gap_at;
    char line[256];
    size_t len;
    FILE *log;
};

static int start(struct typist *t, char **command)
{
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return probe_fail("pipe");
    t->pid = fork();
    if (t->pid < 0)
        return probe_fail("fork");
    if (t->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execvp(command[0], command);
        probe_fail(command[0]);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    t->in = in[1];
    t->out = out[0];
    return 0;
}

static void on_line(struct typist *t, int64_t now)
{
    char *end;
    unsigned long n;
    int64_t rtt;

    t->line[t->len] = '\0';
    if (!t->ready) {
        t->ready = true;
        t->last_echo = now;
        return;
    }
    n = strtoul(t->line, &end, 10);
    if (end == t->line)
        return;
    if (n != t->echoed || n >= t->lines) {
        t->disorder = true;
        return;
    }
    rtt = now - t->typed[n];
    t->rtt_max = MAX(t->rtt_max, rtt);
    if (now - t->last_echo > t->gap) {
        t->gap = now - t->last_echo;
        t->gap_at = probe_time();
    }
    t->last_echo = now;
    t->echoed++;
    if (t->log)
        fprintf(t->log, "%.3f %.1f\n", probe_time() - (double)rtt / 1e9, (double)rtt / 1e6);
}

static void take_output(struct typist *t, int timeout_ms)
{
    struct pollfd p = { .fd = t->out, .events = POLLIN };
    char buf[4096];
    ssize_t n;

    if (poll(&p, 1, MAX(timeout_ms, 0)) <= 0)
        return;
    n = read(t->out, buf, sizeof(buf));
    if (n <= 0) {
        t->ended = n == 0 || errno != EINTR;
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n') {
            on_line(t, probe_now_ns());
            t->len = 0;
        } else if (t->len < sizeof(t->line) - 1) {
            t->line[t->len++] = buf[i];
        }
    }
}

static void type_line(struct typist *t)
{
    char line[16];
    int n = snprintf(line, sizeof(line), "%u\n", t->lines);

    t->typed[t->lines] = probe_now_ns();
    if (write(t->in, line, (size_t)n) == n)
        t->lines++;
    else
        t->ended = true;
}

static int run(struct typist *t, double seconds, int64_t every_ns)
{
    int64_t began = probe_now_ns(), next, end, now;

    while (!t->ready && !t->ended && !probe_stop && probe_now_ns() - began < READY_NS)
        take_output(t, 100);
    next = now = probe_now_ns();
    end = now + (int64_t)(seconds * 1e9);
    while (t->ready && !t->ended && !probe_stop && now < end && t->lines < LINES_MAX) {
        if (now >= next) {
            type_line(t);
            next += every_ns;
        }
        take_output(t, (int)((next - probe_now_ns()) / 1000000));
        now = probe_now_ns();
    }
    end = probe_now_ns() + DRAIN_NS;
    while (t->echoed < t->lines && !t->ended && probe_now_ns() < end)
        take_output(t, 50);
    return 0;
}

int probe_echo(int argc, char **argv)
{
    static const struct option options[] = { { "seconds", required_argument, NULL, 's' },
                                             { "every", required_argument, NULL, 'e' },
                                             { "log", required_argument, NULL, 'l' },
                                             { NULL, 0, NULL, 0 } };
    struct typist t = { .in = -1 };
    double seconds = 1e6, every_ms = 100;
    const char *log = NULL;
    bool alive;
    int o;

    while ((o = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
        if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 'e')
            every_ms = strtod(optarg, NULL);
        else if (o == 'l')
            log = optarg;
        else
            return 2;
    }
    if (optind >= argc || seconds <= 0 || every_ms < 1)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    t.typed = calloc(LINES_MAX, sizeof(*t.typed));
    if (!t.typed || start(&t, argv + optind) != 0)
        return 1;
    if (log && !(t.log = fopen(log, "we")))
        return probe_fail(log);
    run(&t, seconds, (int64_t)(every_ms * 1e6));
    alive = t.ready && !t.ended && !t.disorder && t.echoed == t.lines;
    kill(t.pid, SIGTERM);
    waitpid(t.pid, NULL, 0);
    printf("{\"lines\":%u,\"echoed\":%u,\"gap_ms\":%.1f,\"gap_at\":%.3f,\"rtt_max_ms\":%.1f,\"alive\":%s}\n", t.lines,
           t.echoed, (double)t.gap / 1e6, t.gap_at, (double)t.rtt_max / 1e6, alive ? "true" : "false");
    if (t.log)
        fclose(t.log);
    free(t.typed);
    return alive ? 0 : 1;
}
