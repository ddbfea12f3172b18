/* Unit tests of src/base/ring.c: by one thread, by two. */
#include "base/ring.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>

#define SIZE 4096
#define MESSAGES 200000

static bool put(struct ring *r, uint64_t number, size_t len)
{
    uint8_t *out = ring_reserve(r, len);

    if (!out)
        return false;
    assert_int_equal((uintptr_t)out % RING_ALIGN, 0);
    memset(out, (int)(number & 0xff), len);
    ring_commit(r, len);
    return true;
}

static void get(struct ring *r, uint64_t number, size_t want)
{
    size_t len;
    const uint8_t *in = ring_peek(r, &len);

    assert_non_null(in);
    assert_int_equal(len, want);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(in[i], number & 0xff);
    ring_release(r);
}

static void test_full_and_empty(void **state)
{
    struct ring r;
    size_t len;
    uint64_t written = 0, read = 0;

    assert_int_equal(ring_init(&r, SIZE), 0);
    assert_null(ring_peek(&r, &len));
    ring_release(&r); /* nothing */
    assert_null(ring_reserve(&r, SIZE / 2 - RING_ALIGN + 1));
    while (put(&r, written, 100))
        written++;
    assert_int_equal(written, SIZE / (RING_ALIGN + 104));
    assert_false(put(&r, written, 100));
    get(&r, read++, 100);
    /* At the end of the memory there is no room for it in one piece, but at the start. */
    assert_true(put(&r, written++, 50) || put(&r, written - 1, 8));
    while (read < written - 1)
        get(&r, read++, 100);
    assert_non_null(ring_peek(&r, &len));
    ring_release(&r);
    assert_null(ring_peek(&r, &len));
    ring_deinit(&r);
}

/* Any order of lengths, with a model of what must come. */
static void test_against_model(void **state)
{
    struct ring r;
    struct prng p;
    static size_t lens[MESSAGES];
    uint64_t written = 0, read = 0;

    prng_init(&p, 1);
    assert_int_equal(ring_init(&r, SIZE), 0);
    while (read < MESSAGES) {
        if (written < MESSAGES && prng_u64(&p) % 2) {
            lens[written] = prng_u64(&p) % (SIZE / 2 - RING_ALIGN + 1);
            if (put(&r, written, lens[written]))
                written++;
            else
                assert_true(written > read); /* an empty ring takes anything that is short enough */
        } else if (read < written) {
            get(&r, read, lens[read]);
            read++;
        }
    }
    ring_deinit(&r);
}

static void *writer(void *arg)
{
    struct ring *r = arg;

    for (uint64_t i = 0; i < MESSAGES;) {
        if (put(r, i, i % 300))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    struct ring r;
    pthread_t thread;
    size_t len;

    assert_int_equal(ring_init(&r, SIZE), 0);
    assert_int_equal(pthread_create(&thread, NULL, writer, &r), 0);
    for (uint64_t i = 0; i < MESSAGES;) {
        if (ring_peek(&r, &len)) {
            get(&r, i, i % 300);
            i++;
        } else {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    assert_null(ring_peek(&r, &len));
    ring_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_empty),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
