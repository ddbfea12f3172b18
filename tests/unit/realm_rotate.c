/* Unit tests of prog/realm_rotate.c: a change of key whose entry would be too long is said in parts, and happens or
 * does not, whatever fails, ends or loses its power in the middle of it.
 *
 * Each case is a process of its own that changes the key until it ends or is ended; then the folder is opened, and must
 * be the one of before or the one of after. */
#include "ident/suite.h"
#include "prog/realm_internal.h"
#include "sys/clock.h"
#include "tests/unit/disk.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW_S 1750000000u
#define NAMES 10u
#define EACH 3u /* records of a part: so there are the first, three, and the last */

#if defined(__SANITIZE_ADDRESS__)
#define STEP 7u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STEP 7u
#endif
#endif
#ifndef STEP
#define STEP 1u
#endif

static char top[] = "/dev/shm/hawser-rotate-XXXXXX", dir[64], kept[64], err[FILE_ERR];
static struct peer_key keys[NAMES];

/* The folder as it was before, which a power cut keeps. */
static void put_back(void)
{
    char from[512], to[512];
    struct dirent *e;
    DIR *d;

    disk_wipe();
    d = opendir(kept);
    assert_non_null(d);
    while ((e = readdir(d))) {
        uint8_t bytes[65536];
        size_t n;
        FILE *in, *out;

        if (e->d_name[0] == '.')
            continue;
        snprintf(from, sizeof(from), "%s/%s", kept, e->d_name);
        snprintf(to, sizeof(to), "%s/%s", dir, e->d_name);
        in = fopen(from, "rb");
        out = fopen(to, "wb");
        assert_true(in && out);
        n = fread(bytes, 1, sizeof(bytes), in);
        assert_true(n < sizeof(bytes));
        assert_int_equal(fwrite(bytes, 1, n, out), n);
        fclose(in);
        fclose(out);
        assert_int_equal(chmod(to, 0600), 0);
    }
    closedir(d);
    disk_begin();
}

static struct realm *writer(void)
{
    struct realm *r;
    int got = realm_open(dir, true, &r, err);

    if (got < 0)
        fail_msg("%s", err);
    r->part_records = EACH;
    return r;
}

/* All names are in force, by one key, and no others. True: by the key of after. */
static bool look(const struct realm *r, const struct tag *before)
{
    size_t names = 0;

    for (size_t i = 0; i < realm_said_count(r); i++) {
        const struct realm_said *s = realm_said_at(r, i);
        struct record_error e;
        struct record_bytes b;
        struct record rec;

        if (!s->in_force || s->type != RECORD_REGISTRATION)
            continue;
        assert_int_equal(record_decode(s->record.data, s->record.len, &rec, &b, &e), 0);
        assert_true(tag_equal(&rec.issuer, &r->self.tag));
        assert_int_equal(record_verify(&b, r->self.key), 0);
        names++;
    }
    assert_int_equal(names, NAMES);
    return !tag_equal(&r->self.tag, before);
}

