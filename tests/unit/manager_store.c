/* Unit tests of mapping/manager.h: a store behind the manager that falls behind, knows better, or forgets nothing. */
#include "tests/unit/manager_world.h"

#include <errno.h>

#define ROWS 6

/* What a store has that is given all changes in order. */
static struct {
    struct manager_row row;
    uint64_t seq;
    bool live, there;
} stored[ROWS];

static size_t place_of(const struct manager_change *c)
{
    size_t i = 0;

    while (stored[i].there && !(tag_equal(&stored[i].row.subject, &c->row.subject) &&
                                stored[i].row.answer == c->row.answer && stored[i].row.kind == c->row.kind)) {
        i++;
        assert_true(i < ROWS);
    }
    return i;
}

/* Gives the store up to max changes, which are then durable. How many there were. */
static unsigned store(unsigned max)
{
    struct manager_change c;
    unsigned n = 0;

    for (; n < max && manager_pop_change(m, now, &c); n++) {
        size_t i = place_of(&c);

        stored[i].there = true;
        stored[i].row = (struct manager_row){ c.row.subject, c.row.kind, c.row.answer };
        stored[i].seq = c.forgotten ? 0 : c.row.seq;
        stored[i].live = c.row.bytes != NULL;
    }
    if (n > 0)
        manager_stored(m, c.number);
    return n;
}

static uint64_t seq_of(const struct tag *subject, uint8_t answer, bool *ret_live)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (stored[i].there && tag_equal(&stored[i].row.subject, subject) && stored[i].row.answer == answer) {
            *ret_live = stored[i].live;
            return stored[i].seq;
        }
    }
    fail_msg("the store was never given that row");
    return 0;
}

static struct mapping_answer bind_phone(uint8_t answer, uint64_t seq)
{
    struct rw_blob b;

    rw_bind(&w, &phone, RW_PHONE, &phone, KIND_HOST_LOCATOR, answer, seq, 300, 1, &b);
    return send_record(RW_PHONE, MAPPING_REGISTER, &b);
}

static void revoke(const struct tag *subject)
{
    struct record r = {
        .type = RECORD_REVOCATION, .issuer = root, .subject = *subject, .seq = ++w.seq, .issued_s = RW_NOW_S
    };
    struct rw_blob b;

    rw_sign(&w, &r, RW_ROOT, &b);
    take(&b);
}

static int set_up_store(void **state)
{
    memset(stored, 0, sizeof(stored));
    return set_up_with(8, true, 0);
}

/* The store takes nothing for long: nobody's change is passed over by those that come later. */
static void test_never_lapped(void **state)
{
    struct manager_stats stats;
    bool live;

    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
        assert_int_equal(bind_laptop(answer, 9, 300, 1).status, MAPPING_DONE);
    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_COARSE; answer++)
        assert_int_equal(bind_phone(answer, 7).status, MAPPING_DONE);
    assert_int_equal(bind_phone(CLASS_FULL, 7).status, MAPPING_LATER);
    /* All leases end, and one host is revoked. */
    now += 301 * SEC;
    assert_true(manager_next_expiry(m) <= now);
    manager_on_expiry(m, now);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.changes, 7); /* of 5 that are there, the sixth; the seventh would be three quarters */
    assert_int_equal(manager_next_expiry(m), INSTANT_NEVER);
    manager_on_expiry(m, now);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.changes, 7);
    revoke(&laptop);
    revoke(&phone);
    manager_get_stats(m, &stats);
    assert_int_equal(stats.changes, 12);
    assert_int_equal(manager_durable(m), 1);
    for (unsigned n = 0; n < 11; n++)
        assert_int_equal(store(1), 1);
    assert_int_equal(store(1), 0);
    assert_int_equal(manager_durable(m), 12);
    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
        assert_int_equal(seq_of(&laptop, answer, &live), 0);
    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_COARSE; answer++)
        assert_int_equal(seq_of(&phone, answer, &live), 0);
}

/* Leases that had to wait for the store end when it has gone on. */
static void test_ends_later(void **state)
{
    bool live;

    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
        assert_int_equal(bind_laptop(answer, 9, 300, 1).status, MAPPING_DONE);
    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_COARSE; answer++)
        assert_int_equal(bind_phone(answer, 7).status, MAPPING_DONE);
    now += 301 * SEC;
    manager_on_expiry(m, now);
    assert_int_equal(store(100), 6);
    assert_true(manager_next_expiry(m) <= now);
    manager_on_expiry(m, now);
    assert_int_equal(store(100), 4);
    for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++) {
        assert_int_equal(seq_of(&laptop, answer, &live), 9);
        assert_false(live);
    }
    assert_int_equal(manager_next_expiry(m), INSTANT_NEVER);
}

/* A row that gives way to another is not forgotten by the store: its sequence must not come back after a start. */
static void test_gave_way(void **state)
{
    struct mapping_answer a;
    struct rw_blob b;
    bool live;

    begin_with_room_for(1);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, LAPTOP, &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    take(&b);
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    now += 301 * SEC;
    manager_on_expiry(m, now);
    assert_int_equal(bind_phone(CLASS_FULL, 7).status, MAPPING_DONE);
    assert_int_equal(store(100), 3);
    assert_int_equal(seq_of(&laptop, CLASS_FULL, &live), 9);
    assert_false(live);
    now += 301 * SEC;
    manager_on_expiry(m, now);
    a = bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 9);
}

/* The store knows a newer record than the one that it is given: that is not durable, and not so. */
static void test_store_has_newer(void **state)
{
    struct manager_change c;
    struct manager_row row;
    struct mapping_answer a;

    allow(EVERYBODY, CLASS_FULL);
    bind_laptop(CLASS_FULL, 9, 300, 1);
    assert_int_equal(reply.stored, 2);
    assert_true(tag_equal(&reply.row.subject, &laptop));
    assert_int_equal(reply.row.answer, CLASS_FULL);
    assert_true(manager_pop_change(m, now, &c));
    assert_false(manager_store_has_newer(m, 3, 1000, now, &row)); /* nobody was given that one */
    assert_true(manager_store_has_newer(m, 2, 1000, now, &row));
    assert_true(tag_equal(&row.subject, &laptop));
    assert_int_equal(row.answer, CLASS_FULL);
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
    manager_stored(m, 2);
    /* What the store told it is not told again. */
    assert_false(manager_pop_change(m, now, &c));
    assert_int_equal(manager_durable(m), 3);
    a = bind_laptop(CLASS_FULL, 10, 300, 1);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 1000);
    assert_int_equal(bind_laptop(CLASS_FULL, 1001, 300, 1).status, MAPPING_DONE);
    /* What comes late of a change that was overtaken says nothing; another record of that sequence does. */
    assert_true(manager_pop_change(m, now, &c));
    bind_laptop(CLASS_FULL, 1002, 300, 1);
    assert_true(manager_pop_change(m, now, &c));
    assert_false(manager_store_has_newer(m, 4, 1001, now, &row));
    assert_false(manager_store_has_newer(m, 4, 1002, now, &row));
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_FOUND);
    assert_true(manager_store_has_newer(m, 5, 1002, now, &row));
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_never_lapped, set_up_store, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_later, set_up_store, tear_down),
        cmocka_unit_test_setup_teardown(test_gave_way, set_up_store, tear_down),
        cmocka_unit_test_setup_teardown(test_store_has_newer, set_up_store, tear_down),
    };

    return cmocka_run_group_tests_name("manager and store", tests, NULL, NULL);
}
