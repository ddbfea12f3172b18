/* Unit tests of sys/bindstore.h over its lmdb engine: by hand, and against a model that is a plain array. */
#include "sys/bindstore.h"
#include "base/rng.h"
#include "tests/unit/bindstore_model.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/dev/shm/hawser-bindstore-XXXXXX", path[64], where[80];
static char err[256];

static int set_up(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/b", dir);
    snprintf(where, sizeof(where), "lmdb:%s", path);
    return 0;
}

static void remove_all(void)
{
    static const char *const ends[] = { "", "-lock", ".lock", ".new", ".new-lock" };
    char name[80];

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
}

static int tear_down(void **state)
{
    remove_all();
    return rmdir(dir);
}

static struct bindstore *open_store(const struct bindstore_options *o)
{
    struct bindstore *s;
    int r = bindstore_open(where, o, &s, err, sizeof(err));

    if (r < 0)
        fail_msg("%d: %s", r, err);
    return s;
}

static struct bindstore_reader *new_reader(struct bindstore *s)
{
    struct bindstore_reader *r;

    assert_int_equal(bindstore_reader_new(s, &r), 0);
    return r;
}

/* Waits for the next event. */
static struct bindstore_event next_event(struct bindstore *s)
{
    struct pollfd p = { .fd = bindstore_fd(s), .events = POLLIN };
    struct bindstore_event ev;

    while (!bindstore_pop(s, &ev))
        assert_int_equal(poll(&p, 1, 20000), 1);
    return ev;
}

static struct bindstore_change change_of(enum bindstore_op op, uint32_t subject, uint64_t seq, int64_t expires,
                                         const char *bytes)
{
    return (struct bindstore_change){ .op = op,
                                      .row = { .subject = model_subject(subject),
                                               .kind = MODEL_KIND,
                                               .answer = MODEL_ANSWER,
                                               .seq = seq,
                                               .expires_ms = expires,
                                               .bytes = (const uint8_t *)bytes,
                                               .len = bytes ? (uint16_t)strlen(bytes) : 0 } };
}

/* One change by itself, and what became of it. */
static struct bindstore_result submit_one(struct bindstore *s, struct bindstore_change c)
{
    struct bindstore_event ev;

    assert_int_equal(bindstore_submit(s, &c, 1, 77), 0);
    ev = next_event(s);
    assert_int_equal(ev.type, BINDSTORE_DONE);
    assert_int_equal(ev.token, 77);
    assert_int_equal(ev.count, 1);
    return ev.results[0];
}

#define EXPECT(change, o, sq, cu)                                                                                      \
    do {                                                                                                               \
        struct bindstore_result got = submit_one(s, change);                                                           \
                                                                                                                       \
        assert_int_equal(got.outcome, o);                                                                              \
        assert_int_equal(got.seq, sq);                                                                                 \
        assert_int_equal(got.cursor, cu);                                                                              \
    } while (0)

static void assert_row(struct bindstore_reader *r, uint32_t subject, uint64_t seq, int64_t expires, const char *bytes)
{
    struct tag t = model_subject(subject);
    struct bindstore_row row;

    assert_int_equal(bindstore_get(r, &t, 1, 3, &row), 0);
    assert_int_equal(row.seq, seq);
    assert_int_equal(row.expires_ms, expires);
    assert_int_equal(row.len, bytes ? strlen(bytes) : 0);
    if (bytes)
        assert_memory_equal(row.bytes, bytes, row.len);
    else
        assert_null(row.bytes);
}

