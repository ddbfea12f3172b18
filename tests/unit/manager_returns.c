/* Unit tests of mapping/manager.h: what was replaced or revoked does not come back, whoever shows it again. */
#include "mapping/internal.h"
#include "tests/unit/manager_world.h"

#include <errno.h>

static int take_error(const struct rw_blob *b, enum record_fault *ret)
{
    struct record_error why = { 0 };
    int e = manager_take(m, b->bytes, b->len, now, &why);

    *ret = why.fault;
    return e;
}

static void revoke(const struct tag *issuer, int by, const struct tag *subject, struct rw_blob *ret)
{
    struct record r = {
        .type = RECORD_REVOCATION, .issuer = *issuer, .subject = *subject, .seq = ++w.seq, .issued_s = RW_NOW_S
    };

    rw_sign(&w, &r, by, ret);
}

static struct mapping_answer introduce(int key, const struct rw_blob *a, const struct rw_blob *b)
{
    struct mapping_request r = { .type = MAPPING_INTRODUCE, .chain_count = b ? 3 : 2 };

    r.chain[0] = rw_slice(&w.root);
    r.chain[1] = rw_slice(a);
    if (b)
        r.chain[2] = rw_slice(b);
    return ask(key, &r);
}

static void assert_refused(struct mapping_answer a, enum record_fault fault)
{
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_int_equal(a.fault, fault);
}

/* The log told again, or in another order. */
static void test_log_again(void **state)
{
    struct rw_blob old, renewed, revocation, policy, policy_old;
    enum record_fault fault;
    struct mapping_answer a;

    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "spare.h.rid.example", &old);
    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "other.h.rid.example", &renewed);
    take(&old);
    take(&renewed);
    assert_int_equal(take_error(&old, &fault), -EBADMSG);
    assert_int_equal(fault, RECORD_OLDER_SEQUENCE);
    assert_null(authority_by_name(manager_authority(m), "spare.h.rid.example", 19));
    assert_non_null(authority_by_name(manager_authority(m), "other.h.rid.example", 19));
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 4, NULL, CLASS_DENY, &policy_old);
    rw_policy(&w, &laptop, RW_LAPTOP, &laptop, 5, EVERYBODY, CLASS_FULL, &policy);
    take(&policy);
    take(&policy);
    assert_int_equal(take_error(&policy_old, &fault), -EBADMSG);
    assert_int_equal(fault, RECORD_OLDER_SEQUENCE);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    a = resolve(RW_PHONE, LAPTOP);
    assert_int_equal(a.status, MAPPING_FOUND);
    {
        struct tag spare = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0);

        revoke(&root, RW_ROOT, &spare, &revocation);
    }
    take(&revocation);
    assert_int_equal(take_error(&renewed, &fault), -EBADMSG);
    assert_int_equal(fault, RECORD_REVOKED);
    /* For ever: also of a higher sequence. */
    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "other.h.rid.example", &renewed);
    assert_int_equal(take_error(&renewed, &fault), -EBADMSG);
    assert_int_equal(fault, RECORD_REVOKED);
    assert_null(authority_by_name(manager_authority(m), "other.h.rid.example", 19));
}

/* A chain that was good once is shown to a manager that has started since, so that it knows the log alone. */
static void test_chain_again(void **state)
{
    struct tag spare = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0), guest = rw_tag(&w, RW_GUEST, TAG_TIER_HOST, 0);
    struct tag acme = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    struct rw_blob of_spare, of_guest, by_itself, by_realm, below;

    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "spare.h.rid.example", &of_spare);
    rw_register(&w, RW_ROOT, 0, RW_GUEST, TAG_TIER_HOST, "guest.h.rid.example", &of_guest);
    rw_register(&w, RW_ACME, 0x100, RW_STRANGER, TAG_TIER_HOST, "x.h.acme.rid.example", &below);
    revoke(&spare, RW_SPARE, &spare, &by_itself);
    revoke(&root, RW_ROOT, &guest, &by_realm);
    take(&by_itself);
    take(&by_realm);
    assert_refused(introduce(RW_SPARE, &of_spare, NULL), RECORD_REVOKED);
    assert_refused(introduce(RW_GUEST, &of_guest, NULL), RECORD_REVOKED);
    assert_int_equal(resolve(RW_SPARE, LAPTOP).flags, MAPPING_STRANGER);
    /* What hangs from a realm goes with it. */
    assert_int_equal(introduce(RW_STRANGER, &w.acme, &below).status, MAPPING_DONE);
    revoke(&root, RW_ROOT, &acme, &by_realm);
    take(&by_realm);
    assert_refused(introduce(RW_STRANGER, &w.acme, &below), RECORD_REVOKED);
}

