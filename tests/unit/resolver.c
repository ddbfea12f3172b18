/* Unit tests of mapping/resolver.h: managers that are scripted, in virtual time. Three realms: a root, acme below it
 * and eng below that, each with two managers. */
#include "mapping/resolver.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#define NOW_S 1750000000u
#define RAA TAG_RAA(9)
#define START ((instant)1000 * SEC)

enum { ROOT = 1, ACME, ENG, HOST, USER, OTHER, SELF };
enum { MANAGERS = 8, FLIGHTS = 256 }; /* managers 0 1: root; 2 3: acme; 4 5: eng; 6 7: eng, later */

struct blob {
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len;
};

/* What a manager does. */
struct script {
    bool dead;
    span delay;
    unsigned asked, introduced;
    uint64_t seq;          /* of the host's binding that it has */
    uint8_t granted;       /* 0: denies */
    uint8_t to_introduced; /* what it grants to who introduced himself; 0: everybody is alike */
    bool spoils;           /* wrong signatures */
    bool refers_back;      /* eng refers to acme */
    bool moved;            /* acme knows of eng's later managers */
    uint32_t later_ms;
    uint32_t left_s, fresh_s;
    uint8_t answer_class; /* of the record */
};

struct flight {
    instant at;
    uint64_t ask;
    bool fails;
    uint8_t bytes[8192];
    size_t len;
};

static struct {
    struct resolver *r;
    instant now;
    struct script m[MANAGERS];
    struct flight *flights;
    size_t flights_count;
    struct resolver_result last;
    struct record binding; /* of the last result */
    unsigned done, steps;
    size_t places; /* of the last question that a manager was asked */
    uint64_t wrong;
    instant done_at;
    struct resolver_step step[RESOLVER_STEPS_MAX];
} w;

static uint8_t seeds[16][32], keys[16][32];
static struct blob root, acme, eng, host, acme_at, eng_at, eng_moved_at, self;
static struct prng prng;

static struct tag tag_of(int key, enum tag_tier tier, unsigned number)
{
    struct tag t;

    assert_int_equal(tag_make(keys[key], RAA, TAG_HDA(tier, number), &t), 0);
    return t;
}

static void sign(struct record *r, int by, struct blob *ret)
{
    assert_int_equal(record_encode(r, seeds[by], ret->bytes, sizeof(ret->bytes), &ret->len), 0);
}

static void make_realm(int key, int by, const char *name, unsigned number, unsigned bits, unsigned parent,
                       struct blob *ret)
{
    struct record r = { .type = by == key ? RECORD_ROOT : RECORD_DELEGATION,
                        .issuer = tag_of(by, TAG_TIER_SERVICE, parent),
                        .subject = tag_of(key, TAG_TIER_SERVICE, number),
                        .seq = 1,
                        .issued_s = NOW_S,
                        .not_after_s = by == key ? 0 : NOW_S + 100000,
                        .range = { (uint16_t)number, (uint8_t)bits },
                        .tiers = by == key ? 0 : 0x0f,
                        .suites = by == key ? 3 : 0 };

    memcpy(r.key, keys[key], 32);
    strcpy(r.name, name);
    sign(&r, by, ret);
}

static void make_entity(int key, const char *name, struct blob *ret)
{
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = tag_of(ENG, TAG_TIER_SERVICE, 0x110),
                        .subject = tag_of(key, TAG_TIER_HOST, 0x110),
                        .seq = 1,
                        .issued_s = NOW_S,
                        .suites = 1 };

    memcpy(r.key, keys[key], 32);
    strcpy(r.name, name);
    sign(&r, ENG, ret);
}

static struct endpoint at_of(unsigned manager)
{
    return (struct endpoint){ { ADDR_V4, { 192, 0, 2, (uint8_t)manager } }, 4500 };
}

/* A binding at two endpoints: the managers of a realm, or whatever. */
static void bind(int key, struct tag subject, unsigned kind, uint64_t seq, unsigned first, uint8_t answer,
                 struct blob *ret)
{
    struct record r = { .type = RECORD_BINDING,
                        .issuer = subject,
                        .subject = subject,
                        .seq = seq,
                        .kind = (uint8_t)kind,
                        .lease_s = 1000,
                        .answer = answer,
                        .targets_count = 2 };

