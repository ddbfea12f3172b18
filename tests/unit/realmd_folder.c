/* Unit tests of prog/realmd_folder.c: a realm's folder that changes below its daemon, by hawser realm and by members.
 */
#include "ident/suite.h"
#include "prog/realmd.h"
#include "sys/clock.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define NOW_S 1750000000u
#define T0 (1000 * SEC)
#define NAMES 2000u

static struct realmd d;
static char folder[] = "/tmp/hawser-realmd-XXXXXX", err[FILE_ERR], said[1024];
static unsigned chains, turned;
static struct identity ann;

void realmd_say(int level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
}

struct exchange *realmd_make_exchange(struct realmd *r, instant now)
{
    const struct exchange_options o = {
        .self = &r->id, .rng = sys_rng(), .suites = suite_supported(), .peers_max = 4, .requests_max = 4, .joins_max = 1
    };

    return exchange_new(&o, now);
}

void realmd_on_chain(struct realmd *r, struct exchange *x, instant now)
{
    chains++;
    if (!x)
        return;
    turned++;
    exchange_free(r->exchange);
    r->exchange = x;
}

void realmd_turn(struct realmd *r, instant now)
{
}

static void path_of(const char *file, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", folder, file);
}

static struct realm *writer(void)
{
    struct realm *r;

    assert_int_equal(realm_open(folder, true, &r, err), 0);
    return r;
}

static int set_up(void **state)
{
    const struct rng rng = sys_rng();
    struct manager_options o = { .rng = rng,
                                 .bindings_max = 100,
                                 .names_max = NAMES + 10,
                                 .guests_max = 4,
                                 .subscriptions_max = 4,
                                 .log_max = 8,
                                 .epoch = 7 };
    struct peer_key key;
    struct realm *r;

    snprintf(folder, sizeof(folder), "/tmp/hawser-realmd-XXXXXX");
    if (!mkdtemp(folder) || realm_create_root(folder, "rid.example", 9, NOW_S, err) < 0 ||
        identity_generate(&ann, &rng) < 0)
        return -1;
    identity_peer_key(&ann, suite_supported(), &key);
    r = writer();
    assert_int_equal(realm_enrol(r, "ann.u", &key, 0, NOW_S, 0, err), 0);
    realm_close(r);
    chains = turned = 0;
    d = (struct realmd){ .manager = manager_new(&o, T0), .inotify = -1, .look_again = INSTANT_NEVER };
    snprintf(d.config.directory, sizeof(d.config.directory), "%s", folder);
    assert_int_equal(folder_read(&d, T0), 0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = { "log", "key", "root", "key.hidden", "key.next" };
    char path[PATH_MAX];

    folder_end(&d);
    exchange_free(d.exchange);
    manager_free(d.manager);
    free(d.chain);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        path_of(files[i], path);
        unlink(path);
    }
    return rmdir(folder);
}

/* The change of key is in the log and its key is not there: the daemon is who it was, and takes all of it later. */
static void test_key_comes_late(void **state)
{
    char key[PATH_MAX], hidden[PATH_MAX];
    uint8_t before[IDENT_KEY_LEN];
    struct realm *r = writer();

    assert_int_equal(chains, 1);
    memcpy(before, d.id.ed25519, IDENT_KEY_LEN);
    assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
    realm_close(r);
    path_of("key", key);
    path_of("key.hidden", hidden);
    assert_int_equal(rename(key, hidden), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(folder_read(&d, T0) < 0);
        assert_false(folder_is_taken_in(&d));
        assert_memory_equal(d.id.ed25519, before, IDENT_KEY_LEN);
        assert_memory_equal(authority_self(manager_authority(d.manager))->key, before, IDENT_KEY_LEN);
        assert_true(d.look_again > T0 && d.look_again < INSTANT_NEVER);
    }
    assert_int_equal(chains, 1);
    assert_int_equal(rename(hidden, key), 0);
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(turned, 2);
    assert_memory_not_equal(d.id.ed25519, before, IDENT_KEY_LEN);
    assert_memory_equal(authority_self(manager_authority(d.manager))->key, d.id.ed25519, IDENT_KEY_LEN);
    assert_non_null(authority_by_name(manager_authority(d.manager), "ann.u.rid.example", 17));
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(turned, 2);
}

/* It stands in key.next as long as it was not renamed. */
static void test_key_not_renamed(void **state)
{
    char key[PATH_MAX], next[PATH_MAX], hidden[PATH_MAX];
    struct realm *r = writer();

    path_of("key", key);
    path_of("key.next", next);
    path_of("key.hidden", hidden);
    assert_int_equal(link(key, hidden), 0);
    assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
    realm_close(r);
    assert_int_equal(rename(key, next), 0);
    assert_int_equal(rename(hidden, key), 0);
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(turned, 2);
}

