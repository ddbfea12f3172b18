/* hawser-crowd: many hosts of a realm, who say to its manager where they are and move, and who are asked after.
 *
 *   hawser-crowd enrol DIR HOSTS                               enrols them in the realm's folder, as n0.h, n1.h, ...
 *   hawser-crowd load DIR HOSTS STATE TOP MIDDLE BOTTOM EDGE   says, refreshes, moves and asks
 *   hawser-crowd check DIR HOSTS STATE TOP MIDDLE BOTTOM EDGE  asks until all managers tell the newest of all in STATE
 *
 * TOP, MIDDLE, BOTTOM and EDGE are addresses of managers: of the one that hosts register at, of one that is pushed to,
 * of one that pulls, and of one that caches. What is checked of each answer says crowd_ask.c; the first that is wrong
 * ends the program, code 1.
 *
 * load prints `registered` when all hosts are; on SIGUSR1 nobody moves any more, and it prints `settled` when all is
 * acknowledged; on SIGTERM it writes STATE, prints its figures as JSON and ends. check prints its figures and ends when
 * all are known.
 *
 * Theory of operation. Each host has an identity and an association of its own, from an address of its own out of
 * 10.9.0.0/16, which must be local here (ip route add local); one socket serves all, and a datagram's destination says
 * whose it is. One host in MOVER_OF moves, MOVES times a second in all; REFRESHES leases a second are begun anew, many
 * times what leases of 300 s want.
 *
 * Limits: CROWD_MAX hosts; sequences are remembered for ever. */
#include "lab/crowd.h"

#include "ident/suite.h"
#include "prog/realm.h"
#include "sys/clock.h"
#include "sys/udp.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOVER_OF 10u
#define MOVES 100u     /* a second */
#define REFRESHES 200u /* a second */
#define TICK (5 * MSEC)
#define LEASE_S 300u

static volatile sig_atomic_t settling, ending;

static void on_signal(int signum)
{
    if (signum == SIGUSR1)
        settling = 1;
    else
        ending = 1;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "hawser-crowd: %s: %s\n", what, why);
    return 1;
}

void crowd_wrong(const struct crowd *c, const char *what, uint32_t host, unsigned level, uint64_t seq, uint64_t other)
{
    const struct host *h = &c->hosts[host];

    fprintf(stderr,
            "hawser-crowd: manager %u of host %" PRIu32 ": found %s: sequence %" PRIx64 ", other %" PRIx64
            "; it has said %" PRIu32 ", the newest %" PRIx64 ", acknowledged %" PRIx64 "\n",
            level, host, what, seq, other, h->said_count, h->said_count ? h->said[h->said_count - 1].seq : 0,
            crowd_acked(h));
    exit(1);
}

struct endpoint crowd_place(uint32_t i, uint32_t move)
{
    return (struct endpoint){ addr_v4(0x0b000000u + (move & 0xffffff)), (uint16_t)(i + 1) };
}

struct said *crowd_said(const struct host *h, uint64_t seq)
{
    for (uint32_t i = h->said_count; i-- > 0;)
        if (h->said[i].seq == seq)
            return &h->said[i];
    return NULL;
}

uint64_t crowd_acked(const struct host *h)
{
    for (uint32_t i = h->said_count; i-- > 0;)
        if (h->said[i].acked)
            return h->said[i].seq;
    return 0;
}

static void note_said(struct host *h, uint64_t seq, uint32_t move, instant acked)
{
    struct said *p = realloc(h->said, (h->said_count + 1) * sizeof(*p));

    if (!p)
        exit(fail("out of memory", "expected a few bytes"));
    h->said = p;
    h->said[h->said_count++] = (struct said){ seq, move, acked };
}

/* --- who there is --- */

static int make_hosts(struct crowd *c, const char *count)
{
    uint8_t secret[IDENTITY_SECRET_LEN] = { 'c', 'r', 'o', 'w', 'd' };
    char *end;

    c->count = (uint32_t)strtoul(count, &end, 10);
    if (*end || c->count == 0 || c->count > CROWD_MAX)
        return fail(count, "expected a number of hosts, 1 to 50000");
    c->hosts = calloc(c->count, sizeof(*c->hosts));
    for (uint32_t i = 0; c->hosts && i < c->count; i++) {
        put_be32(secret + 8, i);
        put_be32(secret + IDENT_KEY_LEN + 8, i);
        if (identity_from_secret(secret, &c->hosts[i].id) < 0)
            return fail("identity", "out of memory");
        c->hosts[i].mover = i % MOVER_OF == 0;
    }
    return c->hosts ? 0 : fail("hosts", "out of memory");
}

