/* Fuzz target of wire/mesh: what is read lies inside the text and is written again as the same bytes. The first byte
 * chooses: a message of a record, or a card of a handshake. */
#include "wire/mesh.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message(const uint8_t *data, size_t size)
{
    uint8_t again[MESH_TEXT_MAX], items[MESH_TEXT_MAX];
    struct writer w = writer_init(items, sizeof(items));
    struct mesh_member member;
    struct mesh_message m;
    struct mesh_item item;
    struct reader r;

    if (mesh_read(data, size, &m) < 0)
        return;
    assert(m.rest_len == 0 || (m.rest >= data && m.rest + m.rest_len == data + size));
    assert(mesh_write(&m, again, sizeof(again)) == size && memcmp(again, data, size) == 0);
    r = reader_init(m.rest, m.rest_len);
    while (m.kind == MESH_NEWS && mesh_next_item(&r, &item))
        mesh_put_item(&w, &item);
    while (m.kind == MESH_MEMBERS && mesh_next_member(&r, &member))
        mesh_put_member(&w, &member);
    if (m.kind == MESH_NEWS || m.kind == MESH_MEMBERS)
        assert(!w.failed && writer_len(&w) == m.rest_len &&
               (m.rest_len == 0 || memcmp(items, m.rest, m.rest_len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[MESH_CARD_MAX];
    struct mesh_card c;

    if (size == 0)
        return 0;
    if (data[0] & 1)
        message(data + 1, size - 1);
    else if (mesh_card_read(data + 1, size - 1, &c) == 0)
        assert(mesh_card_write(&c, again, sizeof(again)) == size - 1 && memcmp(again, data + 1, size - 1) == 0);
    return 0;
}
