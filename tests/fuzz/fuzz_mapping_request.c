/* Fuzz target of mapping/message: requests. What is accepted is written again to the same bytes, and its lists
 * give as many items as they say. */
#include "mapping/message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[MAPPING_BYTES_MAX];
    struct writer w = writer_init(out, sizeof(out));
    struct mapping_request r;
    struct mapping_refresh f;
    struct mapping_change c;
    struct slice s;
    size_t count = 0, said;

    if (mapping_request_read(data, size, &r) < 0)
        return 0;
    assert(mapping_type_name(r.type));
    mapping_request_write(&w, &r);
    assert(!w.failed && writer_len(&w) == size && memcmp(out, data, size) == 0);
    said = r.items.count;
    while (r.type == MAPPING_REFRESH ? mapping_next_refresh(&r.items, &f)
           : r.type == MAPPING_GROWN ? mapping_next_bytes(&r.items, &s)
                                     : mapping_next_change(&r.items, &c))
        count++;
    assert(count == said && r.items.len == 0);
    return 0;
}
