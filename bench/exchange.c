/* bench/exchange.c - what an answer costs the process that gives it: sealed requests over UDP, beside a name server and
 * a map-server.
 *
 *   exchange                     two processes: one answers, one asks as 1,000 associations
 *   lookups                      the same, and who answers is a realm manager with a million bindings
 *                                (bench/population.h), asked for names of hosts
 *   dns ADDRESS:PORT PID NAMES   asks a name server that runs as PID for AAAA of n0.example to n<NAMES - 1>.example
 *   lisp ADDRESS PID NAMES KEY   registers so many addresses with a map-server that runs as PID (bench/lisp.h), and
 *                                asks for them
 *
 * All ask in the same way: from 1,000 addresses of 127.0.0.0/8, each in a /24 of its own, by batches of 64 datagrams
 * that go by one system call, 256 questions under way, uniform over associations or names. What counts is the processor
 * time of the process that answers, threads and kernel included, from the first answer that is counted to the last; the
 * other processor asks, and is not measured. Prints one object of JSON.
 *
 * In the first the answers have ANSWER_LEN bytes and are the same for all: what a lookup costs is not in it. The asker
 * does not open answers, but for a first one of each association; it counts what has their length.
 *
 * Limits: loopback, where the kernel's way from one process to the other is in the sender's time. */
#include "bench/lisp.h"
#include "bench/population.h"
#include "session/exchange_internal.h"
#include "sys/clock.h"
#include "sys/exchange_io.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASSOCIATIONS 1000
#define ANSWER_LEN 300
#define REQUEST_LEN 60 /* a name or a tag, and what it is asked for */
#define NAMES 333334u  /* of lookups: three bindings each */
#define UNDER_WAY 256
#define BATCH 64
#define RUN (5 * SEC)
#define WARM_UP 100000 /* answers that are not counted */
#define LOST_AFTER 100 /* ms without an answer: what is under way is not any more */

/* Processor time of all threads of a process, s; negative: not known. */
static double cpu_of(long pid)
{
    char path[64];
    double sum = 0;
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    dir = opendir(path);
    if (!dir)
        return -1;
    while ((d = readdir(dir))) {
        char file[400];
        unsigned long long ns = 0;
        FILE *f;

        snprintf(file, sizeof(file), "%s/%s/schedstat", path, d->d_name);
        f = d->d_name[0] == '.' ? NULL : fopen(file, "re");
        if (f && fscanf(f, "%llu", &ns) == 1)
            sum += (double)ns * 1e-9;
        if (f)
            fclose(f);
    }
    closedir(dir);
    return sum;
}

/* --- who answers --- */

struct answering {
    struct exchange_io io;
    instant now;
    const uint8_t *member; /* lookups: the key of who asks; NULL: no manager is asked */
    struct population all;
    uint8_t answer[MAPPING_BYTES_MAX];
};

static void on_event(void *ctx, const struct exchange_event *ev)
{
    struct answering *a = ctx;

    struct manager_reply reply = { .len = ANSWER_LEN };

    if (ev->type != EXCHANGE_REQUEST)
        return;
    if (a->member) {
        const struct manager_who who = { .peer = ev->peer, .ed25519 = a->member };

        manager_on_request(a->all.manager, &who, ev->data, ev->len, a->now, POPULATION_WALL_S, a->answer, &reply);
    }
    (void)!exchange_io_answer(&a->io, &ev->asked, a->answer, reply.len, a->now);
}

static void on_waiting(void *ctx, const struct exchange_event *ev, size_t count)
{
    struct answering *a = ctx;
    struct manager_ahead ahead[EXCHANGE_WAITING_MAX];

    for (size_t i = 0; i < count; i++)
        ahead[i] = (struct manager_ahead){ { .peer = ev[i].peer, .ed25519 = a->member }, ev[i].data, ev[i].len };
    manager_foresee(a->all.manager, ahead, count, a->now, POPULATION_WALL_S);
}

