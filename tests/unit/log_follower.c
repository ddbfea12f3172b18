/* Unit tests of mapping/log_follower.h: a log of one manager, asked for by another, in virtual time. The log is a list
 * of entries here; what is asked is answered from it by hand. */
#include "mapping/log_follower.h"
#include "tests/unit/realm_world.h"

#define ENTRIES 6
#define T0 (1000 * SEC)

static struct rw w;
static struct entry_bytes {
    uint8_t *bytes;
    size_t len;
} entries[ENTRIES], other[ENTRIES];
static struct log_follower f;
static instant now;
static struct slice got[ENTRIES];
static uint8_t sent[MAPPING_BYTES_MAX];

/* Entries of a log, each with so many copies of the root's record. */
static void make(struct entry_bytes *out, size_t first, size_t records)
{
    static const uint8_t none[ENTRY_DIGEST_LEN];
    uint8_t before[ENTRY_DIGEST_LEN];
    struct slice list[400];

    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        list[i] = rw_slice(&w.root);
    if (first > 0)
        entry_digest(out[first - 1].bytes, out[first - 1].len, before);
    for (size_t i = first; i < ENTRIES; i++) {
        const size_t size = entry_size(records, records * w.root.len);

        free(out[i].bytes);
        out[i].bytes = malloc(size);
        assert_int_equal(entry_encode(i, ENTRY_WHOLE, i == 0 ? none : before, list, records, w.seeds[RW_ROOT],
                                      out[i].bytes, size, &out[i].len),
                         0);
        entry_digest(out[i].bytes, out[i].len, before);
    }
}

static int set_up(void **state)
{
    rw_init(&w);
    now = T0;
    make(entries, 0, 1);
    log_follower_init(&f, 0, NULL, now);
    return 0;
}

static int tear_down(void **state)
{
    log_follower_deinit(&f);
    for (size_t i = 0; i < ENTRIES; i++) {
        free(entries[i].bytes);
        free(other[i].bytes);
        entries[i].bytes = other[i].bytes = NULL;
    }
    return 0;
}

/* What it asks now; false: nothing. */
static bool asks(struct mapping_request *ret)
{
    static uint8_t out[LOG_FOLLOWER_REQUEST_MAX];
    const size_t len = log_follower_output(&f, now, out);

    if (len == 0)
        return false;
    assert_int_equal(mapping_request_read(out, len, ret), 0);
    assert_int_equal(ret->type, MAPPING_LOG);
    return true;
}

static struct mapping_list list_of(const struct entry_bytes *of, size_t from, size_t count)
{
    static uint8_t items[MAPPING_BYTES_MAX];
    struct writer at = writer_init(items, sizeof(items));

    for (size_t i = from; i < from + count; i++)
        mapping_write_bytes(&at, (struct slice){ of[i].bytes, of[i].len });
    assert_false(at.failed);
    return (struct mapping_list){ items, writer_len(&at), count };
}

static size_t pop(void)
{
    size_t n = 0;

    while (log_follower_pop(&f, now, &got[n]))
        n++;
    return n;
}

/* The answer to a question from `index` on, of a log of so many entries of which `count` are given. How many came out.
 */
static size_t answer(const struct entry_bytes *of, uint64_t index, size_t count, uint64_t there)
{
    struct writer at = writer_init(sent, sizeof(sent));
    struct mapping_answer a = { .status = MAPPING_ENTRIES, .index = index, .to = there };
    uint8_t digest[ENTRY_DIGEST_LEN];

    if (index > 0) {
        entry_digest(of[index - 1].bytes, of[index - 1].len, digest);
        a.digest = digest;
    }
    a.items = list_of(of, index, count);
    mapping_answer_write(&at, &a);
    log_follower_on_answer(&f, sent, writer_len(&at), now);
    return pop();
}

static size_t grown(const struct entry_bytes *of, uint64_t index, size_t count, uint64_t there)
{
    const struct mapping_request r = {
        .type = MAPPING_GROWN, .index = index, .to = there, .items = list_of(of, index, count)
    };

    log_follower_on_grown(&f, &r, now);
    return pop();
}

/* All of it is here. */
static void catch_up(void)
{
    struct mapping_request r;

    do {
        assert_true(asks(&r));
        assert_int_equal(answer(entries, r.index, ENTRIES - r.index, ENTRIES), ENTRIES - r.index);
    } while (r.index < ENTRIES);
    assert_false(log_follower_has_gap(&f, now));
}

