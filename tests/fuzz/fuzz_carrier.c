/* Fuzz target of wire/carrier: a stream, cut into reads of lengths that the first byte chooses, must give what the
 * whole stream says when it is looked at at once. */
#include "base/hash.h"
#include "wire/carrier.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the next datagram ends, 0: none, SIZE_MAX: a bad length. */
static size_t model_next_of(const uint8_t *data, size_t size, size_t at, size_t most)
{
    size_t n;

    if (size - at < 2)
        return 0;
    n = (size_t)data[at] << 8 | data[at + 1];
    if (n < 24 || n > most)
        return SIZE_MAX;
    return at + 2 + n <= size ? at + 2 + n : 0;
}

static size_t model_next(const uint8_t *data, size_t size, size_t at)
{
    return model_next_of(data, size, at, 1452);
}

/* The same stream of a session's, whose records are larger, and stand in one piece. */
static void peek_all(const uint8_t *data, size_t size)
{
    size_t at = 0, end;
    int n;

    while ((n = carrier_peek(data + at, size - at, 16248)) > 0) {
        end = model_next_of(data, size, at, 16248);
        assert(end != 0 && end != SIZE_MAX && (size_t)n == end - at - 2);
        at = end;
    }
    assert(model_next_of(data, size, at, 16248) == (n < 0 ? SIZE_MAX : 0));
}

/* False: the stream has ended. */
static bool read_some(struct carrier *c, uint8_t *buf, size_t len, const uint8_t *data, size_t size, size_t *at)
{
    uint8_t *p = buf, *got;
    size_t left = len, got_len;
    int r;

    while ((r = carrier_next(c, &p, &left, &got, &got_len)) == 1) {
        size_t end = model_next(data, size, *at);

        assert(end != 0 && end != SIZE_MAX && got_len == end - *at - 2);
        assert(memcmp(got, data + *at + 2, got_len) == 0);
        memset(got, 0xee, got_len); /* records are opened in place */
        *at = end;
    }
    if (r == 0)
        assert(left == 0);
    else
        assert(r < 0 && model_next(data, size, *at) == SIZE_MAX);
    return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct carrier c;
    uint8_t *buf = malloc(size + 1);
    size_t at = 0, done = 0;
    uint64_t seed;
    bool open = true;

    memset(&c, 0, sizeof(c));
    if (size == 0 || !buf) {
        free(buf);
        return 0;
    }
    seed = *data++;
    size--;
    peek_all(data, size);
    while (done < size && open) {
        size_t len;

        seed = hash_mix64(seed + 1);
        len = MIN(1 + seed % (seed >> 62 ? 700 : 3), size - done);
        memcpy(buf, data + done, len);
        open = read_some(&c, buf, len, data, size, &at);
        done += len;
    }
    if (open)
        assert(model_next(data, size, at) == 0 || model_next(data, size, at) == SIZE_MAX);
    free(buf);
    return 0;
}