/* Each sentence of the header about a change. */
static void test_changes(void **state)
{
    struct bindstore_row row;
    struct tag t = model_subject(1);
    struct bindstore *s;
    struct bindstore_reader *r;

    remove_all();
    s = open_store(NULL);
    r = new_reader(s);
    assert_int_equal(bindstore_get(r, &t, 1, 3, &row), -ENOENT);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 5, 100, NULL), BINDSTORE_ABSENT, 0, 0);
    EXPECT(change_of(BINDSTORE_FORGET, 1, 5, 0, NULL), BINDSTORE_ABSENT, 0, 0);
    EXPECT(change_of(BINDSTORE_PUT, 1, 5, 100, "five"), BINDSTORE_STORED, 5, 1);
    assert_row(r, 1, 5, 100, "five");
    EXPECT(change_of(BINDSTORE_PUT, 1, 5, 90, "five"), BINDSTORE_SAME, 5, 0);
    assert_row(r, 1, 5, 100, "five");
    EXPECT(change_of(BINDSTORE_PUT, 1, 5, 110, "five"), BINDSTORE_SAME, 5, 0);
    assert_row(r, 1, 5, 110, "five");
    EXPECT(change_of(BINDSTORE_PUT, 1, 5, 200, "FIVE"), BINDSTORE_OLDER, 5, 0);
    EXPECT(change_of(BINDSTORE_PUT, 1, 4, 200, "four"), BINDSTORE_OLDER, 5, 0);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 5, 120, NULL), BINDSTORE_STORED, 5, 0);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 5, 119, NULL), BINDSTORE_SAME, 5, 0);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 4, 500, NULL), BINDSTORE_OLDER, 5, 0);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 6, 500, NULL), BINDSTORE_OLDER, 5, 0);
    assert_row(r, 1, 5, 120, "five");
    /* Another boot. */
    EXPECT(change_of(BINDSTORE_PUT, 1, 1ull << 32, 130, "boot"), BINDSTORE_STORED, 1ull << 32, 2);
    /* The lease ends; the sequence stays, and so the record does not come back. */
    EXPECT(change_of(BINDSTORE_PUT, 1, 1ull << 32, 130, NULL), BINDSTORE_STORED, 1ull << 32, 3);
    EXPECT(change_of(BINDSTORE_PUT, 1, 1ull << 32, 130, NULL), BINDSTORE_SAME, 1ull << 32, 0);
    assert_row(r, 1, 1ull << 32, 130, NULL);
    EXPECT(change_of(BINDSTORE_PUT, 1, 1ull << 32, 500, "boot"), BINDSTORE_OLDER, 1ull << 32, 0);
    EXPECT(change_of(BINDSTORE_REFRESH, 1, 1ull << 32, 500, NULL), BINDSTORE_ABSENT, 1ull << 32, 0);
    EXPECT(change_of(BINDSTORE_FORGET, 1, 7, 0, NULL), BINDSTORE_OLDER, 1ull << 32, 0);
    EXPECT(change_of(BINDSTORE_FORGET, 1, 1ull << 33, 0, NULL), BINDSTORE_STORED, 0, 4);
    assert_int_equal(bindstore_get(r, &t, 1, 3, &row), -ENOENT);
    EXPECT(change_of(BINDSTORE_PUT, 1, 1, 10, "one"), BINDSTORE_STORED, 1, 5);
    /* Kind and class are rows of their own. */
    assert_int_equal(bindstore_get(r, &t, 0, 3, &row), -ENOENT);
    assert_int_equal(bindstore_get(r, &t, 1, 1, &row), -ENOENT);
    bindstore_reader_free(r);
    bindstore_reader_free(NULL);
    bindstore_close(s);
    bindstore_close(NULL);
}

