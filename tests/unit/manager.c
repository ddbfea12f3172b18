/* Unit tests of mapping/manager.h: one realm, those who belong to it, and those who do not. */
#include "mapping/subscribers.h"
#include "tests/unit/manager_world.h"

#include <errno.h>

static const struct endpoint home = { { .family = ADDR_V4, .bytes = { 203, 0, 113, 9 } }, 40000 };

static void test_lookup(void **state)
{
    struct mapping_request r = by_name(LAPTOP);
    struct mapping_answer a = resolve(RW_LAPTOP, LAPTOP);
    const struct trust_options options = { .cached_max = 2, .facts_max = 64, .rng = &w.rng };
    struct record_error why;
    struct chain_end end, of;
    struct trust *t;
    struct record rec;

    /* Nothing is there, nobody may know. */
    assert_int_equal(a.status, MAPPING_NONE);
    assert_int_equal(a.fresh_s, MANAGER_NONE_S);
    assert_int_equal(a.flags, 0);
    a = bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_memory_equal(a.tag.bytes, laptop.bytes, 16);
    assert_int_equal(a.seq, 9);
    assert_int_equal(a.left_s, 300);
    assert_int_equal(a.fresh_s, 100);
    assert_int_equal(reply.stored, 0);
    assert_int_equal(resolve(RW_LAPTOP, LAPTOP).status, MAPPING_NONE);
    allow("2001:3f:240::/56", CLASS_FULL); /* hosts of the root itself: deployment 9 */
    now += 100 * SEC;
    r.flags = MAPPING_WITH_CHAIN;
    a = ask(RW_PHONE, &r);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.granted, CLASS_FULL);
    assert_int_equal(a.left_s, 200);
    assert_int_equal(a.fresh_s, 200);
    assert_int_equal(target_of(a.record), 1);
    /* It has its proof with it. */
    assert_int_equal(a.chain_count, 2);
    t = trust_new(w.keys[RW_ROOT], &options);
    assert_int_equal(trust_verify(t, a.chain, a.chain_count, RW_NOW_S, &end, &why), 0);
    assert_string_equal(end.name, LAPTOP);
    of = end;
    assert_int_equal(trust_accept(t, &end, &of, a.record.data, a.record.len, &rec, &why), 0);
    trust_free(t);
    /* By tag, and with the hash of the key in the name. */
    r = (struct mapping_request){ .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    a = ask(RW_PHONE, &r);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.chain_count, 0);
    r.kind = KIND_USER_HOST;
    assert_int_equal(ask(RW_PHONE, &r).status, MAPPING_NONE);
    {
        char name[NAME_SIZE];

        name_hash_label(w.keys[RW_LAPTOP], name); /* not the hash of that key */
        snprintf(name + strlen(name), 64, ".%s", LAPTOP);
        assert_int_equal(resolve(RW_PHONE, name).status, MAPPING_NONE);
    }
    /* The lease ends to the second. */
    now += 200 * SEC;
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
}

static void test_not_ours(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR };
    struct mapping_answer a = resolve(RW_STRANGER, "laptop.h.other.example");

    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_FOREIGN_NAME);
    assert_int_equal(resolve(RW_STRANGER, "xrid.example").fault, RECORD_NAME);
    assert_int_equal(resolve(RW_STRANGER, "a.h.xrid.example").fault, RECORD_FOREIGN_NAME);
    assert_int_equal(tag_make(w.keys[RW_SPARE], TAG_RAA(10), 0, &r.tag), 0);
    a = ask(RW_STRANGER, &r);
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_FOREIGN_PREFIX);
}

