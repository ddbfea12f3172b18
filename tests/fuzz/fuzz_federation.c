/* Fuzz target of wire/federation: what is read lies inside the text and is written again as the same bytes. */
#include "wire/federation.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[MESH_TEXT_MAX], items[MESH_TEXT_MAX];
    struct writer w = writer_init(items, sizeof(items));
    struct federation_message m;
    struct federation_item item;
    struct mesh_member member;
    struct reader r;

    if (federation_read(data, size, &m) < 0)
        return 0;
    assert(m.rest_len == 0 || (m.rest >= data && m.rest + m.rest_len == data + size));
    assert(federation_write(&m, again, sizeof(again)) == size && memcmp(again, data, size) == 0);
    r = reader_init(m.rest, m.rest_len);
    while (m.kind == FEDERATION_SUMMARY && federation_next_item(&r, &item))
        federation_put_item(&w, &item);
    while (m.kind == FEDERATION_BORDERS && mesh_next_member(&r, &member))
        mesh_put_member(&w, &member);
    if (m.kind == FEDERATION_SUMMARY || m.kind == FEDERATION_BORDERS)
        assert(!w.failed && writer_len(&w) == m.rest_len &&
               (m.rest_len == 0 || memcmp(items, m.rest, m.rest_len) == 0));
    return 0;
}