static void test_refused(void **state)
{
    struct bindstore_change bad[] = {
        change_of(BINDSTORE_REFRESH, 1, 1, 1, "bytes"),
        change_of(BINDSTORE_FORGET, 1, 1, 1, "bytes"),
        change_of(0, 1, 1, 1, NULL),
        change_of(BINDSTORE_FORGET + 1, 1, 1, 1, NULL),
        change_of(BINDSTORE_PUT, 1, 1, -1, "x"),
        change_of(BINDSTORE_PUT, 1, 1, BINDSTORE_EXPIRES_MAX + 1, "x"),
        change_of(BINDSTORE_PUT, 1, 1, 1, "x"),
        change_of(BINDSTORE_PUT, 1, 1, 1, "x"),
    };
    struct bindstore_change good = change_of(BINDSTORE_PUT, 1, 1, 1, "x"), *many;
    struct bindstore_options small = { .bytes_max = 1000 };
    struct bindstore_reader *r[BINDSTORE_READERS_MAX], *more;
    struct bindstore *s, *t;
    size_t held = 0;
    int e;

    remove_all();
    s = open_store(NULL);
    bad[6].row.len = BINDSTORE_BYTES_MAX + 1;
    bad[7].row.len = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(bindstore_submit(s, &bad[i], 1, 0), -EINVAL);
    assert_int_equal(bindstore_submit(s, &good, 0, 0), -EINVAL);
    many = calloc(BINDSTORE_QUEUE_MAX, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i < BINDSTORE_QUEUE_MAX; i++)
        many[i] = good;
    assert_int_equal(bindstore_submit(s, many, BINDSTORE_QUEUE_MAX + 1, 0), -EINVAL);
    /* What is not popped fills the queue. */
    assert_int_equal(bindstore_submit(s, many, BINDSTORE_QUEUE_MAX - 1, 1), 0);
    assert_int_equal(bindstore_submit(s, many, 1, 2), 0);
    assert_int_equal(bindstore_submit(s, many, 1, 3), -EAGAIN);
    while (held < BINDSTORE_QUEUE_MAX)
        held += next_event(s).count;
    assert_int_equal(bindstore_submit(s, many, 1, 3), 0);
    assert_int_equal(next_event(s).token, 3);
    free(many);
    /* One process, one store. */
    assert_int_equal(bindstore_open(where, NULL, &t, err, sizeof(err)), -EBUSY);
    for (size_t i = 0; i < BINDSTORE_READERS_MAX; i++)
        r[i] = new_reader(s);
    assert_int_equal(bindstore_reader_new(s, &more), -ENOSPC);
    for (size_t i = 0; i < BINDSTORE_READERS_MAX; i++)
        bindstore_reader_free(r[i]);
    bindstore_close(s);
    assert_int_equal(bindstore_open("file", NULL, &t, err, sizeof(err)), -EINVAL);
    assert_int_equal(bindstore_open("lmdb:", NULL, &t, err, sizeof(err)), -EINVAL);
    assert_int_equal(bindstore_open(where, &small, &t, err, sizeof(err)), -EINVAL);
    e = bindstore_open("lmdb:/tmp/hawser-none/b", NULL, &t, err, sizeof(err));
    assert_int_equal(e, -ENOENT);
    assert_string_equal(err, "/tmp/hawser-none/b: cannot open: No such file or directory");
}

/* --- against a model --- */

#define STEPS 3000

static struct model model;

struct seen {
    uint32_t count, last;
    uint64_t cursor;
};

static int check_row(void *ctx, const struct bindstore_row *row)
{
    struct seen *seen = ctx;
    uint32_t n = model_number(&row->subject);

    assert_true(seen->count == 0 || n > seen->last);
    assert_true(model_has(&model, row));
    seen->count++;
    seen->last = n;
    return 0;
}

static int check_logged(void *ctx, const struct bindstore_logged *c)
{
    struct seen *seen = ctx;

    assert_int_equal(c->before, seen->cursor);
    assert_int_equal(c->cursor, seen->cursor + 1);
    assert_true(model_logged(&model, c));
    seen->cursor = c->cursor;
    return 0;
}

static int stop_at_once(void *ctx, const struct bindstore_row *row)
{
    return 42;
}