static void test_from_nothing(void **state)
{
    struct mapping_request r;

    assert_true(log_follower_has_gap(&f, now));
    assert_true(asks(&r));
    assert_int_equal(r.index, 0);
    assert_false(asks(&r)); /* one at a time */
    assert_int_equal(answer(entries, 0, 2, ENTRIES), 2);
    assert_int_equal(got[1].len, entries[1].len);
    assert_memory_equal(got[1].data, entries[1].bytes, entries[1].len);
    assert_true(log_follower_has_gap(&f, now)); /* it knows of more */
    assert_true(asks(&r));                      /* at once */
    assert_int_equal(r.index, 2);
    assert_int_equal(answer(entries, 2, 4, ENTRIES), 4);
    catch_up();
    assert_false(asks(&r));
    assert_int_equal(log_follower_next_expiry(&f), now + LOG_FOLLOWER_CHECK);
    /* It goes on from what was kept. */
    log_follower_deinit(&f);
    {
        uint8_t before[ENTRY_DIGEST_LEN];

        entry_digest(entries[3].bytes, entries[3].len, before);
        log_follower_init(&f, 4, before, now);
    }
    assert_true(asks(&r));
    assert_int_equal(r.index, 4);
    assert_int_equal(answer(entries, 4, 2, ENTRIES), 2);
}

/* What is said is here at once, without a question; what does not join is asked for, and is a gap until it is here. */
static void test_told(void **state)
{
    struct mapping_request r;

    assert_true(asks(&r));
    assert_int_equal(answer(entries, 0, 3, 3), 3);
    assert_true(asks(&r));
    assert_int_equal(answer(entries, 3, 0, 3), 0);
    assert_false(log_follower_has_gap(&f, now));
    assert_int_equal(grown(entries, 3, 1, 4), 1);
    assert_false(log_follower_has_gap(&f, now));
    assert_false(asks(&r));
    assert_int_equal(grown(entries, 3, 1, 4), 0); /* again */
    assert_int_equal(grown(entries, 5, 1, 6), 0);
    assert_true(log_follower_has_gap(&f, now));
    assert_true(asks(&r));
    assert_int_equal(r.index, 4);
    assert_int_equal(answer(entries, 4, 2, 6), 2);
    assert_false(log_follower_has_gap(&f, now));
    assert_int_equal(f.fault, LOG_SOUND);
}

/* An answer that is overtaken by what was told says nothing of who has what. */
static void test_overtaken(void **state)
{
    struct mapping_request r;

    assert_true(asks(&r));
    assert_int_equal(answer(entries, 0, 3, 3), 3);
    assert_true(asks(&r));
    assert_int_equal(grown(entries, 3, 1, 4), 1);
    assert_int_equal(answer(entries, 3, 0, 3), 0);
    assert_int_equal(f.fault, LOG_SOUND);
    assert_true(asks(&r));
    assert_int_equal(r.index, 4);
}

/* Nobody has said for long that there is no more. */
static void test_silence(void **state)
{
    struct mapping_request r;

    catch_up();
    now += LOG_FOLLOWER_CHECK;
    assert_true(asks(&r));
    log_follower_on_failed(&f, now);
    assert_false(asks(&r));
    now += LOG_FOLLOWER_RETRY;
    assert_true(asks(&r));
    now = T0 + LOG_FOLLOWER_BEHIND_MAX;
    assert_false(log_follower_has_gap(&f, now));
    now++;
    assert_true(log_follower_has_gap(&f, now));
    log_follower_on_up(&f, now);
    log_follower_on_failed(&f, now);
    now += LOG_FOLLOWER_RETRY;
    assert_true(asks(&r));
    assert_int_equal(answer(entries, ENTRIES, 0, ENTRIES), 0);
    assert_false(log_follower_has_gap(&f, now));
}

/* It stops, and stays so until the other is there anew. */
static void assert_stopped(enum log_fault fault)
{
    struct mapping_request r;

    assert_int_equal(f.fault, fault);
    assert_true(log_follower_has_gap(&f, now));
    now += 3600 * SEC;
    assert_false(asks(&r));
    assert_int_equal(grown(entries, f.index, 0, ENTRIES), 0);
    assert_false(asks(&r));
    log_follower_on_up(&f, now);
    assert_int_equal(f.fault, LOG_SOUND);
    assert_true(asks(&r));
}

static void test_ahead(void **state)
{
    struct mapping_request r;

    catch_up();
    log_follower_on_up(&f, now);
    assert_true(asks(&r));
    assert_int_equal(answer(entries, ENTRIES - 1, 0, ENTRIES - 1), 0);
    assert_stopped(LOG_AHEAD);
}

