/* Unit tests of sys/redis_decode.h: values of the Redis Cluster specification, and replies by hand. */
#include "sys/redis_decode.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

/* The reply that hiredis makes of these bytes. */
static redisReply *reply_of(const char *wire)
{
    redisReader *r = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(r, wire, strlen(wire)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(r, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(r);
    return reply;
}

static const struct redis_node asked = { "10.0.0.9", 7009 };

static unsigned slot(const char *key)
{
    return redis_slot(key, strlen(key));
}

/* Specification, "Key distribution model" and "Hash tags"; appendix A: CRC16 of 123456789 is 31C3. */
static void test_slots(void **state)
{
    assert_int_equal(slot("123456789"), 0x31c3 % 16384);
    assert_int_equal(slot("{user1000}.following"), slot("user1000"));
    assert_int_equal(slot("{user1000}.followers"), slot("user1000"));
    assert_int_equal(slot("foo{}{bar}"), slot("foo{}{bar}"));
    assert_int_not_equal(slot("foo{}{bar}"), slot("bar"));
    assert_int_equal(slot("foo{{bar}}zap"), slot("{bar"));
    assert_int_equal(slot("foo{bar}{zap}"), slot("bar"));
    assert_int_equal(slot("foo"), 12182); /* redis.io, CLUSTER KEYSLOT */
    assert_int_equal(slot(""), 0);
}

static int map_of(const char *wire, struct redis_map *m)
{
    redisReply *r = reply_of(wire);
    int e = redis_map_decode(r, &asked, m);

    freeReplyObject(r);
    return e;
}

static void test_map(void **state)
{
    static struct redis_map m;

    assert_int_equal(map_of("*3\r\n"
                            "*4\r\n:0\r\n:5460\r\n*3\r\n$8\r\n10.0.0.1\r\n:7000\r\n$2\r\nid\r\n*2\r\n$1\r\nr\r\n:1\r\n"
                            "*3\r\n:5461\r\n:5461\r\n*2\r\n$0\r\n\r\n:7001\r\n"
                            "*3\r\n:6000\r\n:16383\r\n*2\r\n$8\r\n10.0.0.1\r\n:7000\r\n",
                            &m),
                     0);
    assert_int_equal(m.count, 2);
    assert_string_equal(m.nodes[0].host, "10.0.0.1");
    assert_int_equal(m.nodes[0].port, 7000);
    assert_string_equal(m.nodes[1].host, "10.0.0.9"); /* who was asked */
    assert_int_equal(m.nodes[1].port, 7001);
    assert_int_equal(m.of_slot[0], 0);
    assert_int_equal(m.of_slot[5460], 0);
    assert_int_equal(m.of_slot[5461], 1);
    assert_int_equal(m.of_slot[5462], REDIS_NO_NODE);
    assert_int_equal(m.of_slot[16383], 0);
    assert_int_equal(map_of("*0\r\n", &m), 0);
    assert_int_equal(map_of("$2\r\nno\r\n", &m), -EPROTO);
    assert_int_equal(map_of("*1\r\n*2\r\n:0\r\n:1\r\n", &m), -EPROTO);
    assert_int_equal(map_of("*1\r\n*3\r\n:5\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n", &m), -EPROTO);
    assert_int_equal(map_of("*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n", &m), -EPROTO);
    assert_int_equal(map_of("*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:65536\r\n", &m), -EPROTO);
    assert_int_equal(map_of("*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n", &m), -EPROTO);
}

static enum redis_advice advice(const char *wire, unsigned *slot_, struct redis_node *node)
{
    redisReply *r = reply_of(wire);
    enum redis_advice a = redis_advice(r, &asked, slot_, node);

    freeReplyObject(r);
    return a;
}

static void test_advice(void **state)
{
    struct redis_node n;
    unsigned s;

    assert_int_equal(advice("-MOVED 3999 127.0.0.1:6381\r\n", &s, &n), REDIS_MOVED);
    assert_int_equal(s, 3999);
    assert_string_equal(n.host, "127.0.0.1");
    assert_int_equal(n.port, 6381);
    assert_int_equal(advice("-ASK 0 ::1:7000\r\n", &s, &n), REDIS_ASK);
    assert_string_equal(n.host, "::1");
    assert_int_equal(advice("-MOVED 1 :7000\r\n", &s, &n), REDIS_MOVED);
    assert_string_equal(n.host, "10.0.0.9");
    assert_int_equal(advice("-MOVED 16384 1.1.1.1:1\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("-MOVED 1 1.1.1.1\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("-MOVED 1 1.1.1.1:0\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("-MOVED\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("-NOSCRIPT No matching script.\r\n", &s, &n), REDIS_NO_SCRIPT);
    assert_int_equal(advice("-OOM command not allowed\r\n", &s, &n), REDIS_FULL);
    assert_int_equal(advice("-MISCONF Redis is\r\n", &s, &n), REDIS_FULL);
    assert_int_equal(advice("-CLUSTERDOWN Hash slot not served\r\n", &s, &n), REDIS_LATER);
    assert_int_equal(advice("-TRYAGAIN\r\n", &s, &n), REDIS_LATER);
    assert_int_equal(advice("-LOADINGS\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("-ERR\r\n", &s, &n), REDIS_REFUSED);
    assert_int_equal(advice("+OK\r\n", &s, &n), REDIS_REFUSED);
}

#define TAG "2001003f000000050123456789abcdef"
static const struct tag tag = { { 0x20, 0x01, 0x00, 0x3f, 0, 0, 0, 5, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
                                  0xef } };

static void test_keys(void **state)
{
    struct bindstore_row row = { .subject = tag, .kind = 5, .answer = 255 }, got;
    static const char *const bad[] = { "",
                                       "b:",
                                       "c:" TAG ":5:3",
                                       "b:" TAG ":5",
                                       "b:" TAG ":5:",
                                       "b:" TAG "::3",
                                       "b:" TAG ":256:3",
                                       "b:" TAG ":05:3",
                                       "b:" TAG ":5:3 ",
                                       "b:2001003F000000050123456789abcdef:5:3",
                                       "b:2001003f00000005012345678-abcdef:5:3" };
    char key[REDIS_KEY_MAX];
    int n = redis_row_key("h.eng", &row, 63, key);

    assert_string_equal(key, "{h.eng.63}b:" TAG ":5:255");
    assert_int_equal(n, strlen(key));
    assert_true(redis_row_key_decode(key + 10, (size_t)n - 10, &got));
    assert_memory_equal(&got.subject, &tag, sizeof(tag));
    assert_int_equal(got.kind, 5);
    assert_int_equal(got.answer, 255);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(redis_row_key_decode(bad[i], strlen(bad[i]), &got));
}

static int row_of(const char *wire, const char **why)
{
    const struct bindstore_row of = { .subject = tag, .kind = 1, .answer = 3 };
    struct bindstore_row row;
    redisReply *r = reply_of(wire);
    int e = redis_row_decode(r, &of, &row, why);

    if (e == 0) {
        assert_int_equal(row.seq, 0x0123456789abcdef);
        assert_int_equal(row.expires_ms, 1700000000000);
        assert_int_equal(row.kind, 1);
        assert_true(row.len == 0 ? !row.bytes : row.len == 3 && memcmp(row.bytes, "abc", 3) == 0);
    }
    freeReplyObject(r);
    return e;
}

#define SEQ "$16\r\n0123456789abcdef\r\n"
#define ENDS "$13\r\n1700000000000\r\n"

static void test_rows(void **state)
{
    const char *why;

    assert_int_equal(row_of("*3\r\n" SEQ ENDS "$3\r\nabc\r\n", &why), 0);
    assert_int_equal(row_of("*3\r\n" SEQ ENDS "$-1\r\n", &why), 0);
    assert_int_equal(row_of("*3\r\n$-1\r\n$-1\r\n$-1\r\n", &why), -ENOENT);
    assert_int_equal(row_of("*3\r\n" SEQ "$-1\r\n$-1\r\n", &why), -EBADMSG);
    assert_string_equal(why, "field e: expected the end of a lease in milliseconds");
    assert_int_equal(row_of("*3\r\n$-1\r\n" ENDS "$-1\r\n", &why), -EBADMSG);
    assert_string_equal(why, "field s: expected a sequence of 16 hex digits");
    assert_int_equal(row_of("*3\r\n$4\r\n0123\r\n" ENDS "$-1\r\n", &why), -EBADMSG);
    assert_int_equal(row_of("*3\r\n" SEQ ENDS "$0\r\n\r\n", &why), -EBADMSG);
    assert_string_equal(why, "field b: expected 1 to 4096 bytes");
    assert_int_equal(row_of("*3\r\n" SEQ "$16\r\n1125899906842625\r\n$-1\r\n", &why), -EBADMSG); /* 2^50 + 1 */
    assert_int_equal(row_of("*2\r\n" SEQ ENDS, &why), -EBADMSG);
    assert_int_equal(row_of(":3\r\n", &why), -EBADMSG);
}

static int logged_of(const char *wire, struct bindstore_logged *c)
{
    redisReply *r = reply_of(wire);
    int e = redis_logged_decode(r, c);

    freeReplyObject(r);
    return e;
}

#define KEY "$1\r\nk\r\n$38\r\nb:" TAG ":1:3\r\n"
#define REST(what, before) "$1\r\ns\r\n" SEQ "$1\r\nw\r\n$1\r\n" what "\r\n$1\r\np\r\n$2\r\n" before "\r\n"

static void test_log(void **state)
{
    struct bindstore_logged c;

    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n*8\r\n" KEY REST("1", "19"), &c), 0);
    assert_true(c.cursor == 20 && c.before == 19 && !c.forgotten && c.row.seq == 0x0123456789abcdef && !c.row.bytes);
    assert_true(c.row.kind == 1 && c.row.answer == 3 && tag_equal(&c.row.subject, &tag));
    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n*8\r\n" KEY REST("3", "10"), &c), 0);
    assert_true(c.forgotten && c.before == 10);
    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n*8\r\n" KEY REST("1", "20"), &c), -EBADMSG);
    assert_int_equal(logged_of("*2\r\n$4\r\n20-0\r\n*8\r\n" KEY REST("1", "19"), &c), -EBADMSG);
    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n*8\r\n" KEY REST("4", "19"), &c), -EBADMSG);
    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n$-1\r\n", &c), -EBADMSG);
    assert_int_equal(logged_of("*2\r\n$4\r\n20-1\r\n*2\r\n" KEY, &c), -EBADMSG);
}

static void test_results(void **state)
{
    struct bindstore_result r[2];
    redisReply *reply =
        reply_of("*6\r\n:0\r\n" SEQ "$16\r\n1700000000000000\r\n:-1\r\n$16\r\n0000000000000000\r\n$1\r\n0\r\n");

    assert_int_equal(redis_results_decode(reply, 2, r), 0);
    assert_true(r[0].outcome == 0 && r[0].seq == 0x0123456789abcdef && r[0].cursor == 1700000000000000);
    assert_true(r[1].outcome == -EBADMSG && r[1].seq == 0 && r[1].cursor == 0);
    assert_int_equal(redis_results_decode(reply, 1, r), -EPROTO);
    freeReplyObject(reply);
    reply = reply_of("*3\r\n:4\r\n" SEQ "$1\r\n0\r\n");
    assert_int_equal(redis_results_decode(reply, 1, r), -EPROTO);
    freeReplyObject(reply);
}

/* What is announced and never comes takes no memory. */
static void test_bound(void **state)
{
    static const struct {
        const char *wire;
        int want;
    } cases[] = { { "*1048576\r\n", REDIS_OK }, { "*1048577\r\n", REDIS_ERR }, { "*270000000\r\n", REDIS_ERR } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        redisReader *r = redisReaderCreate();
        void *reply = NULL;

        redis_bound(r);
        assert_int_equal(redisReaderFeed(r, cases[i].wire, strlen(cases[i].wire)), REDIS_OK);
        assert_int_equal(redisReaderGetReply(r, &reply), cases[i].want);
        assert_null(reply);
        redisReaderFree(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),   cmocka_unit_test(test_map),   cmocka_unit_test(test_advice),
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_rows),  cmocka_unit_test(test_log),
        cmocka_unit_test(test_results), cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests_name("redis_decode", tests, NULL, NULL);
}
