/* Unit tests of prog/realmd_log.c: the log as it is told to those who follow. The realm is one of this file's. */
#include "ident/entry.h"
#include "ident/suite.h"
#include "prog/realmd.h"
#include "sys/clock.h"
#include "tests/unit/test.h"

#include <stdlib.h>

#define T0 (1000 * SEC)
#define ENTRIES 3u
#define ENTRY_LEN_MAX (MAPPING_BYTES_MAX + 1024)
#define RECORD_LEN 1000u

struct realm {
    uint64_t count;
    struct slice entries[ENTRIES];
    uint8_t bytes[ENTRIES][ENTRY_LEN_MAX], digest[ENTRY_DIGEST_LEN];
};

static struct realm log_of;
static struct realmd d;
static uint8_t answer[MAPPING_BYTES_MAX], answered[MAPPING_BYTES_MAX];
static size_t answered_len;
static bool taken_in;

void realmd_say(int level, const char *fmt, ...)
{
}

void realmd_answer(struct realmd *r, const struct exchange_asked *asked, const uint8_t *bytes, size_t len, instant now)
{
    memcpy(answered, bytes, len);
    answered_len = len;
}

int folder_follow(struct realmd *r, const struct slice *entries, size_t count, instant now)
{
    return 0;
}

bool folder_is_taken_in(const struct realmd *r)
{
    return r->realm && taken_in;
}

uint64_t realm_entries(const struct realm *r)
{
    return r->count;
}

struct slice realm_entry(const struct realm *r, uint64_t index)
{
    return r->entries[index];
}

const uint8_t *realm_digest(const struct realm *r)
{
    return r->digest;
}

static int set_up(void **state)
{
    const struct rng rng = sys_rng();
    const struct exchange_options o = {
        .self = &d.id, .rng = rng, .suites = suite_supported(), .peers_max = 4, .requests_max = 4, .joins_max = 1
    };

    struct manager_options m = { .rng = rng,
                                 .bindings_max = 4,
                                 .names_max = 4,
                                 .guests_max = 4,
                                 .subscriptions_max = 4,
                                 .log_max = 8,
                                 .epoch = 7,
                                 .follows = true };

    memset(&d, 0, sizeof(d));
    memset(&log_of, 0, sizeof(log_of));
    assert_int_equal(identity_generate(&d.id, &rng), 0);
    d.exchange = exchange_new(&o, T0);
    d.manager = manager_new(&m, T0);
    assert_true(d.exchange && d.manager);
    d.answer = answer;
    d.realm = &log_of;
    return log_start(&d, T0);
}

static int tear_down(void **state)
{
    log_end(&d);
    exchange_free(d.exchange);
    manager_free(d.manager);
    return 0;
}

/* The next entry, of that length. */
static void say(size_t len)
{
    static const uint8_t zeros[RECORD_LEN];
    struct slice records[2 * ENTRY_LEN_MAX / RECORD_LEN];
    const uint64_t i = log_of.count;
    size_t n = 0, left = len - entry_size(0, 0), got;

    assert_true(i < ENTRIES && len <= ENTRY_LEN_MAX);
    for (size_t one; left > 0; left -= 2 + one) {
        one = left <= 2 + RECORD_LEN ? left - 2 : RECORD_LEN / 2; /* so that the rest is no less than a record */
        records[n++] = (struct slice){ zeros, one };
    }
    assert_int_equal(entry_encode(i, ENTRY_WHOLE, log_of.digest, records, n, d.id.ed25519_seed, log_of.bytes[i],
                                  ENTRY_LEN_MAX, &got),
                     0);
    assert_int_equal(got, len);
    entry_digest(log_of.bytes[i], len, log_of.digest);
    log_of.entries[i] = (struct slice){ log_of.bytes[i], len };
    log_of.count++;
}

/* In how many questions somebody who has nothing has it all, as it is. */
static unsigned questions(void)
{
    const struct manager_who who = { .ed25519 = d.id.ed25519 };
    const uint64_t count = log_of.count;
    uint8_t ask[LOG_FOLLOWER_REQUEST_MAX];
    struct log_follower f;
    struct slice e;
    unsigned n = 0;

    log_follower_init(&f, 0, NULL, T0);
    while (f.index < count) {
        const struct exchange_event asked = { .peer = 1, .data = ask, .len = log_follower_output(&f, T0, ask) };

        assert_true(asked.len > 0); /* at once: who has to wait was told something of no use */
        assert_true(log_on_request(&d, &asked, &who, T0));
        log_follower_on_answer(&f, answered, answered_len, T0);
        for (uint64_t i = f.index; log_follower_pop(&f, T0, &e); i++)
            assert_true(e.len == log_of.entries[i].len && memcmp(e.data, log_of.entries[i].data, e.len) == 0);
        assert_int_equal(f.fault, LOG_SOUND);
        n++;
    }
    log_follower_deinit(&f);
    return n;
}

/* Whatever an entry leaves of the room of a message. */
static void test_pages(void **state)
{
    for (size_t len = MAPPING_BYTES_MAX - 300; len <= MAPPING_BYTES_MAX + 100; len++) {
        log_of.count = 0;
        memset(log_of.digest, 0, sizeof(log_of.digest));
        say(len);
        say(200);
        say(150);
        assert_in_range(questions(), 1, 3);
    }
}

/* While the folder cannot be read there is nothing to ask, and so nothing to wake up for. */
static void test_sleeps_without_a_folder(void **state)
{
    d.config.followed_count = 1;
    d.followed = 1;
    assert_int_equal(log_next_expiry(&d), T0);
    d.realm = NULL;
    assert_true(log_next_expiry(&d) > T0);
}

/* What the status says of it is what those who ask see. */
static bool status_says_caught_up(void)
{
    json_t *o = log_json(&d);
    bool yes = json_is_true(json_object_get(o, "caught_up"));

    assert_non_null(o);
    json_decref(o);
    assert_int_equal(yes, d.log_told);
    return yes;
}

/* All of the log is here, and the manager has it. */
static void test_gap(void **state)
{
    const struct manager_who who = { .ed25519 = d.id.ed25519 };
    uint8_t ask[LOG_FOLLOWER_REQUEST_MAX];
    struct exchange_event asked = { .peer = 1, .data = ask };

    say(200);
    taken_in = true;
    log_follower_set(&d.log, log_of.count, log_of.digest);
    asked.len = log_follower_output(&d.log, T0, ask);
    assert_true(log_on_request(&d, &asked, &who, T0)); /* the one that is followed has the same */
    log_follower_on_answer(&d.log, answered, answered_len, T0);
    d.config.followed_count = 1;
    log_turn(&d, T0);
    assert_true(status_says_caught_up());
    taken_in = false; /* of a revocation, perhaps, the manager has not heard yet */
    log_turn(&d, T0);
    assert_false(status_says_caught_up());
    taken_in = true;
    log_turn(&d, T0);
    assert_true(status_says_caught_up());
    d.realm = NULL; /* what came could not be kept */
    log_turn(&d, T0);
    assert_false(status_says_caught_up());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sleeps_without_a_folder, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("realmd_log", tests, NULL, NULL);
}