static void test_referral(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR };
    struct tag acme = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    struct mapping_answer a = resolve(RW_STRANGER, "host.h.acme.rid.example");
    struct rw_blob b;

    assert_int_equal(a.status, MAPPING_REFERRAL);
    assert_int_equal(a.chain_count, 2);
    assert_memory_equal(a.chain[1].data, w.acme.bytes, w.acme.len);
    assert_int_equal(a.record.len, 0);
    /* The realm says where its managers are; a host of the root may not. */
    rw_bind(&w, &acme, RW_ACME, &acme, KIND_REALM_REALM, CLASS_AGENT, 1, 600, 53, &b);
    assert_int_equal(send_record(RW_LAPTOP, MAPPING_REGISTER, &b).status, MAPPING_NONE);
    assert_int_equal(send_record(RW_ACME, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    a = resolve(RW_STRANGER, "host.h.deep.acme.rid.example");
    assert_int_equal(a.status, MAPPING_REFERRAL);
    assert_int_equal(target_of(a.record), 53);
    assert_int_equal(a.left_s, 600);
    assert_int_equal(a.fresh_s, 300);
    /* By tag: any number that was given to it, and no other. */
    r.tag = rw_tag(&w, RW_SPARE, TAG_TIER_USER, 0x1ff);
    assert_int_equal(ask(RW_STRANGER, &r).status, MAPPING_REFERRAL);
    r.tag = rw_tag(&w, RW_SPARE, TAG_TIER_USER, 0x200);
    assert_int_equal(ask(RW_STRANGER, &r).status, MAPPING_NONE);
    assert_int_equal(resolve(RW_STRANGER, "host.h.nothing.rid.example").status, MAPPING_NONE);
    /* Where a realm is, is for everybody. */
    r = by_name("acme.rid.example");
    r.kind = KIND_REALM_REALM;
    a = ask(RW_STRANGER, &r);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(target_of(a.record), 53);
    r = (struct mapping_request){ .type = MAPPING_RESOLVE, .kind = KIND_REALM_REALM, .tag = acme };
    assert_int_equal(ask(RW_STRANGER, &r).status, MAPPING_FOUND);
    /* The realm's own: by its own key. */
    rw_bind(&w, &root, RW_ROOT, &root, KIND_REALM_REALM, CLASS_AGENT, 1, 600, 54, &b);
    assert_int_equal(send_record(RW_ACME, MAPPING_REGISTER, &b).status, MAPPING_NONE);
    assert_int_equal(send_record(RW_ROOT, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    r.tag = root;
    assert_int_equal(target_of(ask(RW_STRANGER, &r).record), 54);
}

/* Answers of a class to those of that class: the highest row that they may have. */
static void test_classes(void **state)
{
    struct tag guest = rw_tag(&w, RW_GUEST, TAG_TIER_HOST, 0x100);
    struct mapping_request r = { .type = MAPPING_INTRODUCE, .chain_count = 3 };
    struct mapping_answer a;
    struct rw_blob b;

    assert_int_equal(bind_laptop(CLASS_AGENT, 9, 300, 1).status, MAPPING_DONE);
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 3).status, MAPPING_DONE);
    allow("2001:3f:241::/56", CLASS_COARSE); /* hosts of acme: realm number 0x100 */
    rw_register(&w, RW_ACME, 0x100, RW_GUEST, TAG_TIER_HOST, "guest.h.acme.rid.example", &b);
    a = resolve(RW_GUEST, LAPTOP);
    assert_int_equal(a.status, MAPPING_NONE);
    assert_int_equal(a.flags, MAPPING_STRANGER);
    r.chain[0] = rw_slice(&w.root);
    r.chain[1] = rw_slice(&w.acme);
    r.chain[2] = rw_slice(&b);
    /* The chain of another is nobody's. */
    a = ask(RW_STRANGER, &r);
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_NOT_AUTHORISED);
    a = ask(RW_GUEST, &r);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_memory_equal(a.tag.bytes, guest.bytes, 16);
    a = resolve(RW_GUEST, LAPTOP);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.granted, CLASS_COARSE);
    assert_int_equal(target_of(a.record), 1);
    assert_int_equal(a.flags, 0);
    /* A chain with a wrong signature. */
    b.bytes[b.len - 1] ^= 1;
    assert_int_equal(ask(RW_STRANGER, &r).fault, RECORD_SIGNATURE);
    /* A stranger is known by what its key is without a realm. */
    allow("2001:3f::/42", CLASS_AGENT);
    a = resolve(RW_STRANGER, LAPTOP);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.granted, CLASS_AGENT);
    assert_int_equal(a.flags, MAPPING_STRANGER);
    assert_int_equal(resolve(RW_GUEST, LAPTOP).status, MAPPING_NONE);
    /* What is asked for others is of class 1, whoever asks. */
    allow(EVERYBODY, CLASS_FULL);
    r = by_name(LAPTOP);
    r.flags = MAPPING_RECURSE;
    a = ask(RW_GUEST, &r);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.granted, CLASS_AGENT);
    assert_int_equal(target_of(a.record), 1);
    assert_int_equal(resolve(RW_GUEST, LAPTOP).granted, CLASS_FULL);
}

static void test_register(void **state)
{
    struct manager_stats stats;
    struct mapping_answer a;
    struct rw_blob b;

    assert_int_equal(bind_laptop(CLASS_FULL, 1ull << 40, 300, 1).status, MAPPING_DONE);
    /* Again: the same; older, and another under the same number: told the newest. */
    assert_int_equal(bind_laptop(CLASS_FULL, 1ull << 40, 300, 1).status, MAPPING_DONE);
    a = bind_laptop(CLASS_FULL, 1ull << 40, 300, 2);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 1ull << 40);
    assert_int_equal(bind_laptop(CLASS_FULL, 5, 300, 2).status, MAPPING_OLDER);
    /* A lease above the longest is cut. */
    assert_int_equal(bind_laptop(CLASS_FULL, (1ull << 40) + 1, 4000000, 2).left_s, BINDINGS_LEASE_MAX_S);
    /* By another key in his name; of another type; no record at all. */
    rw_bind(&w, &laptop, RW_PHONE, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 1ull << 41, 300, 1, &b);
    a = send_record(RW_LAPTOP, MAPPING_REGISTER, &b);
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_SIGNATURE);
    a = send_record(RW_LAPTOP, MAPPING_REGISTER, &w.acme);
    assert_int_equal(a.fault, RECORD_TYPE_UNKNOWN);
    b.len--;
    assert_int_equal(send_record(RW_LAPTOP, MAPPING_REGISTER, &b).fault, RECORD_NOT_CBOR);
    /* The realm may bind nobody who has not said so. */
    rw_bind(&w, &root, RW_ROOT, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 1ull << 41, 300, 1, &b);
    assert_int_equal(send_record(RW_ROOT, MAPPING_REGISTER, &b).fault, RECORD_NOT_AUTHORISED);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.refused[RECORD_SIGNATURE], 1);
    assert_int_equal(stats.refused[RECORD_NOT_CBOR], 1);
    assert_int_equal(stats.refused[RECORD_NOT_AUTHORISED], 1);
    assert_int_equal(stats.requests[MAPPING_REGISTER], 9);
    assert_int_equal(stats.bindings_live, 1);
    assert_int_equal(stats.names, 3);
}

static struct mapping_answer refresh(int key, const struct tag *subject, uint64_t seq)
{
    struct mapping_refresh i = { .subject = *subject, .answer = CLASS_FULL, .seq = seq, .lease_s = 300 };
    struct mapping_request r = { .type = MAPPING_REFRESH };
    uint8_t items[64];
    struct writer at = writer_init(items, sizeof(items));

    mapping_write_refresh(&at, &i);
    r.items = (struct mapping_list){ items, writer_len(&at), 1 };
    return ask(key, &r);
}

