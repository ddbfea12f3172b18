/* Unit tests of services that are labels: their tags, who may say where they are, and what of that is believed
 * (ident/tag.h, ident/chain.h, mapping/manager.h, mapping/resolver.h). The phone and acme's key play gateways. */
#include "mapping/holder.h"
#include "mapping/resolver.h"
#include "tests/unit/manager_world.h"

#include <errno.h>

#define GATEWAY "one.s.rid.example"

static struct tag label, gateway, other;

static void enrol(int key, const char *name, uint8_t flags)
{
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = root,
                        .subject = rw_tag(&w, key, TAG_TIER_SERVICE, 0),
                        .issued_s = RW_NOW_S - 1000,
                        .suites = 1,
                        .flags = flags,
                        .seq = ++w.seq };
    struct rw_blob b;

    memcpy(r.key, w.keys[key], 32);
    snprintf(r.name, sizeof(r.name), "%s", name);
    rw_sign(&w, &r, RW_ROOT, &b);
    take(&b);
}

static int begin(void **state)
{
    int r = set_up(state);

    gateway = rw_tag(&w, RW_GUEST, TAG_TIER_SERVICE, 0);
    other = rw_tag(&w, RW_SPARE, TAG_TIER_SERVICE, 0);
    enrol(RW_GUEST, GATEWAY, RECORD_FLAG_SERVES);
    enrol(RW_SPARE, "two.s.rid.example", RECORD_FLAG_SERVES);
    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(tag_of_label(&root, "a label", 7, &label), 0);
    return r;
}

static struct record says(const struct tag *issuer, uint64_t seq, uint8_t n)
{
    struct record r = { .type = RECORD_BINDING,
                        .issuer = *issuer,
                        .subject = label,
                        .seq = seq,
                        .kind = KIND_SERVICE_ROUTER,
                        .lease_s = 300,
                        .answer = CLASS_FULL,
                        .targets_count = 1,
                        .details_len = 3,
                        .details = "abc" };

    r.targets[0] = (struct record_target){ .is_locator = true, .locator = { addr_v4(0xc0000200u + n), 4500 } };
    return r;
}

static struct mapping_answer tell(int key, const struct record *r)
{
    struct rw_blob b;

    rw_sign(&w, r, key, &b);
    return send_record(key, MAPPING_REGISTER, &b);
}

static struct mapping_answer look(int key)
{
    const struct mapping_request r = {
        .type = MAPPING_RESOLVE, .tag = label, .kind = KIND_SERVICE_ROUTER, .flags = MAPPING_WITH_CHAIN
    };

    return ask(key, &r);
}

static struct mapping_answer refresh(int key, uint64_t seq)
{
    const struct mapping_refresh i = {
        .subject = label, .kind = KIND_SERVICE_ROUTER, .answer = CLASS_FULL, .seq = seq, .lease_s = 300
    };
    struct mapping_request r = { .type = MAPPING_REFRESH };
    uint8_t item[64];
    struct writer at = writer_init(item, sizeof(item));

    mapping_write_refresh(&at, &i);
    r.items = (struct mapping_list){ item, writer_len(&at), 1 };
    return ask(key, &r);
}

/* By a cSHAKE128 written for this, checked with NIST's samples. */
static void test_tag(void **state)
{
    const struct tag realm = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    uint8_t long_one[TAG_LABEL_MAX + 1] = { 0 };
    char text[TAG_STRLEN];
    struct tag below;

    assert_string_equal(tag_format(&label, text), "2001:3f:270:fe:c956:b0b1:e48:5398");
    assert_true(tag_is_label(&label) && !tag_is_label(&root));
    assert_int_equal(tag_verify(&label, w.keys[RW_ROOT]), -EPROTONOSUPPORT);
    assert_int_equal(tag_of_label(&realm, "a label", 7, &below), 0);
    assert_int_equal(tag_realm(&below), 0x100);
    assert_int_equal(tag_of_label(&root, long_one, sizeof(long_one), &below), -ERANGE);
}