static int set_up(void **state)
{
    const struct rng rng = sys_rng();
    char name[16], command[256];
    struct realm *r;

    if (!mkdtemp(top))
        return -1;
    snprintf(dir, sizeof(dir), "%s/realm", top);
    snprintf(kept, sizeof(kept), "%s/kept", top);
    if (realm_create_root(dir, "rid.example", 9, NOW_S, err) < 0)
        return -1;
    r = writer();
    for (uint32_t i = 0; i < NAMES; i++) {
        struct identity id;

        assert_int_equal(identity_generate(&id, &rng), 0);
        identity_peer_key(&id, suite_supported(), &keys[i]);
        snprintf(name, sizeof(name), "host%u.h", i);
        assert_int_equal(realm_enrol(r, name, &keys[i], 0, NOW_S, 0, err), 0);
    }
    assert_int_equal(realm_policy(r, NULL, NULL, 0, NOW_S, 0, err), 0);
    realm_close(r);
    snprintf(command, sizeof(command), "cp -a %s %s", dir, kept);
    assert_int_equal(system(command), 0);
    return disk_init(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", top);
    return system(command);
}

static int rotate(void)
{
    struct realm *r;
    int got = realm_open(dir, true, &r, err);

    if (got < 0)
        return got;
    r->part_records = EACH;
    got = realm_rotate_root(r, NOW_S, NOW_S + 1000, err);
    realm_close(r);
    return got;
}

static void test_parts(void **state)
{
    struct tag before;
    struct realm *r;
    uint64_t entries;

    put_back();
    r = writer();
    before = r->self.tag;
    entries = realm_entries(r);
    assert_false(look(r, &before));
    assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
    assert_int_equal(realm_entries(r) - entries, 1 + (NAMES + 1) / EACH);
    assert_true(look(r, &before));
    realm_close(r);
    /* Who reads it finds the same, and the next change too. */
    r = writer();
    assert_true(look(r, &before));
    before = r->self.tag;
    realm_close(r);
    assert_int_equal(rotate(), 0);
    r = writer();
    assert_true(look(r, &before));
    realm_close(r);
}

/* Broken off after each of its parts; then it is done anew, or something else is said first, or the same is said in one
 * entry. A reader that was there all the while sees the same. */
static void test_broken_off(void **state)
{

    for (unsigned parts = 1; parts <= 3; parts++) {
        for (unsigned then = 0; then < 3; then++) {
            struct realm *r, *reader;
            struct tag before;
            struct slice made[EACH];

            put_back();
            r = writer();
            before = r->self.tag;
            assert_int_equal(realm_open(dir, false, &reader, err), 0);
            for (unsigned i = 0; i < parts; i++) {
                for (size_t k = 0; k < EACH; k++) {
                    struct record rec = { .type = RECORD_REVOCATION,
                                          .issuer = r->self.tag,
                                          .subject = realm_said_at(r, EACH * i + k)->subject };

                    assert_int_equal(realm_make(r, &rec, k, &r->id, NOW_S, &made[k], err), 0);
                }
                assert_int_equal(realm_say_part(r, i == 0 ? ENTRY_FIRST_PART : ENTRY_NEXT_PART, made, EACH, err), 0);
                realm_free_made(made, EACH);
            }
            assert_false(look(r, &before)); /* nobody is revoked */
            assert_int_equal(realm_read_on(reader, 100, err), 0);
            assert_false(look(reader, &before));
            r->part_records = then == 2 ? 100 : EACH;
            if (then == 1)
                assert_int_equal(realm_enrol(r, "host0.h", &keys[0], 0, NOW_S, 0, err), 0);
            assert_int_equal(realm_rotate_root(r, NOW_S, NOW_S + 1000, err), 0);
            assert_true(look(r, &before));
            realm_close(r);
            assert_int_equal(realm_read_on(reader, 1, err), 1); /* one entry at a time */
            while (realm_read_on(reader, 1, err) > 0)
                ;
            assert_true(look(reader, &before));
            realm_close(reader);
        }
    }
}

/* What is no part of anything, and a chain where none may be: the log is damaged, and says where. */
static void test_wrong_parts(void **state)
{
    for (unsigned wrong = 0; wrong < 3; wrong++) {
        struct realm *r;
        struct slice s;

        put_back();
        r = writer();
        s = wrong == 2 ? r->chain[0] : realm_said_at(r, 0)->record;
        assert_int_equal(realm_say_part(r,
                                        wrong == 0   ? ENTRY_NEXT_PART
                                        : wrong == 1 ? ENTRY_LAST_PART
                                                     : ENTRY_FIRST_PART,
                                        &s, 1, err),
                         wrong == 2 ? 0 : -EBADMSG);
        if (wrong == 2)
            assert_int_equal(realm_say_part(r, ENTRY_LAST_PART, &s, 1, err), -EBADMSG);
        assert_non_null(strstr(err, "part"));
        realm_close(r);
        assert_int_equal(realm_open(dir, false, &r, err), -EBADMSG);
        assert_non_null(strstr(err, "log: byte "));
    }
}

/* In a process of its own. What ended it, as waitpid has it; 1 << 8: it has said that it failed. */
static int run(void)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int got = rotate();

        if (got == 0)
            disk_ack(1);
        _exit(got == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* It has happened, or not; and if not, it can be done now. */
static void look_after(const struct tag *before, bool acked, const char *what, uint32_t call, int kind)
{
    struct realm *r;
    int got = realm_open(dir, true, &r, err);

    if (got < 0)
        fail_msg("%s %d at call %u: %s", what, kind, call, err);
    r->part_records = EACH;
    if (!look(r, before)) {
        if (acked)
            fail_msg("%s %d at call %u: what was acknowledged is not there", what, kind, call);
        if (realm_rotate_root(r, NOW_S, NOW_S + 1000, err) < 0)
            fail_msg("%s %d at call %u: %s", what, kind, call, err);
        assert_true(look(r, before));
    }
    realm_close(r);
}

static void test_faults(void **state)
{
    struct prng p;
    struct tag before;
    struct realm *r;
    uint32_t calls;

    prng_init(&p, 1);
    put_back();
    r = writer();
    before = r->self.tag;
    realm_close(r);
    put_back();
    assert_int_equal(run(), 0);
    calls = disk_calls();
    assert_true(calls > 2 * (1 + (NAMES + 1) / EACH)); /* a write and a sync of each */
    for (uint32_t call = 0; call < calls; call += STEP) {
        for (enum disk_fault f = DISK_FINE + 1; f < DISK_FAULT_COUNT; f++) {
            int status;

            put_back();
            disk_fault_at(call, f);
            status = run();
            if (WIFSIGNALED(status) && (f < DISK_KILL_BEFORE || WTERMSIG(status) != SIGKILL))
                fail_msg("fault %d at call %u: signal %d", f, call, WTERMSIG(status));
            disk_fault_at(0, DISK_FINE);
            look_after(&before, status == 0, "fault", call, f);
        }
        for (enum disk_cut c = 0; c < DISK_CUT_COUNT; c++) {
            uint32_t acked;

            put_back();
            assert_int_equal(run(), 0);
            acked = disk_power_cut(call, c, &p);
            look_after(&before, acked > 0, "power cut", call, c);
        }
    }
    print_message("# %u calls\n", calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_broken_off),
        cmocka_unit_test(test_wrong_parts),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests_name("realm_rotate", tests, set_up, tear_down);
}
