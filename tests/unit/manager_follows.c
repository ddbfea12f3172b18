/* Unit tests of mapping/manager.h: a manager that follows another serves what it knows, and only while it knows it. */
#include "tests/unit/realm_world.h"

static struct rw w;
static struct manager *m;
static struct tag laptop;
static instant now;

static struct mapping_answer ask(int key, const struct mapping_request *r, struct manager_reply *reply)
{
    static uint8_t sent[MAPPING_BYTES_MAX], out[MAPPING_BYTES_MAX];
    const struct manager_who who = { .peer = (uint64_t)key + 100, .ed25519 = w.keys[key] };
    struct writer at = writer_init(sent, sizeof(sent));
    struct mapping_answer a;

    mapping_request_write(&at, r);
    manager_on_request(m, &who, sent, writer_len(&at), now, RW_NOW_S, out, reply);
    assert_int_equal(mapping_answer_read(out, reply->len, &a), 0);
    return a;
}

/* One of the same realm that knows the laptop. */
static struct manager *manager_make(bool follows)
{
    const struct manager_options o = { .bindings_max = 100,
                                       .names_max = 100,
                                       .guests_max = 4,
                                       .subscriptions_max = 4,
                                       .log_max = 64,
                                       .epoch = 7,
                                       .follows = follows,
                                       .rng = w.rng };
    struct manager *a = manager_new(&o, now);
    const struct slice link = rw_slice(&w.root);
    struct record_error why;
    struct rw_blob b;

    assert_non_null(a);
    assert_int_equal(manager_set_self(a, &link, 1, RW_NOW_S, &why), 0);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, "laptop.h.rid.example", &b);
    assert_int_equal(manager_take(a, b.bytes, b.len, now, &why), 0);
    return a;
}

static int set_up(void **state)
{
    rw_init(&w);
    now = 1000 * SEC;
    laptop = rw_tag(&w, RW_LAPTOP, TAG_TIER_HOST, 0);
    m = manager_make(true);
    return 0;
}

static int tear_down(void **state)
{
    manager_free(m);
    return 0;
}

/* What the manager that is followed would say of the laptop. */
static void follow(uint64_t seq)
{
    struct record_error why;
    struct record_bytes rb;
    struct record r;
    struct rw_blob b;

    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, seq, 300, 1, &b);
    assert_int_equal(record_decode(b.bytes, b.len, &r, &rb, &why), 0);
    assert_int_equal(bindings_follow(manager_bindings(m), &r, b.bytes, b.len, now, NULL), BINDING_STORED);
    manager_followed(m, &(struct follower_change){ laptop, r.kind, r.answer, seq, PACE_MOBILE }, now);
}

static void assert_serves(bool serves)
{
    const struct mapping_request resolve = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    struct mapping_request changes = { .type = MAPPING_CHANGES, .prefix = tag_prefix_of(&laptop, 42) };
    struct manager_reply reply;

    assert_int_equal(ask(RW_ROOT, &resolve, &reply).status, serves ? MAPPING_FOUND : MAPPING_LATER);
    assert_int_equal(ask(RW_ROOT, &changes, &reply).status, serves ? MAPPING_PAGE : MAPPING_LATER);
    changes.type = MAPPING_SUBSCRIBE;
    changes.lease_s = 60;
    assert_int_equal(ask(RW_ROOT, &changes, &reply).status, serves ? MAPPING_PAGE : MAPPING_LATER);
    assert_int_equal(reply.subscribed, serves);
    /* No longer: that it may always. */
    changes.lease_s = 0;
    assert_int_equal(ask(RW_ROOT, &changes, &reply).status, MAPPING_DONE);
}

static void test_serves_what_it_knows(void **state)
{
    follow(5);
    assert_serves(false); /* nobody has said that this is all */
    manager_set_behind(m, 0);
    assert_serves(true);
    manager_set_behind(m, MANAGER_BEHIND_MAX);
    assert_serves(true);
    manager_set_behind(m, MANAGER_BEHIND_MAX + 1);
    assert_serves(false);
    manager_set_behind(m, 0);
    assert_serves(true);
}