static void assert_failure(struct mapping_answer a, uint64_t seq)
{
    struct mapping_failure f;

    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.items.count, 1);
    assert_true(mapping_next_failure(&a.items, &f));
    assert_int_equal(f.index, 0);
    assert_int_equal(f.seq, seq);
}

static void test_refresh(void **state)
{
    struct mapping_answer a;

    allow(EVERYBODY, CLASS_FULL);
    assert_failure(refresh(RW_LAPTOP, &laptop, 9), 0);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    now += 299 * SEC;
    a = refresh(RW_LAPTOP, &laptop, 9);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.items.count, 0);
    assert_int_equal(a.left_s, 300);
    now += 299 * SEC;
    assert_int_equal(resolve(RW_PHONE, LAPTOP).left_s, 1);
    assert_failure(refresh(RW_LAPTOP, &laptop, 8), 9);
    /* Not by another, whether it is there or not; the realm's own key may. */
    assert_failure(refresh(RW_PHONE, &laptop, 9), 0);
    assert_failure(refresh(RW_PHONE, &laptop, 8), 0);
    assert_int_equal(refresh(RW_ROOT, &laptop, 9).items.count, 0);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).left_s, 300);
}

static void test_publish(void **state)
{
    struct mapping_answer a;
    struct rw_blob b, other;

    bind_laptop(CLASS_FULL, 9, 300, 1);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, EVERYBODY, CLASS_FULL, &b);
    assert_int_equal(send_record(RW_PHONE, MAPPING_PUBLISH, &b).status, MAPPING_NONE);
    assert_int_equal(reply.publish.len, 0);
    a = send_record(RW_LAPTOP, MAPPING_PUBLISH, &b);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.seq, 5);
    assert_int_equal(reply.publish.len, b.len);
    assert_memory_equal(reply.publish.data, b.bytes, b.len);
    /* It is in force when it is in the log. */
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
    take(&b);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_FOUND);
    /* Again: no second time into the log; older: told. */
    assert_int_equal(send_record(RW_LAPTOP, MAPPING_PUBLISH, &b).status, MAPPING_DONE);
    assert_int_equal(reply.publish.len, 0);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 4, NULL, CLASS_DENY, &other);
    a = send_record(RW_LAPTOP, MAPPING_PUBLISH, &other);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 5);
    /* Another one under the same number is not in force, and so is not done. */
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, NULL, CLASS_DENY, &other);
    a = send_record(RW_LAPTOP, MAPPING_PUBLISH, &other);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 5);
    assert_int_equal(reply.publish.len, 0);
    /* Its own revocation, which ends it and what it has said. */
    {
        struct record r = {
            .type = RECORD_REVOCATION, .issuer = laptop, .subject = laptop, .seq = 6, .issued_s = RW_NOW_S
        };

        rw_sign(&w, &r, RW_LAPTOP, &b);
    }
    assert_int_equal(send_record(RW_PHONE, MAPPING_PUBLISH, &b).status, MAPPING_NONE);
    a = send_record(RW_LAPTOP, MAPPING_PUBLISH, &b);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(reply.publish.len, b.len);
    /* Until it is in the log nothing has changed, so that a log that fails leaves no half of it. */
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_FOUND);
    assert_int_equal(bind_laptop(CLASS_FULL, 10, 300, 1).status, MAPPING_DONE);
    take(&b);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
    assert_int_equal(bind_laptop(CLASS_FULL, 10, 300, 1).status, MAPPING_NONE);
    assert_int_equal(resolve(RW_LAPTOP, LAPTOP).flags, MAPPING_STRANGER);
}