/* Who is known by a chain through a realm below is not, once that realm is revoked, or may give something else; others
 * are. */
static void test_guests_of_realm(void **state)
{
    struct rw_blob acme, below, beside, other, revocation;
    struct record r = { .type = RECORD_DELEGATION,
                        .issuer = root,
                        .issued_s = RW_NOW_S - 1000,
                        .not_after_s = RW_NOW_S + 1000000,
                        .tiers = 15 };

    memcpy(r.key, w.keys[RW_SPARE], 32);
    r.subject = rw_tag(&w, RW_SPARE, TAG_TIER_SERVICE, 0x200);
    r.range = (struct realm_range){ 0x200, 4 };
    r.seq = ++w.seq;
    snprintf(r.name, sizeof(r.name), "beside.rid.example");
    rw_sign(&w, &r, RW_ROOT, &beside);
    take(&beside);
    rw_register(&w, RW_ACME, 0x100, RW_STRANGER, TAG_TIER_HOST, "x.h.acme.rid.example", &below);
    rw_register(&w, RW_SPARE, 0x200, RW_GUEST, TAG_TIER_HOST, "y.h.beside.rid.example", &other);
    allow(EVERYBODY, CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(introduce(RW_GUEST, &beside, &other).status, MAPPING_DONE);
    assert_int_equal(introduce(RW_STRANGER, &w.acme, &below).status, MAPPING_DONE);
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).flags, 0);
    /* It is given the numbers above, and no other tiers than that of users: its hosts are none. */
    r.tiers = 1u << TAG_TIER_USER;
    r.subject = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    r.range = (struct realm_range){ 0x100, 4 };
    r.seq = ++w.seq;
    memcpy(r.key, w.keys[RW_ACME], 32);
    snprintf(r.name, sizeof(r.name), "acme.rid.example");
    rw_sign(&w, &r, RW_ROOT, &acme);
    take(&acme);
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).flags, MAPPING_STRANGER);
    assert_refused(introduce(RW_STRANGER, &w.acme, &below), RECORD_OLDER_SEQUENCE);
    assert_refused(introduce(RW_STRANGER, &acme, &below), RECORD_FOREIGN_PREFIX);
    /* All of it again, and revoked. */
    r.tiers = 15;
    r.seq = ++w.seq;
    rw_sign(&w, &r, RW_ROOT, &acme);
    take(&acme);
    assert_int_equal(introduce(RW_STRANGER, &acme, &below).status, MAPPING_DONE);
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).flags, 0);
    revoke(&root, RW_ROOT, &r.subject, &revocation);
    take(&revocation);
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).flags, MAPPING_STRANGER);
    assert_int_equal(resolve(RW_GUEST, LAPTOP).flags, 0);
}

/* Who is revoked when the chain is given anew, so that nobody was enrolled in between: his bindings go all
 * the same. */