/* Many names at once: some of them in each turn, and the next turn at once. */
static void test_bounded(void **state)
{
    static struct realm_enrolment list[NAMES];
    static char leafs[NAMES][16];
    const struct rng rng = sys_rng();
    uint32_t known = authority_count(manager_authority(d.manager));
    struct realm *r = writer();
    unsigned turns = 0;

    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(leafs[i], sizeof(leafs[i]), "host%u.h", i);
        list[i] = (struct realm_enrolment){ .leaf = leafs[i], .line = i + 1, .key = { .suites = 1 } };
        rng_fill(&rng, list[i].key.ed25519, IDENT_KEY_LEN);
    }
    assert_int_equal(realm_enrol_many(r, list, NAMES, "names", 0, NOW_S, 0, err), 0);
    realm_close(r);
    do {
        assert_int_equal(folder_read(&d, T0), 0);
        assert_in_range(authority_count(manager_authority(d.manager)) - known, 1, 512);
        known = authority_count(manager_authority(d.manager));
        assert_int_equal(folder_is_taken_in(&d), d.look_again == INSTANT_NEVER);
        turns++;
    } while (d.look_again == T0);
    assert_int_equal(known, NAMES + 1);
    assert_int_equal(turns, 4);
    assert_int_equal(d.look_again, INSTANT_NEVER);
}

static size_t policy_of(uint64_t seq, uint8_t out[RECORD_BYTES_MAX])
{
    struct record p = { .type = RECORD_POLICY, .seq = seq, .issued_s = NOW_S };
    size_t len;

    p.issuer = p.subject = authority_by_name(manager_authority(d.manager), "ann.u.rid.example", 17)->tag;
    assert_int_equal(record_encode(&p, ann.ed25519_seed, out, RECORD_BYTES_MAX, &len), 0);
    return len;
}

static void test_publish(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct realm *r;
    size_t len;

    for (uint64_t seq = 11; seq < 15; seq++) {
        len = policy_of(seq, bytes);
        assert_int_equal(folder_publish(&d, bytes, len, T0), 0);
    }
    /* No more in this turn. */
    len = policy_of(20, bytes);
    assert_int_equal(folder_publish(&d, bytes, len, T0), -EAGAIN);
    assert_int_equal(realm_entries(d.realm), 6);
    d.published = 0;
    /* Not one that is older than what the log has; not while somebody else writes. */
    len = policy_of(13, bytes);
    assert_int_equal(folder_publish(&d, bytes, len, T0), -ESTALE);
    assert_non_null(strstr(said, "a policy of sequence 13, expected one above 14"));
    len = policy_of(20, bytes);
    r = writer();
    assert_int_equal(folder_publish(&d, bytes, len, T0), -EBUSY);
    realm_close(r);
    assert_int_equal(folder_publish(&d, bytes, len, T0), 0);
    /* Others read what it wrote. */
    assert_int_equal(realm_open(folder, false, &r, err), 0);
    assert_int_equal(realm_entries(r), 7);
    realm_close(r);
}

/* Whatever numbers a member uses, the realm's word takes the place of his; and he fills the log for nobody. */
static void test_publish_of_high_sequences(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    const struct realm_said *last;
    struct realm *r;
    size_t len = policy_of(UINT64_MAX, bytes);
    int got = 0;

    assert_int_equal(folder_publish(&d, bytes, len, T0), -EINVAL);
    len = policy_of(1ull << 60, bytes);
    assert_int_equal(folder_publish(&d, bytes, len, T0), 0);
    r = writer();
    assert_int_equal(realm_policy(r, "ann.u.rid.example", NULL, 0, NOW_S, 0, err), 0);
    last = realm_said_at(r, realm_said_count(r) - 1);
    assert_true(last->in_force && last->type == RECORD_POLICY && last->seq == (1ull << 60) + 1);
    for (uint64_t i = 2; i < 2000 && got == 0; i++) {
        len = policy_of((1ull << 60) + i, bytes);
        got = realm_publish(r, bytes, len, err);
    }
    assert_int_equal(got, -EDQUOT);
    assert_int_equal(realm_policy(r, "ann.u.rid.example", NULL, 0, NOW_S, 0, err), 0);
    realm_close(r);
}

