/* Fuzz target of sys/http.h: any bytes are a request, the beginning of one, or have a status; and a beginning of what
 * is whole is never judged otherwise than the whole. */
#include "sys/http.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
    size_t n = strnlen(s, HTTP_TARGET_MAX);

    assert(n < HTTP_TARGET_MAX);
    for (size_t i = 0; i < n; i++)
        assert((unsigned char)s[i] >= ' ' && s[i] != 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request q, half;
    char value[HTTP_TARGET_MAX];
    int r = http_request_read((const char *)data, size, &q);

    assert(r <= HTTP_HEAD_MAX &&
           (r >= 0 || r == -400 || r == -413 || r == -414 || r == -431 || r == -501 || r == -505));
    if (r <= 0)
        return 0;
    assert((size_t)r <= size && q.path[0] == '/');
    check_text(q.path);
    check_text(q.query);
    if (http_query_get(q.query, "as", value) == 0)
        check_text(value);
    assert(http_request_read((const char *)data, (size_t)r, &half) == r);
    assert(http_request_read((const char *)data, (size_t)r - 1, &half) == 0);
    return 0;
}