/* A key that was changed: the old tag leads to the new one, with the proof. */
static void test_succession(void **state)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
    struct record s = { .type = RECORD_SUCCESSOR,
                        .issuer = root,
                        .subject = laptop,
                        .next = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0),
                        .seq = 50,
                        .issued_s = RW_NOW_S,
                        .not_after_s = RW_NOW_S + 1000 };
    struct mapping_answer a;
    struct slice proof;
    struct rw_blob b;

    memcpy(s.old_key, w.keys[RW_LAPTOP], 32);
    memcpy(s.key, w.keys[RW_SPARE], 32);
    assert_int_equal(successor_prove(&s, w.seeds[RW_LAPTOP], s.old_proof), 0);
    assert_int_equal(successor_prove(&s, w.seeds[RW_SPARE], s.new_proof), 0);
    allow(EVERYBODY, CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    rw_sign(&w, &s, RW_ROOT, &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, LAPTOP, &b);
    take(&b);
    /* What the old key said is not said by the new one. */
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
    a = bind_laptop(CLASS_FULL, 10, 300, 1);
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, RECORD_SUPERSEDED);
    /* To another it is as one that is not there. */
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 11, 300, 1, &b);
    assert_int_equal(send_record(RW_PHONE, MAPPING_REGISTER, &b).status, MAPPING_NONE);
    rw_bind(&w, &s.next, RW_SPARE, &s.next, KIND_HOST_LOCATOR, CLASS_FULL, 1, 300, 7, &b);
    assert_int_equal(send_record(RW_SPARE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    a = resolve(RW_PHONE, LAPTOP);
    assert_int_equal(target_of(a.record), 7);
    assert_int_equal(a.proofs.count, 0);
    a = ask(RW_PHONE, &r);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(target_of(a.record), 7);
    assert_int_equal(a.proofs.count, 1);
    assert_true(mapping_next_bytes(&a.proofs, &proof));
    rw_sign(&w, &s, RW_ROOT, &b);
    assert_memory_equal(proof.data, b.bytes, b.len);
}

/* Who may know where a host is, and says that he calls it, is made known to it, where it registered last. */
static void test_calls(void **state)
{
    static const uint8_t key[IDENT_KEY_LEN] = { 1 };
    struct mapping_request r = by_name(LAPTOP), told;
    struct mapping_answer a;
    struct grant mine, its;
    uint8_t sealed[GRANT_LEN];
    uint64_t peer = 0;
    size_t len;

    r.places[0] = r.places[1] = home;
    r.places[1].port++;
    r.places_count = 2;
    bind_laptop(CLASS_FULL, 8, 300, 1); /* whom it denies: test_denied_is_none */
    allow(EVERYBODY, CLASS_AGENT);      /* where its agent is, if it had one */
    bind_laptop(CLASS_AGENT, 9, 300, 1);
    assert_int_equal(ask(RW_PHONE, &r).granted, CLASS_AGENT);
    assert_int_equal(manager_pop_call(m, out, &peer), 0);
    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(ask(RW_PHONE, &r).status, MAPPING_FOUND);
    len = manager_pop_call(m, out, &peer);
    assert_int_equal(peer, RW_LAPTOP + 100);
    assert_int_equal(mapping_request_read(out, len, &told), 0);
    assert_int_equal(told.type, MAPPING_CALL);
    assert_true(tag_equal(&told.tag, &phone));
    assert_int_equal(told.prefix.len, 128);
    assert_true(tag_equal(&told.prefix.tag, &laptop));
    assert_int_equal(told.places_count, 2);
    assert_true(endpoint_equal(&told.places[1], &r.places[1]));
    assert_int_equal(manager_pop_call(m, out, &peer), 0);
    assert_int_equal(told.relay.at.addr.family, ADDR_NONE);
    manager_set_relay(m, &home, key, &w.rng);
    a = ask(RW_PHONE, &r);
    len = manager_pop_call(m, sent, &peer);
    assert_int_equal(mapping_request_read(sent, len, &told), 0);
    assert_true(endpoint_equal(&a.relay.at, &home) && endpoint_equal(&told.relay.at, &home));
    mine = grant_read(a.relay.grant);
    its = grant_read(told.relay.grant);
    grant_seal(key, &mine, sealed);
    assert_memory_equal(sealed, a.relay.grant, GRANT_LEN);
    grant_seal(key, &its, sealed);
    assert_memory_equal(sealed, told.relay.grant, GRANT_LEN);
    assert_true(mine.channel == its.channel && mine.side == 0 && its.side == 1);
    assert_int_equal(mine.until_s, RW_NOW_S + GRANT_LIFE_S);
    r.places_count = 0; /* it asks, and does not call */
    assert_int_equal(ask(RW_PHONE, &r).relay.at.addr.family, ADDR_NONE);
    r.places_count = 2;
    r.flags = MAPPING_RECURSE; /* for others: they would have to call */
    ask(RW_PHONE, &r);
    assert_int_equal(manager_pop_call(m, out, &peer), 0);
    r.flags = 0;
    for (unsigned i = 0; i < MANAGER_CALLS_MAX + 10; i++)
        assert_int_equal(ask(RW_PHONE, &r).status, MAPPING_FOUND);
    for (unsigned i = 0; i < MANAGER_CALLS_MAX; i++)
        assert_true(manager_pop_call(m, out, &peer) > 0);
    assert_int_equal(manager_pop_call(m, out, &peer), 0);
}

/* Everybody is told where he is seen. */
static void test_where(void **state)
{
    const struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_STRANGER], .at = &home };
    const struct mapping_request r = { .type = MAPPING_WHERE };
    struct mapping_answer a = ask(RW_PHONE, &r);

    assert_int_equal(a.place.addr.family, ADDR_NONE); /* not known */
    manager_on_request(m, &who, sent, 5, now, RW_NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    assert_true(a.status == MAPPING_DONE && endpoint_equal(&a.place, &home));
}

/* Every kind of request, about what is there and about what is not, by those who may know of neither: the same bytes.
 * Names and tags of the two are of one length. */