/* The realm has another key by now: not in the middle of a request. */
static void test_publish_during_rotation(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len = policy_of(11, bytes);
    struct realm *r = writer();

    assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
    realm_close(r);
    assert_int_equal(folder_publish(&d, bytes, len, T0), -EAGAIN);
    assert_int_equal(turned, 1);
    assert_int_equal(d.look_again, T0);
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(turned, 2);
}

/* A log in the place of the one that was there, as from a backup: given from the beginning. */
static void test_another_log(void **state)
{
    char log[PATH_MAX], kept[PATH_MAX];
    char command[2 * PATH_MAX + 16];
    struct peer_key key;
    struct identity bob;
    const struct rng rng = sys_rng();
    struct realm *r;

    path_of("log", log);
    path_of("key.hidden", kept);
    snprintf(command, sizeof(command), "cp %s %s", log, kept);
    assert_int_equal(system(command), 0);
    assert_int_equal(identity_generate(&bob, &rng), 0);
    identity_peer_key(&bob, suite_supported(), &key);
    r = writer();
    assert_int_equal(realm_enrol(r, "bob.u", &key, 0, NOW_S, 0, err), 0);
    realm_close(r);
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(authority_count(manager_authority(d.manager)), 2);
    assert_int_equal(rename(kept, log), 0);
    assert_true(folder_read(&d, T0) < 0);
    assert_non_null(strstr(said, "Stale"));
    assert_int_equal(authority_count(manager_authority(d.manager)), 2);
    assert_int_equal(folder_read(&d, d.look_again), 0);
    assert_int_equal(authority_count(manager_authority(d.manager)), 1);
    assert_int_equal(turned, 1);
}

/* --- a manager that follows another: its folder has the realm's key, and the log comes from there --- */

static struct realmd e;
static char copy[] = "/tmp/hawser-realmd-XXXXXX";

static void give_key(void)
{
    char command[2 * PATH_MAX + 32];

    snprintf(command, sizeof(command), "cp %s/key %s/key.hidden && mv %s/key.hidden %s/key", folder, copy, copy, copy);
    assert_int_equal(system(command), 0);
}

static int set_up_follower(void **state)
{
    const struct rng rng = sys_rng();
    const struct manager_options o = { .rng = rng,
                                       .bindings_max = 100,
                                       .names_max = 100,
                                       .guests_max = 4,
                                       .subscriptions_max = 4,
                                       .log_max = 8,
                                       .epoch = 8,
                                       .follows = true };

    if (set_up(state) < 0)
        return -1;
    snprintf(copy, sizeof(copy), "/tmp/hawser-realmd-XXXXXX");
    if (!mkdtemp(copy))
        return -1;
    give_key();
    e = (struct realmd){ .manager = manager_new(&o, T0), .inotify = -1, .look_again = INSTANT_NEVER };
    e.config.followed_count = 1;
    snprintf(e.config.directory, sizeof(e.config.directory), "%s", copy);
    log_follower_init(&e.log, 0, NULL, T0);
    chains = turned = 0;
    return folder_read(&e, T0);
}

static int tear_down_follower(void **state)
{
    static const char *const files[] = { "log", "key" };
    char path[PATH_MAX + 16];

    folder_end(&e);
    log_follower_deinit(&e.log);
    exchange_free(e.exchange);
    manager_free(e.manager);
    free(e.chain);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", copy, files[i]);
        unlink(path);
    }
    return rmdir(copy) < 0 ? -1 : tear_down(state);
}

/* All that the realm's own manager has from `from` on. */
static int follow(uint64_t from)
{
    struct slice entries[16];
    size_t n = 0;

    for (uint64_t i = from; i < realm_entries(d.realm); i++)
        entries[n++] = realm_entry(d.realm, i);
    return folder_follow(&e, entries, n, T0);
}

static void assert_same_logs(bool same)
{
    char command[2 * PATH_MAX + 32];

    snprintf(command, sizeof(command), "cmp -s %s/log %s/log", folder, copy);
    assert_int_equal(system(command) == 0, same);
}