static void test_who_may_say(void **state)
{
    const struct tag phone_service = rw_tag(&w, RW_PHONE, TAG_TIER_SERVICE, 0);
    struct record r = says(&gateway, 1, 1);
    struct mapping_answer a;

    assert_int_equal(look(RW_LAPTOP).status, MAPPING_NONE);
    assert_int_equal(tell(RW_STRANGER, &r).status, MAPPING_NONE);
    assert_int_equal(tell(RW_PHONE, &r).status, MAPPING_NONE);
    a = tell(RW_ROOT, &r); /* nor the realm in a gateway's name, though it may bring what that one has signed */
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_SIGNATURE);
    r.issuer = root;
    assert_int_equal(tell(RW_ROOT, &r).status, MAPPING_NONE); /* nor in its own: nobody could show its chain */
    r.issuer = gateway;
    assert_int_equal(look(RW_LAPTOP).status, MAPPING_NONE);
    enrol(RW_PHONE, "plain.s.rid.example", 0);
    r.issuer = phone_service;
    assert_int_equal(tell(RW_PHONE, &r).status, MAPPING_NONE); /* a service without the flag */
    r.issuer = other;
    a = tell(RW_GUEST, &r); /* in another's name */
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_BROKEN_CHAIN);
    r.issuer = gateway;
    assert_int_equal(tell(RW_GUEST, &r).status, MAPPING_DONE);
    a = look(RW_LAPTOP);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(target_of(a.record), 1);
    assert_int_equal(a.chain_count, 2);
    assert_int_equal(look(RW_STRANGER).status, MAPPING_FOUND);
}

/* Another takes over by a higher sequence; then the first keeps nothing up. */
static void test_one_speaks_at_a_time(void **state)
{
    struct record r = says(&gateway, 5, 1);
    struct mapping_list items;
    struct mapping_failure f;
    struct mapping_answer a;

    tell(RW_GUEST, &r);
    assert_int_equal(refresh(RW_GUEST, 5).items.count, 0);
    a = refresh(RW_SPARE, 5); /* not his word */
    items = a.items;
    assert_true(mapping_next_failure(&items, &f));
    assert_int_equal(f.seq, 5);
    r = says(&other, 5, 2);
    a = tell(RW_SPARE, &r);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 5);
    r.seq = 6;
    assert_int_equal(tell(RW_SPARE, &r).status, MAPPING_DONE);
    assert_int_equal(target_of(look(RW_LAPTOP).record), 2);
    a = refresh(RW_GUEST, 5);
    items = a.items;
    assert_true(mapping_next_failure(&items, &f));
    assert_int_equal(f.seq, 6);
    now += 301 * SEC;
    manager_on_expiry(m, now);
    assert_int_equal(look(RW_LAPTOP).status, MAPPING_NONE);
}

/* Whose registration has ended has said nothing. */
static void test_revoked(void **state)
{
    struct record r = says(&gateway, 1, 1), revocation = {
        .type = RECORD_REVOCATION, .issuer = root, .subject = gateway, .issued_s = RW_NOW_S, .seq = 100
    };
    struct rw_blob b;

    tell(RW_GUEST, &r);
    rw_sign(&w, &revocation, RW_ROOT, &b);
    take(&b);
    assert_int_equal(look(RW_LAPTOP).status, MAPPING_NONE);
    assert_int_equal(refresh(RW_GUEST, 1).items.count, 1);
    r = says(&other, 2, 2);
    assert_int_equal(tell(RW_SPARE, &r).status, MAPPING_DONE);
    assert_int_equal(target_of(look(RW_LAPTOP).record), 2);
}

/* Enrolled again, and to serve no more. */
static void test_serves_no_more(void **state)
{
    struct record r = says(&gateway, 1, 1);

    assert_int_equal(tell(RW_GUEST, &r).status, MAPPING_DONE);
    enrol(RW_GUEST, GATEWAY, 0);
    assert_int_equal(look(RW_LAPTOP).status, MAPPING_NONE);
    assert_int_equal(refresh(RW_GUEST, 1).items.count, 1);
}

static void revoke(const struct tag *whom)
{
    const struct record r = {
        .type = RECORD_REVOCATION, .issuer = root, .subject = *whom, .issued_s = RW_NOW_S, .seq = 100
    };
    struct rw_blob b;

    rw_sign(&w, &r, RW_ROOT, &b);
    take(&b);
}

