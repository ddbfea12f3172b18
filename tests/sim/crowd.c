/* Ten thousand idle sessions at one listener, over four paths each: what they cost.
 *
 *     session 1 ----- path 1 .. 4 -----+
 *        ...                           +-- 5 ms -- listener
 *     session 10000 - path 1 .. 4 -----+
 *
 * The clients are bare sessions, the listener is a whole node. Every datagram takes 5 ms, and none is lost. */
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "base/heap.h"
#include "node/node.h"
#include "tests/sim/sim.h"
#include "wire/header.h"

#define SESSIONS_MAX 10000
#define PATHS 4
#define DELAY (5 * MSEC)
#define SPACING (4 * MSEC) /* between two calls: the listener has a credit of 333 handshakes a second */
#define START (1000 * SEC)

struct letter {
    struct letter *next;
    instant due;
    struct session *to; /* NULL: the listener */
    struct locator_pair at;
    size_t len;
    uint8_t data[];
};

struct client {
    struct session *session;
    struct identity self;
    struct handshake_mask mask;
    struct heap_item expiry;
    bool up, sleeps;
};

static struct crowd {
    instant now;
    struct prng prng;
    struct identity self;
    struct node *listener;
    struct pbuf_pool pool;
    struct map64 cids;
    struct client clients[SESSIONS_MAX];
    unsigned count;
    struct heap expiries;
    struct letter *letters, **end;
    uint8_t out[SESSION_OUTPUT_MAX];
    unsigned ups, rekeys, downs;
    uint64_t datagrams, lost;
} c;

static uint64_t expiries;

void __real_session_on_expiry(struct session *s, instant now);
void __wrap_session_on_expiry(struct session *s, instant now);
void __wrap_session_on_expiry(struct session *s, instant now)
{
    expiries++;
    __real_session_on_expiry(s, now);
}

/* Client i sends by its path 1..4 from an address of its own. */
static struct endpoint place(unsigned i, uint32_t link)
{
    return (struct endpoint){ .addr = addr_v4(0x0a000000u + i), .port = (uint16_t)(1000 + link) };
}

static void post(struct session *to, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    struct letter *l = malloc(sizeof(*l) + len);

    assert_non_null(l);
    *l = (struct letter){ .due = c.now + DELAY, .to = to, .at = *at, .len = len };
    memcpy(l->data, data, len);
    *c.end = l;
    c.end = &l->next;
    c.datagrams++;
}

/* Each datagram of a train. */
static void post_all(struct session *to, const struct locator_pair *at, const struct session_tx *tx)
{
    size_t segment = tx->segment ? tx->segment : tx->len;

    for (size_t off = 0; off < tx->len; off += segment)
        post(to, at, c.out + off, MIN(segment, tx->len - off));
}

static void client_turn(struct client *k)
{
    struct locator_pair at = { .link = NODE_LISTEN_LINK };
    struct session_event ev;
    struct session_tx tx;

    while (session_output(k->session, c.out, &tx, c.now)) {
        at.remote = place((unsigned)(k - c.clients), tx.at.link);
        post_all(NULL, &at, &tx);
    }
    while (session_pop_event(k->session, &ev))
        if (ev.type == SESSION_UP)
            k->up = true;
    heap_set(&c.expiries, &k->expiry, session_next_expiry(k->session, c.now));
}

static void listener_turn(void)
{
    struct session_tx tx;
    struct node_event ev;

    while (node_output(c.listener, c.out, &tx, c.now)) {
        unsigned i = get_be32(tx.at.remote.addr.bytes) - 0x0a000000u;
        struct locator_pair at = { .link = tx.at.remote.port - 1000u };

        at.remote = (struct endpoint){ .addr = addr_v4(0xc0000201u), .port = 5201 };
        assert_true(i < SESSIONS_MAX);
        post_all(c.clients[i].session, &at, &tx);
    }
    while (node_pop_event(c.listener, &ev)) {
        c.ups += ev.type == NODE_PEER_UP;
        c.rekeys += ev.type == NODE_PEER_REKEYED;
        c.downs += ev.type == NODE_PEER_DOWN;
    }
}

