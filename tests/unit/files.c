/* Unit tests of src/wire/files: frames by hand, cut at every place, and names. */
#include "wire/files.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct files_message m;

static void test_offer_by_hand(void **state)
{
    static const uint8_t bytes[] = { 2,    0,    0,    27,                           /* an offer of 27 bytes */
                                     0,    0,    0,    0,    0,    1,    2,    3,    /* size */
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, /* two seconds before 1970 */
                                     0,    0,    0,    9,                            /* ns */
                                     1,    0xa4,                                     /* 0644 */
                                     1,                                              /* replace */
                                     'n',  'a',  'm',  'e',                          /* to the end of the body */
                                     10,   0,    0,    0 };                          /* done */
    struct reader r;

    for (size_t cut = 0; cut < 31; cut++) {
        r = reader_init(bytes, cut);
        assert_int_equal(files_read(&r, &m), 1);
        assert_ptr_equal(r.at, bytes);
    }
    r = reader_init(bytes, sizeof(bytes));
    assert_int_equal(files_read(&r, &m), 0);
    assert_int_equal(m.type, FILES_OFFER);
    assert_int_equal(m.offer.size, 0x10203);
    assert_int_equal(m.offer.mtime_s, -2);
    assert_int_equal(m.offer.mtime_ns, 9);
    assert_int_equal(m.offer.mode, 0644);
    assert_true(m.offer.replace);
    assert_int_equal(m.offer.name_len, 4);
    assert_memory_equal(m.offer.name, "name", 4);
    assert_int_equal(files_read(&r, &m), 0);
    assert_int_equal(m.type, FILES_DONE);
    assert_int_equal(files_read(&r, &m), 1);
    assert_true(reader_done(&r));
}

static int read_one(const void *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);

    return files_read(&r, &m);
}

static void test_out_of_range(void **state)
{
    uint8_t offer[] = { 2, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 'n' };

    assert_int_equal(read_one(offer, sizeof(offer)), 0);
    offer[24] = 2; /* 01377: more than rwx */
    assert_int_equal(read_one(offer, sizeof(offer)), -EPROTO);
    offer[24] = 1;
    offer[4] = 0x80; /* 2^63 bytes */
    assert_int_equal(read_one(offer, sizeof(offer)), -EPROTO);
    assert_int_equal(read_one("\1\0\0\4\1hwf", 8), 0);
    assert_int_equal(read_one("\1\0\0\4\2hwf", 8), -EPROTO);
    assert_int_equal(read_one("\1\0\0\4\1hwx", 8), -EPROTO);
    assert_int_equal(read_one("\5\0\0\0", 4), -EPROTO);          /* no bytes */
    assert_int_equal(read_one("\5\1\0\1", 4), -EPROTO);          /* 65537 of them */
    assert_int_equal(read_one("\6\0\0\4\0\20\0\0", 8), 0);       /* a hole of 1 MiB */
    assert_int_equal(read_one("\6\0\0\4\0\20\0\1", 8), -EPROTO); /* and one more */
    assert_int_equal(read_one("\6\0\0\4\0\0\0\0", 8), -EPROTO);  /* none */
    assert_int_equal(read_one("\12\0\0\1x", 5), -EPROTO);        /* trailing bytes */
    assert_int_equal(read_one("\77\0\0\0", 4), -EPROTO);         /* unknown */
    assert_int_equal(read_one("\100\0\0\1x\12\0\0\0", 9), 0);    /* unknown, to be skipped */
    assert_int_equal(m.type, FILES_DONE);
    assert_int_equal(read_one("\13\0\0\1\5", 5), -EPROTO); /* no such cause */
}

static void test_text_is_harmless(void **state)
{
    assert_int_equal(read_one("\13\0\0\11\0a\33[m\302\233z", 13), 0);
    assert_string_equal(m.said.text, "a?[m??z");
    assert_int_equal(read_one("\13\0\0\3\0\303\244", 7), 0); /* a letter */
    assert_string_equal(m.said.text, "\303\244");
}

static void test_names(void **state)
{
    char longest[FILES_NAME_MAX + 1];

    memset(longest, 'n', sizeof(longest));
    assert_null(files_name_check("a", 1));
    assert_null(files_name_check("...", 3));
    assert_null(files_name_check(".hidden", 7));
    assert_null(files_name_check("\303\244 b", 4));
    assert_null(files_name_check("part", 4));
    assert_null(files_name_check(longest, FILES_NAME_MAX));
    assert_non_null(files_name_check(longest, FILES_NAME_MAX + 1));
    assert_non_null(files_name_check("", 0));
    assert_non_null(files_name_check(".", 1));
    assert_non_null(files_name_check("..", 2));
    assert_non_null(files_name_check("a/b", 3));
    assert_non_null(files_name_check("a\0b", 3));
    assert_non_null(files_name_check("a\nb", 3));
    assert_non_null(files_name_check("a\177", 2));
    assert_non_null(files_name_check("a\302\200", 3));
    assert_non_null(files_name_check("a\23331m", 5));         /* CSI as a byte */
    assert_non_null(files_name_check("a\342\200\256gpj", 7)); /* from right to left */
    assert_null(files_name_check("\303\233\342\202\254", 5)); /* letters whose bytes look like it */
    assert_null(files_name_check("a\377\240", 3));            /* Latin 1 */
    assert_non_null(files_name_check("a.hawser-part", 13));
    assert_non_null(files_name_check(".hawser-part", 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offer_by_hand),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_text_is_harmless),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