/* Entries of the log are missing: nobody can say of a key that it was not revoked. Who is nobody hears the same. */
static void test_gap(void **state)
{
    const struct mapping_request resolve = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    struct mapping_request r = { .type = MAPPING_INTRODUCE, .chain = { rw_slice(&w.root) }, .chain_count = 1 };
    struct manager_reply reply;
    uint8_t sent[MAPPING_BYTES_MAX];
    struct writer at;
    struct rw_blob b;

    follow(5);
    manager_set_behind(m, 0);
    assert_serves(true);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 2, &b);
    for (int gap = 1; gap >= 0; gap--) {
        const struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_LAPTOP] };
        const struct mapping_request reg = { .type = MAPPING_REGISTER, .record = rw_slice(&b) };

        manager_set_gap(m, gap);
        assert_int_equal(ask(RW_ROOT, &resolve, &reply).status, gap ? MAPPING_LATER : MAPPING_FOUND);
        assert_int_equal(ask(RW_STRANGER, &resolve, &reply).status, gap ? MAPPING_LATER : MAPPING_NONE);
        assert_int_equal(ask(RW_LAPTOP, &r, &reply).status, gap ? MAPPING_LATER : MAPPING_DONE);
        assert_int_equal(ask(RW_STRANGER, &(struct mapping_request){ .type = MAPPING_WHERE }, &reply).status,
                         MAPPING_DONE);
        at = writer_init(sent, sizeof(sent));
        mapping_request_write(&at, &reg);
        assert_int_equal(manager_passes_on(m, &who, sent, writer_len(&at), now, RW_NOW_S), !gap);
    }
}

/* What members say is for the one that is followed: nothing is taken here, and nothing goes into a log. */
static void test_takes_nothing(void **state)
{
    struct mapping_request r = { .type = MAPPING_REGISTER };
    struct manager_reply reply;
    struct rw_blob b;

    manager_set_behind(m, 0);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &b);
    r.record = rw_slice(&b);
    assert_int_equal(ask(RW_LAPTOP, &r, &reply).status, MAPPING_LATER);
    assert_int_equal(bindings_live(manager_bindings(m)), 0);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, "2001:3f::/32", CLASS_FULL, &b);
    r = (struct mapping_request){ .type = MAPPING_PUBLISH, .record = rw_slice(&b) };
    assert_int_equal(ask(RW_LAPTOP, &r, &reply).status, MAPPING_LATER);
    assert_int_equal(reply.publish.len, 0);
    /* To everybody else it says what the other would. */
    assert_int_equal(ask(RW_STRANGER, &r, &reply).status, MAPPING_NONE);
}

static bool passes_on(int key, const struct mapping_request *r)
{
    static uint8_t sent[MAPPING_BYTES_MAX];
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[key] };
    struct writer at = writer_init(sent, sizeof(sent));

    mapping_request_write(&at, r);
    return manager_passes_on(m, &who, sent, writer_len(&at), now, RW_NOW_S);
}

/* What a member says of himself goes on to the one that is followed, which believes this one: nothing that he may not
 * say, neither alone nor among what he may. */
