/* Unit tests of src/prog/incoming and outgoing, in a folder of their own: what is under which name when something goes
 * wrong. */
#include "prog/incoming.h"
#include "prog/outgoing.h"
#include "tests/unit/digest.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/hawser-incoming-XXXXXX";
static int dir;

static const uint8_t bytes[] = "0123456789abcdef";
#define SIZE 16

static struct files_offer offer_of(const char *name)
{
    return (struct files_offer){
        .size = SIZE, .mtime_s = 1000000000, .mtime_ns = 5, .mode = 0751, .name = name, .name_len = strlen(name)
    };
}

static bool is_there(const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *name, const void *data, size_t len)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

static void expect_content(const char *name, const void *data, size_t len)
{
    char buf[100];
    int fd = openat(dir, name, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, buf, sizeof(buf)), (ssize_t)len);
    assert_memory_equal(buf, data, len);
    close(fd);
}

static struct files_have open_and_look(struct incoming *in, const char *name, bool may_replace)
{
    const struct files_offer o = offer_of(name);
    struct files_have have;
    bool more;

    assert_true(incoming_open(in, dir, &o, may_replace));
    do
        assert_true(incoming_look(in, &more, &have));
    while (more);
    return have;
}

static void test_whole(void **state)
{
    struct incoming in;
    struct files_have have = open_and_look(&in, "whole", false);
    uint8_t hash[FILES_HASH_LEN];
    struct stat st;

    digest(bytes, SIZE, hash);
    assert_int_equal(have.what, FILES_NOTHING);
    assert_true(incoming_start(&in, 0));
    assert_true(incoming_write(&in, bytes, 10));
    assert_false(is_there("whole"));
    assert_true(incoming_write(&in, bytes + 10, 6));
    assert_true(incoming_end(&in, hash));
    incoming_close(&in);
    assert_false(is_there("whole.hawser-part"));
    expect_content("whole", bytes, SIZE);
    assert_int_equal(fstatat(dir, "whole", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0751);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(st.st_mtim.tv_nsec, 5);

    have = open_and_look(&in, "whole", false); /* again */
    assert_int_equal(have.what, FILES_WHOLE);
    assert_int_equal(have.bytes, SIZE);
    assert_memory_equal(have.hash, hash, sizeof(hash));
    assert_false(incoming_start(&in, 0)); /* whatever the sender thinks of it */
    assert_int_equal(in.cause, FILES_EXISTS);
    incoming_close(&in);
    expect_content("whole", bytes, SIZE);
}

/* Whatever is wrong at the end: nothing under the name, what came stays in the part. */
static void test_not_whole(void **state)
{
    struct incoming in;
    uint8_t hash[FILES_HASH_LEN];

    digest(bytes, SIZE, hash);
    open_and_look(&in, "short", false);
    assert_true(incoming_start(&in, 0));
    assert_true(incoming_write(&in, bytes, SIZE - 1));
    assert_false(incoming_end(&in, hash));
    incoming_close(&in);
    assert_false(is_there("short"));
    expect_content("short.hawser-part", bytes, SIZE - 1);

    open_and_look(&in, "long", false);
    assert_true(incoming_start(&in, 0));
    assert_true(incoming_write(&in, bytes, SIZE));
    assert_false(incoming_write(&in, bytes, 1));
    incoming_close(&in);
    open_and_look(&in, "holed", false);
    assert_true(incoming_start(&in, 0));
    assert_false(incoming_hole(&in, SIZE + 1));
    incoming_close(&in);
    assert_false(is_there("long") || is_there("holed"));
    assert_false(is_there("holed.hawser-part")); /* it is empty */

    open_and_look(&in, "other", false);
    assert_true(incoming_start(&in, 0));
    assert_true(incoming_write(&in, (const uint8_t *)"0123456789abcdeF", SIZE));
    assert_false(incoming_end(&in, hash));
    incoming_close(&in);
    assert_false(is_there("other"));
}

static void test_goes_on(void **state)
{
    uint8_t hash[FILES_HASH_LEN], first[FILES_HASH_LEN];
    struct incoming in;
    struct files_have have;

    digest(bytes, SIZE, hash);
    digest(bytes, 7, first);
    put("again.hawser-part", bytes, 7);
    have = open_and_look(&in, "again", false);
    assert_int_equal(have.what, FILES_SOME);
    assert_int_equal(have.bytes, 7);
    assert_memory_equal(have.hash, first, sizeof(first));
    assert_true(incoming_start(&in, 7));
    assert_true(incoming_write(&in, bytes + 7, SIZE - 7));
    assert_true(incoming_end(&in, hash));
    incoming_close(&in);
    expect_content("again", bytes, SIZE);

    put("anew.hawser-part", "nonsense", 8); /* the sender finds out, and begins at 0 */
    have = open_and_look(&in, "anew", false);
    assert_int_equal(have.bytes, 8);
    assert_true(incoming_start(&in, 0));
    assert_true(incoming_hole(&in, 4));
    assert_true(incoming_write(&in, bytes, SIZE - 4));
    digest("\0\0\0\0"
           "0123456789ab",
           SIZE, hash);
    assert_true(incoming_end(&in, hash));
    incoming_close(&in);
    expect_content("anew",
                   "\0\0\0\0"
                   "0123456789ab",
                   SIZE);

    put("odd.hawser-part", bytes, 7);
    open_and_look(&in, "odd", false);
    assert_false(incoming_start(&in, 6)); /* not what was said */
    incoming_close(&in);
    put("larger.hawser-part", "more than the file will have", 28);
    have = open_and_look(&in, "larger", false);
    assert_int_equal(have.what, FILES_NOTHING);
    incoming_close(&in);
}

static void test_two_at_once(void **state)
{
    const struct files_offer o = offer_of("two");
    struct incoming first, second;
    uint8_t hash[FILES_HASH_LEN];

    digest(bytes, SIZE, hash);
    open_and_look(&first, "two", false);
    assert_false(incoming_open(&second, dir, &o, false));
    assert_int_equal(second.cause, FILES_BUSY);
    incoming_close(&second);
    assert_true(is_there("two.hawser-part"));
    assert_true(incoming_start(&first, 0));
    assert_true(incoming_write(&first, bytes, SIZE));
    put("two", "mine", 4); /* somebody was faster */
    assert_false(incoming_end(&first, hash));
    assert_int_equal(first.cause, FILES_EXISTS);
    incoming_close(&first);
    expect_content("two", "mine", 4);
    assert_false(incoming_open(&second, dir, &o, false));
    assert_int_equal(second.cause, FILES_EXISTS);
    incoming_close(&second);
    open_and_look(&second, "two", true); /* by force */
    assert_true(incoming_start(&second, SIZE));
    assert_true(incoming_end(&second, hash));
    incoming_close(&second);
    expect_content("two", bytes, SIZE);
}

/* Somebody removes the part, and another file is received under its name: what is placed is what was hashed. */
static void test_the_part_is_taken_away(void **state)
{
    struct incoming first, second;
    uint8_t hash[FILES_HASH_LEN];

    digest(bytes, SIZE, hash);
    open_and_look(&first, "moved", false);
    assert_true(incoming_start(&first, 0));
    assert_true(incoming_write(&first, bytes, SIZE));
    assert_int_equal(unlinkat(dir, "moved.hawser-part", 0), 0);
    open_and_look(&second, "moved", false);
    assert_true(incoming_start(&second, 0));
    assert_true(incoming_write(&second, bytes, 3));
    assert_false(incoming_end(&first, hash));
    assert_int_equal(first.cause, FILES_FAILED);
    incoming_close(&first);
    assert_false(is_there("moved"));
    assert_true(incoming_write(&second, bytes + 3, SIZE - 3));
    assert_true(incoming_end(&second, hash));
    incoming_close(&second);
    expect_content("moved", bytes, SIZE);
}

/* The receiver's umask counts, and what he got is his. */
static void test_modes(void **state)
{
    const mode_t before = umask(027);
    struct incoming in;
    uint8_t hash[FILES_HASH_LEN];
    struct stat st;

    digest(bytes, SIZE, hash);
    for (unsigned i = 0; i < 2; i++) {
        struct files_offer o = offer_of(i ? "none" : "all");
        struct files_have have;
        bool more = true;

        o.mode = i ? 0 : 0777;
        assert_true(incoming_open(&in, dir, &o, false));
        while (more)
            assert_true(incoming_look(&in, &more, &have));
        assert_true(incoming_start(&in, 0));
        assert_true(incoming_write(&in, bytes, SIZE));
        assert_true(incoming_end(&in, hash));
        incoming_close(&in);
        assert_int_equal(fstatat(dir, i ? "none" : "all", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, i ? 0600 : 0750);
    }
    umask(before);
}

/* What is no regular file of ours is neither followed nor replaced nor waited for. */
static void test_traps(void **state)
{
    static const char *const names[] = { "link", "deadlink", "pipe", "folder" };
    struct files_offer o;
    struct incoming in;

    put("precious", "gold", 4);
    assert_int_equal(symlinkat("precious", dir, "link"), 0);
    assert_int_equal(symlinkat("nowhere", dir, "deadlink"), 0);
    assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
    assert_int_equal(mkdirat(dir, "folder", 0700), 0);
    assert_int_equal(symlinkat("precious", dir, "p1.hawser-part"), 0);
    assert_int_equal(mkfifoat(dir, "p2.hawser-part", 0600), 0);
    assert_int_equal(linkat(dir, "precious", dir, "p3.hawser-part", 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        o = offer_of(names[i]);
        assert_false(incoming_open(&in, dir, &o, true));
        incoming_close(&in);
        assert_true(is_there(names[i]));
    }
    for (char name[] = "p1"; name[1] <= '3'; name[1]++) {
        char part[] = "p1.hawser-part";

        part[1] = name[1];
        o = offer_of(name);
        assert_false(incoming_open(&in, dir, &o, true));
        incoming_close(&in);
        assert_true(is_there(part));
    }
    o = offer_of("../x");
    assert_false(incoming_open(&in, dir, &o, true));
    incoming_close(&in);
    assert_false(is_there("nowhere"));
    expect_content("precious", "gold", 4);
}

static void test_the_sender_changes_it(void **state)
{
    char path[100];
    uint8_t buf[SIZE], hash[FILES_HASH_LEN];
    struct outgoing o;
    uint32_t hole;
    size_t len;

    snprintf(path, sizeof(path), "%s/source", folder);
    put("source", bytes, SIZE);
    assert_true(outgoing_open(&o, path));
    assert_true(outgoing_read(&o, buf, 10, &len, &hole));
    assert_int_equal(len, 10);
    assert_int_equal(ftruncate(o.fd, 10), -1); /* it is open for reading */
    put("source", bytes, 10);
    assert_false(outgoing_read(&o, buf, 10, &len, &hole)); /* shorter */
    outgoing_close(&o);

    assert_true(outgoing_open(&o, path));
    assert_true(outgoing_read(&o, buf, SIZE, &len, &hole));
    put("source", bytes, SIZE);
    assert_true(outgoing_read(&o, buf, SIZE, &len, &hole));
    assert_int_equal(len, 0); /* what it had when it was opened */
    assert_false(outgoing_end(&o, hash));
    outgoing_close(&o);

    assert_true(outgoing_open(&o, path));
    assert_true(outgoing_read(&o, buf, SIZE, &len, &hole));
    assert_true(outgoing_end(&o, hash));
    outgoing_close(&o);
    assert_false(outgoing_open(&o, folder));
    outgoing_close(&o);
}

static void remove_all(void)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_the_part_is_taken_away),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_traps),
        cmocka_unit_test(test_the_sender_changes_it),
    };
    int r;

    umask(022); /* which modes files get */
    if (!mkdtemp(folder) || (dir = open(folder, O_RDONLY | O_DIRECTORY)) < 0)
        return 1;
    r = cmocka_run_group_tests(tests, NULL, NULL);
    remove_all();
    return r;
}