/* The realm's key, and the hosts' tags. */
static int read_realm(struct crowd *c, const char *dir)
{
    char err[FILE_ERR], path[4096];
    struct identity id;
    struct realm *r = NULL;
    int got;

    snprintf(path, sizeof(path), "%s/key", dir);
    if (realm_open(dir, false, &r, err) < 0)
        return fail(dir, err);
    got = key_file_read(path, &id, err);
    if (got < 0) {
        realm_close(r);
        return fail(path, err);
    }
    identity_peer_key(&id, suite_supported(), &c->realm);
    identity_wipe(&id);
    for (uint32_t i = 0; i < c->count && got == 0; i++)
        got = tag_make(c->hosts[i].id.ed25519, tag_raa(&realm_self(r)->tag),
                       TAG_HDA(TAG_TIER_HOST, realm_self(r)->range.number), &c->hosts[i].tag);
    realm_close(r);
    return got < 0 ? fail("tags", "out of memory") : 0;
}

static int enrol(struct crowd *c, const char *dir)
{
    char err[FILE_ERR], leaf[32];
    struct realm *r = NULL;

    if (realm_open(dir, true, &r, err) < 0)
        return fail(dir, err);
    for (uint32_t i = 0; i < c->count; i++) {
        struct peer_key key;

        identity_peer_key(&c->hosts[i].id, suite_supported(), &key);
        snprintf(leaf, sizeof(leaf), "n%" PRIu32 ".h", i);
        if (realm_enrol(r, leaf, &key, 0, clock_wall_s(), 0, err) < 0) {
            realm_close(r);
            return fail(leaf, err);
        }
    }
    realm_close(r);
    return 0;
}

/* --- what they said, between a load and a check --- */

static int write_state(const struct crowd *c, const char *path)
{
    FILE *f = fopen(path, "we");

    if (!f)
        return fail(path, "cannot be written");
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t k = 0; k < c->hosts[i].said_count; k++) {
            const struct said *s = &c->hosts[i].said[k];

            fprintf(f, "%" PRIu32 " %" PRIu64 " %" PRIu32 " %d\n", i, s->seq, s->move, s->acked != 0);
        }
    return fclose(f) == 0 ? 0 : fail(path, "cannot be written");
}

static int read_state(struct crowd *c, const char *path)
{
    FILE *f = fopen(path, "re");
    uint32_t i, move;
    uint64_t seq;
    int acked;

    if (!f)
        return fail(path, "cannot be read");
    while (fscanf(f, "%" SCNu32 " %" SCNu64 " %" SCNu32 " %d", &i, &seq, &move, &acked) == 4 && i < c->count)
        note_said(&c->hosts[i], seq, move, acked);
    fclose(f);
    for (i = 0; i < c->count; i++)
        if (!crowd_acked(&c->hosts[i]))
            return fail(path, "expected something of every host that was acknowledged");
    return 0;
}

/* --- hosts --- */

static void go(struct host *h, uint32_t i, instant now)
{
    const struct record_target t = { .is_locator = true, .locator = crowd_place(i, h->moves) };

    if (holder_set_targets(&h->holder, &t, 1, now) < 0)
        exit(fail("holder", "out of memory"));
    note_said(h, h->holder.seq, h->moves, 0);
}

static int start_host(struct crowd *c, uint32_t i, instant now)
{
    struct host *h = &c->hosts[i];
    const struct exchange_options o = {
        .self = &h->id, .rng = sys_rng(), .suites = suite_supported(), .peers_max = 1, .requests_max = 2, .joins_max = 1
    };
    const struct exchange_call call = {
        .key = c->realm,
        .ways_count = 1,
        .ways = { { .link = 1, .local = addr_v4(CROWD_NET + i), .remote = c->managers[0] } },
        .keep = 30 * SEC
    };

    holder_init(&h->holder, h->id.ed25519_seed, &h->tag, &h->tag, KIND_HOST_LOCATOR, CLASS_FULL, LEASE_S,
                (uint32_t)clock_wall_s(), (uint32_t)prng_u64(&c->prng));
    h->x = exchange_new(&o, now);
    if (!h->x || exchange_peer_call(h->x, &call, now, &h->peer) < 0)
        return fail("exchange", "out of memory");
    go(h, i, now);
    return 0;
}

