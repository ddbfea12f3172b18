/* wire/places.c - see places.h. */
#include "wire/places.h"

#include <errno.h>

void places_write(struct writer *w, const struct bytes *b, uint64_t from, uint64_t to)
{
    uint8_t *room = write_room(w, (size_t)(to - from));

    if (room)
        bytes_get(b, from, room, (size_t)(to - from));
}

int places_read(struct reader *r, struct bytes *b, uint64_t base, uint64_t used, uint64_t from, uint64_t to)
{
    const uint8_t *p = read_bytes(r, (size_t)(to - from));
    int rc;

    if (!p)
        return -EPROTO;
    rc = from < to ? bytes_hold(b, base, used, to) : 0;
    if (rc == 0 && from < to)
        bytes_put(b, from, p, (size_t)(to - from));
    return rc;
}
