/* Unit tests of sys/journal.h: what is read back, and what is made of a file that was cut or changed at any byte. */
#include "sys/journal.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/hawser-journal-XXXXXX", path[64];
static char err[256];

static int set_up(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/log", dir);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    return rmdir(dir);
}

static void write_file(const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static size_t read_file(uint8_t *bytes, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, bytes, size);

    close(fd);
    return (size_t)n;
}

static const char *const frames[] = { "one", "the second frame", "3" };
/* Where they begin and end, by hand: 4 of magic, and 16 beside each frame. */
static const size_t ends[] = { 4, 23, 55, 72 };

static void make(void)
{
    struct journal *j;

    unlink(path);
    assert_int_equal(journal_open(path, true, true, &j, err, sizeof(err)), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(journal_append(j, frames[i], strlen(frames[i]), err, sizeof(err)), 0);
    journal_close(j);
}

/* The first `count` frames and nothing else. */
static void assert_frames(struct journal *j, size_t count)
{
    const uint8_t *frame;
    size_t len;

    for (size_t i = 0; i < count; i++) {
        assert_true(journal_next(j, &frame, &len));
        assert_int_equal(len, strlen(frames[i]));
        assert_memory_equal(frame, frames[i], len);
        assert_int_equal(journal_offset(j), ends[i]);
    }
    assert_false(journal_next(j, &frame, &len));
}

static void test_round_trip(void **state)
{
    struct journal *j, *k;
    struct stat st;

    make();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, ends[3]);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
    assert_frames(j, 3);
    /* One writer at a time; readers any number. */
    assert_int_equal(journal_open(path, false, true, &k, err, sizeof(err)), -EBUSY);
    assert_int_equal(journal_open(path, false, false, &k, err, sizeof(err)), 0);
    assert_frames(k, 3);
    journal_close(k);
    assert_int_equal(journal_append(j, "", 0, err, sizeof(err)), -EFBIG);
    journal_close(j);
    journal_close(NULL);
}

/* One reads while another writes, and they change places. */
static void test_read_on(void **state)
{
    struct journal *j, *k;
    const uint8_t *first, *frame;
    size_t len;

    unlink(path);
    assert_int_equal(journal_open(path, true, true, &j, err, sizeof(err)), 0);
    assert_int_equal(journal_open(path, false, false, &k, err, sizeof(err)), 0);
    assert_false(journal_next(k, &first, &len));
    assert_int_equal(journal_append(j, frames[0], strlen(frames[0]), err, sizeof(err)), 0);
    assert_int_equal(journal_append(k, frames[0], strlen(frames[0]), err, sizeof(err)), -EBADF);
    assert_true(journal_next(j, &frame, &len)); /* its own, too */
    assert_memory_equal(frame, frames[0], len);
    assert_false(journal_next(k, &first, &len));
    assert_int_equal(journal_read_on(k, err, sizeof(err)), 0);
    assert_true(journal_next(k, &first, &len));
    assert_memory_equal(first, frames[0], len);
    assert_int_equal(journal_begin_writing(k, err, sizeof(err)), -EBUSY);
    assert_int_equal(journal_append(j, frames[1], strlen(frames[1]), err, sizeof(err)), 0);
    journal_end_writing(j);
    assert_int_equal(journal_begin_writing(k, err, sizeof(err)), 0);
    assert_int_equal(journal_append(k, frames[2], strlen(frames[2]), err, sizeof(err)), 0);
    journal_end_writing(k);
    assert_int_equal(journal_begin_writing(j, err, sizeof(err)), 0);
    assert_int_equal(journal_size(j), ends[3]);
    journal_close(j);
    for (int i = 1; i < 3; i++) {
        assert_true(journal_next(k, &frame, &len));
        assert_int_equal(journal_offset(k), ends[i]);
        assert_memory_equal(frame, frames[i], len);
    }
    assert_memory_equal(first, frames[0], strlen(frames[0])); /* stays where it was */
    /* Another file of that name, and one that was cut. */
    make();
    assert_int_equal(journal_read_on(k, err, sizeof(err)), -ESTALE);
    journal_close(k);
    assert_int_equal(journal_open(path, false, false, &k, err, sizeof(err)), 0);
    assert_int_equal(truncate(path, (off_t)ends[1]), 0);
    assert_int_equal(journal_read_on(k, err, sizeof(err)), -ESTALE);
    journal_close(k);
}

/* Cut at every byte: the frames before it are there, the rest is torn, and the next append takes its place. */
static void test_cut(void **state)
{
    uint8_t whole[80], again[80];
    size_t len;

    make();
    len = read_file(whole, sizeof(whole));
    for (size_t cut = 0; cut < len; cut++) {
        size_t count = 0, end = 4;
        struct journal *j;

        for (; count < 3 && ends[count + 1] <= cut; count++)
            end = ends[count + 1];
        write_file(whole, cut);
        assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
        assert_frames(j, count);
        assert_int_equal(journal_torn(j), cut < 4 ? 0 : cut - end);
        for (; count < 3; count++)
            assert_int_equal(journal_append(j, frames[count], strlen(frames[count]), err, sizeof(err)), 0);
        journal_close(j);
        assert_int_equal(read_file(again, sizeof(again)), len);
        assert_memory_equal(again, whole, len);
    }
}