static void compare(struct bindstore *s, struct prng *p, uint32_t log_max)
{
    struct bindstore_reader *r = new_reader(s);
    struct tag_prefix prefix = { model_subject(8), 125 }; /* subjects 8 to 15 */
    struct seen seen = { 0 };
    uint64_t cursor, first = model.last > log_max ? model.last - log_max : 0;
    uint32_t there = model_count(&model), inside = 0;
    int e;

    for (uint32_t n = 8; n < 16; n++)
        inside += model.rows[n].there;
    assert_int_equal(bindstore_scan(r, 0, NULL, check_row, &seen, &cursor), 0);
    assert_int_equal(seen.count, there);
    assert_int_equal(cursor, model.last);
    seen = (struct seen){ 0 };
    assert_int_equal(bindstore_scan(r, 0, &prefix, check_row, &seen, NULL), 0);
    assert_int_equal(seen.count, inside);
    if (there > 0)
        assert_int_equal(bindstore_load(r, stop_at_once, NULL), 42);
    assert_int_equal(bindstore_scan(r, 1, NULL, check_row, &seen, NULL), -EINVAL);
    /* The log, from anywhere, in pieces. */
    assert_int_equal(bindstore_changes(r, 0, model.last + 1, 10, check_logged, &seen, &cursor), -ESTALE);
    if (first > 0)
        assert_int_equal(bindstore_changes(r, 0, first - 1, 10, check_logged, &seen, &cursor), -ESTALE);
    seen.cursor = first + prng_below(p, model.last - first + 1);
    do {
        e = bindstore_changes(r, 0, seen.cursor, 1 + prng_below(p, 50), check_logged, &seen, &cursor);
        assert_true(e == 0 || e == 1);
        assert_int_equal(cursor, seen.cursor);
    } while (e == 1);
    assert_int_equal(cursor, model.last);
    bindstore_reader_free(r);
}

