/* sample: interface counters over time, and the demo's live table.
 *
 * Theory of operation. Each so often a line is written: the time (seconds of CLOCK_REALTIME) and for each interface its
 * received and sent bytes since the interface was made; - for one that is not there. With --panel, a table is drawn on
 * the terminal and drawn over REDRAW_NS later: a bar for each interface and direction, then the text of FILE, which
 * the scenario writes as it goes. The panel is wiped at the end.
 *
 * Limits: INTERFACES_MAX interfaces; a bar is full at the highest rate that was seen on any interface. */
#include "lab/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INTERFACES_MAX 8
#define REDRAW_NS 250000000
#define BAR_CELLS 18
#define PANEL_LINES 24 /* when the terminal does not tell its height */

struct interface {
    const char *name;
    bool there, carrier;
    uint64_t bytes[2], shown[2]; /* received, sent; shown: at the last drawing */
    double mbps[2];
};

struct sampler {
    struct interface interfaces[INTERFACES_MAX];
    size_t count;
    FILE *out;
    const char *panel;
    int64_t began, drawn;
    double full;    /* Mbit/s of a full bar */
    unsigned lines; /* of the panel now on the screen */
    unsigned room;  /* lines that the terminal has */
};

/* The number in a file under /sys/class/net/IF, or -1. */
static int64_t read_number(const char *name, const char *what)
{
    char path[128], buf[32] = "";
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, what);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    return n > 0 ? (int64_t)strtoull(buf, NULL, 10) : -1;
}

static void take_sample(struct sampler *s)
{
    if (s->out)
        fprintf(s->out, "%.3f", probe_time());
    for (size_t i = 0; i < s->count; i++) {
        struct interface *f = &s->interfaces[i];
        int64_t rx = read_number(f->name, "statistics/rx_bytes"), tx = read_number(f->name, "statistics/tx_bytes");

        f->there = rx >= 0 && tx >= 0;
        f->carrier = f->there && read_number(f->name, "carrier") == 1;
        if (f->there) {
            f->bytes[0] = (uint64_t)rx;
            f->bytes[1] = (uint64_t)tx;
        }
        if (s->out && f->there)
            fprintf(s->out, " %" PRId64 " %" PRId64, rx, tx);
        else if (s->out)
            fputs(" - -", s->out);
    }
    if (s->out) {
        fputc('\n', s->out);
        fflush(s->out);
    }
}

static void draw_bar(double mbps, double full)
{
    static const char *const eighths[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    int filled = (int)(CLAMP(mbps / full, 0, 1) * BAR_CELLS * 8 + .5);

    for (int i = 0; i < BAR_CELLS; i++) {
        int left = filled - i * 8;

        fputs(left >= 8 ? "█" : eighths[MAX(left, 0)], stdout);
    }
}

static void wipe(struct sampler *s)
{
    if (s->lines)
        printf("\033[%uA\r\033[J", s->lines);
    s->lines = 0;
}

static void draw(struct sampler *s, int64_t now)
{
    double elapsed = (double)(now - s->drawn) / 1e9;
    struct winsize size;
    long whole = (long)((now - s->began) / 1000000000);
    char line[512];
    FILE *f;

    for (size_t i = 0; i < s->count; i++) {
        for (int d = 0; d < 2; d++) {
            struct interface *x = &s->interfaces[i];

            x->mbps[d] =
                x->bytes[d] >= x->shown[d] && s->drawn ? (double)(x->bytes[d] - x->shown[d]) * 8e-6 / elapsed : 0;
            x->shown[d] = x->bytes[d];
            s->full = MAX(s->full, x->mbps[d]);
        }
    }
    /* The cursor cannot go above the screen: what does not fit is left out. */
    s->room = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row - 1u : PANEL_LINES;
    wipe(s);
    printf("\033[1m  %-10s %-28s %-28s\033[0m%6ld s\033[K\n", "link", "down, Mbit/s", "up, Mbit/s", whole);
    s->lines = 1;
    for (size_t i = 0; i < s->count; i++) {
        const struct interface *x = &s->interfaces[i];

        printf("  %-10s ", x->name);
        for (int d = 0; d < 2; d++) {
            printf(x->carrier ? "\033[3%dm" : "\033[2;3%dm", i == 0 ? 4 : i == 1 ? 3 : 2);
            draw_bar(x->mbps[d], s->full);
            printf("\033[0m %5.2f    ", x->mbps[d]);
        }
        printf("%s\033[K\n", !x->there ? "not there" : x->carrier ? "" : "\033[31mno carrier\033[0m");
        s->lines++;
    }
    f = fopen(s->panel, "re");
    while (f && s->lines < s->room && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        printf("%s\033[K\n", line);
        s->lines++;
    }
    if (f)
        fclose(f);
    fflush(stdout);
    s->drawn = now;
}

int probe_sample(int argc, char **argv)
{
    static const struct option options[] = { { "every", required_argument, NULL, 'e' },
                                             { "out", required_argument, NULL, 'o' },
                                             { "panel", required_argument, NULL, 'p' },
                                             { NULL, 0, NULL, 0 } };
    struct sampler s = { .full = 5 };
    double every_ms = 100;
    int64_t next;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'e')
            every_ms = strtod(optarg, NULL);
        else if (o == 'p')
            s.panel = optarg;
        else if (o != 'o')
            return 2;
        else if (!(s.out = fopen(optarg, "we")))
            return probe_fail(optarg);
    }
    s.count = (size_t)(argc - optind);
    if (s.count < 1 || s.count > INTERFACES_MAX || every_ms < 1)
        return 2;
    for (size_t i = 0; i < s.count; i++)
        s.interfaces[i].name = argv[optind + (int)i];
    s.began = next = probe_now_ns();
    if (s.panel)
        fputs("\033[?25l\033[?7l", stdout);
    while (!probe_stop) {
        take_sample(&s);
        if (s.panel && probe_now_ns() - s.drawn >= REDRAW_NS)
            draw(&s, probe_now_ns());
        next += (int64_t)(every_ms * 1e6);
        probe_sleep_until(next);
    }
    if (s.panel) {
        wipe(&s);
        fputs("\033[?7h\033[?25h", stdout);
        fflush(stdout);
    }
    if (s.out)
        fclose(s.out);
    return 0;
}