static void test_denied_is_none(void **state)
{
    static uint8_t first[MAPPING_BYTES_MAX];
    struct tag nobody = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0);
    const struct tag *subjects[2] = { &laptop, &nobody };
    const char *names[2] = { LAPTOP, "lapdog.h.rid.example" };
    const int signers[2] = { RW_LAPTOP, RW_SPARE };
    const int askers[] = { RW_STRANGER, RW_GUEST, RW_PHONE, RW_ACME };
    struct mapping_request introduce = { .type = MAPPING_INTRODUCE, .chain_count = 3 };
    struct rw_blob bindings[2], policies[2], revocations[2], guest;
    size_t walked = 0;
    uint64_t peer;

    for (int i = 0; i < 2; i++) {
        struct record r = {
            .type = RECORD_REVOCATION, .issuer = *subjects[i], .subject = *subjects[i], .seq = 6, .issued_s = RW_NOW_S
        };

        rw_sign(&w, &r, signers[i], &revocations[i]);
        rw_bind(&w, subjects[i], signers[i], subjects[i], KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &bindings[i]);
        rw_policy(&w, subjects[i], signers[i], subjects[i], 5, EVERYBODY, CLASS_FULL, &policies[i]);
    }
    bind_laptop(CLASS_AGENT, 8, 300, 1);
    bind_laptop(CLASS_FULL, 8, 300, 1);
    allow("2001:3f:240:5::1", CLASS_FULL); /* somebody else */
    rw_register(&w, RW_ACME, 0x100, RW_GUEST, TAG_TIER_HOST, "guest.h.acme.rid.example", &guest);
    introduce.chain[0] = rw_slice(&w.root);
    introduce.chain[1] = rw_slice(&w.acme);
    introduce.chain[2] = rw_slice(&guest);
    assert_int_equal(ask(RW_GUEST, &introduce).status, MAPPING_DONE);
    for (size_t who = 0; who < sizeof(askers) / sizeof(askers[0]); who++) {
        for (unsigned type = MAPPING_RESOLVE; type < MAPPING_TYPE_END; type++) {
            for (unsigned variant = 0; variant < 8; variant++) {
                size_t first_len = 0;

                for (int i = 0; i < 2; i++) {
                    struct mapping_refresh item = {
                        .subject = *subjects[i], .answer = CLASS_FULL, .seq = 8 + variant % 2, .lease_s = 300
                    };
                    uint8_t items[64];
                    struct writer at = writer_init(items, sizeof(items));
                    struct mapping_request r = { .type = (enum mapping_type)type, .kind = (uint8_t)(variant % 2) };

                    mapping_write_refresh(&at, &item);
                    r.tag = *subjects[i];
                    r.seq = type == MAPPING_RESOLVE ? variant % 3 : 9;
                    if (type == MAPPING_RESOLVE && variant & 2) {
                        r.name = names[i];
                        r.name_len = strlen(names[i]);
                    }
                    r.flags = type == MAPPING_RESOLVE && variant & 4 ? MAPPING_WITH_CHAIN | MAPPING_RECURSE : 0;
                    r.places[0] = home;
                    r.places_count = type == MAPPING_CALL || variant & 1;
                    r.record = rw_slice(type == MAPPING_REGISTER ? &bindings[i]
                                        : variant & 1            ? &policies[i]
                                                                 : &revocations[i]);
                    r.prefix = tag_prefix_of(subjects[i], variant & 1 ? 128 : 64);
                    r.lease_s = variant & 2 ? 60 : 0;
                    r.epoch = type == MAPPING_NOTIFY || variant & 4 ? 7 : 0;
                    r.from = variant & 4 ? 1 : 0;
                    if (type == MAPPING_REFRESH)
                        r.items = (struct mapping_list){ items, writer_len(&at), 1 };
                    ask(askers[who], &r);
                    assert_int_equal(reply.stored, 0);
                    assert_int_equal(reply.publish.len, 0);
                    if (i == 0) {
                        memcpy(first, out, reply.len);
                        first_len = reply.len;
                        continue;
                    }
                    assert_int_equal(reply.len, first_len);
                    assert_memory_equal(out, first, first_len);
                    walked++;
                }
            }
        }
    }
    assert_int_equal(walked, 4 * (MAPPING_TYPE_END - MAPPING_RESOLVE) * 8);
    assert_int_equal(manager_pop_call(m, out, &peer), 0);
    /* And it was there all the while. */
    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_FOUND);
}

static void test_not_understood(void **state)
{
    struct mapping_request r = by_name(LAPTOP);
    struct mapping_answer a;
    struct manager_stats stats;

    ask(RW_PHONE, &r);
    sent[2] = 2; /* the version */
    a = ask_bytes(RW_PHONE, 20);
    assert_int_equal(a.status, MAPPING_UNKNOWN);
    a = ask_bytes(RW_PHONE, 0);
    assert_int_equal(a.status, MAPPING_UNKNOWN);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.unknown, 2);
    assert_int_equal(stats.answers[MAPPING_UNKNOWN], 2);
}

static void test_full(void **state)
{
    struct rw_blob b;

    for (unsigned i = 0; i < 97; i++) {
        char name[64];

        /* Aliases of nobody would do as well: names fill the authority, bindings the table. */
        snprintf(name, sizeof(name), "host%u.h.rid.example", i);
        memset(w.seeds[RW_SPARE], (int)(100 + i), 32);
        assert_int_equal(ed25519_public(w.seeds[RW_SPARE], w.keys[RW_SPARE]), 0);
        rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, name, &b);
        take(&b);
        for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++) {
            struct tag t = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0);
            struct mapping_answer a;

            rw_bind(&w, &t, RW_SPARE, &t, KIND_HOST_LOCATOR, answer, 1, 300, 1, &b);
            a = send_record(RW_SPARE, MAPPING_REGISTER, &b);
            assert_int_equal(a.status, 3 * i + answer - 1 < 100 ? MAPPING_DONE : MAPPING_LATER);
        }
    }
    {
        struct record_error why;

        rw_register(&w, RW_ROOT, 0, RW_GUEST, TAG_TIER_HOST, "one.h.rid.example", &b);
        assert_int_equal(manager_take(m, b.bytes, b.len, now, &why), -ENOSPC);
    }
}