/* The record may be another one than `go` noted: the holder jumped past what the manager knew. */
static void note_again(struct host *h)
{
    if (!crowd_said(h, h->holder.seq))
        note_said(h, h->holder.seq, h->moves, 0);
}

static void on_host_event(struct host *h, const struct exchange_event *ev, instant now)
{
    bool current;

    if (ev->type == EXCHANGE_UP)
        holder_on_up(&h->holder, now);
    if (ev->type == EXCHANGE_FAILED)
        holder_on_failed(&h->holder, now);
    if (ev->type != EXCHANGE_ANSWER)
        return;
    current = !h->holder.again;
    holder_on_answer(&h->holder, ev->data, ev->len, now);
    note_again(h);
    if (current && h->holder.state == HOLDER_REGISTERED && h->holder.has_told) {
        struct said *s = crowd_said(h, h->holder.seq);

        s->acked = s->acked ? s->acked : now;
    }
}

static void run_host(struct host *h, instant now)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    uint64_t request;
    size_t len = holder_output(&h->holder, now, bytes);

    if (len > 0 && exchange_request(h->x, h->peer, bytes, len, NULL, now, &request) < 0)
        holder_on_failed(&h->holder, now);
    if (exchange_next_expiry(h->x) <= now)
        exchange_on_expiry(h->x, now);
}

static bool all_acked(const struct crowd *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (!c->hosts[i].said[c->hosts[i].said_count - 1].acked)
            return false;
    return true;
}

/* --- the loop --- */

static void flush(const struct crowd *c, struct exchange *x, instant now)
{
    struct exchange_tx tx[UDP_MANY_MAX];
    size_t count;

    while ((count = exchange_output(x, tx, ARRAY_LEN(tx), now)) > 0) {
        struct udp_tx batch[UDP_MANY_MAX];

        for (size_t i = 0; i < count; i++)
            batch[i] =
                (struct udp_tx){ .data = tx[i].data, .len = tx[i].len, .to = tx[i].at.remote, .local = tx[i].at.local };
        udp_send_many(c->udp, batch, count); /* what a full socket loses is asked again */
    }
}

static void pop_host(struct crowd *c, struct host *h, instant now)
{
    struct exchange_event ev;

    while (exchange_pop_event(h->x, &ev))
        on_host_event(h, &ev, now);
    run_host(h, now);
    flush(c, h->x, now);
}

static void pop_asker(struct crowd *c, struct asker *a, instant now)
{
    struct exchange_event ev;

    while (exchange_pop_event(asker_exchange(a), &ev))
        asker_on_event(a, &ev, now);
    asker_turn(a, now);
    flush(c, asker_exchange(a), now);
}

static void take(struct crowd *c, struct asker *a, const struct udp_rx *rx, instant now)
{
    const struct locator_pair at = { .link = 1, .local = rx->local, .remote = rx->from };
    uint32_t i = (uint32_t)get_be16(rx->local.bytes + 2);

    if (i == CROWD_ASKER) {
        exchange_input(asker_exchange(a), &at, rx->data, rx->len, now);
        pop_asker(c, a, now);
    } else if (i < c->count && c->hosts[i].x) {
        exchange_input(c->hosts[i].x, &at, rx->data, rx->len, now);
        pop_host(c, &c->hosts[i], now);
    }
}

static void read_all(struct crowd *c, struct asker *a, instant until)
{
    struct pollfd p = { .fd = udp_fd(c->udp), .events = POLLIN };
    struct udp_rx rx[UDP_MANY_MAX];
    struct udp_error e;
    instant now;

    while ((now = clock_now()) < until) {
        int n = udp_recv(c->udp, rx, ARRAY_LEN(rx));

        for (int i = 0; i < n; i++)
            take(c, a, &rx[i], now);
        while (udp_pop_error(c->udp, &e) > 0) /* managers die here; who asks asks again */
            continue;
        if (n <= 0)
            poll(&p, 1, (int)((until - now) / MSEC) + 1);
    }
}

