/* Unit tests of prog/realmd_store.c: the store of hawser-realmd, over one that does what the test says: batches that
 * are done in any order, that fail, that were overtaken, and a queue without room. */
#include "prog/realmd.h"
#include "tests/unit/manager_world.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCHES 32
#define ANSWERS 32

/* --- the store --- */

static struct {
    uint64_t token;
    size_t count;
    struct bindstore_result results[16];
} batches[BATCHES], done[BATCHES];
static size_t batches_count, done_count, room, rows_count;
static int fd;
static struct bindstore_row rows[8];
static struct bindstore_change alive[2];
static size_t alive_count;
static uint64_t alive_token;

unsigned bindstore_shard_of(const struct bindstore *s, const struct tag *subject)
{
    return 0;
}

int bindstore_open(const char *where, const struct bindstore_options *options, struct bindstore **ret, char *err,
                   size_t err_size)
{
    *ret = (struct bindstore *)(void *)&fd;
    return 0;
}

void bindstore_close(struct bindstore *s)
{
}

size_t bindstore_room(struct bindstore *s)
{
    return room;
}

int bindstore_submit(struct bindstore *s, const struct bindstore_change *changes, size_t count, uint64_t token)
{
    if (tag_equal(&changes[0].row.subject, &(struct tag){ { 0 } })) { /* that it lives */
        memcpy(alive, changes, MIN(count, ARRAY_LEN(alive)) * sizeof(alive[0]));
        alive_count = count;
        alive_token = token;
        return 0;
    }
    if (count > room)
        return -EAGAIN;
    assert_true(batches_count < BATCHES && count <= 16);
    room -= count;
    batches[batches_count].token = token;
    batches[batches_count++].count = count;
    return 0;
}

bool bindstore_pop(struct bindstore *s, struct bindstore_event *ret)
{
    static size_t at;

    if (at == done_count) {
        at = done_count = 0;
        return false;
    }
    *ret = (struct bindstore_event){
        .type = BINDSTORE_DONE, .token = done[at].token, .results = done[at].results, .count = done[at].count
    };
    at++;
    return true;
}

int bindstore_fd(const struct bindstore *s)
{
    return fd;
}

int bindstore_reader_new(struct bindstore *s, struct bindstore_reader **ret)
{
    *ret = (struct bindstore_reader *)(void *)&fd;
    return 0;
}

void bindstore_reader_free(struct bindstore_reader *r)
{
}

const char *bindstore_reader_error(const struct bindstore_reader *r)
{
    return "none";
}

int bindstore_get(struct bindstore_reader *r, const struct tag *subject, uint8_t kind, uint8_t answer,
                  struct bindstore_row *ret)
{
    return -ENOENT;
}

int bindstore_load(struct bindstore_reader *r, bindstore_row_fn *fn, void *ctx)
{
    int e = 0;

    for (size_t i = 0; i < rows_count && e == 0; i++)
        e = fn(ctx, &rows[i]);
    return e;
}

/* --- the daemon --- */

static struct realmd d;
static char said[2048];
static struct mapping_answer answers[ANSWERS];
static size_t answers_count, flushes_count;

void realmd_say(int level, const char *fmt, ...)
{
    size_t len = strlen(said);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said + len, sizeof(said) - len, fmt, ap);
    va_end(ap);
}

void realmd_answer(struct realmd *r, const struct exchange_asked *asked, const uint8_t *bytes, size_t len, instant at)
{
    assert_true(answers_count < ANSWERS);
    assert_int_equal(mapping_answer_read(bytes, len, &answers[answers_count++]), 0);
}

void exchange_io_flush(struct exchange_io *io, instant at)
{
    flushes_count++;
}

void realmd_turn(struct realmd *r, instant at)
{
}

static int set_up_daemon(void **state)
{
    set_up_with(64, true, 0);
    d = (struct realmd){ .manager = m, .config = { .bindings = 100 } };
    snprintf(d.config.store, sizeof(d.config.store), "test");
    batches_count = done_count = answers_count = flushes_count = rows_count = 0;
    room = 1000;
    said[0] = '\0';
    fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(uv_loop_init(&d.loop), 0);
    return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    uv_close(h, NULL);
}

static int tear_down_daemon(void **state)
{
    uv_walk(&d.loop, close_handle, NULL);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d.loop), 0);
    store_end(&d);
    close(fd);
    return tear_down(state);
}

