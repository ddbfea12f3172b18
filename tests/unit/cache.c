/* Unit tests of mapping/cache.h. */
#include "mapping/cache.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#define T0 ((instant)1000)
#define K KIND_HOST_LOCATOR

static struct prng prng;

static struct cache *new_cache(uint32_t answers, uint32_t rows)
{
    struct cache *c;
    struct rng r;

    prng_init(&prng, 1);
    r = prng_rng(&prng);
    c = cache_new(answers, rows, &r);
    assert_non_null(c);
    return c;
}

static struct record record_of(uint32_t subject, uint8_t answer, uint64_t seq)
{
    struct record r = {
        .type = RECORD_BINDING, .kind = K, .answer = answer, .seq = seq, .subject = { { 0x20, 0x01, 0, 0x3f } }
    };

    put_be32(r.subject.bytes + 12, subject);
    return r;
}

static int put(struct cache *c, const struct record *r, const char *bytes, uint8_t granted, uint32_t left_s,
               instant now)
{
    return cache_put(c, r, (const uint8_t *)bytes, strlen(bytes), granted, left_s, now);
}

/* NULL: nothing is known. "": known that there is none. */
static const char *find(struct cache *c, const struct record *r, uint8_t granted, instant now)
{
    static char text[64];
    const uint8_t *bytes;
    instant until;
    size_t len;

    switch (cache_find(c, &r->subject, K, granted, now, &bytes, &len, &until)) {
    case CACHE_FOUND:
        assert_true(until > now);
        memcpy(text, bytes, len);
        text[len] = '\0';
        return text;
    case CACHE_NONE:
        assert_true(until > now && until <= now + CACHE_NEGATIVE_MAX_S * SEC);
        return "";
    default:
        return NULL;
    }
}

/* What is an answer to one class is none to another, up or down. */
static void test_classes(void **state)
{
    struct cache *c = new_cache(8, 8);
    struct record full = record_of(1, CLASS_FULL, 1), agent = record_of(1, CLASS_AGENT, 1);

    assert_int_equal(put(c, &full, "live", CLASS_FULL, 60, T0), CACHE_STORED);
    for (uint8_t granted = CLASS_DENY; granted < CLASS_FULL; granted++) {
        assert_null(find(c, &full, granted, T0));
        assert_int_equal(put(c, &full, "live", granted, 60, T0), -EINVAL); /* a mistake of ours would be one here too */
    }
    assert_string_equal(find(c, &full, CLASS_FULL, T0), "live");
    assert_int_equal(put(c, &agent, "agent", CLASS_AGENT, 60, T0), CACHE_STORED);
    assert_int_equal(cache_put_none(c, &full.subject, K, CLASS_DENY, 60, T0), 0);
    assert_string_equal(find(c, &full, CLASS_DENY, T0), "");
    assert_string_equal(find(c, &full, CLASS_AGENT, T0), "agent");
    assert_string_equal(find(c, &full, CLASS_FULL, T0), "live");
    cache_free(c);
    cache_free(NULL);
}

static void test_time(void **state)
{
    struct cache *c = new_cache(8, 8);
    struct record r = record_of(1, CLASS_FULL, 1);

    assert_int_equal(put(c, &r, "x", CLASS_FULL, 10, T0), CACHE_STORED);
    assert_string_equal(find(c, &r, CLASS_FULL, T0 + 10 * SEC - 1), "x");
    assert_null(find(c, &r, CLASS_FULL, T0 + 10 * SEC));
    assert_int_equal(cache_put_none(c, &r.subject, K, CLASS_FULL, 3600, T0), 0);
    assert_string_equal(find(c, &r, CLASS_FULL, T0 + CACHE_NEGATIVE_MAX_S * SEC - 1), "");
    assert_null(find(c, &r, CLASS_FULL, T0 + CACHE_NEGATIVE_MAX_S * SEC));
    cache_free(c);
}

/* Older ones are refused while the answer is there, when it has gone, and after "there is none". */
static void test_sequences(void **state)
{
    struct cache *c = new_cache(8, 8);
    struct record newer = record_of(1, CLASS_FULL, 9), older = record_of(1, CLASS_FULL, 8),
                  agent = record_of(1, CLASS_AGENT, 2);

    assert_int_equal(put(c, &newer, "nine", CLASS_FULL, 10, T0), CACHE_STORED);
    assert_int_equal(put(c, &older, "eight", CLASS_FULL, 60, T0), CACHE_OLDER);
    assert_string_equal(find(c, &newer, CLASS_FULL, T0), "nine");
    assert_null(find(c, &newer, CLASS_FULL, T0 + 10 * SEC));
    assert_int_equal(put(c, &older, "eight", CLASS_FULL, 60, T0), CACHE_OLDER);
    assert_int_equal(cache_put_none(c, &newer.subject, K, CLASS_FULL, 60, T0), 0);
    assert_int_equal(put(c, &older, "eight", CLASS_FULL, 60, T0), CACHE_OLDER);
    assert_string_equal(find(c, &newer, CLASS_FULL, T0), "");
    /* The agent's locator counts apart: a full answer that ended is followed by it. */
    assert_int_equal(put(c, &agent, "agent", CLASS_FULL, 60, T0), CACHE_STORED);
    assert_string_equal(find(c, &newer, CLASS_FULL, T0), "agent");
    assert_int_equal(put(c, &older, "eight", CLASS_FULL, 60, T0), CACHE_OLDER);
    assert_int_equal(put(c, &newer, "nine", CLASS_FULL, 60, T0), CACHE_STORED);
    cache_forget(c, &newer.subject);
    assert_null(find(c, &newer, CLASS_FULL, T0));
    assert_int_equal(put(c, &older, "eight", CLASS_FULL, 60, T0), CACHE_OLDER);
    cache_free(c);
}