/* Another log with as many entries, and one that goes on differently. */
static void test_forked(void **state)
{
    struct mapping_request r;

    for (size_t i = 0; i < 4; i++) {
        other[i].bytes = memcpy(malloc(entries[i].len), entries[i].bytes, entries[i].len);
        other[i].len = entries[i].len;
    }
    make(other, 4, 2);
    catch_up();
    log_follower_on_up(&f, now);
    assert_true(asks(&r));
    assert_int_equal(answer(other, ENTRIES, 0, ENTRIES), 0);
    assert_stopped(LOG_FORKED);
    log_follower_on_failed(&f, now);
    log_follower_on_up(&f, now);
    {
        uint8_t before[ENTRY_DIGEST_LEN];

        entry_digest(entries[4].bytes, entries[4].len, before);
        log_follower_set(&f, 5, before);
    }
    assert_int_equal(grown(other, 5, 1, 6), 0);
    assert_stopped(LOG_FORKED);
}

static void test_broken(void **state)
{
    struct mapping_request r;

    assert_true(asks(&r));
    entries[1].bytes[0] ^= 0x80; /* no version of an entry */
    assert_int_equal(answer(entries, 0, 3, ENTRIES), 1);
    assert_stopped(LOG_BROKEN);
}

/* An entry that no message can hold. */
static void test_pieces(void **state)
{
    struct writer at;
    struct mapping_request r;
    struct mapping_answer a = { .status = MAPPING_ENTRIES, .to = 1 };
    size_t pieces = 0;

    make(entries, 0, 400);
    assert_true(entries[0].len > MAPPING_BYTES_MAX);
    for (size_t from = 0, n; from < entries[0].len; from += n, pieces++) {
        const struct entry_bytes piece = { entries[0].bytes + from, n = MIN(entries[0].len - from, (size_t)20000) };

        assert_int_equal(pop(), 0);
        assert_true(asks(&r));
        assert_int_equal(r.index, 0);
        assert_int_equal(r.position, from);
        a.position = from + n < entries[0].len ? (uint32_t)(from + n) : 0;
        a.items = list_of(&piece, 0, 1);
        at = writer_init(sent, sizeof(sent));
        mapping_answer_write(&at, &a);
        if (pieces == 2) { /* lost: the same one again, of which what is here is not */
            log_follower_on_failed(&f, now);
            now += LOG_FOLLOWER_RETRY;
            n = 0;
            continue;
        }
        log_follower_on_answer(&f, sent, writer_len(&at), now);
    }
    assert_true(pieces > 3);
    assert_int_equal(pop(), 1);
    assert_int_equal(got[0].len, entries[0].len);
    assert_memory_equal(got[0].data, entries[0].bytes, entries[0].len);
    /* Who answers next may be another: from the beginning. */
    assert_true(asks(&r));
    a.index = 1;
    a.to = 2;
    a.position = 1000;
    a.digest = f.before;
    a.items = list_of(&(struct entry_bytes){ entries[1].bytes, 1000 }, 0, 1);
    at = writer_init(sent, sizeof(sent));
    mapping_answer_write(&at, &a);
    log_follower_on_answer(&f, sent, writer_len(&at), now);
    assert_int_equal(pop(), 0);
    assert_true(asks(&r));
    assert_int_equal(r.position, 1000);
    log_follower_on_failed(&f, now);
    log_follower_on_up(&f, now);
    assert_true(asks(&r));
    assert_int_equal(r.position, 0);
}

/* What could not be kept comes again. */
static void test_not_kept(void **state)
{
    struct mapping_request r;

    assert_true(asks(&r));
    assert_int_equal(answer(entries, 0, 4, ENTRIES), 4);
    log_follower_put_off(&f, now);
    {
        uint8_t before[ENTRY_DIGEST_LEN];

        entry_digest(entries[1].bytes, entries[1].len, before);
        log_follower_set(&f, 2, before);
    }
    assert_false(asks(&r));
    assert_true(log_follower_has_gap(&f, now));
    now += LOG_FOLLOWER_RETRY;
    assert_true(asks(&r));
    assert_int_equal(r.index, 2);
    assert_int_equal(answer(entries, 2, 4, ENTRIES), 4);
    assert_int_equal(f.fault, LOG_SOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overtaken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ahead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_kept, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("log follower", tests, NULL, NULL);
}