    for (unsigned i = 0; i < 2; i++)
        r.targets[i] =
            (struct record_target){ .is_locator = true, .priority = (uint16_t)i, .locator = at_of(first + i) };
    sign(&r, key, ret);
}

static struct slice slice_of(const struct blob *b)
{
    return (struct slice){ b->bytes, b->len };
}

static struct tag eng_tag(void)
{
    return tag_of(ENG, TAG_TIER_SERVICE, 0x110);
}

static struct tag host_tag(void)
{
    return tag_of(HOST, TAG_TIER_HOST, 0x110);
}

/* --- managers --- */

static void refer(struct mapping_answer *a, const struct script *m, struct blob *spoiled, const struct blob *chain[],
                  size_t count, const struct blob *binding)
{
    a->status = MAPPING_REFERRAL;
    for (size_t i = 0; i < count; i++)
        a->chain[i] = slice_of(chain[i]);
    a->chain_count = count;
    if (m->spoils) {
        *spoiled = *chain[count - 1];
        spoiled->bytes[spoiled->len - 1] ^= 1;
        a->chain[count - 1] = slice_of(spoiled);
    }
    a->record = slice_of(binding);
    a->left_s = m->left_s;
    a->fresh_s = m->fresh_s;
}

static void answer(struct script *m, unsigned n, const struct mapping_request *q, bool knows_us,
                   struct mapping_answer *a, struct blob *made, struct blob *spoiled)
{
    const struct blob *to_acme[] = { &root, &acme }, *to_eng[] = { &root, &acme, &eng };
    const uint8_t granted = m->to_introduced && knows_us ? m->to_introduced : m->granted;

    if (m->later_ms) {
        a->status = MAPPING_LATER;
        a->wait_ms = m->later_ms;
    } else if (n < 2) {
        refer(a, m, spoiled, to_acme, 2, &acme_at);
    } else if (n < 4) {
        refer(a, m, spoiled, to_eng, 3, m->moved ? &eng_moved_at : &eng_at);
    } else if (m->refers_back) {
        refer(a, m, spoiled, to_acme, 2, &acme_at);
    } else if (!granted) {
        a->status = MAPPING_NONE;
        a->fresh_s = m->fresh_s;
    } else {
        bind(HOST, host_tag(), KIND_HOST_LOCATOR, m->seq, 100, m->answer_class, made);
        if (m->spoils)
            made->bytes[made->len - 1] ^= 1;
        *a = (struct mapping_answer){ .status = MAPPING_FOUND,
                                      .granted = granted,
                                      .record = slice_of(made),
                                      .chain = { slice_of(&root), slice_of(&acme), slice_of(&eng), slice_of(&host) },
                                      .chain_count = 4,
                                      .left_s = m->left_s,
                                      .fresh_s = m->fresh_s };
    }
    if (m->to_introduced && !knows_us && a->status <= MAPPING_NONE)
        a->flags |= MAPPING_STRANGER;
}

/* What the resolver wants to be asked is asked; what it says is kept. */
static void serve(const struct resolver_event *e)
{
    unsigned n = e->at.addr.bytes[3];
    struct script *m = &w.m[n];
    struct flight *f = &w.flights[w.flights_count++];
    struct mapping_answer a = { 0 };
    struct blob made, spoiled;
    struct mapping_request q;
    struct writer out = writer_init(f->bytes, sizeof(f->bytes));

    assert_in_range(n, 0, MANAGERS - 1);
    assert_memory_equal(e->ed25519, keys[n < 2 ? ROOT : n < 4 ? ACME : ENG], 32);
    assert_in_range(w.flights_count, 1, FLIGHTS);
    assert_int_equal(mapping_request_read(e->data, e->len, &q), 0);
    f->ask = e->ask;
    f->fails = m->dead;
    f->at = w.now + (m->dead ? 3750 * MSEC : m->delay);
    m->asked++;
    if (q.type == MAPPING_INTRODUCE) {
        m->introduced++;
        a.status = MAPPING_DONE;
    } else {
        assert_int_equal(q.flags, MAPPING_WITH_CHAIN);
        w.places = q.places_count;
        w.wrong = q.seq;
        answer(m, n, &q, m->introduced > 0, &a, &made, &spoiled);
    }
    mapping_answer_write(&out, &a);
    assert_false(out.failed);
    f->len = writer_len(&out);
}

