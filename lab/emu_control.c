/* hawser-emu's control: requests over a socket, parameters, the report as JSON.
 *
 * Theory of operation. A request is one packet of a SOCK_SEQPACKET socket, its answer another: `ok`, `error: ...` or a
 * line of JSON. Nothing here blocks, since it runs between two packets' deadlines; reading a trace file is the one slow
 * thing, and is done once for each file. A change is parsed for both directions before either is touched.
 *
 * Limits: requests of 1023 bytes, 8 clients at a time (more are refused), answers of 8191 bytes. */
#include "lab/emu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 1024

/* The greatest value of the bucket that holds the given share. */
static uint64_t histogram_share(const struct histogram *h, double share)
{
    uint64_t sum = 0, want = (uint64_t)(share * (double)h->count);

    for (size_t i = 0; i < HISTOGRAM_LEN; i++) {
        sum += h->buckets[i];
        if (sum > want || (sum == h->count && sum > 0)) {
            size_t shift = i < 64 ? 0 : i / 32 - 1;
            uint64_t top = ((i - shift * 32 + 1) << shift) - 1;

            return MIN(top, h->max_us);
        }
    }
    return 0;
}

static void json_string(struct text *t, const char *s)
{
    text_add(t, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_add(t, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            text_add(t, "\\u%04x", (unsigned char)*s);
        else
            text_add(t, "%c", *s);
    }
    text_add(t, "\"");
}

static void direction_json(struct text *t, const struct direction *d)
{
    const struct link_counters *c = &d->link.counters;
    char params[LINK_PARAMS_MAX];

    text_add(t, ",\"%s\":{\"params\":", d->name);
    json_string(t, link_params_format(&d->link.params, params));
    text_add(t, ",\"in_pkts\":%" PRIu64 ",\"in_bytes\":%" PRIu64, c->in_pkts, c->in_bytes);
    text_add(t, ",\"delivered_pkts\":%" PRIu64 ",\"delivered_bytes\":%" PRIu64, c->delivered_pkts, c->delivered_bytes);
    text_add(t, ",\"duplicated\":%" PRIu64 ",\"corrupted\":%" PRIu64 ",\"reordered\":%" PRIu64, c->duplicated,
             c->corrupted, c->reordered);
    text_add(t, ",\"dropped\":{");
    for (unsigned v = LINK_QUEUED + 1; v < LINK_VERDICT_COUNT; v++)
        text_add(t, "%s\"%s\":%" PRIu64, v > LINK_QUEUED + 1 ? "," : "", link_verdict_name((enum link_verdict)v),
                 c->dropped[v]);
    text_add(t, "},\"queue_bytes\":%" PRIu64 ",\"queue_max_bytes\":%" PRIu64, link_queued_bytes(&d->link),
             c->queue_max_bytes);
    text_add(t, ",\"bypassed\":%" PRIu64 ",\"unwritten\":%" PRIu64 "}", d->bypassed, d->unwritten);
}

void stats_json(const struct emu *e, struct text *t)
{
    const struct histogram *h = &e->lateness;

    text_add(t, "{\"a\":\"%s:%s\",\"b\":\"%s:%s\"", e->ends[0].netns, e->ends[0].ifname, e->ends[1].netns,
             e->ends[1].ifname);
    text_add(t, ",\"seed\":%" PRIu64 ",\"uptime_s\":%.3f,\"scheduler\":\"%s\",\"carrier\":%s", e->seed,
             (double)(clock_now() - e->started) / SEC, e->realtime ? "fifo" : "normal", e->carrier ? "true" : "false");
    text_add(t, ",\"lateness_us\":{\"count\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p90\":%" PRIu64, h->count,
             histogram_share(h, .5), histogram_share(h, .9));
    text_add(t, ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64 "}", histogram_share(h, .99), h->max_us);
    direction_json(t, &e->dirs[0]);
    direction_json(t, &e->dirs[1]);
    text_add(t, "}\n");
}

/* Finds or loads the trace that *p names. */
static int trace_attach(struct emu *e, struct link_params *p, char err[LINK_ERROR_MAX])
{
    struct trace_entry *entry;
    int r;

    if (!p->trace_path[0])
        return 0;
    for (entry = e->traces; entry; entry = entry->next) {
        if (strcmp(entry->path, p->trace_path) == 0) {
            p->trace = &entry->trace;
            return 0;
        }
    }
    entry = calloc(1, sizeof(*entry));
    r = entry ? link_trace_load(p->trace_path, &entry->trace, err) : -ENOMEM;
    if (r < 0) {
        if (r == -ENOMEM)
            snprintf(err, LINK_ERROR_MAX, "trace %.150s: out of memory", p->trace_path);
        free(entry);
        return r;
    }
    memcpy(entry->path, p->trace_path, sizeof(entry->path));
    entry->next = e->traces;
    e->traces = entry;
    p->trace = &entry->trace;
    return 0;
}

/* which: bit i for direction i. Both change or none does. */
int params_set(struct emu *e, unsigned which, const char *text, char err[LINK_ERROR_MAX])
{
    struct link_params p[2];
    instant now;
    bool carrier;

    for (unsigned i = 0; i < 2; i++) {
        int r = 0;

        p[i] = e->dirs[i].link.params;
        if (which & 1u << i)
            r = link_params_parse(text, &p[i], err);
        if (r == 0)
            r = trace_attach(e, &p[i], err);
        if (r < 0)
            return r;
    }
    now = clock_now();
    for (unsigned i = 0; i < 2; i++)
        if (which & 1u << i)
            link_configure(&e->dirs[i].link, &p[i], now);
    carrier = !(p[0].down && p[1].down);
    if (carrier != e->carrier)
        carrier_set(e, carrier);
    return 0;
}

static bool word_take(const char **text, const char *word)
{
    size_t len = strlen(word);

    if (strncmp(*text, word, len) != 0 || ((*text)[len] != '\0' && (*text)[len] != ' '))
        return false;
    *text += len;
    *text += strspn(*text, " ");
    return true;
}

static void request_answer(struct emu *e, const char *text, struct text *reply)
{
    char err[LINK_ERROR_MAX] = "";
    unsigned which = 0;

    if (word_take(&text, "stats")) {
        stats_json(e, reply);
        return;
    }
    if (word_take(&text, "reset")) {
        memset(&e->lateness, 0, sizeof(e->lateness));
    } else if (word_take(&text, "carrier")) {
        bool down = strcmp(text, "down") == 0;

        if (!down && strcmp(text, "up") != 0)
            snprintf(err, sizeof(err), "carrier `%.60s`: expected up or down", text);
        else
            params_set(e, 3, down ? "down=1" : "down=0", err);
    } else if (word_take(&text, "set")) {
        which = word_take(&text, "ab") ? 1 : word_take(&text, "ba") ? 2 : word_take(&text, "both") ? 3 : 0;
        if (which == 0)
            snprintf(err, sizeof(err), "set `%.60s`: expected ab, ba or both", text);
        else
            params_set(e, which, text, err);
    } else {
        snprintf(err, sizeof(err), "`%.60s`: expected set, carrier, stats or reset", text);
    }
    text_add(reply, err[0] ? "error: %s\n" : "ok\n%s", err);
}

void client_serve(struct emu *e, size_t i)
{
    char request[REQUEST_MAX], buf[REPLY_MAX];
    struct text reply;
    ssize_t n = recv(e->clients[i], request, sizeof(request) - 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        while (n > 0 && (request[n - 1] == '\n' || request[n - 1] == ' '))
            n--;
        request[n] = '\0';
        text_init(&reply, buf, sizeof(buf));
        request_answer(e, request, &reply);
        if (send(e->clients[i], buf, reply.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return;
    }
    close(e->clients[i]);
    e->clients[i] = -1;
}

void client_accept(struct emu *e)
{
    int fd = accept4(e->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (e->clients[i] < 0) {
            e->clients[i] = fd;
            return;
        }
    }
    close(fd);
}

static int control_address(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

int control_open(struct emu *e)
{
    struct sockaddr_un sa;
    int r = control_address(e->control_path, &sa);

    if (r < 0)
        return r;
    e->control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->control_fd < 0)
        return -errno;
    unlink(e->control_path);
    if (bind(e->control_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(e->control_fd, CLIENTS_MAX) < 0)
        return -errno;
    return 0;
}

/* hawser-emu ctl PATH WORDS...: one request to a running link. */
int control_main(int argc, char **argv)
{
    char request[REQUEST_MAX], reply[REPLY_MAX];
    struct sockaddr_un sa;
    struct text t;
    ssize_t n;
    int fd;

    if (argc < 4) {
        fprintf(stderr, "usage: hawser-emu ctl SOCKET set ab|ba|both PARAMS | carrier up|down | stats | reset\n");
        return 2;
    }
    text_init(&t, request, sizeof(request));
    for (int i = 3; i < argc; i++)
        text_add(&t, i > 3 ? " %s" : "%s", argv[i]);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (t.overflow || control_address(argv[2], &sa) < 0 || fd < 0 ||
        connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        fprintf(stderr, "hawser-emu: %s: %s\n", argv[2], t.overflow ? "request too long" : strerror(errno));
        return 1;
    }
    if (send(fd, request, t.len, MSG_NOSIGNAL) < 0 || (n = recv(fd, reply, sizeof(reply) - 1, 0)) <= 0) {
        fprintf(stderr, "hawser-emu: %s: the link has gone\n", argv[2]);
        return 1;
    }
    reply[n] = '\0';
    close(fd);
    if (strncmp(reply, "error:", 6) == 0) {
        fputs(reply, stderr);
        return 1;
    }
    if (strcmp(reply, "ok\n") != 0)
        fputs(reply, stdout);
    return 0;
}