/* Random batches, with openings between; log_max is kept exactly once the log was as long. */
static void test_model(void **state)
{
    static uint8_t bytes[BINDSTORE_BYTES_MAX], same[8][BINDSTORE_BYTES_MAX];
    const struct bindstore_options o = { .log_max = 300 };
    struct bindstore *s;
    struct prng p;

    remove_all();
    prng_init(&p, 20);
    s = open_store(&o);
    for (int step = 0; step < STEPS; step++) {
        struct bindstore_change c[8];
        struct bindstore_result want[8];
        size_t count = 1 + prng_below(&p, ARRAY_LEN(c));
        struct bindstore_event ev;

        for (size_t i = 0; i < count; i++) {
            uint32_t n = (uint32_t)prng_below(&p, MODEL_SUBJECTS);
            uint64_t near = model.rows[n].there ? model.rows[n].seq : 3;

            c[i] = change_of(1 + (enum bindstore_op)(prng_below(&p, 8) * 3 / 11), n, near + prng_below(&p, 4) - 1,
                             (int64_t)prng_below(&p, 1000), NULL);
            if (c[i].op == BINDSTORE_PUT && prng_below(&p, 4) > 0) {
                c[i].row.len = (uint16_t)(1 + prng_below(&p, prng_below(&p, 10) == 0 ? BINDSTORE_BYTES_MAX : 300));
                c[i].row.bytes = bytes + prng_below(&p, BINDSTORE_BYTES_MAX + 1u - c[i].row.len);
                if (model.rows[n].there && !model.rows[n].ended && prng_below(&p, 2)) {
                    c[i].row.bytes = memcpy(same[i], model.rows[n].bytes, model.rows[n].len);
                    c[i].row.len = model.rows[n].len;
                }
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(bytes); i += 97)
            bytes[i] = (uint8_t)prng_below(&p, 256);
        assert_int_equal(bindstore_submit(s, c, count, (uint64_t)step), 0);
        for (size_t i = 0; i < count; i++)
            model_change(&model, &c[i], &want[i]);
        ev = next_event(s);
        assert_int_equal(ev.token, step);
        assert_int_equal(ev.count, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(ev.results[i].outcome, want[i].outcome);
            assert_int_equal(ev.results[i].seq, want[i].seq);
            assert_int_equal(ev.results[i].cursor, want[i].cursor);
        }
        if (step % 250 == 249) {
            compare(s, &p, o.log_max);
            bindstore_close(s);
            s = open_store(&o);
            compare(s, &p, o.log_max);
        }
    }
    assert_true(model.last > 2 * o.log_max);
    bindstore_close(s);
}

/* A store that is full takes nothing new, keeps what it has, still ends and forgets, and then takes again. */
static void test_full(void **state)
{
    const struct bindstore_options o = { .bytes_max = 8 << 20, .log_max = 100 };
    static char bytes[3001];
    struct bindstore *s;
    struct bindstore_reader *r;
    struct bindstore_result got;
    uint32_t n = 0;

    remove_all();
    memset(bytes, 'x', sizeof(bytes) - 1);
    s = open_store(&o);
    r = new_reader(s);
    while ((got = submit_one(s, change_of(BINDSTORE_PUT, n, 1, 5, bytes))).outcome == BINDSTORE_STORED)
        n++;
    assert_int_equal(got.outcome, -ENOSPC);
    assert_in_range(n, 500, (8 << 20) / 3000);
    for (uint32_t i = 0; i < n; i++)
        assert_row(r, i, 1, 5, bytes);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(submit_one(s, change_of(BINDSTORE_REFRESH, i, 1, 6, NULL)).outcome, BINDSTORE_STORED);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(submit_one(s, change_of(i % 2 ? BINDSTORE_FORGET : BINDSTORE_PUT, i, 1, 6, NULL)).outcome,
                         BINDSTORE_STORED);
    for (uint32_t i = 0; i < n / 4; i++)
        assert_int_equal(submit_one(s, change_of(BINDSTORE_PUT, i, 2, 7, bytes)).outcome, BINDSTORE_STORED);
    bindstore_reader_free(r);
    bindstore_close(s);
}

/* A file that was changed: each row that is given is one that was put, or the damage is told by its place. */
static void test_damage(void **state)
{
    static uint8_t file[1 << 20];
    struct bindstore_reader *r;
    struct bindstore_row row;
    struct bindstore *s;
    uint8_t *at;
    ssize_t len;
    int fd;

    remove_all();
    s = open_store(NULL);
    assert_int_equal(submit_one(s, change_of(BINDSTORE_PUT, 0x01020304, 9, 5, "a record by itself")).outcome, 0);
    bindstore_close(s);
    fd = open(path, O_RDWR);
    len = read(fd, file, sizeof(file));
    assert_in_range(len, 4096, sizeof(file));
    at = memmem(file, (size_t)len, "a record by itself", 18);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "A", 1, at - file), 1);
    close(fd);
    s = open_store(NULL);
    r = new_reader(s);
    assert_int_equal(bindstore_get(r, &(struct tag){ { 0x20, 1, 0, 0x3f, [12] = 1, 2, 3, 4 } }, 1, 3, &row), -EBADMSG);
    snprintf((char *)file, 200, "%s: key 2001003f0000000000000000010203040103: the check of a row does not fit it",
             path);
    assert_string_equal(bindstore_reader_error(r), file);
    assert_int_equal(bindstore_load(r, stop_at_once, NULL), -EBADMSG);
    assert_int_equal(submit_one(s, change_of(BINDSTORE_PUT, 0x01020304, 10, 5, "newer")).outcome, -EBADMSG);
    bindstore_reader_free(r);
    bindstore_close(s);
}

struct expected {
    uint8_t seen[200];
    uint32_t count;
};

static int expect_row(void *ctx, const struct bindstore_row *row)
{
    struct expected *e = ctx;
    uint32_t n = model_number(&row->subject);
    char bytes[300];

    memset(bytes, 'a' + (int)(n % 26), sizeof(bytes));
    assert_true(n < ARRAY_LEN(e->seen) && !e->seen[n] && row->seq == n + 1 && row->expires_ms == 5 && row->kind == 1);
    assert_true(row->len == 250 + n % 50 && memcmp(row->bytes, bytes, row->len) == 0);
    e->seen[n] = 1;
    e->count++;
    return 0;
}