static void pop_all(void)
{
    struct record_error err;
    struct record_bytes b;
    struct resolver_event e;

    while (resolver_pop_event(w.r, &e, w.now)) {
        if (e.type == RESOLVER_ASK) {
            serve(&e);
        } else if (e.type == RESOLVER_STEP) {
            w.step[w.steps++] = e.step;
        } else {
            w.done++;
            w.done_at = w.now;
            w.last = e.result;
            if (e.result.outcome == RESOLVER_FOUND)
                assert_int_equal(record_decode(e.result.record.data, e.result.record.len, &w.binding, &b, &err), 0);
        }
    }
}

/* Until nothing happens any more, or at most to `until`. */
static void run(instant until)
{
    pop_all();
    for (;;) {
        instant next = resolver_next_expiry(w.r);
        size_t first = w.flights_count;
        struct flight *f;

        for (size_t i = 0; i < w.flights_count; i++)
            if (w.flights[i].at <= next && (first == w.flights_count || w.flights[i].at < w.flights[first].at))
                first = i;
        f = first < w.flights_count ? &w.flights[first] : NULL;
        next = f ? f->at : next;
        if (next == INSTANT_NEVER || next > until) {
            w.now = until == INSTANT_NEVER ? w.now : until;
            return;
        }
        w.now = MAX(w.now, next);
        if (!f) {
            resolver_on_expiry(w.r, w.now);
        } else {
            struct flight landed = *f;

            *f = w.flights[--w.flights_count];
            if (landed.fails)
                resolver_on_failed(w.r, landed.ask, w.now);
            else
                resolver_on_answer(w.r, landed.ask, landed.bytes, landed.len, w.now);
        }
        pop_all();
    }
}

static unsigned asked(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MANAGERS; i++) {
        n += w.m[i].asked;
        w.m[i].asked = 0;
    }
    return n;
}

static void start(uint8_t class_max, bool introduces)
{
    struct resolver_options o = { .root = slice_of(&root),
                                  .managers = { at_of(0), at_of(1) },
                                  .managers_count = 2,
                                  .class_max = class_max,
                                  .questions_max = 64 };
    struct record_error err;

    prng_init(&prng, 7);
    o.rng = prng_rng(&prng);
    if (introduces) {
        o.chain[0] = slice_of(&root);
        o.chain[1] = slice_of(&acme);
        o.chain[2] = slice_of(&eng);
        o.chain[3] = slice_of(&self);
        o.chain_count = 4;
    }
    w.now = START;
    w.flights = calloc(FLIGHTS, sizeof(*w.flights));
    assert_non_null(w.flights);
    for (unsigned i = 0; i < MANAGERS; i++)
        w.m[i] = (struct script){ .delay = 10 * MSEC,
                                  .seq = 10,
                                  .granted = CLASS_AGENT,
                                  .answer_class = CLASS_AGENT,
                                  .left_s = 600,
                                  .fresh_s = 60 };
    assert_int_equal(resolver_new(&o, NOW_S, w.now, &w.r, &err), 0);
}

static int stop(void **state)
{
    resolver_free(w.r);
    free(w.flights);
    memset(&w, 0, sizeof(w));
    return 0;
}

static void ask(const char *text, bool anew)
{
    struct resolver_question q = { .kind = KIND_HOST_LOCATOR, .anew = anew };
    struct name_error err;
    struct name n;

    assert_int_equal(name_parse(text, strlen(text), &n, &err), 0);
    q.name = &n;
    assert_int_equal(resolver_ask(w.r, &q, &w, w.now), 0);
}

#define LAPTOP "laptop.h.eng.acme.example"

