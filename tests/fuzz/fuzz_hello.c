/* Fuzz target of HELLO and its ANSWER (wire/hello.h): what is read must be written as the same bytes again, but for
 * those that are of no meaning; and a client that asked believes nobody who did not see its nonce. */
#include "session/discovery.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *ctx, void *buf, size_t len)
{
    memset(buf, 0x5c, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct locator_pair at = { .link = 1, .remote = { { ADDR_V4, { 198, 51, 100, 1 } }, 80 } };
    const struct rng rng = { .fill = fill };
    uint8_t nonce[HELLO_NONCE_LEN], out[HELLO_LEN], asked[HELLO_NONCE_LEN];
    struct hello_answer a;
    struct locator_pair to;
    struct discovery d;

    if (hello_read(data, size, nonce) == 0) {
        hello_write(out, nonce);
        assert(out[0] == data[0] && memcmp(out + 4, data + 4, sizeof(nonce)) == 0);
    }
    if (hello_answer_read(data, size, &a) == 0) {
        hello_answer_write(out, &a);
        assert(memcmp(out, data, 2) == 0 && memcmp(out + 4, data + 4, HELLO_ANSWER_LEN - 4) == 0);
    }
    discovery_init(&d, 0);
    discovery_add(&d, &at, &rng);
    assert(discovery_output(&d, out, &to, 0));
    memset(asked, 0x5c, sizeof(asked));
    discovery_input(&d, &at.remote, data, size);
    if (d.state == DISCOVERY_FOUND)
        assert(size >= HELLO_ANSWER_LEN && memcmp(data + 4, asked, sizeof(asked)) == 0);
    return 0;
}
