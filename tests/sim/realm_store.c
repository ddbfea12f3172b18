/* A manager before a store, in virtual time: hosts come, move and go, the store is slow and fails, there are fewer rows
 * than hosts, hosts are revoked, and the manager dies at any moment and begins anew with the realm's log and the store.
 *
 * Always: what was acknowledged is in the store, under that sequence or a higher one; no reader is given an older
 * sequence than one that was durable; nobody who was revoked is found. In the end: who is there is found under his
 * newest sequence. */
#include "mapping/holder.h"
#include "mapping/manager.h"
#include "tests/unit/realm_world.h"

#include <errno.h>

#define HOSTS 12u
#define AWAKE 6u /* at a time */
#define ROWS 8u
#define STEP (100 * MSEC)
#define STEPS 40000u
#define COMMIT (600 * MSEC) /* at most */
#define BATCHES 64u
#define BATCH 4u
#define OUTAGE (60 * SEC)

struct host {
    uint8_t seed[32], key[32];
    struct tag tag;
    char name[32];
    struct rw_blob registration;
    struct holder holder;
    bool awake, revoked, waits;
    uint64_t number, seq; /* waits: for the store */
    instant failed_at;    /* a request that nobody answers any more */
    uint64_t seen;
};

/* What is on the disk of one host. */
struct stored {
    bool there;
    uint64_t seq;
    uint8_t bytes[512];
    size_t len;
    instant expires;
};

struct batch {
    struct {
        uint32_t host;
        bool forgotten;
        uint64_t number;
        struct stored row;
    } changes[BATCH];
    size_t count;
    instant due;
};

static struct {
    struct rw w;
    struct host hosts[HOSTS];
    struct stored disk[HOSTS];
    struct batch batches[BATCHES];
    size_t first, next;
    struct manager *m;
    struct rw_blob policy, revocations[HOSTS];
    size_t revoked;
    instant now, again;
    uint64_t acks, deaths, failures, reads;
} s;

static uint8_t out[MAPPING_BYTES_MAX];

static uint64_t below(uint64_t n)
{
    return prng_below(&s.w.prng, n);
}

static void move(struct host *h)
{
    const struct record_target t = {
        .is_locator = true, .locator = { addr_v4(0xc0000200u + (uint32_t)below(250)), (uint16_t)(1 + below(60000)) }
    };

    assert_int_equal(holder_set_targets(&h->holder, &t, 1, s.now), 0);
}

static uint32_t lease_of(const struct host *h)
{
    return 15 + 35 * (uint32_t)((h - s.hosts) % 4);
}

/* Has not said anything yet, and does not know what it said before it was started. */
static void boot(struct host *h)
{
    holder_deinit(&h->holder);
    holder_init(&h->holder, h->seed, &h->tag, &h->tag, KIND_HOST_LOCATOR, CLASS_FULL, lease_of(h), 1,
                (uint32_t)below(1000));
    h->failed_at = 0;
    h->waits = false;
    move(h);
}

static void take(const struct rw_blob *b)
{
    struct record_error why;

    assert_int_equal(manager_take(s.m, b->bytes, b->len, s.now, &why), 0);
}

static void start(void)
{
    struct manager_options o = { .rng = s.w.rng,
                                 .bindings_max = ROWS,
                                 .names_max = 2 * HOSTS,
                                 .guests_max = 4,
                                 .subscriptions_max = 4,
                                 .log_max = 8,
                                 .epoch = ++s.deaths,
                                 .stores = true };
    struct slice link = rw_slice(&s.w.root);
    struct record_error why;

    manager_free(s.m);
    s.m = manager_new(&o, s.now);
    assert_non_null(s.m);
    assert_int_equal(manager_set_self(s.m, &link, 1, RW_NOW_S, &why), 0);
    for (uint32_t i = 0; i < HOSTS; i++)
        take(&s.hosts[i].registration);
    take(&s.policy);
    for (size_t i = 0; i < s.revoked; i++)
        take(&s.revocations[i]);
    for (uint32_t i = 0; i < HOSTS; i++) {
        const struct stored *d = &s.disk[i];
        bool live = d->len > 0 && d->expires > s.now;

        if (d->there && !s.hosts[i].revoked) {
            int e = manager_load(s.m, &s.hosts[i].tag, KIND_HOST_LOCATOR, CLASS_FULL, d->seq, live ? d->bytes : NULL,
                                 live ? d->len : 0, d->expires, s.now);

            assert_true(e == 0 || e == -ENOSPC);
        }
        /* What was told and was not durable may be lost, and who had asked hears nothing. */
        s.hosts[i].seen = MIN(s.hosts[i].seen, d->there ? d->seq : 0);
        if (s.hosts[i].waits) {
            s.hosts[i].waits = false;
            s.hosts[i].failed_at = s.now + 4 * SEC;
        }
    }
    s.first = s.next = 0;
    s.again = 0;
}

