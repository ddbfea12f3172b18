/* Unit tests of mapping/manager.h: bad input, cause by cause. Each is refused by its name and counted, and what the
 * manager knew it knows as it did; a table that is full and a lease that is too long change nothing that is there. */
#include "tests/unit/manager_world.h"

static struct mapping_answer send_bytes(int key, const uint8_t *bytes, size_t len)
{
    const struct mapping_request r = { .type = MAPPING_REGISTER, .record = { bytes, len } };

    return ask(key, &r);
}

static struct mapping_answer introduce(int key, const struct slice *links, size_t count)
{
    struct mapping_request r = { .type = MAPPING_INTRODUCE, .chain_count = count };

    memcpy(r.chain, links, count * sizeof(*links));
    return ask(key, &r);
}

/* The cause was told and counted once; the laptop is where it was. */
static void assert_refused(struct mapping_answer a, enum record_fault fault)
{
    static struct manager_stats before;
    struct manager_stats now_stats;
    struct binding b;

    print_message("# %s\n", record_fault_name(fault));
    assert_int_equal(a.status, MAPPING_REFUSED);
    assert_string_equal(record_fault_name((enum record_fault)a.fault), record_fault_name(fault));
    manager_get_stats(m, &now_stats);
    if (before.requests[MAPPING_REGISTER] > now_stats.requests[MAPPING_REGISTER]) /* of the test before */
        memset(&before, 0, sizeof(before));
    for (unsigned i = 0; i < RECORD_FAULT_COUNT; i++)
        assert_int_equal(now_stats.refused[i], before.refused[i] + (i == (unsigned)fault));
    before = now_stats;
    assert_int_equal(now_stats.guests, 0);
    assert_int_equal(now_stats.bindings, 1);
    assert_int_equal(bindings_find(manager_bindings(m), &laptop, KIND_HOST_LOCATOR, CLASS_FULL, now, &b), 0);
    assert_int_equal(b.seq, 9);
}

static void test_records(void **state)
{
    struct rw_blob good, bad;
    uint8_t bytes[RECORD_BYTES_MAX + 8];

    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &good);
    assert_int_equal(send_bytes(RW_LAPTOP, good.bytes, good.len).status, MAPPING_DONE);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 10, 300, 2, &good);
    /* A signature of which a bit is another. */
    bad = good;
    bad.bytes[bad.len - 1] ^= 1;
    assert_refused(send_bytes(RW_LAPTOP, bad.bytes, bad.len), RECORD_SIGNATURE);
    /* Bytes behind the end; an end that is missing. */
    memcpy(bytes, good.bytes, good.len);
    bytes[good.len] = 0;
    assert_refused(send_bytes(RW_LAPTOP, bytes, good.len + 1), RECORD_NOT_CBOR);
    assert_refused(send_bytes(RW_LAPTOP, bytes, good.len - 1), RECORD_NOT_CBOR);
    /* The array's head in two bytes where one will do: the same values, and not canonical (RFC 8949, 4.2.1). */
    assert_int_equal(good.bytes[0], 0x84);
    bytes[0] = 0x98;
    bytes[1] = 4;
    memcpy(bytes + 2, good.bytes + 1, good.len - 1);
    assert_refused(send_bytes(RW_LAPTOP, bytes, good.len + 1), RECORD_NOT_CBOR);
    /* Not a binding; not by who may say it. */
    assert_refused(send_bytes(RW_LAPTOP, w.acme.bytes, w.acme.len), RECORD_TYPE_UNKNOWN);
    rw_bind(&w, &root, RW_ROOT, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 10, 300, 2, &bad);
    assert_refused(send_bytes(RW_ROOT, bad.bytes, bad.len), RECORD_NOT_AUTHORISED);
    /* An older sequence is told the newest. */
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 8, 300, 2, &bad);
    {
        const struct mapping_answer a = send_bytes(RW_LAPTOP, bad.bytes, bad.len);

        assert_int_equal(a.status, MAPPING_OLDER);
        assert_int_equal(a.seq, 9);
    }
    assert_int_equal(send_bytes(RW_LAPTOP, good.bytes, good.len).status, MAPPING_DONE);
}

