/* Fuzz target of wire/ack: an acknowledgement that is accepted is well-formed, and writes back to the same bytes. */
#include "wire/ack.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[32 + 4 * ACK_RANGES_MAX];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct ack a;

    ack_read(&r, &a);
    if (r.failed)
        return 0;
    assert(a.ranges_count >= 1 && a.ranges_count <= ACK_RANGES_MAX && a.ranges[0].last == a.largest);
    for (unsigned i = 0; i < a.ranges_count; i++) {
        assert(a.ranges[i].first <= a.ranges[i].last);
        assert(i == 0 || a.ranges[i].last + 1 < a.ranges[i - 1].first);
    }
    ack_write(&w, &a);
    assert(!w.failed && writer_len(&w) == (size_t)(r.at - data) && memcmp(buf, data, writer_len(&w)) == 0);
    return 0;
}