/* Who has counted as far as he may, and is revoked then, keeps nobody else out, as nobody does by a long lease. */
static void test_numbers_are_not_taken_away(void **state)
{
    struct record_target t = { .is_locator = true, .locator = { addr_v4(0xc0000207u), 4500 } };
    struct record r = says(&gateway, UINT64_MAX, 1);
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_SPARE] };
    static uint8_t request[HOLDER_REQUEST_MAX];
    struct mapping_answer a = tell(RW_GUEST, &r);
    struct holder h;
    size_t len;

    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_AHEAD);
    r.seq = (uint64_t)(RW_NOW_S + 86401) << 32;
    assert_int_equal(tell(RW_GUEST, &r).status, MAPPING_REFUSED);
    r.seq--; /* the last of all */
    r.lease_s = UINT32_MAX;
    a = tell(RW_GUEST, &r);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.left_s, BINDINGS_LABEL_LEASE_MAX_S);
    revoke(&gateway);
    holder_init(&h, w.seeds[RW_SPARE], &other, &label, KIND_SERVICE_ROUTER, CLASS_FULL, 300, RW_NOW_S, 7);
    assert_int_equal(holder_set_targets(&h, &t, 1, now), 0);
    for (unsigned i = 0; h.state != HOLDER_REGISTERED; i++) {
        assert_in_range(i, 0, 2);
        now = holder_next_expiry(&h);
        len = holder_output(&h, now, request);
        manager_on_request(m, &who, request, len, now, RW_NOW_S + i, out, &reply);
        holder_on_answer(&h, out, reply.len, now);
    }
    assert_int_equal(target_of(look(RW_LAPTOP).record), 7);
    holder_deinit(&h);
}

/* Who makes up labels leaves room for others, for those with a key above all, and that comes back. */
static void test_flood(void **state)
{
    struct mapping_answer a = { .status = MAPPING_DONE };
    struct record r;
    unsigned n = 0;
    char text[32];

    for (; a.status == MAPPING_DONE && n < 100; n++) {
        snprintf(text, sizeof(text), "label %u", n);
        assert_int_equal(tag_of_label(&root, text, strlen(text), &label), 0);
        r = says(&gateway, 1, 1);
        a = tell(RW_GUEST, &r);
    }
    assert_int_equal(a.status, MAPPING_LATER);
    assert_int_equal(n, 100 / BINDINGS_ISSUER_SHARE + 1);
    r = says(&other, 1, 2);
    assert_int_equal(tell(RW_SPARE, &r).status, MAPPING_DONE);
    for (unsigned i = 0; i <= BINDINGS_LABEL_LEASE_MAX_S; i++) {
        now += SEC;
        manager_on_expiry(m, now);
    }
    assert_int_equal(tag_of_label(&root, "another", 7, &label), 0);
    r = says(&gateway, 1, 1);
    assert_int_equal(tell(RW_GUEST, &r).status, MAPPING_DONE);
}

static void test_record(void **state)
{
    struct record r = says(&gateway, 1, 1), back;
    struct record_error why;
    struct record_bytes at;
    struct rw_blob b;

    rw_sign(&w, &r, RW_GUEST, &b);
    assert_int_equal(record_decode(b.bytes, b.len, &back, &at, &why), 0);
    assert_int_equal(back.details_len, 3);
    assert_memory_equal(back.details, "abc", 3);
    r.kind = KIND_GROUP_MEMBER; /* a label is a service's only, and so are details */
    r.targets[0] = (struct record_target){ .tag = laptop };
    r.details_len = 0;
    assert_int_equal(record_encode(&r, w.seeds[RW_GUEST], b.bytes, sizeof(b.bytes), &b.len), -EINVAL);
    r.subject = gateway;
    r.issuer = gateway;
    assert_int_equal(record_encode(&r, w.seeds[RW_GUEST], b.bytes, sizeof(b.bytes), &b.len), 0);
    r.details_len = 3;
    assert_int_equal(record_encode(&r, w.seeds[RW_GUEST], b.bytes, sizeof(b.bytes), &b.len), -EINVAL);
}

/* --- a resolver at that manager --- */