static void test_follower_begins_with_a_key(void **state)
{
    struct mapping_request r = { .type = MAPPING_WHERE };
    const struct manager_who who = { .peer = 1, .ed25519 = ann.ed25519 };
    uint8_t sent[64], out[MAPPING_BYTES_MAX];
    struct writer w = writer_init(sent, sizeof(sent));
    struct manager_reply reply;
    struct mapping_answer a;

    /* It has an exchange to call with, and answers nobody. */
    assert_int_equal(turned, 1);
    assert_memory_equal(e.id.ed25519, d.id.ed25519, IDENT_KEY_LEN);
    assert_null(e.chain);
    mapping_request_write(&w, &r);
    manager_on_request(e.manager, &who, sent, writer_len(&w), T0, NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    assert_int_equal(a.status, MAPPING_LATER);
    assert_int_equal(follow(0), 0);
    assert_int_equal(e.look_again, T0);
    assert_int_equal(folder_read(&e, T0), 0);
    assert_same_logs(true);
    assert_non_null(authority_by_name(manager_authority(e.manager), "ann.u.rid.example", 17));
    assert_int_equal(chains, 2);
    assert_int_equal(turned, 1); /* it was that key all the while */
    /* Again, and from the middle: what is there is there. */
    assert_int_equal(follow(0), 0);
    assert_int_equal(follow(1), 0);
    assert_same_logs(true);
}

static void test_follower_refuses(void **state)
{
    uint8_t bad[4096];
    struct realm *r;
    struct slice s[2];

    s[0] = realm_entry(d.realm, 0);
    s[1] = realm_entry(d.realm, 1);
    assert_true(s[1].len <= sizeof(bad));
    /* A gap; a signature that is wrong, in an entry that names the realm and in one that does not; and nothing is kept.
     */
    assert_int_equal(folder_follow(&e, &s[1], 1, T0), -EBADMSG);
    assert_non_null(strstr(said, "expected entry 0"));
    for (size_t i = 0; i < 2; i++) {
        const struct slice good = s[i];

        assert_int_equal(folder_read(&e, T0), 0);
        assert_int_equal(realm_entries(e.realm), i);
        memcpy(bad, good.data, good.len);
        bad[good.len - 1] ^= 1;
        s[i].data = bad;
        assert_int_equal(folder_follow(&e, &s[i], 1, T0), -EBADMSG);
        assert_non_null(strstr(said, "not signed by the realm"));
        assert_int_equal(folder_read(&e, T0), 0);
        assert_int_equal(realm_entries(e.realm), i);
        s[i] = good;
        assert_int_equal(folder_follow(&e, &s[i], 1, T0), 0);
    }
    /* Somebody has said something here: another entry than there. */
    assert_int_equal(realm_open(copy, true, &r, err), 0);
    assert_int_equal(realm_policy(r, NULL, NULL, 0, NOW_S, 0, err), 0);
    realm_close(r);
    assert_int_equal(realm_open(folder, true, &r, err), 0);
    assert_int_equal(realm_policy(r, "ann.u.rid.example", NULL, 0, NOW_S, 0, err), 0);
    realm_close(r);
    assert_int_equal(folder_read(&d, T0), 0);
    assert_int_equal(follow(2), -EBADMSG);
    assert_non_null(strstr(said, "entry 2 is another"));
    assert_same_logs(false);
}

/* The realm has another key: the follower calls with it when it is given it, and then hears of it by the log. */
static void test_follower_of_another_key(void **state)
{
    struct realm *r;

    assert_int_equal(follow(0), 0);
    assert_int_equal(folder_read(&e, T0), 0);
    r = writer();
    assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
    realm_close(r);
    assert_int_equal(folder_read(&d, T0), 0);
    turned = 0;
    assert_int_equal(folder_read(&e, T0), 0);
    assert_int_equal(turned, 0);
    give_key();
    assert_int_equal(folder_read(&e, T0), 0);
    assert_int_equal(turned, 1);
    assert_memory_equal(e.id.ed25519, d.id.ed25519, IDENT_KEY_LEN);
    /* It serves on what it knows meanwhile. */
    assert_non_null(authority_by_name(manager_authority(e.manager), "ann.u.rid.example", 17));
    assert_int_equal(follow(2), 0);
    assert_int_equal(folder_read(&e, T0), 0);
    assert_int_equal(turned, 1);
    assert_same_logs(true);
    assert_memory_equal(authority_self(manager_authority(e.manager))->key, d.id.ed25519, IDENT_KEY_LEN);
    assert_non_null(authority_by_name(manager_authority(e.manager), "ann.u.rid.example", 17));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_key_comes_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_not_renamed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_publish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_publish_of_high_sequences, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_publish_during_rotation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_follower_begins_with_a_key, set_up_follower, tear_down_follower),
        cmocka_unit_test_setup_teardown(test_follower_refuses, set_up_follower, tear_down_follower),
        cmocka_unit_test_setup_teardown(test_follower_of_another_key, set_up_follower, tear_down_follower),
    };

    return cmocka_run_group_tests_name("realmd and folder", tests, NULL, NULL);
}