/* Asks and waits for the answer. */
static const struct resolver_result *resolve(const char *text)
{
    w.done = 0;
    ask(text, false);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
    return &w.last;
}

/* --- tests --- */

static void test_found(void **state)
{
    const struct tag tag = host_tag();
    struct resolver_question by_tag = { .tag = tag, .kind = KIND_HOST_LOCATOR };
    struct resolver_stats stats;

    start(CLASS_FULL, false);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(asked(), 3); /* root, acme, eng */
    assert_int_equal(w.now - START, 30 * MSEC);
    assert_true(tag_equal(&w.last.subject.tag, &tag));
    assert_true(!w.last.cached && !w.last.stale);
    assert_int_equal(w.last.granted, CLASS_AGENT);
    assert_int_equal(w.last.left_s, 600);
    assert_int_equal(w.last.fresh_s, 60);
    assert_int_equal(w.last.chain_count, 4);
    assert_int_equal(w.binding.seq, 10);

    w.now += 20 * SEC;
    assert_int_equal(resolve("LAPTOP.h.eng.acme.example.")->outcome, RESOLVER_FOUND);
    assert_true(w.last.cached);
    assert_int_equal(w.last.fresh_s, 40);
    assert_int_equal(w.last.left_s, 580);
    assert_int_equal(w.last.age_s, 20);
    assert_int_equal(asked(), 0);

    w.done = 0;
    assert_int_equal(resolver_ask(w.r, &by_tag, &w, w.now), 0);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.last.outcome, RESOLVER_FOUND);
    assert_int_equal(asked(), 1); /* who manages eng is known */
    by_tag.kind = KIND_COUNT;
    assert_int_equal(resolver_ask(w.r, &by_tag, &w, w.now), -EINVAL);
    resolver_stats_get(w.r, &stats);
    assert_int_equal(stats.referrals, 2);
    assert_int_equal(stats.cached, 1);
    assert_int_equal(stats.open, 0);
}

static void test_foreign(void **state)
{
    start(CLASS_FULL, false);
    assert_int_equal(resolve("laptop.h.other")->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_FOREIGN);
    assert_int_equal(resolve("laptop.h.badexample")->why, RESOLVER_WHY_FOREIGN);
    assert_int_equal(asked(), 0);
    /* The manager has another host for us than the one that we asked for. */
    assert_int_equal(resolve("desktop.h.eng.acme.example")->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_ANSWER);
}

static void test_none(void **state)
{
    start(CLASS_FULL, false);
    w.m[4].granted = w.m[5].granted = CLASS_DENY;
    w.m[4].fresh_s = 1;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_NONE);
    assert_int_equal(asked(), 3);
    assert_int_equal(w.last.fresh_s, 1);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_NONE);
    assert_int_equal(asked(), 0);
    w.now += 1 * SEC;
    w.m[4].fresh_s = 3600; /* and never believed for longer than a minute */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_NONE);
    assert_int_equal(asked(), 1);
    assert_int_equal(w.last.fresh_s, 60);
    w.now += 59 * SEC;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_NONE);
    assert_int_equal(asked(), 0);
    w.m[4].granted = CLASS_AGENT;
    w.now += 1 * SEC;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
}

static void test_dead_manager(void **state)
{
    start(CLASS_FULL, false);
    w.m[0].dead = w.m[4].dead = true;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    /* 400 ms until the second is asked beside the first, twice. */
    w.done = 0;
    assert_int_equal(asked(), 5);
    w.now += 61 * SEC;
    ask(LAPTOP, false);
    run(w.now + 50 * MSEC);
    assert_int_equal(w.done, 0); /* not avoided any more: is asked first again */
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
    asked();
    /* Found dead just now: is asked last. */
    assert_int_equal(resolver_next_expiry(w.r), INSTANT_NEVER);
    w.done = 0;
    ask(LAPTOP, true);
    run(w.now + 10 * MSEC);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.m[4].asked, 0);
    assert_int_equal(w.m[5].asked, 1);
}

