/* Unit tests of mapping/fetcher.h, between two managers of one realm: one that members speak to, and one that caches.
 */
#include "mapping/fetcher.h"
#include "tests/unit/realm_world.h"

static struct rw w;
static struct manager *top, *edge;
static struct fetcher *f;
static struct tag root, laptop, phone, nobody;
static uint8_t sent[MAPPING_BYTES_MAX], out[MAPPING_BYTES_MAX];
static instant now;

static struct manager *new_manager(bool caches)
{
    const struct manager_options o = { .rng = w.rng,
                                       .bindings_max = 8,
                                       .names_max = 100,
                                       .guests_max = 4,
                                       .subscriptions_max = 4,
                                       .log_max = 64,
                                       .epoch = 7,
                                       .follows = caches,
                                       .caches = caches };
    struct manager *m = manager_new(&o, now);
    struct slice link = rw_slice(&w.root);
    struct record_error why;

    assert_non_null(m);
    assert_int_equal(manager_set_self(m, &link, 1, RW_NOW_S, &why), 0);
    return m;
}

static void take(const struct rw_blob *b)
{
    struct record_error why;

    assert_int_equal(manager_take(top, b->bytes, b->len, now, &why), 0);
    assert_int_equal(manager_take(edge, b->bytes, b->len, now, &why), 0);
}

static int set_up(void **state)
{
    struct rw_blob b;

    rw_init(&w);
    now = 1000 * SEC;
    top = new_manager(false);
    edge = new_manager(true);
    f = fetcher_new(manager_bindings(edge), 2, &w.rng);
    assert_non_null(f);
    root = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0);
    laptop = rw_tag(&w, RW_LAPTOP, TAG_TIER_HOST, 0);
    phone = rw_tag(&w, RW_PHONE, TAG_TIER_HOST, 0);
    nobody = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, "laptop.h.rid.example", &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_GUEST, TAG_TIER_HOST, "guest.h.rid.example", &b);
    take(&b);
    rw_policy(&w, &root, RW_ROOT, &root, 1, "2001:3f::/32", CLASS_FULL, &b);
    take(&b);
    return 0;
}

static int tear_down(void **state)
{
    fetcher_free(f);
    manager_free(top);
    manager_free(edge);
    return 0;
}

static struct mapping_answer ask(struct manager *m, int key, const struct mapping_request *r)
{
    const struct manager_who who = { .peer = (uint64_t)key + 100, .ed25519 = w.keys[key] };
    struct writer at = writer_init(sent, sizeof(sent));
    struct manager_reply reply;
    struct mapping_answer a;

    mapping_request_write(&at, r);
    manager_on_request(m, &who, sent, writer_len(&at), now, RW_NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    return a;
}

static void bind(int key, const struct tag *subject, uint8_t answer, uint64_t seq, uint8_t n)
{
    struct mapping_request r = { .type = MAPPING_REGISTER };
    struct rw_blob b;

    rw_bind(&w, subject, key, subject, KIND_HOST_LOCATOR, answer, seq, 300, n, &b);
    r.record = rw_slice(&b);
    assert_int_equal(ask(top, key, &r).status, MAPPING_DONE);
}

/* What the one that caches says, without asking: the sequence; 0: there is none. */
static uint64_t says(const struct tag *subject)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .tag = *subject, .kind = KIND_HOST_LOCATOR };
    struct mapping_answer a = ask(edge, RW_PHONE, &r);
    struct record_error why;
    struct record_bytes b;
    struct record rec;

    if (a.status == MAPPING_NONE)
        return 0;
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(record_decode(a.record.data, a.record.len, &rec, &b, &why), 0);
    return rec.seq;
}

