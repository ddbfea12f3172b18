/* Unit tests of src/prog/progress: rates by hand, and lines of every width. */
#include "prog/progress.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

static struct progress p;

/* 1 MB a second over wlan0 and .5 over wwan0, which has a path of either family; 10 s of it. */
static void run(void)
{
    struct hws_path paths[3] = { { .link = "wlan0", .state = HWS_PATH_ACTIVE },
                                 { .link = "wwan0", .state = HWS_PATH_ACTIVE },
                                 { .link = "wwan0", .state = HWS_PATH_DOWN } };

    progress_init(&p);
    for (int i = 0; i <= 50; i++) {
        progress_sample(&p, (uint64_t)i * 300000, paths, 3, 1000 * SEC + i * 200 * MSEC);
        paths[0].sent_bytes += 200000;
        paths[1].sent_bytes += 60000;
        paths[2].sent_bytes += 40000;
    }
}

static void test_line(void **state)
{
    char line[256];

    run();
    progress_line(&p, "film.mkv", 15000000, 60000000, 200, line, sizeof(line));
    assert_string_equal(line, "film.mkv  15.0 of 60.0 MB   25 %  12.0 Mbit/s  0:30 left  wlan0 8.0 + wwan0 4.0 Mbit/s");
    progress_line(&p, "film.mkv", 60000000, 60000000, 200, line, sizeof(line));
    assert_string_equal(line, "film.mkv  60.0 of 60.0 MB  100 %  12.0 Mbit/s  wlan0 8.0 + wwan0 4.0 Mbit/s");
    progress_line(&p, "empty", 0, 0, 20, line, sizeof(line));
    assert_string_equal(line, "empty  100 %");
    progress_line(&p, "f", 0, 60000000000, 40, line, sizeof(line));
    assert_string_equal(line, "f    0 %  12.0 Mbit/s  11:06:40 left");
}

/* A name with letters of two bytes: the line is never wider than it may be, and never cuts a letter. */
static void test_every_width(void **state)
{
    const char *name = "\303\244\303\266\303\274 und noch viel mehr, was nicht mehr auf eine Zeile passt.tar";
    char line[256];

    run();
    for (size_t columns = 1; columns < 150; columns++) {
        size_t seen = 0;

        progress_line(&p, name, 15000000, 60000000, columns, line, sizeof(line));
        for (const char *at = line; *at; at++)
            seen += ((unsigned char)*at & 0xc0) != 0x80;
        assert_true(seen <= columns);
        if (columns > 14)
            assert_non_null(strstr(line, "25 %"));
        for (const char *at = line; *at; at++)
            if (*at == '\303')
                assert_true(at[1] != '\0' && ((unsigned char)at[1] & 0xc0) == 0x80);
    }
}

/* A slow beginning is not seen for long: the mean of the first 2 s, then each sample counts a tenth. */
static void test_beginning(void **state)
{
    struct hws_path path = { .link = "l1", .state = HWS_PATH_ACTIVE };

    progress_init(&p);
    progress_sample(&p, 0, &path, 1, 5 * SEC);
    progress_sample(&p, 0, &path, 1, 5 * SEC + 200 * MSEC);
    progress_sample(&p, 100000, &path, 1, 5 * SEC + 400 * MSEC);
    assert_true(p.bps > 1999999 && p.bps < 2000001); /* 800,000 bits in .4 s */
    for (int i = 3; i <= 10; i++)
        progress_sample(&p, 100000 + (uint64_t)(i - 2) * 50000, &path, 1, 5 * SEC + i * 200 * MSEC);
    assert_true(p.bps > 1999999 && p.bps < 2000001); /* 4,000,000 in 2 s */
    progress_sample(&p, 500000, &path, 1, 5 * SEC + 11 * 200 * MSEC);
    assert_true(p.bps > 1799999 && p.bps < 1800001);
}

static void test_no_path(void **state)
{
    struct hws_path path = { .link = "l1", .state = HWS_PATH_DOWN };
    char line[256];

    progress_init(&p);
    progress_sample(&p, 0, &path, 1, 5 * SEC);
    progress_line(&p, "x", 0, 100, 40, line, sizeof(line));
    assert_non_null(strstr(line, "no path works"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_no_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