/* --- the store --- */

static uint32_t host_of(const struct tag *t)
{
    uint32_t i = 0;

    while (!tag_equal(&s.hosts[i].tag, t))
        assert_true(++i < HOSTS);
    return i;
}

static void submit(void)
{
    struct batch *b = &s.batches[s.next % BATCHES];
    struct manager_change c;

    if (s.now < s.again || s.next - s.first == BATCHES)
        return;
    b->count = 0;
    while (b->count < BATCH && manager_pop_change(s.m, s.now, &c)) {
        struct stored row = { .there = !c.forgotten, .seq = c.row.seq, .len = c.row.bytes ? c.row.len : 0 };

        assert_true(row.len <= sizeof(row.bytes));
        if (row.len > 0)
            memcpy(row.bytes, c.row.bytes, row.len);
        row.expires = c.row.expires;
        b->changes[b->count].host = host_of(&c.row.subject);
        b->changes[b->count].forgotten = c.forgotten;
        b->changes[b->count].number = c.number;
        b->changes[b->count++].row = row;
    }
    if (b->count == 0)
        return;
    b->due = s.now + (span)below(COMMIT);
    s.next++;
}

static void commit(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct stored *d = &s.disk[b->changes[i].host];
        const struct stored *row = &b->changes[i].row;

        if (b->changes[i].forgotten) {
            assert_true(s.hosts[b->changes[i].host].revoked); /* and nobody else */
            *d = (struct stored){ 0 };
        } else if (!d->there || row->seq > d->seq || (row->seq == d->seq && row->len == 0)) {
            *d = *row;
        } else {
            assert_int_equal(row->seq, d->seq); /* nobody else writes here */
        }
    }
    manager_stored(s.m, b->changes[b->count - 1].number);
}

static void wake(struct host *h)
{
    if (below(3) == 0)
        boot(h);
    else
        holder_on_up(&h->holder, s.now);
}

/* All who are awake fall asleep, so that their leases end at once, and others wake up. */
static void all_change(void)
{
    uint32_t left = AWAKE;

    for (uint32_t i = 0; i < HOSTS; i++) {
        struct host *h = &s.hosts[i];
        bool wakes = !h->awake && !h->revoked && left > 0;

        h->awake = wakes;
        left -= wakes;
        if (wakes)
            wake(h);
    }
}

static void run_store(void)
{
    while (s.first < s.next && s.batches[s.first % BATCHES].due <= s.now) {
        if (below(20) == 0) { /* the disk is full for a while: nothing of it, and of what came after it */
            manager_store_again(s.m);
            s.first = s.next;
            s.again = s.now + (below(4) == 0 ? OUTAGE : SEC);
            s.failures++;
            if (s.again - s.now == OUTAGE && below(2) == 0)
                all_change();
            return;
        }
        commit(&s.batches[s.first++ % BATCHES]);
    }
}

/* --- hosts --- */

static void ask(struct host *h)
{
    struct manager_who who = { .peer = 1, .ed25519 = h->key };
    uint8_t request[HOLDER_REQUEST_MAX];
    struct manager_reply reply;
    size_t len = holder_output(&h->holder, s.now, request);

    if (len == 0)
        return;
    manager_on_request(s.m, &who, request, len, s.now, RW_NOW_S, out, &reply);
    if (reply.stored == 0) {
        holder_on_answer(&h->holder, out, reply.len, s.now);
        return;
    }
    h->waits = true;
    h->number = reply.stored;
    h->seq = h->holder.seq;
}

/* What waited is durable. */
static void acknowledge(struct host *h)
{
    struct mapping_answer a = {
        .status = MAPPING_DONE, .left_s = lease_of(h), .fresh_s = 10, .seq = h->seq, .tag = h->tag
    };
    const struct stored *d = &s.disk[h - s.hosts];
    struct writer w = writer_init(out, sizeof(out));

    if (!h->waits || manager_durable(s.m) < h->number)
        return;
    h->waits = false;
    if (!h->revoked)
        assert_true(d->there && d->seq >= h->seq);
    mapping_answer_write(&w, &a);
    holder_on_answer(&h->holder, out, writer_len(&w), s.now);
    s.acks++;
}