/* The answer that was not asked for the longest gives way, and its sequence only later. */
static void test_room(void **state)
{
    struct cache *c = new_cache(2, 3);
    struct record r[5];

    for (uint32_t i = 0; i < 5; i++)
        r[i] = record_of(i, CLASS_FULL, 5);
    assert_int_equal(put(c, &r[0], "0", CLASS_FULL, 60, T0), CACHE_STORED);
    assert_int_equal(put(c, &r[1], "1", CLASS_FULL, 60, T0), CACHE_STORED);
    assert_string_equal(find(c, &r[0], CLASS_FULL, T0), "0");
    assert_int_equal(put(c, &r[2], "2", CLASS_FULL, 60, T0), CACHE_STORED);
    assert_null(find(c, &r[1], CLASS_FULL, T0));
    assert_string_equal(find(c, &r[0], CLASS_FULL, T0), "0");
    assert_int_equal(cache_answers(c), 2);
    assert_int_equal(cache_rows(c), 3);
    r[1].seq = 4;
    assert_int_equal(put(c, &r[1], "1", CLASS_FULL, 60, T0), CACHE_OLDER);
    assert_int_equal(put(c, &r[3], "3", CLASS_FULL, 60, T0), CACHE_STORED); /* the row of 1 goes */
    assert_int_equal(put(c, &r[1], "1", CLASS_FULL, 60, T0), CACHE_STORED);
    /* Answers that are none leave nothing behind. */
    assert_int_equal(cache_put_none(c, &r[4].subject, K, CLASS_FULL, 60, T0), 0);
    assert_int_equal(cache_rows(c), 3);
    assert_int_equal(cache_answers(c), 2);
    cache_free(c);
}

/* Random use: what is found is what was put last for just this class and is not over; sequences that were shown never
 * go back while there is room for all rows. */
static void test_model(void **state)
{
    struct cache *c = new_cache(20, 120);
    struct {
        char text[32];
        instant until;
        uint64_t seqs[4];
    } model[30][4] = { 0 };
    instant now = T0;
    struct prng p;

    prng_init(&p, 3);
    for (int step = 0; step < 200000; step++) {
        uint32_t n = (uint32_t)prng_below(&p, 30);
        uint8_t granted = (uint8_t)(1 + prng_below(&p, 3)), answer = (uint8_t)(1 + prng_below(&p, granted));
        struct record r = record_of(n, answer, 1 + model[n][granted].seqs[answer] + prng_below(&p, 3) - 1);
        uint32_t left = 1 + (uint32_t)prng_below(&p, 100);
        const char *found;
        char text[32];

        snprintf(text, sizeof(text), "%u %u %llu", n, answer, (unsigned long long)r.seq);
        switch (prng_below(&p, 6)) {
        case 0:
        case 1:
            if (prng_below(&p, 4) == 0 && r.seq > 1)
                r.seq = 1 + prng_below(&p, r.seq);
            snprintf(text, sizeof(text), "%u %u %llu", n, answer, (unsigned long long)r.seq);
            if (put(c, &r, text, granted, left, now) == CACHE_OLDER) {
                assert_true(r.seq < model[n][granted].seqs[answer]);
                break;
            }
            assert_true(r.seq >= model[n][granted].seqs[answer]);
            model[n][granted].seqs[answer] = r.seq;
            memcpy(model[n][granted].text, text, sizeof(text));
            model[n][granted].until = now + (instant)left * SEC;
            break;
        case 2:
            if (prng_below(&p, 4) == 0) {
                assert_int_equal(cache_put_none(c, &r.subject, K, granted, left, now), 0);
                model[n][granted].text[0] = '\0';
                model[n][granted].until = now + (instant)MIN(left, CACHE_NEGATIVE_MAX_S) * SEC;
            }
            break;
        case 3:
            now += (instant)prng_below(&p, 10 * SEC);
            break;
        default:
            found = find(c, &r, granted, now);
            if (found) { /* it may have given way; if not, it is this */
                assert_true(model[n][granted].until > now);
                assert_string_equal(found, model[n][granted].text);
            }
            break;
        }
        assert_true(cache_answers(c) <= 20 && cache_rows(c) <= 120);
    }
    cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes), cmocka_unit_test(test_time),  cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_room),    cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