static int answer(const struct identity *id, const uint8_t *member, int tell)
{
    const struct udp_options u = { .family = ADDR_V4, .local = addr_v4(0x7f000001) };
    struct exchange_options o = { .self = id,
                                  .rng = sys_rng(),
                                  .suites = suite_supported(),
                                  .answers = true,
                                  .peers_max = 2 * ASSOCIATIONS,
                                  .requests_max = 1,
                                  .joins_max = 16 };
    static struct answering a;
    uint16_t port;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    a.now = clock_now();
    a.member = member;
    if (member && !population_make(&a.all, NAMES, 0, member, false, &o.rng, a.now))
        return 1;
    exchange_io_init(&a.io, exchange_new(&o, a.now), on_event, &a);
    if (member)
        a.io.on_waiting = on_waiting;
    if (!a.io.x || exchange_io_open(&a.io, 1, &u) < 0)
        return 1;
    port = udp_local_port(a.io.sockets[0]);
    if (write(tell, &port, sizeof(port)) != sizeof(port))
        return 1;
    for (;;) {
        struct pollfd p = { .fd = udp_fd(a.io.sockets[0]), .events = POLLIN };

        a.now = clock_now();
        if (exchange_next_expiry(a.io.x) <= a.now) {
            exchange_on_expiry(a.io.x, a.now);
            exchange_io_turn(&a.io, a.now);
        }
        if (exchange_io_read(&a.io, 1, a.now) == 0)
            poll(&p, 1, 100);
    }
}

/* --- who asks --- */

struct asking {
    struct udp *u;
    struct endpoint to;
    struct prng prng;
    uint8_t data[BATCH][EXCHANGE_DATAGRAM_MAX];
    struct udp_tx tx[BATCH];
    struct exchange *x[ASSOCIATIONS];
    uint32_t names;    /* 0: exchanges ask for none */
    size_t answer_len; /* of datagrams that count; 0: any */
    void (*make)(struct asking *a, struct udp_tx *tx, uint8_t *data);
};

static struct addr source(uint32_t i)
{
    return addr_v4(0x7f010001u + (i << 8));
}

static bool wait_readable(const struct asking *a, int ms)
{
    struct pollfd p = { .fd = udp_fd(a->u), .events = POLLIN };

    return poll(&p, 1, ms) > 0;
}

/* Answers that came. */
static unsigned take(struct asking *a)
{
    struct udp_rx rx[UDP_MANY_MAX];
    unsigned count = 0;
    int n = udp_recv(a->u, rx, ARRAY_LEN(rx));

    for (int i = 0; i < n; i++)
        count += a->answer_len == 0 || rx[i].len == a->answer_len;
    return count;
}

struct result {
    uint64_t answers, lost;
    double cpu, wall;
};

static bool run(struct asking *a, long pid, struct result *r)
{
    unsigned under_way = 0;
    uint64_t answers = 0;
    instant began = 0, now;
    double cpu = 0;

    *r = (struct result){ 0 };
    for (;;) {
        unsigned n, came;

        for (n = 0; n < BATCH && under_way + n < UNDER_WAY; n++)
            a->make(a, &a->tx[n], a->data[n]);
        if (n > 0)
            under_way += (unsigned)udp_send_many(a->u, a->tx, n);
        if (!wait_readable(a, LOST_AFTER)) {
            r->lost += under_way;
            under_way = 0;
        }
        while ((came = take(a)) > 0) {
            answers += came;
            under_way -= MIN(came, under_way);
        }
        now = clock_now();
        if (began == 0 && answers >= WARM_UP) {
            began = now;
            cpu = cpu_of(pid);
            r->answers = answers;
            r->lost = 0;
        }
        if (began && now - began >= RUN)
            break;
        if (began == 0 && r->lost > 100000)
            return false;
    }
    r->answers = answers - r->answers;
    r->cpu = cpu_of(pid) - cpu;
    r->wall = (double)(now - began) * 1e-6;
    return r->cpu > 0;
}

/* The question of a request; its length. */
static size_t question(struct asking *a, uint8_t out[EXCHANGE_REQUEST_WHOLE])
{
    struct writer w = writer_init(out, EXCHANGE_REQUEST_WHOLE);
    char name[POPULATION_NAME_SIZE];
    struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR, .name = name };

    if (a->names == 0) {
        memset(out, 'q', REQUEST_LEN);
        return REQUEST_LEN;
    }
    population_name((uint32_t)prng_below(&a->prng, a->names), name);
    r.name_len = strlen(name);
    mapping_request_write(&w, &r);
    return writer_len(&w);
}