/* The sequence under which it is found; 0: it is not. */
static uint64_t read(struct host *h)
{
    struct mapping_request r = {
        .type = MAPPING_RESOLVE, .name = h->name, .name_len = strlen(h->name), .kind = KIND_HOST_LOCATOR
    };
    struct manager_who who = { .peer = 2, .ed25519 = s.w.keys[RW_STRANGER] };
    uint8_t request[256];
    struct writer w = writer_init(request, sizeof(request));
    struct manager_reply reply;
    struct record_error why;
    struct record_bytes b;
    struct mapping_answer a;
    struct record rec;

    mapping_request_write(&w, &r);
    manager_on_request(s.m, &who, request, writer_len(&w), s.now, RW_NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    if (a.status != MAPPING_FOUND)
        return 0;
    assert_int_equal(record_decode(a.record.data, a.record.len, &rec, &b, &why), 0);
    assert_false(h->revoked);
    assert_true(rec.seq >= h->seen);
    h->seen = rec.seq;
    s.reads++;
    return rec.seq;
}

static void revoke(struct host *h)
{
    struct record r = { .type = RECORD_REVOCATION, .subject = h->tag, .seq = ++s.w.seq, .issued_s = RW_NOW_S };

    r.issuer = rw_tag(&s.w, RW_ROOT, TAG_TIER_SERVICE, 0);
    rw_sign(&s.w, &r, RW_ROOT, &s.revocations[s.revoked]);
    take(&s.revocations[s.revoked++]);
    h->revoked = true;
    h->awake = false;
}

static void set_up(void)
{
    struct tag root;

    memset(&s, 0, sizeof(s));
    rw_init(&s.w);
    s.now = 1000 * SEC;
    root = rw_tag(&s.w, RW_ROOT, TAG_TIER_SERVICE, 0);
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct host *h = &s.hosts[i];
        struct record r = {
            .type = RECORD_REGISTRATION, .issuer = root, .issued_s = RW_NOW_S, .suites = 1, .seq = ++s.w.seq
        };

        memset(h->seed, (int)(100 + i), 32);
        assert_int_equal(ed25519_public(h->seed, h->key), 0);
        assert_int_equal(tag_make(h->key, RW_RAA, TAG_HDA(TAG_TIER_HOST, 0), &h->tag), 0);
        snprintf(h->name, sizeof(h->name), "host%u.h.rid.example", i);
        r.subject = h->tag;
        memcpy(r.key, h->key, 32);
        snprintf(r.name, sizeof(r.name), "%s", h->name);
        rw_sign(&s.w, &r, RW_ROOT, &h->registration);
        h->awake = i < AWAKE;
        boot(h);
    }
    rw_policy(&s.w, &root, RW_ROOT, &root, ++s.w.seq, "2001:3f::/32", CLASS_FULL, &s.policy);
    start();
}

/* One goes to sleep, and its lease ends; another wakes up. */
static void change_places(void)
{
    struct host *a = &s.hosts[below(HOSTS)], *b = &s.hosts[below(HOSTS)];

    if (!a->awake || b->awake || b->revoked || s.revoked > HOSTS - AWAKE)
        return;
    a->awake = false;
    b->awake = true;
    wake(b);
}

static void step(bool faults)
{
    s.now += STEP;
    if (manager_next_expiry(s.m) <= s.now)
        manager_on_expiry(s.m, s.now);
    if (faults && below(5) == 0)
        move(&s.hosts[below(HOSTS)]);
    if (faults && below(100) == 0)
        change_places();
    if (faults && below(STEPS / 4) == 0 && s.revoked < HOSTS - AWAKE)
        revoke(&s.hosts[below(HOSTS)]);
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct host *h = &s.hosts[i];

        if (h->failed_at > 0 && h->failed_at <= s.now) {
            h->failed_at = 0;
            holder_on_failed(&h->holder, s.now);
        }
        if (h->awake && !h->waits)
            ask(h);
    }
    submit();
    run_store();
    for (uint32_t i = 0; i < HOSTS; i++)
        acknowledge(&s.hosts[i]);
    read(&s.hosts[below(HOSTS)]);
    if (faults && below(500) == 0)
        start();
}

static void test_store(void **state)
{
    set_up();
    for (unsigned i = 0; i < STEPS; i++)
        step(true);
    start();
    all_change(); /* into the places of those who are asleep */
    for (unsigned i = 0; i < 400 * SEC / STEP; i++)
        step(false);
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct host *h = &s.hosts[i];

        if (h->awake)
            assert_int_equal(read(h), h->holder.seq);
    }
    print_message("# %llu acknowledged, %llu reads, %llu starts, %llu failures of the store\n",
                  (unsigned long long)s.acks, (unsigned long long)s.reads, (unsigned long long)s.deaths,
                  (unsigned long long)s.failures);
    assert_true(s.acks > 100 && s.deaths > 50 && s.failures > 20 && s.revoked > 0);
    for (uint32_t i = 0; i < HOSTS; i++)
        holder_deinit(&s.hosts[i].holder);
    manager_free(s.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_store) };

    return cmocka_run_group_tests_name("a manager before a store", tests, NULL, NULL);
}