static int expect_logged(void *ctx, const struct bindstore_logged *c)
{
    return 0;
}

/* A file that is cut or changed anywhere: it is told, or it does not matter. LMDB by itself would not come back. */
static void test_damage_anywhere(void **state)
{
    const struct bindstore_options o = { .log_max = 100 };
    static uint8_t whole[4 << 20], file[4 << 20];
    struct bindstore_change c[200];
    static char bytes[200][300];
    struct bindstore *s;
    unsigned told = 0, opened = 0, rows_told = 0;
    struct prng p;
    ssize_t len;
    int fd;

    remove_all();
    prng_init(&p, 5);
    s = open_store(&o);
    for (uint32_t n = 0; n < 200; n++) {
        memset(bytes[n], 'a' + (int)(n % 26), 299);
        bytes[n][250 + n % 50] = '\0';
        c[n] = change_of(BINDSTORE_PUT, n, n + 1, 5, bytes[n]);
        assert_int_equal(submit_one(s, c[n]).outcome, BINDSTORE_STORED);
    }
    bindstore_close(s);
    fd = open(path, O_RDONLY);
    len = read(fd, whole, sizeof(whole));
    close(fd);
    assert_in_range(len, 100000, sizeof(whole) - 1);
    for (int i = 0; i < 600; i++) {
        size_t size = i % 5 ? (size_t)len : (size_t)prng_below(&p, (uint64_t)len);
        struct expected e = { .count = 0 };
        struct bindstore_reader *r;
        uint64_t cursor;
        int got;

        memcpy(file, whole, (size_t)len);
        for (uint64_t n = i % 5 ? 1 + prng_below(&p, 4) : 0; n > 0; n--) {
            /* As often as not the head of a page, where its structure is. */
            size_t at = (size_t)prng_below(&p, (uint64_t)len);

            if (prng_below(&p, 2))
                at = at / 4096 * 4096 + prng_below(&p, 64);
            file[MIN(at, (size_t)len - 1)] ^= (uint8_t)(1 + prng_below(&p, 255));
        }
        fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, file, size), size);
        close(fd);
        got = bindstore_open(where, &o, &s, err, sizeof(err));
        if (got < 0) {
            assert_true(got == -EBADMSG || got == -ENOTSUP);
            assert_non_null(strstr(err, path));
            told++;
            continue;
        }
        opened++;
        r = new_reader(s);
        got = bindstore_load(r, expect_row, &e);
        if (got < 0) {
            assert_int_equal(got, -EBADMSG);
            assert_non_null(strstr(bindstore_reader_error(r), path));
            rows_told++;
        } else {
            assert_int_equal(e.count, 200);
        }
        got = bindstore_changes(r, 0, 100, 1000, expect_logged, NULL, &cursor);
        assert_true(got == 0 || got == -EBADMSG);
        /* It goes on with what is whole. */
        for (uint32_t n = 0; n < 200; n += 37) {
            got = submit_one(s, change_of(BINDSTORE_PUT, n, 1000, 6, bytes[n])).outcome;
            assert_true(got == BINDSTORE_STORED || got == -EBADMSG);
        }
        bindstore_reader_free(r);
        bindstore_close(s);
    }
    print_message("%u files refused, %u opened, of which %u tell of a row\n", told, opened, rows_told);
    assert_true(told > 100 && opened > 50 && rows_told > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes), cmocka_unit_test(test_refused), cmocka_unit_test(test_model),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_damage),  cmocka_unit_test(test_damage_anywhere),
    };
    return cmocka_run_group_tests_name("bindstore", tests, set_up, tear_down);
}