static void make_sealed(struct asking *a, struct udp_tx *tx, uint8_t *data)
{
    uint32_t i = (uint32_t)prng_below(&a->prng, ASSOCIATIONS);
    const struct exchange_message m = { .kind = EXCHANGE_KIND_REQUEST, .id = (uint32_t)prng_u64(&a->prng) };
    size_t header = exchange_message_put(data + SEALED_HEADER_LEN, &m);
    size_t len = question(a, data + SEALED_HEADER_LEN + header);
    int n = keys_seal(a->x[i]->slots[0]->cur, data, header + len, clock_now());

    *tx = (struct udp_tx){ .data = data, .len = (size_t)MAX(n, 0), .to = a->to, .local = source(i) };
}

/* A handshake and a question, so that all after it is as it always is. */
static bool meet(struct asking *a, const struct identity *id, const struct peer_key *key, uint32_t i)
{
    const struct exchange_options o = {
        .self = id, .rng = sys_rng(), .suites = suite_supported(), .peers_max = 1, .requests_max = 1, .joins_max = 1
    };
    const struct exchange_call c = { .key = *key,
                                     .ways_count = 1,
                                     .ways = { { .link = 1, .local = source(i), .remote = a->to } } };
    uint8_t first[EXCHANGE_REQUEST_WHOLE];
    size_t len = question(a, first);
    uint64_t peer, request;
    instant now = clock_now(), until = now + 10 * SEC;
    struct exchange *x = a->x[i] = exchange_new(&o, now);

    if (!x || exchange_peer_call(x, &c, now, &peer) < 0 ||
        exchange_request(x, peer, first, len, NULL, now, &request) < 0)
        return false;
    for (bool done = false; !done && now < until; now = clock_now()) {
        struct udp_rx rx[UDP_MANY_MAX];
        struct exchange_event ev;
        struct exchange_tx tx;
        int n;

        while (exchange_output(x, &tx, 1, now) > 0) {
            const struct udp_tx one = { .data = tx.data, .len = tx.len, .to = tx.at.remote, .local = tx.at.local };

            udp_send_many(a->u, &one, 1);
        }
        wait_readable(a, 1);
        n = udp_recv(a->u, rx, ARRAY_LEN(rx));
        for (int k = 0; k < n; k++) {
            const struct locator_pair at = { .link = 1, .local = rx[k].local, .remote = rx[k].from };

            exchange_input(x, &at, rx[k].data, rx[k].len, now);
            while (exchange_pop_event(x, &ev))
                if (ev.type == EXCHANGE_ANSWER && ev.len >= ANSWER_LEN / 2) { /* what is refused is shorter */
                    a->answer_len = SEALED_HEADER_LEN + EXCHANGE_ANSWER_HEADER + ev.len + SEALED_TAG_LEN;
                    done = true;
                }
        }
        if (exchange_next_expiry(x) <= now)
            exchange_on_expiry(x, now);
        if (done)
            return true;
    }
    return false;
}

static void make_query(struct asking *a, struct udp_tx *tx, uint8_t *data)
{
    uint32_t name = (uint32_t)prng_below(&a->prng, a->names);
    uint8_t *p = data + 12;
    int n;

    memset(data, 0, 12);
    put_be16(data, (uint16_t)prng_u64(&a->prng));
    data[5] = 1; /* one question */
    n = snprintf((char *)p + 1, 32, "n%u", name);
    *p = (uint8_t)n;
    p += 1 + n;
    memcpy(p, "\7example", 9);
    p += 9;
    memcpy(p, "\0\34\0\1", 4); /* AAAA, IN */
    *tx = (struct udp_tx){ .data = data,
                           .len = (size_t)(p + 4 - data),
                           .to = a->to,
                           .local = source((uint32_t)prng_below(&a->prng, ASSOCIATIONS)) };
}

static void make_map_request(struct asking *a, struct udp_tx *tx, uint8_t *data)
{
    const struct endpoint from = { source((uint32_t)prng_below(&a->prng, ASSOCIATIONS)), udp_local_port(a->u) };
    size_t len = lisp_request(data, (uint32_t)prng_below(&a->prng, a->names), &from, prng_u64(&a->prng));

    *tx = (struct udp_tx){ .data = data, .len = len, .to = a->to, .local = from.addr };
}