static void test_passes_on(void **state)
{
    struct tag phone = rw_tag(&w, RW_PHONE, TAG_TIER_HOST, 0);
    const struct mapping_refresh mine = { laptop, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300 };
    const struct mapping_refresh others = { phone, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300 };
    struct mapping_request r = { .type = MAPPING_REGISTER };
    struct manager_reply reply;
    struct record_error why;
    struct rw_blob b;
    uint8_t items[256];
    struct writer at;

    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    assert_int_equal(manager_take(m, b.bytes, b.len, now, &why), 0);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &b);
    r.record = rw_slice(&b);
    assert_true(passes_on(RW_LAPTOP, &r));
    assert_false(passes_on(RW_PHONE, &r));
    assert_false(passes_on(RW_STRANGER, &r));
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, "2001:3f::/32", CLASS_FULL, &b);
    r = (struct mapping_request){ .type = MAPPING_PUBLISH, .record = rw_slice(&b) };
    assert_true(passes_on(RW_LAPTOP, &r));
    assert_false(passes_on(RW_PHONE, &r));
    for (int with = 0; with < 2; with++) {
        at = writer_init(items, sizeof(items));
        mapping_write_refresh(&at, &mine);
        if (with)
            mapping_write_refresh(&at, &others);
        r = (struct mapping_request){ .type = MAPPING_REFRESH, .items = { items, writer_len(&at), 1 + (size_t)with } };
        assert_int_equal(passes_on(RW_LAPTOP, &r), !with);
        assert_false(passes_on(RW_STRANGER, &r));
    }
    /* What could not be passed on is not done here: the one that is followed would not know of it. */
    follow(5);
    r.items = (struct mapping_list){ items, writer_len(&at), 2 };
    assert_int_equal(ask(RW_LAPTOP, &r, &reply).items.count, 2); /* one is not his: neither is done */
    at = writer_init(items, sizeof(items));
    mapping_write_refresh(&at, &mine);
    r.items = (struct mapping_list){ items, writer_len(&at), 1 };
    assert_int_equal(ask(RW_LAPTOP, &r, &reply).status, MAPPING_LATER);
    /* Questions are answered here. */
    r = (struct mapping_request){ .type = MAPPING_RESOLVE, .tag = laptop };
    assert_false(passes_on(RW_LAPTOP, &r));
    r = (struct mapping_request){ .type = MAPPING_CHANGES, .prefix = tag_prefix_of(&laptop, 128) };
    assert_false(passes_on(RW_LAPTOP, &r));
    /* No sound request, and no sound record. */
    assert_false(manager_passes_on(m, &(struct manager_who){ .ed25519 = w.keys[RW_LAPTOP] }, items, 1, now, RW_NOW_S));
    b.len--;
    r = (struct mapping_request){ .type = MAPPING_REGISTER, .record = rw_slice(&b) };
    assert_false(passes_on(RW_LAPTOP, &r));
}

/* --- labels --- */

/* The phone and the laptop, as services that speak for labels. */
static void take_services(struct manager *a)
{
    static const int keys[] = { RW_PHONE, RW_LAPTOP };
    struct record_error why;
    struct rw_blob b;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct record r = { .type = RECORD_REGISTRATION,
                            .issuer = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0),
                            .subject = rw_tag(&w, keys[i], TAG_TIER_SERVICE, 0),
                            .issued_s = RW_NOW_S - 1000,
                            .suites = 1,
                            .flags = RECORD_FLAG_SERVES,
                            .seq = ++w.seq };

        memcpy(r.key, w.keys[keys[i]], 32);
        snprintf(r.name, sizeof(r.name), "gateway%zu.s.rid.example", i);
        rw_sign(&w, &r, RW_ROOT, &b);
        assert_int_equal(manager_take(a, b.bytes, b.len, now, &why), 0);
    }
}

/* By a manager that follows, or by one that follows that one: what the followed one says. */
static struct mapping_answer passed(struct manager *top, int key, const struct mapping_request *r)
{
    struct manager *near = m;
    struct mapping_answer a;
    struct manager_reply reply;

    assert_true(passes_on(key, r));
    assert_true(passes_on(RW_ROOT, r)); /* from one that follows this one */
    m = top;
    a = ask(RW_ROOT, r, &reply);
    m = near;
    return a;
}