static void test_chains(void **state)
{
    struct record r = { .type = RECORD_DELEGATION, .issued_s = RW_NOW_S - 2000, .tiers = 15, .seq = 50 };
    struct rw_blob guest, bad, good, other;
    struct slice links[CHAIN_LINKS_MAX];

    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &good);
    assert_int_equal(send_bytes(RW_LAPTOP, good.bytes, good.len).status, MAPPING_DONE);
    rw_register(&w, RW_ACME, 0x100, RW_GUEST, TAG_TIER_HOST, "guest.h.acme.rid.example", &guest);
    links[0] = rw_slice(&w.root);
    links[2] = rw_slice(&guest);
    /* A link that another has signed; one that is left out. */
    bad = w.acme;
    bad.bytes[bad.len - 1] ^= 1;
    links[1] = rw_slice(&bad);
    assert_refused(introduce(RW_GUEST, links, 3), RECORD_SIGNATURE);
    links[1] = rw_slice(&guest);
    assert_refused(introduce(RW_GUEST, links, 2), RECORD_BROKEN_CHAIN);
    /* A delegation that is over, of another realm. */
    r.issuer = root;
    r.subject = rw_tag(&w, RW_SPARE, TAG_TIER_SERVICE, 0x200);
    memcpy(r.key, w.keys[RW_SPARE], 32);
    snprintf(r.name, sizeof(r.name), "over.rid.example");
    r.range = (struct realm_range){ 0x200, 4 };
    r.not_after_s = RW_NOW_S - 1;
    rw_sign(&w, &r, RW_ROOT, &bad);
    rw_register(&w, RW_SPARE, 0x200, RW_GUEST, TAG_TIER_HOST, "guest.h.over.rid.example", &other);
    links[1] = rw_slice(&bad);
    links[2] = rw_slice(&other);
    assert_refused(introduce(RW_GUEST, links, 3), RECORD_EXPIRED);
    /* A realm's word of a number, and of a name, that are another's. */
    links[1] = rw_slice(&w.acme);
    r = (struct record){ .type = RECORD_REGISTRATION,
                         .issuer = rw_tag(&w, RW_ACME, TAG_TIER_SERVICE, 0x100),
                         .subject = rw_tag(&w, RW_GUEST, TAG_TIER_HOST, 0x200),
                         .issued_s = RW_NOW_S - 1000,
                         .suites = 1,
                         .seq = 51 };
    memcpy(r.key, w.keys[RW_GUEST], 32);
    snprintf(r.name, sizeof(r.name), "guest.h.acme.rid.example");
    rw_sign(&w, &r, RW_ACME, &bad);
    links[2] = rw_slice(&bad);
    assert_refused(introduce(RW_GUEST, links, 3), RECORD_FOREIGN_PREFIX);
    rw_register(&w, RW_ACME, 0x100, RW_GUEST, TAG_TIER_HOST, "guest.h.rid.example", &bad);
    links[2] = rw_slice(&bad);
    assert_refused(introduce(RW_GUEST, links, 3), RECORD_FOREIGN_NAME);
    /* Another root; another's chain. */
    r = (struct record){ .type = RECORD_ROOT, .issued_s = RW_NOW_S - 1000, .suites = 1, .seq = 1 };
    r.issuer = r.subject = rw_tag(&w, RW_SPARE, TAG_TIER_SERVICE, 0);
    memcpy(r.key, w.keys[RW_SPARE], 32);
    snprintf(r.name, sizeof(r.name), "rid.example");
    rw_sign(&w, &r, RW_SPARE, &other);
    links[0] = rw_slice(&other);
    links[2] = rw_slice(&guest);
    assert_refused(introduce(RW_GUEST, links, 3), RECORD_FOREIGN_ROOT);
    links[0] = rw_slice(&w.root);
    assert_refused(introduce(RW_STRANGER, links, 3), RECORD_NOT_AUTHORISED);
    /* And what was right all the while. */
    assert_int_equal(introduce(RW_GUEST, links, 3).status, MAPPING_DONE);
}

/* No room for another: later, and those that are there stay, may be renewed and go on moving. A lease above the quota
 * is cut to it. */
static void test_full(void **state)
{
    struct binding there;
    struct rw_blob b;
    struct mapping_answer a;

    begin_with_room_for(1);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, LAPTOP, &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    take(&b);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, BINDINGS_LEASE_MAX_S + 1, 1, &b);
    a = send_bytes(RW_LAPTOP, b.bytes, b.len);
    assert_int_equal(a.status, MAPPING_DONE);
    assert_int_equal(a.left_s, BINDINGS_LEASE_MAX_S);
    rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, CLASS_FULL, 5, 300, 2, &b);
    a = send_bytes(RW_PHONE, b.bytes, b.len);
    assert_int_equal(a.status, MAPPING_LATER);
    assert_true(a.wait_ms > 0);
    assert_int_equal(bindings_find(manager_bindings(m), &laptop, KIND_HOST_LOCATOR, CLASS_FULL, now, &there), 0);
    assert_int_equal(there.seq, 9);
    assert_int_not_equal(bindings_find(manager_bindings(m), &phone, KIND_HOST_LOCATOR, CLASS_FULL, now, &there), 0);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 10, 300, 2, &b);
    assert_int_equal(send_bytes(RW_LAPTOP, b.bytes, b.len).status, MAPPING_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("manager refuses", tests, NULL, NULL);
}