static void test_hedge(void **state)
{
    start(CLASS_FULL, false);
    w.m[0].dead = true;
    w.done = 0;
    ask(LAPTOP, false);
    run(START + 429 * MSEC);
    assert_int_equal(w.done, 0);
    run(START + 430 * MSEC);
    assert_int_equal(w.done, 1);
}

static void test_all_dead(void **state)
{
    start(CLASS_FULL, false);
    for (unsigned i = 0; i < MANAGERS; i++)
        w.m[i].dead = true;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_SILENT);
    assert_int_equal(w.done_at - START, 4150 * MSEC); /* the second was asked 400 ms later */
    assert_int_equal(asked(), 2);
}

static void test_stale(void **state)
{
    start(CLASS_FULL, false);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    for (unsigned i = 0; i < MANAGERS; i++)
        w.m[i].dead = true;
    w.now = START + 500 * SEC;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_true(w.last.stale && w.last.cached);
    assert_int_equal(w.last.fresh_s, 0);
    assert_int_equal(w.last.left_s, 98);
    assert_int_equal(w.done_at - START, 500 * SEC + RESOLVER_STALE_AFTER);
    asked();
    w.now = START + 540 * SEC;
    w.m[0].dead = w.m[3].dead = w.m[5].dead = false;
    w.m[0].delay = w.m[3].delay = 1500 * MSEC; /* too late for who asked, not for the next */
    w.m[5].seq = 11;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_true(w.last.stale && w.binding.seq == 10);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_true(w.last.cached && !w.last.stale && w.binding.seq == 11);
    for (unsigned i = 0; i < MANAGERS; i++)
        w.m[i].dead = true;
    w.now += 601 * SEC; /* its lease is over */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
}

/* The root and acme are gone; what is known of eng's managers is old, but its lease runs. */
static void test_old_word_of_a_realm(void **state)
{
    start(CLASS_FULL, false);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    for (unsigned i = 0; i < 4; i++)
        w.m[i].dead = true;
    w.now = START + 500 * SEC;
    w.m[4].seq = w.m[5].seq = 11;
    assert_true(resolve(LAPTOP)->stale); /* who asks first is not made to wait for all that */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_false(w.last.stale);
    assert_int_equal(w.binding.seq, 11);
}

/* eng has moved to other managers: those that were known are dead, and acme knows better. */
static void test_realm_moved(void **state)
{
    start(CLASS_FULL, false);
    w.m[2].fresh_s = w.m[3].fresh_s = 600;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    asked();
    w.now += 100 * SEC;
    w.m[4].dead = w.m[5].dead = true;
    w.m[2].moved = w.m[3].moved = true;
    w.m[6].seq = 11;
    assert_true(resolve(LAPTOP)->stale);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.binding.seq, 11);
    assert_int_equal(w.m[4].asked + w.m[5].asked, 2);
    assert_int_equal(w.m[2].asked + w.m[3].asked, 1);
    assert_int_equal(asked(), 5); /* two in vain, root, acme, eng */
    /* acme's managers forget that again: what is newer stays. */
    w.now += 100 * SEC;
    w.m[2].moved = w.m[3].moved = false;
    w.now += 600 * SEC;
    w.m[6].seq = w.m[7].seq = 12;
    resolve(LAPTOP);
    assert_int_equal(w.m[4].asked + w.m[5].asked, 0);
}

/* Nobody answers; a little later eng has other managers, which acme knows: its old ones are not waited for again. */
static void test_realm_moved_unseen(void **state)
{
    start(CLASS_FULL, false);
    w.m[0].fresh_s = w.m[1].fresh_s = w.m[2].fresh_s = w.m[3].fresh_s = 600;
    w.m[4].fresh_s = 1;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    for (unsigned i = 2; i < 6; i++)
        w.m[i].dead = true;
    w.now += 700 * SEC; /* nothing is known any more but acme's managers, by old word */
    w.m[2].dead = w.m[3].dead = false;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    asked();
    w.m[2].moved = true;
    w.m[6].seq = 11;
    w.now += 5 * SEC;
    w.done = 0;
    ask(LAPTOP, false);
    run(w.now + 30 * MSEC);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.last.outcome, RESOLVER_FOUND);
    assert_int_equal(w.m[4].asked + w.m[5].asked, 0);
}