static void client_takes(struct session *s, struct letter *l)
{
    struct client *k = session_owner(s);
    struct cid_entry *e;

    switch (l->data[0]) {
    case PACKET_SEALED:
        e = map64_get(&c.cids, get_be64(l->data) & CID_MASK);
        if (e)
            session_on_sealed(e, l->data, l->len, 0, &l->at, c.now);
        break;
    case PACKET_RESPONSE:
        (void)session_on_response(s, l->data, l->len, &l->at, c.now);
        break;
    case PACKET_COOKIE:
        (void)session_on_cookie(s, l->data, l->len, &l->at, c.now);
        break;
    }
    client_turn(k);
}

static void deliver(void)
{
    struct letter *l = c.letters;

    c.letters = l->next;
    if (!c.letters)
        c.end = &c.letters;
    if (l->to && ((struct client *)session_owner(l->to))->sleeps) {
        c.lost++;
    } else if (l->to) {
        client_takes(l->to, l);
    } else {
        node_on_datagram(c.listener, &l->at, l->data, l->len, 0, 0, c.now);
        listener_turn();
    }
    free(l);
}

static void run(instant until)
{
    for (;;) {
        instant of_listener = node_next_expiry(c.listener, c.now), next = of_listener;
        const struct heap_item *first = heap_first(&c.expiries);

        next = first ? instant_min(next, first->at) : next;
        next = c.letters ? instant_min(next, c.letters->due) : next;
        if (next > until)
            break;
        c.now = MAX(c.now, next);
        if (c.letters && c.letters->due <= c.now) {
            deliver();
        } else if (of_listener <= c.now) {
            node_on_expiry(c.listener, c.now);
            listener_turn();
        } else {
            struct client *k = CONTAINER_OF(first, struct client, expiry);

            session_on_expiry(k->session, c.now);
            client_turn(k);
        }
    }
    c.now = until;
}

static void call(unsigned i)
{
    static const struct delivery_options stream = { 0 };
    struct client *k = &c.clients[i];
    struct rng rng = prng_rng(&c.prng);
    struct session_options o = {
        .owner = k,
        .self = &k->self,
        .self_mask = &k->mask,
        .rng = &rng,
        .pool = &c.pool,
        .cids = &c.cids,
        .opener = true,
        .suites = suite_supported(),
        .features = FEATURES_KNOWN,
        .wait = SESSION_WAIT_DEFAULT,
        .delivery = &stream,
    };
    struct session_path_spec spec = { .weight = 100 };
    static struct rng kept;

    kept = rng;
    o.rng = &kept; /* sessions keep it */
    assert_int_equal(identity_generate(&k->self, &rng), 0);
    handshake_mask_init(&k->mask, k->self.x25519);
    identity_peer_key(&c.self, suite_supported(), &o.peer);
    k->expiry.at = INSTANT_NEVER;
    k->session = session_new(&o, c.now);
    assert_non_null(k->session);
    for (uint32_t link = 1; link <= PATHS; link++) {
        spec.at = (struct locator_pair){ .link = link };
        spec.at.remote = (struct endpoint){ .addr = addr_v4(0xc0000201u), .port = 5201 };
        snprintf(spec.link, sizeof(spec.link), "link%u", link);
        assert_true(session_path_add(k->session, &spec, c.now) >= 0);
    }
    session_connect(k->session, NULL, 0, c.now);
    client_turn(k);
}

static void gather(unsigned count)
{
    static const struct delivery_options stream = { 0 };
    struct node_options o = {
        .self = &c.self, .role = ROLE_AGENT, .strangers = true, .delivery = &stream, .pool_pkts = 16384
    };

    prng_init(&c.prng, 1);
    o.rng = prng_rng(&c.prng);
    c.now = START;
    c.end = &c.letters;
    assert_int_equal(identity_generate(&c.self, &o.rng), 0);
    assert_int_equal(pbuf_pool_init(&c.pool, 16384), 0);
    map64_init(&c.cids, 1 << 22, 1);
    assert_int_equal(heap_reserve(&c.expiries, SESSIONS_MAX), 0);
    c.listener = node_new(&o, c.now);
    assert_non_null(c.listener);
    for (; c.count < count; run(c.now + SPACING))
        call(c.count++);
    run(c.now + 10 * SEC);
}

static unsigned active_paths(struct session *s)
{
    struct session_path_info info;
    unsigned n = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(s, i, c.now, &info);
        n += info.used && info.metrics.state == PATH_ACTIVE;
    }
    return n;
}