static void test_revoked_with_chain_anew(void **state)
{
    const struct slice link = rw_slice(&w.root);
    struct record_error why;
    struct tag acme = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    struct rw_blob revocation, below;
    struct binding b;

    rw_register(&w, RW_ACME, 0x100, RW_STRANGER, TAG_TIER_HOST, "x.h.acme.rid.example", &below);
    assert_int_equal(introduce(RW_STRANGER, &w.acme, &below).status, MAPPING_DONE);
    bind_laptop(CLASS_FULL, 8, 300, 1);
    assert_int_equal(bindings_get(manager_bindings(m), &laptop, KIND_HOST_LOCATOR, CLASS_FULL, now, &b), 0);
    assert_int_equal(manager_set_self(m, &link, 1, RW_NOW_S, &why), 0);
    revoke(&root, RW_ROOT, &laptop, &revocation);
    take(&revocation);
    assert_true(bindings_get(manager_bindings(m), &laptop, KIND_HOST_LOCATOR, CLASS_FULL, now, &b) < 0);
    /* And who is known by a chain through a realm below. */
    revoke(&root, RW_ROOT, &acme, &revocation);
    take(&revocation);
    assert_int_equal(resolve(RW_STRANGER, LAPTOP).flags, MAPPING_STRANGER);
}

/* A registration that was replaced by one that ends sooner: the old one does not keep its key in. */
static void test_longer_registration_again(void **state)
{
    struct rw_blob of_spare, shorter, unread;
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = root,
                        .subject = rw_tag(&w, RW_SPARE, TAG_TIER_HOST, 0),
                        .issued_s = RW_NOW_S - 1000,
                        .not_after_s = RW_NOW_S - 10,
                        .suites = 1 };

    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "spare.h.rid.example", &of_spare);
    take(&of_spare);
    memcpy(r.key, w.keys[RW_SPARE], 32);
    snprintf(r.name, sizeof(r.name), "spare.h.rid.example");
    r.seq = ++w.seq;
    rw_sign(&w, &r, RW_ROOT, &shorter);
    take(&shorter);
    assert_refused(introduce(RW_SPARE, &of_spare, NULL), RECORD_OLDER_SEQUENCE);
    /* Of what was said after all that was read here, nothing is known: it is believed as elsewhere. */
    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "spare.h.rid.example", &unread);
    assert_int_equal(introduce(RW_SPARE, &unread, NULL).status, MAPPING_DONE);
}

/* Of two registrations of one key one has ended: what a policy gives that tag the other does not get. */
static void test_ended_beside_another(void **state)
{
    struct tag user = rw_tag(&w, RW_SPARE, TAG_TIER_USER, 0);
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = root,
                        .subject = user,
                        .issued_s = RW_NOW_S - 1000,
                        .not_after_s = RW_NOW_S - 10,
                        .suites = 1,
                        .seq = ++w.seq };
    struct rw_blob of_user, of_host;
    char text[TAG_STRLEN + 4];

    memcpy(r.key, w.keys[RW_SPARE], 32);
    snprintf(r.name, sizeof(r.name), "spare.u.rid.example");
    rw_sign(&w, &r, RW_ROOT, &of_user);
    take(&of_user);
    rw_register(&w, RW_ROOT, 0, RW_SPARE, TAG_TIER_HOST, "spare.h.rid.example", &of_host);
    take(&of_host);
    tag_format(&user, text);
    strcat(text, "/128");
    allow(text, CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(resolve(RW_SPARE, LAPTOP).status, MAPPING_NONE);
    assert_int_equal(resolve(RW_SPARE, LAPTOP).flags, 0);
    /* Renewed: he gets it. */
    r.not_after_s = RW_NOW_S + 10;
    r.seq = ++w.seq;
    rw_sign(&w, &r, RW_ROOT, &of_user);
    take(&of_user);
    assert_int_equal(resolve(RW_SPARE, LAPTOP).status, MAPPING_FOUND);
}

/* The realm has another key: what the old one signed, or speaks as, is refused by name; a change that is not taken
 * leaves the old one. */