/* The laptop registers, and its answer waits; others are heard in the same turn. */
static void registers_among_others(uint8_t answer, uint64_t seq)
{
    assert_int_equal(bind_laptop(answer, seq, 300, 1).status, MAPPING_DONE);
    assert_true(reply.stored > 0);
    store_wait(&d, &(struct exchange_asked){ .peer = 1 }, &reply, out, now);
}

/* It does so alone. */
static void registers(uint8_t answer, uint64_t seq)
{
    registers_among_others(answer, seq);
    store_turn(&d, now);
}

/* A batch is done, with that outcome of its first change. */
static void is_done(size_t batch, int outcome, uint64_t seq)
{
    done[done_count] = (typeof(done[0])){ .token = batches[batch].token, .count = batches[batch].count };
    done[done_count].results[0] = (struct bindstore_result){ .outcome = outcome, .seq = seq };
    done_count++;
    room += batches[batch].count;
}

static void test_any_order(void **state)
{
    assert_int_equal(store_start(&d, now), 0);
    registers(CLASS_AGENT, 5);
    registers(CLASS_COARSE, 6);
    registers(CLASS_FULL, 7);
    assert_int_equal(batches_count, 3);
    is_done(2, BINDSTORE_STORED, 7);
    is_done(1, BINDSTORE_STORED, 6);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 0); /* the first one is not on disk */
    assert_int_equal(manager_durable(m), 1);
    is_done(0, BINDSTORE_STORED, 5);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 3);
    assert_int_equal(answers[0].seq, 5);
    assert_int_equal(answers[2].seq, 7);
    assert_int_equal(manager_durable(m), 4);
}

/* Of many that come at once some are on their way to the disk, and answered, before all are verified. */
static void test_many_at_once(void **state)
{
    uint64_t seq = 1;

    assert_int_equal(store_start(&d, now), 0);
    while (batches_count == 0 && seq < 32)
        registers_among_others(CLASS_FULL, ++seq);
    assert_in_range(batches[0].count, 2, 16);
    is_done(0, BINDSTORE_STORED, seq);
    assert_int_equal(answers_count, 0);
    flushes_count = 0;
    while (batches_count == 1 && seq < 48)
        registers_among_others(CLASS_FULL, ++seq);
    assert_int_equal(batches_count, 2);
    assert_int_equal(answers_count, batches[0].count);
    assert_int_equal(flushes_count, 1);
    registers_among_others(CLASS_FULL, ++seq);
    store_turn(&d, now); /* the rest */
    assert_int_equal(batches_count, 3);
    assert_int_equal(batches[2].count, 1);
}

/* The queue is full: it waits, and nothing is told as a failure. */
static void test_no_room(void **state)
{
    assert_int_equal(store_start(&d, now), 0);
    said[0] = '\0';
    room = 1;
    registers(CLASS_AGENT, 5);
    registers(CLASS_COARSE, 6);
    assert_int_equal(batches_count, 1);
    assert_string_equal(said, "");
    assert_true(store_next_expiry(&d) > now);
    is_done(0, BINDSTORE_STORED, 5);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 1);
    store_turn(&d, now);
    assert_int_equal(batches_count, 2);
    is_done(1, BINDSTORE_STORED, 6);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 2);
    assert_string_equal(said, "");
}

/* The store has something newer: who waits is told that, and not that his is durable. */
static void test_older(void **state)
{
    struct mapping_answer a;

    assert_int_equal(store_start(&d, now), 0);
    registers(CLASS_COARSE, 6);
    registers(CLASS_FULL, 7);
    is_done(0, BINDSTORE_STORED, 6);
    is_done(1, BINDSTORE_OLDER, 5000);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 2);
    assert_int_equal(answers[0].status, MAPPING_DONE);
    assert_int_equal(answers[1].status, MAPPING_OLDER);
    assert_int_equal(answers[1].seq, 5000);
    a = bind_laptop(CLASS_FULL, 8, 300, 1);
    assert_int_equal(a.status, MAPPING_OLDER);
    assert_int_equal(a.seq, 5000);
    /* Past that it is as ever. */
    registers(CLASS_FULL, 5001);
    assert_int_equal(batches_count, 3);
    is_done(2, BINDSTORE_STORED, 5001);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 3);
    assert_int_equal(answers[2].status, MAPPING_DONE);
}