/* Asks the other and takes the answer; answers: it is there. */
static void fetch(const struct tag *subject, bool answers)
{
    static uint8_t answer[MAPPING_BYTES_MAX];
    const struct manager_who self = { .peer = 1, .ed25519 = w.keys[RW_ROOT] };
    uint8_t q[FETCHER_REQUEST_MAX];
    struct manager_reply reply;
    size_t len = fetcher_ask(f, subject, now, q);

    assert_true(len > 0);
    assert_true(fetcher_is_asking(f, subject));
    assert_int_equal(fetcher_ask(f, subject, now, q), 0); /* once */
    manager_on_request(top, &self, q, len, now, RW_NOW_S, answer, &reply);
    now += 20 * MSEC;
    fetcher_on_answer(f, subject, answers ? answer : NULL, reply.len, now);
    assert_false(fetcher_is_asking(f, subject));
}

static void test_lifetime(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };

    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_NOTHING);
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 5, 1);
    fetch(&laptop, true);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    assert_int_equal(says(&laptop), 5);
    /* It moves, and again: it moves often then. What was told before may be used as long as was said. */
    now += 10 * SEC;
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 6, 2);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    now += 300 * SEC;
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_NOTHING);
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 7, 3);
    now += 10 * SEC;
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 8, 4);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 8);
    assert_int_equal(ask(edge, RW_PHONE, &r).fresh_s, MANAGER_FRESH_MOBILE_S);
    now += MANAGER_FRESH_MOBILE_S * SEC;
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_STALE);
    /* Nobody answers: it is not asked for again at once, and serves on for a while. */
    fetch(&laptop, false);
    assert_int_equal(fetcher_ask(f, &laptop, now, sent), 0);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_STALE);
    assert_int_equal(says(&laptop), 8);
    now += FETCHER_STALE_MAX;
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_NOTHING);
}

/* Who may know has found that it is not there: it is asked for again, but no more than once a second. */
static void test_doubt(void **state)
{
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 5, 1);
    fetch(&laptop, true);
    fetcher_on_doubt(f, &laptop, now);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    now += FETCHER_DOUBT + 1;
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 6, 2);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    fetcher_on_doubt(f, &laptop, now);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_STALE);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 6);
    for (unsigned i = 0; i < 1000; i++)
        fetcher_on_doubt(f, &laptop, now);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    /* Of whom nothing is known, nothing is doubted. */
    fetcher_on_doubt(f, &phone, now);
    assert_int_equal(fetcher_look(f, &phone, now), FETCHED_NOTHING);
}

/* What is not there any more has gone here too; that there is nothing is known for a while. */
static void test_nothing(void **state)
{
    struct rw_blob b;
    struct mapping_request r = { .type = MAPPING_REGISTER };

    fetch(&laptop, true);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
    assert_int_equal(says(&laptop), 0);
    now += MANAGER_NONE_S * SEC;
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_STALE);
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 5, 1);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 5);
    /* A lease of a second. */
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 6, 1, 1, &b);
    r.record = rw_slice(&b);
    assert_int_equal(ask(top, RW_LAPTOP, &r).status, MAPPING_DONE);
    now += 2 * SEC;
    manager_on_expiry(top, now);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 0);
    /* An older one cannot come back. */
    manager_free(top);
    top = new_manager(false);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, "laptop.h.rid.example", &b);
    take(&b);
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 4, 9);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 0);
}

/* Of all classes at once; who may know which is the manager's to say. And there is room for two. */
static void test_rows(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    struct fetcher_stats stats;
    struct rw_blob b;

    bind(RW_LAPTOP, &laptop, CLASS_AGENT, 5, 1);
    bind(RW_LAPTOP, &laptop, CLASS_FULL, 6, 2);
    bind(RW_PHONE, &phone, CLASS_FULL, 7, 3);
    fetch(&laptop, true);
    assert_int_equal(says(&laptop), 6);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 1, "2001:3f::/32", CLASS_AGENT, &b);
    take(&b);
    assert_int_equal(says(&laptop), 5);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 2, "2001:3f::/32", CLASS_DENY, &b);
    take(&b);
    assert_int_equal(ask(edge, RW_PHONE, &r).status, MAPPING_NONE);
    fetch(&phone, true);
    fetcher_get_stats(f, &stats);
    assert_int_equal(stats.subjects, 2);
    assert_int_equal(bindings_live(manager_bindings(edge)), 3);
    /* The laptop was asked for longest ago. */
    fetch(&nobody, true);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_NOTHING);
    assert_int_equal(fetcher_look(f, &phone, now), FETCHED_FRESH);
    assert_int_equal(bindings_live(manager_bindings(edge)), 1);
    fetcher_get_stats(f, &stats);
    assert_int_equal(stats.subjects, 2);
}

