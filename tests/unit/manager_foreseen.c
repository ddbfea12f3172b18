/* Unit tests of mapping/manager.h: what was found of requests before their turn is believed just as long as it is so.
 */
#include "mapping/internal.h"
#include "tests/unit/manager_world.h"

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static uint8_t waiting[2][256];
static struct manager_ahead ahead_of[2];

/* Two wait: who asks for the laptop, and then for another or by another. */
static void foresee(int key, const char *name, int second_key, const char *second_name)
{
    const int keys[] = { key, second_key };
    const char *const names[] = { name, second_name };

    for (size_t i = 0; i < 2; i++) {
        struct writer at = writer_init(waiting[i], sizeof(waiting[i]));
        struct mapping_request r = by_name(names[i]);

        mapping_request_write(&at, &r);
        ahead_of[i] = (struct manager_ahead){ { .peer = (uint64_t)keys[i] + 100, .ed25519 = w.keys[keys[i]] },
                                              waiting[i],
                                              writer_len(&at) };
    }
    manager_foresee(m, ahead_of, 2, now, RW_NOW_S);
}

static struct mapping_answer turn_at(size_t i, uint64_t wall_s)
{
    struct mapping_answer a;

    manager_on_request(m, &ahead_of[i].who, ahead_of[i].bytes, ahead_of[i].len, now, wall_s, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    return a;
}

static struct mapping_answer turn(size_t i)
{
    return turn_at(i, RW_NOW_S);
}

/* Whatever waits, and however much of it: nothing is changed. Each request ends where its memory does. */
static void test_foresee(void **state)
{
    static const char *const names[] = { LAPTOP, "phone.h.rid.example", "nobody.h.rid.example", "h.",
                                         "acme.rid.example" };
    struct manager_ahead ahead[MANAGER_AHEAD_MAX + 4];
    struct manager_stats before = { 0 }, after = { 0 };
    uint8_t bytes[256];

    for (size_t i = 0; i < ARRAY_LEN(ahead); i++) {
        struct writer at = writer_init(bytes, sizeof(bytes));
        struct mapping_request r = by_name(names[i % ARRAY_LEN(names)]);
        uint8_t *own;
        size_t len;

        if (i % 7 == 6)
            r = (struct mapping_request){ .type = MAPPING_RESOLVE, .tag = laptop, .kind = KIND_HOST_LOCATOR };
        mapping_request_write(&at, &r);
        len = writer_len(&at) - (i == 11);
        own = malloc(len);
        assert_non_null(own);
        memcpy(own, bytes, len);
        ahead[i] = (struct manager_ahead){ { .peer = i, .ed25519 = w.keys[i % 4] }, own, len };
    }
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    allow(EVERYBODY, CLASS_FULL);
    manager_get_stats(m, &before);
    manager_foresee(m, ahead, ARRAY_LEN(ahead), now, RW_NOW_S);
    manager_foresee(m, ahead, 0, now, RW_NOW_S);
    manager_get_stats(m, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(resolve(RW_PHONE, LAPTOP).status, MAPPING_FOUND);
    begin_with_room_for(8); /* with nobody in it */
    manager_foresee(m, ahead, ARRAY_LEN(ahead), now, RW_NOW_S);
    for (size_t i = 0; i < ARRAY_LEN(ahead); i++)
        free((void *)(uintptr_t)ahead[i].bytes);
}

/* What the log has said since counts. */
static void test_log(void **state)
{
    struct rw_blob gone;
    struct record r = { .type = RECORD_REVOCATION, .issuer = root, .subject = laptop, .issued_s = RW_NOW_S };

    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    assert_int_equal(turn(0).status, MAPPING_NONE); /* nobody may, */
    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(turn(1).status, MAPPING_FOUND); /* and now they may */
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    assert_int_equal(turn(0).status, MAPPING_FOUND);
    allow(EVERYBODY, CLASS_DENY);
    assert_int_equal(turn(1).status, MAPPING_NONE);
    allow(EVERYBODY, CLASS_FULL);
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    assert_int_equal(turn(0).status, MAPPING_FOUND);
    r.seq = ++w.seq;
    rw_sign(&w, &r, RW_ROOT, &gone);
    take(&gone);
    assert_int_equal(turn(1).status, MAPPING_NONE);
}

/* What is in the table is looked at in a request's turn. */
static void test_table(void **state)
{
    struct rw_blob b;
    struct mapping_request r = { .type = MAPPING_REGISTER };
    struct writer at = writer_init(sent, sizeof(sent));
    const struct manager_who self = { .peer = 1, .ed25519 = w.keys[RW_LAPTOP] };

    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 10, 300, 2, &b);
    r.record = rw_slice(&b);
    mapping_request_write(&at, &r);
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    assert_int_equal(target_of(turn(0).record), 1);
    manager_on_request(m, &self, sent, writer_len(&at), now, RW_NOW_S, out, &reply); /* it moves */
    assert_int_equal(target_of(turn(1).record), 2);
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    now += 301 * SEC;
    assert_int_equal(turn(0).status, MAPPING_NONE); /* its lease is over */
}

/* A policy ends while a request waits. */
static void test_time(void **state)
{
    struct record r = { .type = RECORD_POLICY,
                        .issuer = root,
                        .subject = root,
                        .issued_s = RW_NOW_S,
                        .not_after_s = RW_NOW_S + 1,
                        .rules_count = 1 };
    struct rw_blob b;

    r.seq = ++w.seq;
    r.rules[0] = (struct record_rule){ tag_prefix_of(&root, 28), CLASS_FULL };
    rw_sign(&w, &r, RW_ROOT, &b);
    take(&b);
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    foresee(RW_PHONE, LAPTOP, RW_PHONE, LAPTOP);
    assert_int_equal(turn_at(0, RW_NOW_S).status, MAPPING_FOUND);
    assert_int_equal(turn_at(1, RW_NOW_S + 2).status, MAPPING_NONE);
}

/* Peers may have gone, others come, and buffers be used again: a request has its own answer. */
static void test_others(void **state)
{
    char alone[TAG_STRLEN];

    allow(tag_format(&laptop, alone), CLASS_FULL); /* and nobody else */
    assert_int_equal(bind_laptop(CLASS_FULL, 9, 300, 1).status, MAPPING_DONE);
    foresee(RW_PHONE, LAPTOP, RW_LAPTOP, LAPTOP);
    assert_int_equal(turn(1).status, MAPPING_FOUND); /* the first has gone */
    assert_int_equal(turn(0).status, MAPPING_NONE);
    /* What is foreseen for one is not another's. */
    foresee(RW_LAPTOP, LAPTOP, RW_LAPTOP, LAPTOP);
    ahead_of[0].who.ed25519 = w.keys[RW_PHONE];
    assert_int_equal(turn(0).status, MAPPING_NONE);
    assert_int_equal(turn(1).status, MAPPING_FOUND);
    /* Another question in the same place. */
    foresee(RW_LAPTOP, LAPTOP, RW_LAPTOP, LAPTOP);
    {
        struct writer at = writer_init(waiting[0], sizeof(waiting[0]));
        struct mapping_request r = by_name("lapton.h.rid.example");

        mapping_request_write(&at, &r);
        assert_int_equal(writer_len(&at), ahead_of[0].len);
    }
    assert_int_equal(turn(0).status, MAPPING_NONE);
    assert_int_equal(turn(1).status, MAPPING_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_foresee), CASE(test_log), CASE(test_table), CASE(test_time), CASE(test_others),
    };

    return cmocka_run_group_tests_name("manager_foreseen", tests, NULL, NULL);
}
