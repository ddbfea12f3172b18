/* Fuzz target of wire/exchange: what an authentic peer may say. What is read is written again as it was. */
#include "wire/exchange.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[EXCHANGE_HEADER_MAX];
    struct exchange_message m;
    size_t n;

    if (exchange_message_read(data, size, &m) < 0)
        return 0;
    assert(size <= EXCHANGE_TEXT_MAX);
    n = exchange_message_put(out, &m);
    assert(n + m.len == size && memcmp(out, data, n) == 0);
    assert(m.len == 0 || m.data == data + n);
    if (m.in_parts) {
        assert(m.last >= 1 && m.last < EXCHANGE_PARTS_MAX && m.part <= m.last && m.len >= 1);
        assert((size_t)m.part * EXCHANGE_PART_LEN + m.len <= EXCHANGE_MESSAGE_MAX);
    }
    return 0;
}