static uint64_t doubted;

static bool wants(int key, const struct mapping_request *r, struct tag *ret)
{
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[key] };
    struct writer at = writer_init(sent, sizeof(sent));

    mapping_request_write(&at, r);
    return manager_wants(edge, &who, sent, writer_len(&at), RW_NOW_S, ret, &doubted);
}

/* What is asked for, of another manager: never what who asks may not know, so that it comes as soon as nothing. */
static void test_wants(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    struct mapping_request page = { .type = MAPPING_CHANGES, .prefix = tag_prefix_of(&laptop, 42) };
    struct rw_blob b;
    struct tag got;

    assert_true(wants(RW_PHONE, &r, &got));
    assert_true(tag_equal(&got, &laptop));
    assert_int_equal(doubted, 0);
    r.seq = 7;
    assert_true(wants(RW_PHONE, &r, &got));
    assert_int_equal(doubted, 7);
    r.name = "laptop.h.rid.example";
    r.name_len = strlen(r.name);
    assert_true(wants(RW_PHONE, &r, &got));
    assert_true(tag_equal(&got, &laptop));
    r.name = "nobody.h.rid.example";
    assert_false(wants(RW_PHONE, &r, &got));
    r.name = "laptop.h.net.example";
    assert_false(wants(RW_PHONE, &r, &got));
    r.name = NULL;
    r.tag = nobody;
    assert_false(wants(RW_PHONE, &r, &got));
    r.tag = laptop;
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 1, "2001:3f::/32", CLASS_DENY, &b);
    take(&b);
    assert_false(wants(RW_PHONE, &r, &got));
    /* A realm below: where its managers are, for the referral. */
    take(&w.acme);
    r.tag = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0x101);
    assert_true(wants(RW_STRANGER, &r, &got));
    assert_true(got.bytes[15] == rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100).bytes[15]);
    /* Nobody follows one that caches, and nobody registers there. */
    assert_false(wants(RW_ROOT, &page, &got));
    assert_int_equal(ask(edge, RW_ROOT, &page).status, MAPPING_LATER);
    page.type = MAPPING_SUBSCRIBE;
    page.lease_s = 60;
    assert_int_equal(ask(edge, RW_ROOT, &page).status, MAPPING_LATER);
}

/* No sound answer is none, and changes nothing. */
static void test_unsound(void **state)
{
    uint8_t q[FETCHER_REQUEST_MAX], junk[3] = { 0xa1, 1, 1 };

    bind(RW_LAPTOP, &laptop, CLASS_FULL, 5, 1);
    fetch(&laptop, true);
    now += 301 * SEC;
    assert_true(fetcher_ask(f, &laptop, now, q) > 0);
    fetcher_on_answer(f, &laptop, junk, sizeof(junk), now);
    assert_int_equal(says(&laptop), 5);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_NOTHING);
    fetcher_on_answer(f, &laptop, junk, sizeof(junk), now); /* nothing is under way */
    fetcher_on_answer(f, &nobody, junk, sizeof(junk), now);
    /* LATER: it is tried again after a while, and as long as what is known is not too old that serves. */
    now += FETCHER_AGAIN;
    fetch(&laptop, true);
    assert_int_equal(fetcher_look(f, &laptop, now), FETCHED_FRESH);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = { TEST(test_lifetime), TEST(test_doubt), TEST(test_nothing),
                                        TEST(test_rows),     TEST(test_wants), TEST(test_unsound) };

    return cmocka_run_group_tests_name("fetcher", tests, NULL, NULL);
}
