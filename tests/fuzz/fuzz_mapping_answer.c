/* Fuzz target of mapping/message: answers. What is accepted is written again to the same bytes, and its lists
 * give as many items as they say. */
#include "mapping/message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[MAPPING_BYTES_MAX];
    struct writer w = writer_init(out, sizeof(out));
    struct mapping_answer a;
    struct mapping_failure f;
    struct mapping_change c;
    struct slice s;
    size_t count = 0, said;

    if (mapping_answer_read(data, size, &a) < 0)
        return 0;
    assert(mapping_status_name(a.status));
    mapping_answer_write(&w, &a);
    assert(!w.failed && writer_len(&w) == size && memcmp(out, data, size) == 0);
    said = a.proofs.count;
    while (mapping_next_bytes(&a.proofs, &s))
        count++;
    assert(count == said && a.proofs.len == 0);
    count = 0;
    said = a.items.count;
    while (a.status == MAPPING_DONE      ? mapping_next_failure(&a.items, &f)
           : a.status == MAPPING_ENTRIES ? mapping_next_bytes(&a.items, &s)
                                         : mapping_next_change(&a.items, &c))
        count++;
    assert(count == said && a.items.len == 0);
    return 0;
}