/* Who serves says where labels are by way of a manager that follows, and keeps up what he has said, and nobody else. */
static void test_labels(void **state)
{
    struct tag root = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0), phone = rw_tag(&w, RW_PHONE, TAG_TIER_SERVICE, 0),
               label;
    struct manager *top = manager_make(false);
    const uint64_t seq = (uint64_t)RW_NOW_S << 32;
    struct mapping_refresh item = { .kind = KIND_SERVICE_ROUTER, .answer = CLASS_AGENT, .seq = seq, .lease_s = 300 };
    struct mapping_request r;
    struct mapping_failure f;
    struct mapping_answer a;
    struct record_error why;
    struct record_bytes rb;
    struct record rec;
    struct rw_blob b;
    uint8_t items[64];
    struct writer at = writer_init(items, sizeof(items));

    take_services(m);
    take_services(top);
    manager_set_behind(m, 0);
    assert_int_equal(tag_of_label(&root, "x", 1, &label), 0);
    rw_bind(&w, &phone, RW_PHONE, &label, KIND_SERVICE_ROUTER, CLASS_AGENT, seq, 300, 1, &b);
    r = (struct mapping_request){ .type = MAPPING_REGISTER, .record = rw_slice(&b) };
    assert_false(passes_on(RW_STRANGER, &r));
    a = passed(top, RW_PHONE, &r);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.seq, seq);
    assert_int_equal(record_decode(b.bytes, b.len, &rec, &rb, &why), 0);
    assert_int_equal(bindings_follow(manager_bindings(m), &rec, b.bytes, b.len, now, NULL), BINDING_STORED);
    item.subject = label;
    mapping_write_refresh(&at, &item);
    r = (struct mapping_request){ .type = MAPPING_REFRESH, .items = { items, writer_len(&at), 1 } };
    assert_int_equal(passed(top, RW_PHONE, &r).items.count, 0);
    assert_false(passes_on(RW_LAPTOP, &r)); /* it serves, but has not said so */
    assert_false(passes_on(RW_STRANGER, &r));
    /* By another: he is told that somebody has gone on. */
    item.seq--;
    at = writer_init(items, sizeof(items));
    mapping_write_refresh(&at, &item);
    r.items = (struct mapping_list){ items, writer_len(&at), 1 };
    a = passed(top, RW_LAPTOP, &r);
    assert_true(mapping_next_failure(&a.items, &f));
    assert_int_equal(f.seq, seq);
    /* Not signed by who serves: refused, as ever. */
    rw_bind(&w, &phone, RW_LAPTOP, &label, KIND_SERVICE_ROUTER, CLASS_AGENT, seq + 1, 300, 1, &b);
    r = (struct mapping_request){ .type = MAPPING_REGISTER, .record = rw_slice(&b) };
    a = passed(top, RW_PHONE, &r);
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_SIGNATURE);
    manager_free(top);
}

/* --- calls --- */

/* One that knows the phone as well, and lets everybody know where the laptop is. */
static struct manager *another(bool follows)
{
    struct manager *a = manager_make(follows);
    struct record_error why;
    struct rw_blob b;

    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    assert_int_equal(manager_take(a, b.bytes, b.len, now, &why), 0);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, "2001:3f::/32", CLASS_FULL, &b);
    assert_int_equal(manager_take(a, b.bytes, b.len, now, &why), 0);
    manager_set_behind(a, 0);
    return a;
}

static enum mapping_status say_to(struct manager *to, uint64_t peer, int key, const uint8_t *bytes, size_t len)
{
    static uint8_t out[MAPPING_BYTES_MAX];
    const struct manager_who who = { .peer = peer, .ed25519 = w.keys[key] };
    struct manager_reply reply;
    struct mapping_answer a;

    manager_on_request(to, &who, bytes, len, now, RW_NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    return a.status;
}

enum { NEAR = 501, FAR = 502 }; /* the associations of the two that follow, at the top */

/* The laptop speaks to one manager that follows, and who calls it asks another: the word goes up from there, and down
 * to the first. */
static void test_calls(void **state)
{
    const struct endpoint here = { { ADDR_V4, { 192, 0, 2, 1 } }, 4000 };
    static const uint8_t relay_key[IDENT_KEY_LEN] = { 1 };
    const struct tag phone = rw_tag(&w, RW_PHONE, TAG_TIER_HOST, 0);
    struct manager *top = another(false), *near = another(true), *far = another(true), *first = m;
    struct mapping_request r = { .type = MAPPING_REGISTER }, told;
    struct manager_who who = { .peer = RW_LAPTOP, .ed25519 = w.keys[RW_LAPTOP] };
    uint8_t said[MAPPING_BYTES_MAX], called[MANAGER_CALL_BYTES_MAX];
    struct writer at = writer_init(said, sizeof(said));
    struct rw_blob b;
    uint64_t peer;
    size_t len;

    (void)state;
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300, 1, &b);
    r.record = rw_slice(&b);
    mapping_request_write(&at, &r);
    assert_true(manager_passes_on(near, &who, said, writer_len(&at), now, RW_NOW_S));
    assert_int_equal(say_to(top, NEAR, RW_ROOT, said, writer_len(&at)), MAPPING_DONE);
    m = near; /* what the top has pushed comes after it was said */
    follow(5);
    m = far;
    follow(5);
    m = first;