static void test_wrong_signature(void **state)
{
    start(CLASS_FULL, false);
    w.m[0].spoils = w.m[4].spoils = true; /* the others are asked */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(asked(), 5);
    w.m[5].spoils = true;
    w.now += 60 * SEC;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_true(w.last.stale); /* the one of before */
    stop(NULL);
    start(CLASS_FULL, false);
    w.m[4].spoils = w.m[5].spoils = true;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_RECORD);
    assert_int_equal(w.last.fault, RECORD_SIGNATURE);
}

static void test_older_sequence(void **state)
{
    start(CLASS_FULL, false);
    w.m[4].seq = 12;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.binding.seq, 12);
    w.now += 60 * SEC;
    w.m[4].dead = true; /* only the one that is behind is left */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.binding.seq, 12);
    assert_true(w.last.stale);
    w.now = START + 700 * SEC; /* also when the answer itself has gone */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.fault, RECORD_OLDER_SEQUENCE);
    w.m[5].seq = 13;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.binding.seq, 13);
}

static void test_referral_loop(void **state)
{
    start(CLASS_FULL, false);
    w.m[4].refers_back = w.m[5].refers_back = true;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_REFERRAL);
    assert_in_range(asked(), 4, RESOLVER_ASKS_MAX);
}

static void test_classes(void **state)
{
    start(CLASS_AGENT, false); /* for others too: nothing above it is taken */
    w.m[4].granted = w.m[5].granted = CLASS_FULL;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_ANSWER);
    stop(NULL);
    start(CLASS_FULL, false);
    w.m[4].answer_class = w.m[5].answer_class = CLASS_FULL; /* a record above the class that was granted */
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FAILED);
    assert_int_equal(w.last.why, RESOLVER_WHY_ANSWER);
    w.m[4].granted = w.m[5].granted = CLASS_FULL;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.last.granted, CLASS_FULL);
    /* Later we may know less: the answer is of that class, and what was known before is not given. */
    w.now += 60 * SEC;
    for (unsigned i = 4; i < 6; i++)
        w.m[i].granted = w.m[i].answer_class = CLASS_AGENT;
    assert_int_equal(resolve(LAPTOP)->granted, CLASS_AGENT);
    assert_int_equal(resolve(LAPTOP)->granted, CLASS_AGENT);
    assert_true(w.last.cached);
}

static void test_introduction(void **state)
{
    start(CLASS_FULL, true);
    w.m[4].to_introduced = w.m[5].to_introduced = CLASS_FULL;
    w.m[4].granted = w.m[5].granted = CLASS_DENY;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.last.granted, CLASS_FULL);
    assert_int_equal(w.m[4].introduced, 1);
    assert_int_equal(asked(), 5); /* root, acme, eng, introduction, eng */
    stop(NULL);
    start(CLASS_FULL, false); /* a stranger stays one */
    w.m[4].to_introduced = w.m[5].to_introduced = CLASS_FULL;
    assert_int_equal(resolve(LAPTOP)->granted, CLASS_AGENT);
    assert_int_equal(w.m[4].introduced, 0);
}

static void test_joined(void **state)
{
    start(CLASS_FULL, false);
    for (unsigned i = 0; i < 512; i++) /* 8 for each of 64 questions */
        ask(LAPTOP, false);
    assert_int_equal(resolver_ask(w.r, &(struct resolver_question){ .kind = 0 }, &w, w.now), -ENOSPC);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 512);
    assert_int_equal(asked(), 3);
}