static void test_store(void **state)
{
    struct manager_change c;
    struct mapping_answer a;
    struct rw_blob b;

    manager_free(m);
    set_up_with(8, true, 0);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(reply.stored, 2);
    assert_true(manager_pop_change(m, now, &c));
    assert_int_equal(c.number, 2);
    assert_false(c.forgotten);
    assert_memory_equal(c.row.subject.bytes, laptop.bytes, 16);
    assert_int_equal(c.row.seq, 9);
    assert_false(manager_pop_change(m, now, &c));
    /* Again, before it is durable: it waits as the first one does. */
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(reply.stored, 2);
    manager_stored(m, 2);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(reply.stored, 0);
    /* A store that does not keep up: later, and nothing is lost. */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(bind_laptop(CLASS_FULL, 10 + i, 300, 1).status, MAPPING_DONE);
    a = bind_laptop(CLASS_FULL, 20, 300, 1);
    assert_int_equal(a.status, MAPPING_LATER);
    assert_int_equal(a.wait_ms, 1000);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(manager_pop_change(m, now, &c));
        assert_int_equal(c.number, 3 + i);
        assert_int_equal(c.row.seq, 14); /* as it is now */
    }
    manager_stored(m, 7);
    /* A lease that ends, and one who is revoked. */
    now += 301 * SEC;
    manager_on_expiry(m, now);
    assert_true(manager_pop_change(m, now, &c));
    assert_null(c.row.bytes);
    assert_int_equal(c.row.seq, 14);
    {
        struct record r = {
            .type = RECORD_REVOCATION, .issuer = root, .subject = laptop, .seq = 60, .issued_s = RW_NOW_S
        };

        rw_sign(&w, &r, RW_ROOT, &b);
    }
    take(&b);
    assert_true(manager_pop_change(m, now, &c));
    assert_true(c.forgotten);
    assert_memory_equal(c.row.subject.bytes, laptop.bytes, 16);
    assert_int_equal(c.row.seq, 14);
    assert_false(manager_pop_change(m, now, &c));
    /* What a store gives back at the start. */
    rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 77, 300, 5, &b);
    assert_int_equal(manager_load(m, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 77, b.bytes, b.len, now + 60 * SEC, now),
                     0);
    assert_int_equal(manager_load(m, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 1, b.bytes, b.len, now, now), -EEXIST);
    assert_int_equal(send_record(RW_PHONE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    assert_int_equal(refresh(RW_PHONE, &phone, 77).items.count, 0);
    assert_false(manager_pop_change(m, now, &c));
}

/* At twice the capacity: who moves and members are served, lookups and strangers less. */
static void test_overload(void **state)
{
    unsigned served[3] = { 0 };
    struct mapping_answer a;

    manager_free(m);
    set_up_with(64, false, 1000);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    allow(EVERYBODY, CLASS_FULL);
    now += SEC;
    for (unsigned i = 0; i < 1000; i++) { /* of each, in a second: 3,000 lookups' worth */
        now += MSEC;
        served[0] += refresh(RW_LAPTOP, &laptop, 9).status == MAPPING_DONE;
        served[1] += resolve(RW_PHONE, LAPTOP).status == MAPPING_FOUND;
        a = resolve(RW_STRANGER, LAPTOP);
        served[2] += a.status == MAPPING_FOUND;
        assert_int_equal(a.status == MAPPING_FOUND || (a.status == MAPPING_LATER && a.wait_ms == 1000), 1);
    }
    assert_int_equal(served[0], 1000);
    assert_in_range(served[1], 0, 60);
    assert_in_range(served[2], 0, 10);
    /* Idle again: everybody. */
    now += SEC;
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).status, MAPPING_FOUND);
}

/* --- subscriptions --- */

static struct mapping_answer changes(int key, enum mapping_type type, const struct tag *t, uint8_t len, uint64_t epoch,
                                     uint64_t from, uint32_t position)
{
    struct mapping_request r = { .type = type, .epoch = epoch, .from = from, .position = position, .lease_s = 60 };

    r.prefix = tag_prefix_of(t, len);
    return ask(key, &r);
}

static void test_changes(void **state)
{
    struct mapping_change c;
    struct mapping_answer a;

    allow("2001:3f:240::/56", CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    /* A snapshot of one page. */
    a = changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 0, 0, 0);
    assert_int_equal(a.status, MAPPING_PAGE);
    assert_int_equal(a.flags, MAPPING_SNAPSHOT | MAPPING_CAUGHT_UP);
    assert_int_equal(a.epoch, 7);
    assert_int_equal(a.to, 2);
    assert_int_equal(a.position, 0);
    assert_int_equal(a.items.count, 1);
    assert_true(mapping_next_change(&a.items, &c));
    assert_int_equal(target_of(c.record), 1);
    assert_int_equal(c.left_s, 300);
    /* Nothing since; then what is new, as it is now, and that one has gone. */
    a = changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 7, 2, 0);
    assert_int_equal(a.flags, MAPPING_CAUGHT_UP);
    assert_int_equal(a.from, 2);
    assert_int_equal(a.items.count, 0);
    bind_laptop(CLASS_FULL, 10, 300, 2);
    a = changes(RW_PHONE, MAPPING_CHANGES, &laptop, 128, 7, 2, 0);
    assert_int_equal(a.to, 3);
    assert_true(mapping_next_change(&a.items, &c));
    assert_int_equal(target_of(c.record), 2);
    assert_int_equal(c.fresh_s, MANAGER_FRESH_MOBILE_S);
    now += 301 * SEC;
    manager_on_expiry(m, now);
    a = changes(RW_PHONE, MAPPING_CHANGES, &laptop, 128, 7, 3, 0);
    assert_true(mapping_next_change(&a.items, &c));
    assert_int_equal(c.record.len, 0);
    assert_int_equal(c.seq, 10);
    assert_memory_equal(c.subject.bytes, laptop.bytes, 16);
    /* Another epoch, a number of the future, a ring that has gone round: a snapshot. */
    bind_laptop(CLASS_FULL, 11, 300, 3);
    assert_true(changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 6, 2, 0).flags & MAPPING_SNAPSHOT);
    assert_true(changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 7, 99, 0).flags & MAPPING_SNAPSHOT);
    for (unsigned i = 0; i < 64; i++)
        bind_laptop(CLASS_FULL, 12 + i, 300, 3);
    assert_true(changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 7, 5, 0).flags & MAPPING_SNAPSHOT);
    assert_false(changes(RW_PHONE, MAPPING_CHANGES, &laptop, 56, 7, 6, 0).flags & MAPPING_SNAPSHOT);
    /* Who may know nothing sees nothing, and a stranger not even that. */
    a = changes(RW_ACME, MAPPING_CHANGES, &laptop, 56, 0, 0, 0);
    assert_int_equal(a.status, MAPPING_PAGE);
    assert_int_equal(a.items.count, 0);
    assert_int_equal(changes(RW_STRANGER, MAPPING_CHANGES, &laptop, 56, 0, 0, 0).status, MAPPING_NONE);
}