static void check_all_active(void)
{
    for (unsigned i = 0; i < c.count; i++) {
        assert_true(c.clients[i].up);
        assert_int_equal(active_paths(c.clients[i].session), PATHS);
        assert_int_equal(active_paths(node_peer_session(c.listener, i)), PATHS);
    }
    assert_int_equal(c.ups, c.count);
    assert_int_equal(c.downs, 0);
}

static void scatter(void)
{
    for (unsigned i = 0; i < c.count; i++)
        session_free(c.clients[i].session);
    while (c.letters) {
        struct letter *l = c.letters;

        c.letters = l->next;
        free(l);
    }
    node_free(c.listener);
    map64_deinit(&c.cids);
    heap_deinit(&c.expiries);
    pbuf_pool_deinit(&c.pool);
    memset(&c, 0, sizeof(c));
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* An idle session has a tick a second, and for each path a probe of its own and one of the peer's in 5 s: a record each
 * way, of which either end hears, sends and is waited for. */
#define EXPIRIES_MAX (1 + PATHS * 2 * 3 / 5.)

static void test_idle(void **state)
{
    span idle = 10 * SEC;
    uint64_t rekeys;
    double cpu;

    gather(sim_brief() ? 500 : SESSIONS_MAX);
    check_all_active();
    expiries = c.datagrams = 0;
    rekeys = c.rekeys;
    cpu = cpu_seconds();
    run(c.now + idle);
    cpu = cpu_seconds() - cpu;
    printf("# %u sessions, both ends: %.2f expiries and %.2f datagrams a session and second, %.1f rekeys a second; "
           "%.1f %% of a core\n",
           c.count, (double)expiries / 2 / c.count / ((double)idle / SEC),
           (double)c.datagrams / c.count / ((double)idle / SEC), (double)(c.rekeys - rekeys) / ((double)idle / SEC),
           cpu * 100 / ((double)idle / SEC));
    assert_true((double)expiries / 2 / c.count / ((double)idle / SEC) <= EXPIRIES_MAX);
    check_all_active();
    scatter();
}

/* A session after its keys were renewed, its data and buffers given back: what the listener holds for one more. */
static void test_memory(void **state)
{
    static uint8_t bytes[200000];
    size_t before, held;

    gather(200);
    run(START + 200 * SEC);
    check_all_active();
    assert_true(c.rekeys >= c.count);
    for (unsigned i = 0; i < c.count; i += 10) { /* one in ten was busy */
        assert_int_equal(delivery_write(session_delivery(c.clients[i].session), bytes, sizeof(bytes)), sizeof(bytes));
        client_turn(&c.clients[i]);
    }
    run(c.now + 1 * SEC);
    for (unsigned i = 0; i < c.count; i++)
        while (delivery_read(node_peer_delivery(c.listener, i), bytes, sizeof(bytes), NULL) > 0)
            node_peer_wake(c.listener, i);
    run(c.now + 20 * SEC);
    before = mallinfo2().uordblks;
    for (unsigned i = 0; i < c.count; i++)
        node_peer_forget(c.listener, i);
    held = (before - mallinfo2().uordblks) / c.count;
    scatter();
    if (before == 0)
        skip(); /* the allocator does not tell: a sanitizer's */
    printf("# %zu bytes a session of the listener\n", held);
    assert_true(held <= 64 * 1024);
}

/* A program that does nothing for 90 s, and has no thread that would: what comes to it is lost. Its session is there
 * when it looks again. */
static void test_sleeper(void **state)
{
    struct client *k = &c.clients[0];
    uint8_t bytes[1000] = { 1 };

    gather(1);
    k->sleeps = true;
    heap_set(&c.expiries, &k->expiry, INSTANT_NEVER);
    run(c.now + 90 * SEC);
    k->sleeps = false;
    assert_int_equal(delivery_write(session_delivery(k->session), bytes, sizeof(bytes)), sizeof(bytes));
    session_on_expiry(k->session, c.now);
    client_turn(k);
    run(c.now + 10 * SEC);
    assert_int_equal(delivery_read(node_peer_delivery(c.listener, 0), bytes, sizeof(bytes), NULL), sizeof(bytes));
    assert_int_equal(delivery_error(session_delivery(k->session)), 0);
    check_all_active();
    scatter();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleeper),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