/* A call is asked of the managers, whatever is known, with where it comes from, and is nobody else's question. */
static void test_call(void **state)
{
    struct resolver_question q = { .kind = KIND_HOST_LOCATOR, .places_count = 2 };
    struct name_error err;
    struct name n;

    start(CLASS_FULL, false);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(w.places, 0);
    assert_int_equal(asked(), 3);
    assert_int_equal(name_parse(LAPTOP, strlen(LAPTOP), &n, &err), 0);
    q.name = &n;
    q.places[0] = q.places[1] = (struct endpoint){ { .family = ADDR_V4, .bytes = { 203, 0, 113, 9 } }, 51820 };
    w.done = 0;
    assert_int_equal(resolver_ask(w.r, &q, &w, w.now), 0);
    assert_int_equal(resolver_ask(w.r, &q, &w, w.now), 0);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 2);
    assert_int_equal(asked(), 2); /* of that realm's managers: the way is known */
    assert_int_equal(w.places, 2);
    q.places_count = MAPPING_PLACES_MAX + 1;
    assert_int_equal(resolver_ask(w.r, &q, &w, w.now), -EINVAL);
}

static void test_prefetch(void **state)
{
    start(CLASS_FULL, false);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    asked();
    w.now = START + 50 * SEC;
    resolve(LAPTOP);
    assert_int_equal(asked(), 0);
    w.now = START + 55 * SEC; /* the last tenth of 60 s */
    resolve(LAPTOP);
    assert_true(w.last.cached && !w.last.stale);
    assert_int_equal(asked(), 1);
    w.now = START + 100 * SEC;
    resolve(LAPTOP);
    assert_true(w.last.cached && !w.last.stale);
    assert_int_equal(asked(), 0);
}

static void test_later(void **state)
{
    start(CLASS_FULL, false);
    w.m[4].later_ms = 100;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND); /* the other is not busy */
    assert_int_equal(w.now - START, 40 * MSEC);
    w.m[5].later_ms = 200;
    w.done = 0;
    ask(LAPTOP, true);
    run(w.now + 100 * MSEC);
    w.m[4].later_ms = 0;
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
    assert_true(w.last.outcome == RESOLVER_FOUND && !w.last.cached);
    w.m[4].later_ms = w.m[5].later_ms = 600000;
    asked();
    w.now += 1000 * SEC;
    assert_int_equal(resolve(LAPTOP)->why, RESOLVER_WHY_LATER);
    assert_in_range(asked(), 3, RESOLVER_ASKS_MAX);
}

static void test_told_stale(void **state)
{
    const struct tag tag = host_tag();

    start(CLASS_FULL, false);
    resolve(LAPTOP);
    asked();
    w.m[4].seq = 11;
    assert_int_equal(w.wrong, 0);
    resolver_on_stale(w.r, &tag, w.now);
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_int_equal(asked(), 1);
    assert_int_equal(w.binding.seq, 11);
    assert_int_equal(w.wrong, 10); /* which a manager that caches is to ask for anew */
    /* What came is not wrong until somebody says so; and nobody answers: what is known serves on. */
    ask(LAPTOP, true);
    run(INSTANT_NEVER);
    assert_int_equal(w.wrong, 0);
    resolver_on_stale(w.r, &tag, w.now);
    for (unsigned i = 0; i < MANAGERS; i++)
        w.m[i].dead = true;
    assert_int_equal(resolve(LAPTOP)->outcome, RESOLVER_FOUND);
    assert_true(w.last.stale && w.last.cached);
    assert_int_equal(w.wrong, 11);
}

static void test_cancel(void **state)
{
    start(CLASS_FULL, false);
    ask(LAPTOP, false);
    resolver_cancel(w.r, &w);
    run(INSTANT_NEVER); /* it is answered all the same, for the next who asks */
    assert_int_equal(w.done, 0);
    asked();
    assert_true(resolve(LAPTOP)->cached);
    assert_int_equal(asked(), 0);
    ask(LAPTOP, false);
    resolver_cancel(w.r, &w);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
}