static bool notice(struct manager_notice *n, struct mapping_request *r)
{
    if (!manager_pop_notice(m, now, RW_NOW_S, out, n))
        return false;
    assert_int_equal(mapping_request_read(out, n->len, r), 0);
    assert_int_equal(r->type, MAPPING_NOTIFY);
    assert_int_equal(r->epoch, 7);
    return true;
}

static void told(const struct manager_notice *n, uint64_t to)
{
    struct mapping_answer a = { .status = MAPPING_DONE, .epoch = 7, .to = to };
    uint8_t bytes[64];
    struct writer at = writer_init(bytes, sizeof(bytes));

    mapping_answer_write(&at, &a);
    manager_on_told(m, n->id, bytes, writer_len(&at), now);
}

static void test_notices(void **state)
{
    struct manager_notice n;
    struct mapping_request r;
    struct mapping_change c;
    struct manager_stats stats;
    struct mapping_answer a;

    allow("2001:3f:240::/56", CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    a = changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 128, 0, 0, 0);
    assert_int_equal(a.status, MAPPING_PAGE);
    assert_int_equal(a.left_s, 60);
    assert_false(notice(&n, &r));
    /* The first move of one who was there for long: within 5 s. */
    now += 40000 * SEC;
    a = changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 128, 7, 2, 0);
    bind_laptop(CLASS_FULL, 10, 300, 2);
    assert_false(notice(&n, &r));
    now += 5 * SEC - 1;
    assert_false(notice(&n, &r));
    now++;
    assert_true(notice(&n, &r));
    assert_int_equal(n.peer, RW_PHONE + 100);
    assert_int_equal(r.from, 2);
    assert_int_equal(r.to, 3);
    assert_int_equal(r.items.count, 1);
    /* The second one soon after it: at once, but only when the first was answered. */
    bind_laptop(CLASS_FULL, 11, 300, 3);
    assert_false(notice(&n, &r));
    told(&n, 3);
    assert_true(notice(&n, &r));
    assert_int_equal(r.from, 3);
    assert_int_equal(r.to, 4);
    assert_true(mapping_next_change(&r.items, &c));
    assert_int_equal(target_of(c.record), 3);
    told(&n, 4);
    assert_false(notice(&n, &r));
    /* What is of others, or not for it, is not told. */
    {
        struct rw_blob b;

        rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 1, 300, 5, &b);
        assert_int_equal(send_record(RW_PHONE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    }
    now += 10 * SEC;
    assert_false(notice(&n, &r));
    /* Not answered: again, with what came since, and from where it was. */
    bind_laptop(CLASS_FULL, 12, 300, 4);
    assert_true(notice(&n, &r));
    assert_int_equal(r.from, 4);
    manager_on_told(m, n.id, NULL, 0, now);
    assert_false(notice(&n, &r));
    now += MANAGER_TELL_SETTLED;
    assert_true(notice(&n, &r));
    assert_int_equal(r.from, 4);
    assert_int_equal(r.to, 6);
    assert_int_equal(r.items.count, 1);
    told(&n, 6);
    /* So many changes that the ring went round: it is told to ask. */
    for (unsigned i = 0; i < 70; i++)
        bind_laptop(CLASS_FULL, 13 + i, 300, 5);
    assert_true(notice(&n, &r));
    assert_int_equal(r.flags, MAPPING_LOST);
    /* Three in a row not answered, and it is gone. */
    manager_on_told(m, n.id, NULL, 0, now);
    now += MANAGER_TELL_SETTLED;
    assert_true(notice(&n, &r));
    manager_on_told(m, n.id, NULL, 0, now);
    now += MANAGER_TELL_SETTLED;
    assert_true(notice(&n, &r));
    manager_on_told(m, n.id, NULL, 0, now);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.subscriptions, 0);
    /* It ends with its lease, with its peer, and when it is told to. */
    changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 56, 0, 0, 0);
    now += 61 * SEC;
    bind_laptop(CLASS_FULL, 90, 300, 1);
    now += 10 * SEC;
    assert_false(notice(&n, &r));
    changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 56, 0, 0, 0);
    manager_on_gone(m, RW_PHONE + 100);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.subscriptions, 0);
    changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 56, 0, 0, 0);
    r = (struct mapping_request){ .type = MAPPING_SUBSCRIBE, .prefix = tag_prefix_of(&laptop, 56) };
    assert_int_equal(ask(RW_PHONE, &r).status, MAPPING_DONE);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.subscriptions, 0);
}

/* A policy ends by what the root has signed, too, where there is no clock, or one that is behind. */
static void test_policy_ends_without_clock(void **state)
{
    struct record r = { .type = RECORD_POLICY,
                        .issuer = laptop,
                        .subject = laptop,
                        .seq = 5,
                        .issued_s = RW_NOW_S - 3000,
                        .not_after_s = RW_NOW_S - 2000, /* the root is of a thousand seconds ago */
                        .rules_count = 1,
                        .rules[0].answer = CLASS_FULL };
    const struct manager_who who = { .peer = RW_PHONE + 100, .ed25519 = w.keys[RW_PHONE] };
    const struct mapping_request q = by_name(LAPTOP);
    struct writer at = writer_init(sent, sizeof(sent));
    struct mapping_answer a;
    struct rw_blob b;

    assert_int_equal(tag_prefix_parse(EVERYBODY, &r.rules[0].who), 0);
    rw_sign(&w, &r, RW_LAPTOP, &b);
    take(&b);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    mapping_request_write(&at, &q);
    for (uint64_t wall_s = 0; wall_s < RW_NOW_S; wall_s += RW_NOW_S - 2500) {
        manager_on_request(m, &who, sent, writer_len(&at), now, wall_s, out, &reply);
        assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
        assert_int_equal(a.status, MAPPING_NONE);
    }
}