/* One message after the other, each of which is answered. */
static bool register_all(struct asking *a, const char *key)
{
    uint8_t data[LISP_REGISTER_MAX];
    struct udp_rx rx[UDP_MANY_MAX];

    for (uint32_t at = 0; at < a->names; at += LISP_REGISTER_RECORDS) {
        unsigned count = MIN(a->names - at, LISP_REGISTER_RECORDS);
        const struct udp_tx tx = { .data = data,
                                   .len = lisp_register(data, at, count, prng_u64(&a->prng), key),
                                   .to = a->to,
                                   .local = source(0) };

        if (udp_send_many(a->u, &tx, 1) != 1 || !wait_readable(a, 2000) || udp_recv(a->u, rx, ARRAY_LEN(rx)) != 1 ||
            rx[0].data[0] >> 4 != LISP_NOTIFY_TYPE) {
            fprintf(stderr, "lisp: the mappings from %u on were not taken\n", at);
            return false;
        }
    }
    return true;
}

static bool open_asking(struct asking *a)
{
    const struct udp_options o = { .family = ADDR_V4, .many = true };

    memset(a, 0, sizeof(*a));
    prng_init(&a->prng, 1);
    return udp_open(&o, &a->u) == 0;
}

static void print(const struct result *r)
{
    printf("{\"per_cpu_s\": %.0f, \"answers\": %llu, \"cpu_us\": %.2f, \"per_s\": %.0f, \"lost\": %llu}\n",
           (double)r->answers / r->cpu, (unsigned long long)r->answers, r->cpu * 1e6 / (double)r->answers,
           (double)r->answers / r->wall, (unsigned long long)r->lost);
}

/* names: of which are asked; 0: for nothing. */
static int bench_exchange(struct asking *a, uint32_t names)
{
    struct identity server, client;
    struct peer_key key;
    struct rng rng = sys_rng();
    struct result r;
    uint16_t port;
    int tell[2], rc = 1;
    pid_t pid;

    if (identity_generate(&server, &rng) < 0 || identity_generate(&client, &rng) < 0 || pipe(tell) < 0)
        return 1;
    pid = fork();
    if (pid == 0)
        _exit(answer(&server, names ? client.ed25519 : NULL, tell[1]));
    identity_peer_key(&server, suite_supported(), &key);
    if (pid > 0 && read(tell[0], &port, sizeof(port)) == sizeof(port)) {
        a->to = (struct endpoint){ addr_v4(0x7f000001), port };
        a->make = make_sealed;
        a->names = names;
        rc = 0;
        for (uint32_t i = 0; i < ASSOCIATIONS && rc == 0; i++)
            if (!meet(a, &client, &key, i))
                rc = 1;
        if (rc == 0 && run(a, pid, &r))
            print(&r);
        else
            rc = 1;
    }
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    for (uint32_t i = 0; i < ASSOCIATIONS; i++)
        exchange_free(a->x[i]);
    return rc;
}

static int bench_dns(struct asking *a, const char *at, const char *pid, const char *names)
{
    struct result r;

    if (endpoint_parse(at, 53, &a->to) < 0)
        return 2;
    a->names = (uint32_t)strtoul(names, NULL, 10);
    a->make = make_query;
    if (a->names == 0 || !run(a, strtol(pid, NULL, 10), &r))
        return 1;
    print(&r);
    return 0;
}

static int bench_lisp(struct asking *a, const char *at, const char *pid, const char *names, const char *key)
{
    struct result r;

    if (endpoint_parse(at, LISP_PORT, &a->to) < 0)
        return 2;
    a->names = (uint32_t)strtoul(names, NULL, 10);
    a->make = make_map_request;
    a->answer_len = LISP_REPLY_LEN;
    if (a->names == 0 || !register_all(a, key) || !run(a, strtol(pid, NULL, 10), &r))
        return 1;
    print(&r);
    return 0;
}

int main(int argc, char **argv)
{
    static struct asking a;
    int rc = 2;

    if (!open_asking(&a))
        return 1;
    if (argc == 2 && strcmp(argv[1], "exchange") == 0)
        rc = bench_exchange(&a, 0);
    else if (argc == 2 && strcmp(argv[1], "lookups") == 0)
        rc = bench_exchange(&a, NAMES);
    else if (argc == 5 && strcmp(argv[1], "dns") == 0)
        rc = bench_dns(&a, argv[2], argv[3], argv[4]);
    else if (argc == 6 && strcmp(argv[1], "lisp") == 0)
        rc = bench_lisp(&a, argv[2], argv[3], argv[4], argv[5]);
    else
        fprintf(stderr,
                "usage: bench-exchange exchange | lookups | dns ADDRESS:PORT PID NAMES | lisp ADDRESS PID NAMES KEY\n");
    udp_free(a.u);
    return rc;
}