static void test_trace(void **state)
{
    static const enum resolver_step_type expected[] = { RESOLVER_STEP_ASKED, RESOLVER_STEP_ANSWERED,
                                                        RESOLVER_STEP_ASKED, RESOLVER_STEP_ANSWERED,
                                                        RESOLVER_STEP_ASKED, RESOLVER_STEP_ANSWERED };
    struct resolver_question q = { .kind = KIND_HOST_LOCATOR, .tag = host_tag(), .traced = true };

    start(CLASS_FULL, false);
    assert_int_equal(resolver_ask(w.r, &q, &w, w.now), 0);
    run(INSTANT_NEVER);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.steps, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(w.step[i].type, expected[i]);
    assert_string_equal(w.step[1].realm, "example");
    assert_string_equal(w.step[1].to, "acme.example");
    assert_string_equal(w.step[3].to, "eng.acme.example");
    assert_int_equal(w.step[5].status, MAPPING_FOUND);
    assert_int_equal(w.step[5].took, 10 * MSEC);
}

/* A long run with managers that die, lie, are behind, are slow and busy: each question ends once, in time, and no
 * sequence is older than one that was given before. */
static void test_random(void **state)
{
    uint64_t newest = 0;
    struct prng dice;
    unsigned found = 0;

    start(CLASS_FULL, true);
    prng_init(&dice, 42);
    for (unsigned i = 0; i < 3000; i++) {
        instant begun;

        for (unsigned m = 0; m < MANAGERS; m++) {
            struct script *s = &w.m[m];

            s->dead = prng_below(&dice, 3) == 0;
            s->spoils = prng_below(&dice, 8) == 0;
            s->later_ms = prng_below(&dice, 8) == 0 ? 50 : 0;
            s->delay = (span)prng_below(&dice, 700) * MSEC;
            s->seq = prng_below(&dice, 4) == 0 ? i + 1 : s->seq;
            s->to_introduced = prng_below(&dice, 2) ? CLASS_COARSE : 0;
        }
        begun = w.now;
        w.done = 0;
        ask(LAPTOP, prng_below(&dice, 2));
        run(w.now + RESOLVER_DEADLINE + SEC);
        assert_int_equal(w.done, 1);
        if (w.last.outcome == RESOLVER_FOUND) {
            assert_true(w.binding.seq >= newest || w.last.granted != CLASS_AGENT);
            if (w.last.granted == CLASS_AGENT)
                newest = w.binding.seq;
            found++;
        }
        assert_in_range(asked(), 0, 2 * RESOLVER_ASKS_MAX); /* a second question: asked ahead */
        w.now = begun + (span)prng_below(&dice, 100) * SEC + RESOLVER_DEADLINE + SEC;
        run(w.now);
    }
    assert_in_range(found, 1500, 3000);
}

static int set_up(void **state)
{
    for (int i = 0; i < 16; i++) {
        memset(seeds[i], i, 32);
        assert_int_equal(ed25519_public(seeds[i], keys[i]), 0);
    }
    make_realm(ROOT, ROOT, "example", 0, 0, 0, &root);
    make_realm(ACME, ROOT, "acme.example", 0x100, 4, 0, &acme);
    make_realm(ENG, ACME, "eng.acme.example", 0x110, 8, 0x100, &eng);
    make_entity(HOST, LAPTOP, &host);
    make_entity(SELF, "me.h.eng.acme.example", &self);
    bind(ACME, tag_of(ACME, TAG_TIER_SERVICE, 0x100), KIND_REALM_REALM, 1, 2, CLASS_AGENT, &acme_at);
    bind(ENG, eng_tag(), KIND_REALM_REALM, 1, 4, CLASS_AGENT, &eng_at);
    bind(ENG, eng_tag(), KIND_REALM_REALM, 2, 6, CLASS_AGENT, &eng_moved_at);
    return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_found),
        TEST(test_foreign),
        TEST(test_none),
        TEST(test_dead_manager),
        TEST(test_hedge),
        TEST(test_all_dead),
        TEST(test_stale),
        TEST(test_old_word_of_a_realm),
        TEST(test_realm_moved),
        TEST(test_realm_moved_unseen),
        TEST(test_wrong_signature),
        TEST(test_older_sequence),
        TEST(test_referral_loop),
        TEST(test_classes),
        TEST(test_introduction),
        TEST(test_joined),
        TEST(test_call),
        TEST(test_prefetch),
        TEST(test_later),
        TEST(test_told_stale),
        TEST(test_cancel),
        TEST(test_trace),
        TEST(test_random),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