/* The file has its length, but zeros for what was not written: the last frame's end, or all of it. */
static void test_zeros(void **state)
{
    uint8_t whole[80];
    struct journal *j;
    size_t len;

    make();
    len = read_file(whole, sizeof(whole));
    for (size_t from = ends[2]; from <= len - 8; from++) {
        uint8_t bytes[80];

        memcpy(bytes, whole, len);
        memset(bytes + from, 0, len - from);
        write_file(bytes, len);
        if (from > ends[2] + 4 && from < ends[2] + 8) /* half a check: told as damage, never taken */
            continue;
        assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
        assert_frames(j, 2);
        assert_int_equal(journal_torn(j), len - ends[2]);
        journal_close(j);
    }
}

/* Sectors of the last frame came in any choice: it is torn, and its place is taken. In a frame that another one follows
 * the same is damage, since that one was written after it was acknowledged. */
static void test_sectors(void **state)
{
    static uint8_t frame[1800], whole[8192], bytes[8192];
    struct journal *j;
    const uint8_t *got;
    size_t got_len, len, begins[3];

    memset(frame, 'f', sizeof(frame));
    unlink(path);
    assert_int_equal(journal_open(path, true, true, &j, err, sizeof(err)), 0);
    for (int i = 0; i < 3; i++) {
        begins[i] = 4 + (size_t)i * (sizeof(frame) + 16); /* 4, 1820, 3636; the end is 5452 */
        assert_int_equal(journal_append(j, frame, sizeof(frame), err, sizeof(err)), 0);
    }
    journal_close(j);
    len = read_file(whole, sizeof(whole));
    assert_int_equal(len, 5452);
    for (size_t which = 1; which < 3; which++) {
        size_t first = begins[which] / 512, last = (begins[which] + sizeof(frame) + 15) / 512;

        for (uint32_t lost = 1; lost < 1u << (last - first + 1); lost++) {
            memcpy(bytes, whole, len);
            for (size_t s = first; s <= last; s++)
                for (size_t at = s * 512; lost >> (s - first) & 1 && at < s * 512 + 512; at++)
                    if (at >= begins[which] && at < begins[which] + sizeof(frame) + 16)
                        bytes[at] = 0;
            write_file(bytes, len);
            if (which == 1) {
                assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), -EBADMSG);
                continue;
            }
            assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
            for (int i = 0; i < 2; i++)
                assert_true(journal_next(j, &got, &got_len));
            assert_false(journal_next(j, &got, &got_len));
            assert_int_equal(journal_torn(j), len - begins[2]);
            assert_int_equal(journal_append(j, frame, sizeof(frame), err, sizeof(err)), 0);
            journal_close(j);
            assert_int_equal(read_file(bytes, sizeof(bytes)), len);
            assert_memory_equal(bytes, whole, len);
        }
    }
}

/* Any bit of the frames that is changed is told, with its place; none is given out. */
static void test_damage(void **state)
{
    uint8_t whole[80];
    char want[128];
    size_t len;

    make();
    len = read_file(whole, sizeof(whole));
    for (size_t bit = 0; bit < len * 8; bit++) {
        size_t at = bit / 8 < 4 ? 0 : bit / 8 < ends[1] ? ends[0] : bit / 8 < ends[2] ? ends[1] : ends[2];
        struct journal *j;
        int r;

        whole[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file(whole, len);
        r = journal_open(path, false, false, &j, err, sizeof(err));
        assert_int_equal(r, -EBADMSG);
        snprintf(want, sizeof(want), "%s: byte %zu: ", path, at);
        assert_memory_equal(err, want, strlen(want));
        whole[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A file that may not grow any more: it is said, nothing is half there, and what was there stays. */
static void test_full(void **state)
{
    struct rlimit before, limit;
    uint8_t whole[80], again[80];
    struct journal *j;
    size_t len;

    make();
    len = read_file(whole, sizeof(whole));
    assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){ .rlim_cur = len + 9, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(journal_append(j, "four", 4, err, sizeof(err)), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(journal_append(j, "four", 4, err, sizeof(err)), -EIO); /* opened anew it works again */
    journal_close(j);
    assert_int_equal(read_file(again, sizeof(again)), len);
    assert_memory_equal(again, whole, len);
    assert_int_equal(journal_open(path, false, true, &j, err, sizeof(err)), 0);
    assert_int_equal(journal_append(j, "four", 4, err, sizeof(err)), 0);
    journal_close(j);
}

static void test_not_there(void **state)
{
    struct journal *j;

    assert_int_equal(journal_open("/dev/null", false, false, &j, err, sizeof(err)), -EINVAL);
    assert_int_equal(journal_open("/tmp/hawser-none/log", true, true, &j, err, sizeof(err)), -ENOENT);
    assert_string_equal(err, "/tmp/hawser-none/log: cannot open: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sectors), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_read_on),
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_zeros),      cmocka_unit_test(test_damage),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_not_there),
    };
    return cmocka_run_group_tests_name("journal", tests, set_up, tear_down);
}