/* A disk that is full for a while. */
static void test_failure(void **state)
{
    assert_int_equal(store_start(&d, now), 0);
    registers(CLASS_AGENT, 5);
    registers(CLASS_FULL, 7);
    is_done(0, -ENOSPC, 0);
    is_done(1, BINDSTORE_STORED, 7);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 0);
    assert_non_null(strstr(said, "No space left"));
    store_turn(&d, now);
    assert_int_equal(batches_count, 2);
    now = store_next_expiry(&d);
    store_turn(&d, now);
    assert_int_equal(batches_count, 3);
    assert_int_equal(batches[2].count, 2);
    is_done(2, BINDSTORE_SAME, 5);
    store_on_done(&d, now);
    assert_int_equal(answers_count, 2);
    assert_non_null(strstr(said, "store recovered"));
}

/* More rows than the table has: what fits is served, and the setting is named. */
static void test_too_many_rows(void **state)
{
    struct rw_blob b[3];

    begin_with_room_for(1);
    d.manager = m;
    d.config.bindings = 1;
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, LAPTOP, &b[0]);
    take(&b[0]);
    for (uint8_t i = 0; i < 3; i++) {
        rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_AGENT + i, 9, 300, 1, &b[i]);
        rows[i] = (struct bindstore_row){ .subject = laptop,
                                          .kind = KIND_HOST_LOCATOR,
                                          .answer = CLASS_AGENT + i,
                                          .seq = 9,
                                          .expires_ms = BINDSTORE_EXPIRES_MAX,
                                          .bytes = b[i].bytes,
                                          .len = (uint16_t)b[i].len };
    }
    rows_count = 3;
    assert_int_equal(store_start(&d, now), 0);
    assert_non_null(strstr(said, "left_out=2"));
    assert_non_null(strstr(said, "set Bindings under [Realm], which is 1, to 3 or more"));
    allow(EVERYBODY, CLASS_FULL);
    assert_int_equal(resolve(RW_LAPTOP, LAPTOP).status, MAPPING_FOUND);
}

/* The clock is years behind what it was when the row was stored: a lease is never longer than its holder asked for. */
static void test_clock_before_stored(void **state)
{
    struct mapping_answer a;
    struct rw_blob b;

    begin_with_room_for(10);
    d.manager = m;
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, LAPTOP, &b);
    take(&b);
    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, CLASS_FULL, 9, 300, 1, &b);
    rows[0] = (struct bindstore_row){ .subject = laptop,
                                      .kind = KIND_HOST_LOCATOR,
                                      .answer = CLASS_FULL,
                                      .seq = 9,
                                      .expires_ms = BINDSTORE_EXPIRES_MAX,
                                      .bytes = b.bytes,
                                      .len = (uint16_t)b.len };
    rows_count = 1;
    assert_int_equal(store_start(&d, now), 0);
    allow(EVERYBODY, CLASS_FULL);
    a = resolve(RW_LAPTOP, LAPTOP);
    assert_int_equal(a.status, MAPPING_FOUND);
    assert_in_range(a.left_s, 1, 300);
    now += 301 * SEC;
    assert_int_equal(resolve(RW_LAPTOP, LAPTOP).status, MAPPING_NONE);
}

/* The clock was ahead once, and has been put right: until when the daemon lived is said by the clock that there is. */
static void test_clock_was_ahead(void **state)
{
    const uint64_t ahead_s = BINDSTORE_EXPIRES_MAX / 1000;

    assert_int_equal(store_start(&d, now), 0);
    store_turn(&d, now);
    assert_int_equal(alive_count, 1);
    done[done_count] = (typeof(done[0])){ .token = alive_token, .count = 1 };
    done[done_count++].results[0] = (struct bindstore_result){ .outcome = BINDSTORE_OLDER, .seq = ahead_s };
    store_on_done(&d, now);
    assert_int_equal(alive_count, 2);
    assert_int_equal(alive[0].op, BINDSTORE_FORGET);
    assert_int_equal(alive[0].row.seq, ahead_s);
    assert_int_equal(alive[1].op, BINDSTORE_PUT);
    assert_in_range(alive[1].row.seq, 1, ahead_s - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_any_order, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_many_at_once, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_no_room, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_older, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_failure, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_too_many_rows, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_clock_before_stored, set_up_daemon, tear_down_daemon),
        cmocka_unit_test_setup_teardown(test_clock_was_ahead, set_up_daemon, tear_down_daemon),
    };

    return cmocka_run_group_tests_name("realmd and store", tests, NULL, NULL);
}
