/* Unit tests of mapping/holder.h, at a manager that forgets, is full, or knows more than the holder does. */
#include "mapping/holder.h"
#include "mapping/manager.h"
#include "tests/unit/realm_world.h"

#include <errno.h>

static struct rw w;
static struct manager *m;
static struct tag root, laptop;
static struct holder h;
static instant now;
static uint8_t out[MAPPING_BYTES_MAX];

static void new_manager(void)
{
    struct manager_options o = { .rng = w.rng,
                                 .bindings_max = 10,
                                 .names_max = 10,
                                 .guests_max = 1,
                                 .subscriptions_max = 1,
                                 .log_max = 64,
                                 .epoch = 1 };
    struct slice root_record = rw_slice(&w.root);
    struct record_error why;
    struct rw_blob b;

    manager_free(m);
    m = manager_new(&o, now);
    assert_non_null(m);
    assert_int_equal(manager_set_self(m, &root_record, 1, RW_NOW_S, &why), 0);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, "laptop.h.rid.example", &b);
    assert_int_equal(manager_take(m, b.bytes, b.len, now, &why), 0);
}

static int set_up(void **state)
{
    rw_init(&w);
    now = 1000 * SEC;
    m = NULL;
    new_manager();
    root = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0);
    laptop = rw_tag(&w, RW_LAPTOP, TAG_TIER_HOST, 0);
    holder_init(&h, w.seeds[RW_LAPTOP], &laptop, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 300, 5, 0);
    return 0;
}

static int tear_down(void **state)
{
    manager_free(m);
    holder_deinit(&h);
    return 0;
}

static void at(uint8_t n)
{
    struct record_target t = { .is_locator = true, .locator = { addr_v4(0xc0000200u + n), 4500 } };

    assert_int_equal(holder_set_targets(&h, &t, 1, now), 0);
}

/* One request and its answer; its type, 0: there was none. */
static enum mapping_type step(int key)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    struct manager_who who = { .peer = 1, .ed25519 = w.keys[key] };
    struct manager_reply reply;
    struct mapping_request r;
    size_t len = holder_output(&h, now, bytes);

    if (len == 0)
        return (enum mapping_type)0;
    assert_int_equal(mapping_request_read(bytes, len, &r), 0);
    assert_int_equal(holder_output(&h, now, bytes), 0); /* one at a time */
    manager_on_request(m, &who, bytes, len, now, RW_NOW_S, out, &reply);
    holder_on_answer(&h, out, reply.len, now);
    return r.type;
}

static void test_registered(void **state)
{
    assert_int_equal(step(RW_LAPTOP), 0);
    assert_int_equal(holder_next_expiry(&h), INSTANT_NEVER);
    at(1);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_int_equal(h.seq, (5ull << 32) + 1);
    assert_int_equal(h.until, now + 300 * SEC);
    /* A third of the lease later it is refreshed, for as long as it is needed. */
    assert_int_equal(holder_next_expiry(&h), now + 100 * SEC);
    for (unsigned i = 0; i < 10; i++) {
        now += 100 * SEC - 1;
        assert_int_equal(step(RW_LAPTOP), 0);
        now++;
        assert_int_equal(step(RW_LAPTOP), MAPPING_REFRESH);
        assert_int_equal(h.until, now + 300 * SEC);
    }
    assert_int_equal(h.seq, (5ull << 32) + 1);
    /* The same targets are nothing new; others are a record. */
    at(1);
    assert_int_equal(step(RW_LAPTOP), 0);
    at(2);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.seq, (5ull << 32) + 2);
    /* A manager that has forgotten. */
    new_manager();
    holder_on_up(&h, now);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REFRESH);
    assert_int_equal(h.state, HOLDER_TRYING);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_int_equal(h.seq, (5ull << 32) + 2);
}

/* Begins anew, as a holder that remembers nothing. */
static void forget(uint32_t boot_epoch, uint32_t counter)
{
    holder_init(&h, w.seeds[RW_LAPTOP], &laptop, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 300, boot_epoch, counter);
}

static void test_lost_counter(void **state)
{
    at(1);
    step(RW_LAPTOP);
    /* Below what it said before: told, and past it. */
    forget(4, 100);
    at(7);
    assert_int_equal(h.seq, (4ull << 32) + 101);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_TRYING);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_int_equal(h.seq, (6ull << 32) + 101);
    /* The same number, another record. */
    forget(6, 100);
    at(8);
    step(RW_LAPTOP);
    step(RW_LAPTOP);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_int_equal(h.seq, (7ull << 32) + 101);
    /* The counter has half of its range to begin in. */
    forget(6, UINT32_MAX);
    at(8);
    assert_int_equal(h.seq, (6ull << 32) + 0x80000000);
}

/* What was said and pushed, but lost before it was stored, is not said again under its number with other words: neither
 * by who is told of what is left, nor by who begins anew without a clock. */
static void test_no_number_twice(void **state)
{
    struct holder first;
    uint64_t said;

    at(1);
    step(RW_LAPTOP);
    first = h;
    forget(1, 1000);
    at(2);
    step(RW_LAPTOP);
    step(RW_LAPTOP);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    said = h.seq;
    /* A manager that has the first record alone. */
    new_manager();
    h = first;
    holder_on_up(&h, now);
    step(RW_LAPTOP);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    forget(1, 77);
    at(3);
    assert_int_not_equal(h.seq, (1ull << 32) + 1001);
    step(RW_LAPTOP);
    step(RW_LAPTOP);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    assert_true(h.seq > first.seq && h.seq != said);
}

static void test_failures(void **state)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    static const unsigned waits_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
    size_t len;

    at(1);
    for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
        assert_true(holder_output(&h, now, bytes) > 0);
        assert_int_equal(holder_next_expiry(&h), INSTANT_NEVER);
        holder_on_failed(&h, now);
        assert_int_equal(holder_next_expiry(&h), now + waits_s[i] * SEC);
        now += waits_s[i] * SEC;
    }
    /* To a stranger it is as if nobody of that name was there. */
    assert_int_equal(step(RW_STRANGER), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_UNKNOWN);
    now = holder_next_expiry(&h);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REGISTERED);
    /* What is new while a request is under way is said after it. */
    at(2);
    len = holder_output(&h, now, bytes);
    at(3);
    {
        struct manager_who who = { .peer = 1, .ed25519 = w.keys[RW_LAPTOP] };
        struct manager_reply reply;

        manager_on_request(m, &who, bytes, len, now, RW_NOW_S, out, &reply);
        holder_on_answer(&h, out, reply.len, now);
    }
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.seq, (5ull << 32) + 3);
    /* Later, as long as the manager said; refused, by its word. */
    at(4);
    holder_output(&h, now, bytes);
    len = manager_say_later(30000, bytes, sizeof(bytes));
    holder_on_answer(&h, bytes, len, now);
    assert_int_equal(holder_next_expiry(&h), now + 30 * SEC);
    now += 30 * SEC;
    memset(h.record + h.record_len - 4, 0, 4);
    assert_int_equal(step(RW_LAPTOP), MAPPING_REGISTER);
    assert_int_equal(h.state, HOLDER_REFUSED);
    assert_int_equal(h.fault, RECORD_SIGNATURE);
    /* No binding of that kind has such a target. */
    {
        struct record_target t = { .tag = laptop };

        assert_int_equal(holder_set_targets(&h, &t, 1, now), -EINVAL);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = { CASE(test_registered), CASE(test_lost_counter), CASE(test_no_number_twice),
                                        CASE(test_failures) };

    return cmocka_run_group_tests_name("holder", tests, NULL, NULL);
}