    r = (struct mapping_request){
        .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR, .tag = laptop, .places = { here }, .places_count = 1
    };
    at = writer_init(said, sizeof(said));
    mapping_request_write(&at, &r);
    manager_set_relay(far, &here, relay_key, &w.rng);
    assert_int_equal(say_to(far, 7, RW_PHONE, said, writer_len(&at)), MAPPING_FOUND);
    len = manager_pop_call(far, called, &peer);
    assert_true(len > 0 && peer == MANAGER_FOLLOWED);
    assert_int_equal(say_to(top, FAR, RW_PHONE, called, len), MAPPING_NONE); /* a member has no word in it */
    assert_int_equal(manager_pop_call(top, said, &peer), 0);
    assert_int_equal(say_to(top, FAR, RW_ROOT, called, len), MAPPING_DONE);
    len = manager_pop_call(top, called, &peer);
    assert_true(len > 0 && peer == NEAR);
    assert_int_equal(mapping_request_read(called, len, &told), 0);
    manager_called(far, &told, true, now); /* where it did not speak, it is not known, and the word does not go back */
    assert_int_equal(manager_pop_call(far, said, &peer), 0);
    manager_called(near, &told, true, now);
    len = manager_pop_call(near, called, &peer);
    assert_true(len > 0 && peer == RW_LAPTOP);
    assert_int_equal(mapping_request_read(called, len, &told), 0);
    assert_true(tag_equal(&told.tag, &phone) && tag_equal(&told.prefix.tag, &laptop));
    assert_true(told.places_count == 1 && endpoint_equal(&told.places[0], &here));
    assert_true(endpoint_equal(&told.relay.at, &here));
    assert_int_equal(grant_read(told.relay.grant).side, 1);
    manager_free(top);
    manager_free(near);
    manager_free(far);
}

/* Who says over and over what nobody has heard of takes no place from others whose word is on its way. */
static void test_heard_by_many(void **state)
{
    const struct tag phone = rw_tag(&w, RW_PHONE, TAG_TIER_HOST, 0);
    const struct mapping_refresh unknown = { phone, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300 };
    const struct mapping_request called = { .type = MAPPING_CALL,
                                            .tag = phone,
                                            .prefix = tag_prefix_of(&laptop, 128),
                                            .places = { { { ADDR_V4, { 192, 0, 2, 1 } }, 4000 } },
                                            .places_count = 1 };
    struct mapping_request r = { .type = MAPPING_REGISTER };
    struct manager *first = m;
    uint8_t items[256], out[MANAGER_CALL_BYTES_MAX];
    struct writer at = writer_init(items, sizeof(items));
    struct rw_blob b;
    uint64_t peer;

    m = another(true);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300, 1, &b);
    r.record = rw_slice(&b);
    assert_true(passes_on(RW_LAPTOP, &r)); /* of peer 1 */
    mapping_write_refresh(&at, &unknown);
    r = (struct mapping_request){ .type = MAPPING_REFRESH, .items = { items, writer_len(&at), 1 } };
    for (unsigned i = 0; i < 1000; i++)
        assert_true(passes_on(RW_PHONE, &r));
    follow(5);
    manager_called(m, &called, true, now);
    assert_true(manager_pop_call(m, out, &peer) > 0);
    assert_int_equal(peer, 1);
    manager_free(m);
    m = first;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_serves_what_it_knows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_passes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heard_by_many, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("manager_follows", tests, NULL, NULL);
}