/* Who may not know hears nothing of changes, ends, revocations and rings that went round, nor by when he hears of
 * others.
 */
static void test_denied_is_not_told(void **state)
{
    static const uint8_t lens[] = { 128, 56 };
    struct manager_notice n;
    struct mapping_request r;
    struct rw_blob b;
    uint64_t to;

    allow("2001:3f:240:5::1", CLASS_FULL); /* somebody else */
    rw_policy(&w, &phone, RW_PHONE, &phone, 1, EVERYBODY, CLASS_FULL, &b);
    take(&b);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++)
        assert_int_equal(changes(RW_ACME, MAPPING_SUBSCRIBE, &laptop, lens[i], 0, 0, 0).status, MAPPING_PAGE);
    for (unsigned i = 0; i < 70; i++) { /* the ring goes round */
        bind_laptop(CLASS_FULL, 10 + i, 20, 2);
        assert_false(notice(&n, &r));
    }
    now += 21 * SEC;
    manager_on_expiry(m, now);
    assert_false(notice(&n, &r));
    now += 10 * SEC;
    assert_false(notice(&n, &r));
    /* One who moves seldom may be known: told as late as if the other, who moves often, were not there, and though the
     * ring went round meanwhile what was for this one did not go with it. */
    rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 1, 600, 5, &b);
    assert_int_equal(send_record(RW_PHONE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    bind_laptop(CLASS_FULL, 90, 300, 3);
    bind_laptop(CLASS_FULL, 91, 300, 3);
    now += MANAGER_TELL_SETTLED - 1;
    assert_false(notice(&n, &r));
    now++;
    assert_true(notice(&n, &r));
    assert_int_equal(r.flags & MAPPING_LOST, 0);
    assert_int_equal(r.items.count, 1);
    to = r.to;
    told(&n, to);
    assert_false(notice(&n, &r));
    /* One who is revoked. */
    {
        struct record gone = {
            .type = RECORD_REVOCATION, .issuer = root, .subject = laptop, .seq = 60, .issued_s = RW_NOW_S
        };

        rw_sign(&w, &gone, RW_ROOT, &b);
    }
    take(&b);
    now += 10 * SEC;
    assert_false(notice(&n, &r));
}

static void revoke_laptop(void)
{
    const struct record r = {
        .type = RECORD_REVOCATION, .issuer = root, .subject = laptop, .seq = ++w.seq, .issued_s = RW_NOW_S
    };
    struct rw_blob b;

    rw_sign(&w, &r, RW_ROOT, &b);
    take(&b);
}

/* Who is revoked had a policy of his own, which says more than the realm's: those that it let know are told of his end,
 * at once, and by a page. */
static void test_end_is_told_by_own_policy(void **state)
{
    struct manager_notice n;
    struct mapping_request r;
    struct mapping_change c;
    struct mapping_answer a;
    struct rw_blob b;

    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, EVERYBODY, CLASS_FULL, &b);
    take(&b);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    a = changes(RW_PHONE, MAPPING_SUBSCRIBE, &laptop, 128, 0, 0, 0);
    assert_int_equal(a.items.count, 1);
    revoke_laptop();
    assert_true(notice(&n, &r));
    assert_true(mapping_next_change(&r.items, &c));
    assert_int_equal(c.record.len, 0);
    assert_memory_equal(c.subject.bytes, laptop.bytes, sizeof(laptop.bytes));
    assert_int_equal(changes(RW_PHONE, MAPPING_CHANGES, &laptop, 128, 7, a.to, 0).items.count, 1);
}

/* He had one that says less: those that the realm's would let know still do not hear that he was there. Once no change
 * of his is left in the ring, his policy goes. */
static void test_end_is_hidden_by_own_policy(void **state)
{
    struct mapping_change c;
    struct mapping_answer a;
    struct rw_blob b;
    unsigned n = 0;

    allow(EVERYBODY, CLASS_FULL);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, NULL, CLASS_DENY, &b);
    take(&b);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    a = changes(RW_ACME, MAPPING_CHANGES, &laptop, 56, 0, 0, 0);
    assert_int_equal(a.items.count, 0);
    revoke_laptop();
    for (unsigned i = 0; i < 64; i++) { /* the ring goes round */
        rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 10 + i, 600, 5, &b);
        assert_int_equal(send_record(RW_PHONE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
        a = changes(RW_ACME, MAPPING_CHANGES, &laptop, 56, 7, MAX(a.to, 64) - 63, 0);
        while (mapping_next_change(&a.items, &c)) {
            assert_int_equal(target_of(c.record), 5);
            n++;
        }
    }
    assert_in_range(n, 64, 64 * 64);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lookup),
        CASE(test_not_ours),
        CASE(test_referral),
        CASE(test_classes),
        CASE(test_register),
        CASE(test_refresh),
        CASE(test_publish),
        CASE(test_succession),
        CASE(test_denied_is_none),
        CASE(test_full),
        CASE(test_store),
        CASE(test_not_understood),
        CASE(test_calls),
        CASE(test_where),
        CASE(test_overload),
        CASE(test_changes),
        CASE(test_notices),
        CASE(test_denied_is_not_told),
        CASE(test_policy_ends_without_clock),
        CASE(test_end_is_told_by_own_policy),
        CASE(test_end_is_hidden_by_own_policy),
    };

    return cmocka_run_group_tests_name("manager", tests, NULL, NULL);
}
