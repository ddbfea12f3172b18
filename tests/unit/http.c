/* Unit tests of sys/http.h: what is a request, and what is told of what is none. */
#include "sys/http.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct http_request q;

static int reads(const char *text)
{
    return http_request_read(text, strlen(text), &q);
}

#define END "\r\n\r\n"
#define HOST "\r\nHost: x"

static void test_request(void **state)
{
    static const char whole[] = "GET /v1/bindings/a.h.b%2Ec?as=x%20y&z HTTP/1.1" HOST "\r\nAccept: */*" END;
    char value[HTTP_TARGET_MAX];

    assert_int_equal(reads(whole), strlen(whole));
    assert_int_equal(q.method, HTTP_GET);
    assert_string_equal(q.path, "/v1/bindings/a.h.b.c");
    assert_string_equal(q.query, "as=x%20y&z");
    assert_int_equal(http_query_get(q.query, "as", value), 0);
    assert_string_equal(value, "x y");
    assert_int_equal(http_query_get(q.query, "z", value), -ENOENT);
    assert_int_equal(http_query_get(q.query, "a", value), -ENOENT);
    assert_int_equal(http_query_get("as=%0a", "as", value), -EINVAL);
    assert_int_equal(http_query_get("b=1&as=", "as", value), 0);
    assert_string_equal(value, "");
    /* Byte by byte it is the same, and not before its end. */
    for (size_t n = 0; n < strlen(whole); n++)
        assert_int_equal(http_request_read(whole, n, &q), 0);
    /* What comes behind it is not its business. */
    assert_int_equal(reads("GET / HTTP/1.0" END "GET / HTTP/9"), 18);
    assert_string_equal(q.path, "/");
    assert_string_equal(q.query, "");
    assert_true(reads("HEAD / HTTP/1.1" HOST END) > 0);
    assert_int_equal(q.method, HTTP_HEAD);
    /* RFC 9110, 9.1: methods are case-sensitive. */
    assert_true(reads("get / HTTP/1.1" HOST "\r\nContent-Length: 0" END) > 0);
    assert_int_equal(q.method, HTTP_OTHER);
    assert_true(reads("BREW / HTTP/1.2" HOST END) > 0);
    assert_int_equal(q.method, HTTP_OTHER);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *text;
        int status;
    } wrong[] = {
        { END, 400 },
        { "GET" END, 400 },
        { "GET /" END, 400 },
        { "GET  / HTTP/1.1" HOST END, 400 },
        { " GET / HTTP/1.1" HOST END, 400 },
        { "G(T / HTTP/1.1" HOST END, 400 },
        { "GET x HTTP/1.1" HOST END, 400 },
        { "GET http://x/ HTTP/1.1" HOST END, 400 },
        { "GET /\x7f HTTP/1.1" HOST END, 400 },
        { "GET /a#b HTTP/1.1" HOST END, 400 },
        { "GET /%0a HTTP/1.1" HOST END, 400 },
        { "GET /%00 HTTP/1.1" HOST END, 400 },
        { "GET /%4 HTTP/1.1" HOST END, 400 },
        { "GET /%4g HTTP/1.1" HOST END, 400 },
        { "GET / HTTP/1.1 " HOST END, 400 },
        { "GET / HTTP/1" HOST END, 400 },
        { "GET / HTTP/2.0" HOST END, 505 },
        { "GET / HTTP/1.1" END, 400 },                    /* no Host */
        { "GET / HTTP/1.1" HOST HOST END, 400 },          /* two */
        { "GET / HTTP/1.1" HOST "\r\n folded" END, 400 }, /* RFC 9112, 5.2 */
        { "GET / HTTP/1.1" HOST "\r\nA : b" END, 400 },   /* RFC 9112, 5.1 */
        { "GET / HTTP/1.1" HOST "\r\nA" END, 400 },
        { "GET / HTTP/1.1" HOST "\r\nA: \x01" END, 400 },
        { "GET / HTTP/1.1\nHost: x" END, 400 },
        { "GET / HTTP/1.1" HOST "\nA: b" END, 400 },
        { "POST / HTTP/1.1" HOST "\r\nContent-Length: 1" END, 413 },
        { "GET / HTTP/1.1" HOST "\r\nContent-Length:  0010 " END, 413 },
        { "GET / HTTP/1.1" HOST "\r\nContent-Length: -1" END, 400 },
        { "GET / HTTP/1.1" HOST "\r\nContent-Length: " END, 400 },
        { "GET / HTTP/1.1" HOST "\r\nTransfer-Encoding: chunked" END, 501 },
    };
    char nul[] = "GET /\0";

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (reads(wrong[i].text) != -wrong[i].status)
            fail_msg("%zu: found %d, expected %d", i, reads(wrong[i].text), -wrong[i].status);
    assert_int_equal(http_request_read(nul, 6, &q), -400);
}

static void test_long(void **state)
{
    char text[HTTP_HEAD_MAX + 100];
    struct text t;

    /* A target of HTTP_TARGET_MAX - 1 bytes is the longest. */
    for (int more = 0; more < 2; more++) {
        text_init(&t, text, sizeof(text));
        text_add(&t, "GET /%0*d HTTP/1.1" HOST END, HTTP_TARGET_MAX - 2 + more, 0);
        assert_int_equal(reads(text), more ? -414 : (int)strlen(text));
    }
    /* A head of HTTP_HEAD_MAX bytes, likewise; whether or not its end has come. */
    for (int more = 0; more < 2; more++) {
        text_init(&t, text, sizeof(text));
        text_add(&t, "GET / HTTP/1.1" HOST "\r\nA: ");
        text_add(&t, "%0*d" END, HTTP_HEAD_MAX - (int)strlen(text) - 4 + more, 0);
        assert_int_equal(strlen(text), HTTP_HEAD_MAX + more);
        assert_int_equal(reads(text), more ? -431 : HTTP_HEAD_MAX);
    }
    text_init(&t, text, sizeof(text));
    text_add(&t, "GET / HTTP/1.1" HOST);
    for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
        text_add(&t, "\r\nA: b");
    text_add(&t, END);
    assert_int_equal(reads(text), -431);
}

static void test_answer(void **state)
{
    char out[512];
    struct text t;

    text_init(&t, out, sizeof(out));
    http_answer_head(&t, 405, "text/plain", 3);
    assert_string_equal(out, "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                             "Cache-Control: no-store\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_request), cmocka_unit_test(test_wrong),
                                        cmocka_unit_test(test_long), cmocka_unit_test(test_answer) };

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
