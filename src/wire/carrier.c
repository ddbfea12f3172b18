/* wire/carrier.c - see carrier.h.
 *
 * Theory of operation. Datagrams that lie whole in what was read are given out where they lie. One that a read cuts is
 * copied together in a buffer of the stream. What was given out of that buffer may still be in use when the tail of the
 * same read must be kept: so there are two, in turn.
 *
 * Limits: two datagrams and their lengths a stream, 2,908 bytes. */
#include "wire/carrier.h"

#include <errno.h>

/* Moves bytes over until `want` are kept; false when the read is used up before. */
static bool keep(struct carrier *c, uint8_t **data, size_t *len, size_t want)
{
    size_t n = c->have < want ? MIN(want - c->have, *len) : 0;

    memcpy(c->kept[c->side] + c->have, *data, n);
    c->have = (uint16_t)(c->have + n);
    *data += n;
    *len -= n;
    return c->have >= want;
}

static int length_of(const uint8_t *prefix)
{
    unsigned n = get_be16(prefix);

    return n >= CARRIER_MIN && n <= CARRIER_MAX ? (int)n : -EPROTO;
}

int carrier_next(struct carrier *c, uint8_t **data, size_t *len, uint8_t **ret, size_t *ret_len)
{
    int n;

    if (c->have > 0) {
        if (!keep(c, data, len, CARRIER_PREFIX))
            return 0;
        n = length_of(c->kept[c->side]);
        if (n < 0)
            return n;
        if (!keep(c, data, len, CARRIER_PREFIX + (size_t)n))
            return 0;
        *ret = c->kept[c->side] + CARRIER_PREFIX;
        *ret_len = (size_t)n;
        c->side ^= 1;
        c->have = 0;
        return 1;
    }
    if (*len >= CARRIER_PREFIX) {
        n = length_of(*data);
        if (n < 0)
            return n;
        if (*len >= CARRIER_PREFIX + (size_t)n) {
            *ret = *data + CARRIER_PREFIX;
            *ret_len = (size_t)n;
            *data += CARRIER_PREFIX + (size_t)n;
            *len -= CARRIER_PREFIX + (size_t)n;
            return 1;
        }
    }
    keep(c, data, len, CARRIER_PREFIX + CARRIER_MAX);
    return 0;
}