static struct resolver *resolver_at(void)
{
    const struct resolver_options o = { .root = rw_slice(&w.root),
                                        .managers = { { addr_v4(0xc0000201u), 4500 } },
                                        .managers_count = 1,
                                        .class_max = CLASS_FULL,
                                        .questions_max = 8,
                                        .signatures_max = 16,
                                        .rng = w.rng };
    struct record_error why;
    struct resolver *r;

    assert_int_equal(resolver_new(&o, RW_NOW_S, now, &r, &why), 0);
    return r;
}

/* What came of asking for the label; spoil: a byte of the answer is another. */
static struct resolver_result result_of(struct resolver *r, bool anew, bool spoil)
{
    const struct resolver_question q = { .tag = label, .kind = KIND_SERVICE_ROUTER, .anew = anew };
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_LAPTOP] };
    struct resolver_event ev;

    assert_int_equal(resolver_ask(r, &q, &w, now), 0);
    while (resolver_pop_event(r, &ev, now)) {
        if (ev.type == RESOLVER_DONE)
            return ev.result;
        memcpy(sent, ev.data, ev.len);
        manager_on_request(m, &who, sent, ev.len, now, RW_NOW_S, out, &reply);
        if (spoil)
            out[reply.len / 2] ^= 1;
        resolver_on_answer(r, ev.ask, out, reply.len, now);
    }
    fail();
    return (struct resolver_result){ 0 };
}

static void test_resolver(void **state)
{
    struct record r = says(&gateway, 1, 1);
    struct resolver *asks = resolver_at();
    struct resolver_result got = result_of(asks, false, false);

    assert_int_equal(got.outcome, RESOLVER_NONE);
    tell(RW_GUEST, &r);
    assert_int_equal(result_of(asks, false, false).outcome, RESOLVER_NONE); /* what is known serves on */
    assert_int_equal(result_of(asks, true, true).outcome, RESOLVER_FAILED);
    got = result_of(asks, true, false);
    assert_int_equal(got.outcome, RESOLVER_FOUND);
    assert_int_equal(target_of(got.record), 1);
    assert_true(tag_equal(&got.subject.tag, &label));
    assert_string_equal(got.subject.name, GATEWAY);
    got = result_of(asks, false, false);
    assert_true(got.outcome == RESOLVER_FOUND && got.cached);
    /* Who spoke is not to be believed any more. */
    assert_int_equal(trust_note_revoked(resolver_trust(asks), &gateway, 100), 0);
    assert_int_equal(result_of(asks, false, false).outcome, RESOLVER_FAILED);
    resolver_free(asks);
}

/* Two who keep the same label known: the second jumps past the first. */
static void test_holders(void **state)
{
    struct record_target t = { .is_locator = true, .locator = { addr_v4(0xc0000207u), 4500 } };
    const struct slice details = { (const uint8_t *)"xyz", 3 };
    struct record r = says(&gateway, (uint64_t)9 << 32, 1);
    static uint8_t request[HOLDER_REQUEST_MAX];
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_SPARE] };
    struct mapping_answer a;
    struct record_bytes at;
    struct record_error why;
    struct record back;
    struct holder h;
    size_t len;

    tell(RW_GUEST, &r);
    holder_init(&h, w.seeds[RW_SPARE], &other, &label, KIND_SERVICE_ROUTER, CLASS_FULL, 300, 1, 7);
    holder_set_floor(&h, r.seq);
    assert_int_equal(holder_set_service(&h, &t, 1, details, now), 0);
    len = holder_output(&h, now, request);
    manager_on_request(m, &who, request, len, now, RW_NOW_S, out, &reply);
    holder_on_answer(&h, out, reply.len, now);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_int_equal(h.seq, r.seq + 1);
    a = look(RW_LAPTOP);
    assert_int_equal(record_decode(a.record.data, a.record.len, &back, &at, &why), 0);
    assert_memory_equal(back.details, "xyz", 3);
    assert_int_equal(holder_set_service(&h, &t, 1, details, now), 0);
    assert_int_equal(h.seq, r.seq + 1); /* the same again says nothing */
    holder_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tag, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_who_may_say, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_one_speaks_at_a_time, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_revoked, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_serves_no_more, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_are_not_taken_away, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_flood, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_record, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_resolver, begin, tear_down),
        cmocka_unit_test_setup_teardown(test_holders, begin, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