/* What hosts do by themselves in a tick. */
static void stir(struct crowd *c, instant now)
{
    const uint32_t movers = (c->count + MOVER_OF - 1) / MOVER_OF;

    if (prng_below(&c->prng, SEC / TICK) < MOVES) {
        uint32_t i = MOVER_OF * (uint32_t)prng_below(&c->prng, movers);

        c->hosts[i].moves++;
        go(&c->hosts[i], i, now);
    }
    if (prng_below(&c->prng, SEC / TICK) < REFRESHES) {
        struct host *h = &c->hosts[prng_below(&c->prng, c->count)];

        if (h->holder.state == HOLDER_REGISTERED && !h->holder.asking)
            h->holder.next = now;
    }
}

static void turn_all(struct crowd *c, struct asker *a, instant now)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->hosts[i].x)
            pop_host(c, &c->hosts[i], now);
    if (exchange_next_expiry(asker_exchange(a)) <= now)
        exchange_on_expiry(asker_exchange(a), now);
    pop_asker(c, a, now);
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

static int load(struct crowd *c, struct asker *a, const char *state)
{
    bool registered = false, settled = false;

    for (uint32_t i = 0; i < c->count; i++)
        if (start_host(c, i, clock_now()) != 0)
            return 1;
    while (!ending) {
        instant now = clock_now();

        turn_all(c, a, now);
        if (registered && !settling)
            stir(c, now);
        if (!registered && all_acked(c)) {
            registered = true;
            asker_ask_cache(a);
            say("registered");
        }
        if (settling && !settled && all_acked(c)) {
            settled = true;
            say("settled");
        }
        read_all(c, a, now + TICK);
    }
    asker_print(a);
    return write_state(c, state);
}

static int check(struct crowd *c, struct asker *a)
{
    bool all = false;

    while (!all && !ending) {
        instant now = clock_now();

        turn_all(c, a, now);
        read_all(c, a, now + TICK);
        all = true;
        for (unsigned n = 0; n < CROWD_LEVELS; n++)
            all = all && asker_knows_all(a, n);
    }
    asker_print(a);
    return all ? 0 : fail("check", "not all are known");
}

static int open_all(struct crowd *c, char **managers)
{
    const struct udp_options o = { .family = ADDR_V4, .many = true };

    for (unsigned n = 0; n < CROWD_LEVELS; n++)
        if (endpoint_parse(managers[n], CROWD_PORT, &c->managers[n]) < 0)
            return fail(managers[n], "expected an address");
    prng_init(&c->prng, 1);
    return udp_open(&o, &c->udp) < 0 ? fail("udp", "cannot be opened") : 0;
}

static void close_all(struct crowd *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        exchange_free(c->hosts[i].x);
        holder_deinit(&c->hosts[i].holder);
        identity_wipe(&c->hosts[i].id);
        free(c->hosts[i].said);
    }
    free(c->hosts);
    udp_free(c->udp);
}

static int run(struct crowd *c, char **argv, bool loading)
{
    struct asker *a;
    int code;

    if (read_realm(c, argv[2]) != 0 || open_all(c, argv + 5) != 0 || (!loading && read_state(c, argv[4]) != 0))
        return 1;
    a = asker_new(c, !loading, clock_now());
    if (!a)
        return fail("asker", "out of memory");
    code = loading ? load(c, a, argv[4]) : check(c, a);
    asker_free(a);
    return code;
}

int main(int argc, char **argv)
{
    static struct crowd c;
    bool loading = argc == 9 && strcmp(argv[1], "load") == 0;
    int code;

    if (!(argc == 4 && strcmp(argv[1], "enrol") == 0) && !loading && !(argc == 9 && strcmp(argv[1], "check") == 0)) {
        fputs("usage: hawser-crowd enrol DIR HOSTS | load|check DIR HOSTS STATE TOP MIDDLE BOTTOM EDGE\n", stderr);
        return 2;
    }
    signal(SIGUSR1, on_signal);
    signal(SIGTERM, on_signal);
    if (make_hosts(&c, argv[3]) != 0)
        return 1;
    code = argc == 4 ? enrol(&c, argv[2]) : run(&c, argv, loading);
    close_all(&c);
    return code;
}