static void test_old_key_of_realm(void **state)
{
    struct tag acme = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100),
               acme2 = rw_tag(&w, RW_SPARE, TAG_TIER_SERVICE, 0x100);
    struct record r = { .type = RECORD_DELEGATION,
                        .issuer = root,
                        .subject = acme2,
                        .issued_s = RW_NOW_S,
                        .not_after_s = RW_NOW_S + 1000000,
                        .seq = 50,
                        .range = { 0x100, 4 },
                        .tiers = 15 };
    struct slice links[2] = { rw_slice(&w.root), rw_slice(&w.acme) };
    struct rw_blob next, bad, b, of_host;
    struct record_error why;

    memcpy(r.key, w.keys[RW_SPARE], 32);
    snprintf(r.name, sizeof(r.name), "acme.rid.example");
    rw_sign(&w, &r, RW_ROOT, &next);
    assert_int_equal(manager_set_self(m, links, 2, RW_NOW_S, &why), 0);
    rw_register(&w, RW_ACME, 0x100, RW_STRANGER, TAG_TIER_HOST, "x.h.acme.rid.example", &of_host);
    rw_bind(&w, &acme, RW_ACME, &acme, KIND_REALM_REALM, CLASS_AGENT, 1, 600, 53, &b);
    assert_int_equal(send_record(RW_ACME, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    bad = next;
    bad.bytes[bad.len - 1] ^= 1;
    links[1] = rw_slice(&bad);
    assert_int_equal(manager_set_self(m, links, 2, RW_NOW_S, &why), -EBADMSG);
    assert_int_equal(why.fault, RECORD_SIGNATURE);
    assert_true(tag_equal(&authority_self(manager_authority(m))->tag, &acme));
    assert_int_equal(send_record(RW_ACME, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    links[1] = rw_slice(&next);
    assert_int_equal(manager_set_self(m, links, 2, RW_NOW_S, &why), 0);
    assert_true(tag_equal(&authority_self(manager_authority(m))->tag, &acme2));
    /* Of its own binding, in the name of the old key, whoever brings it. */
    rw_bind(&w, &acme, RW_ACME, &acme2, KIND_REALM_REALM, CLASS_AGENT, 9, 600, 53, &b);
    assert_refused(send_record(RW_SPARE, MAPPING_REGISTER, &b), RECORD_SUPERSEDED);
    assert_int_equal(send_record(RW_ACME, MAPPING_REGISTER, &b).status, MAPPING_NONE);
    rw_bind(&w, &acme2, RW_SPARE, &acme2, KIND_REALM_REALM, CLASS_AGENT, 9, 600, 53, &b);
    assert_int_equal(send_record(RW_SPARE, MAPPING_REGISTER, &b).status, MAPPING_DONE);
    assert_refused(introduce(RW_STRANGER, &w.acme, &of_host), RECORD_SUPERSEDED);
}

/* Chains that anybody shows fill what may be remembered of them, and keep no revocation out. */
static void test_facts_are_full(void **state)
{
    const struct trust_options o = { .cached_max = 2, .facts_max = 8, .facts_kept = 4, .rng = &w.rng };
    struct trust *t = trust_new(w.keys[RW_ROOT], &o);
    struct record_error why;
    struct chain_end end;
    struct slice links[3];
    struct rw_blob b;
    struct tag phone_tag = phone;
    int last = 0;

    links[0] = rw_slice(&w.root);
    links[1] = rw_slice(&w.acme);
    for (int key = RW_LAPTOP; key <= RW_SPARE; key++) {
        rw_register(&w, RW_ACME, 0x100, key, TAG_TIER_HOST, "x.h.acme.rid.example", &b);
        links[2] = rw_slice(&b);
        last = trust_verify(t, links, 3, RW_NOW_S, &end, &why);
    }
    assert_int_equal(last, -ENOSPC);
    for (uint8_t i = 0; i < 4; i++) {
        phone_tag.bytes[15] = i;
        assert_int_equal(trust_note_revoked(t, &phone_tag, 1), 0);
        assert_int_equal(trust_note_revoked(t, &phone_tag, 1), 0);
        assert_true(trust_is_revoked(t, &phone_tag));
    }
    trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chain_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guests_of_realm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_revoked_with_chain_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_longer_registration_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ended_beside_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_key_of_realm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_facts_are_full, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("manager: what does not come back", tests, NULL, NULL);
}
