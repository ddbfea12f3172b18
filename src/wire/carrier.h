/* wire/carrier.h - Hawser datagrams in a byte stream, for where UDP does not pass.
 *
 * Each datagram stands behind its length, a big-endian u16 of CARRIER_MIN to CARRIER_MAX. There is nothing else in the
 * stream: the datagrams are those of UDP (doc/protocol.md), and what is not one of a good length ends the stream. */
#pragma once

#include "base/base.h"
#include "wire/header.h"

#include <errno.h>

#define CARRIER_PREFIX 2
#define CARRIER_MIN RESET_LEN  /* the shortest datagram there is */
#define CARRIER_MAX RECORD_MAX /* the longest */

/* The receiving side of one stream: what it keeps between two reads. Zero it to begin. */
struct carrier {
    uint8_t kept[2][CARRIER_PREFIX + CARRIER_MAX]; /* the beginning of a datagram; the other side may still be in use */
    uint16_t have;                                 /* bytes in kept[side] */
    uint8_t side;
};

/* The length of the record that stands at `data` behind its own, or 0: not all of it is there; -EPROTO: this is no
 * stream of ours. most: bytes of the longest that is expected. */
MUST_CHECK static inline int carrier_peek(const uint8_t *data, size_t len, size_t most)
{
    size_t n = len >= CARRIER_PREFIX ? get_be16(data) : CARRIER_MIN;

    if (n < CARRIER_MIN || n > most)
        return -EPROTO;
    return len >= CARRIER_PREFIX + n ? (int)n : 0;
}

/* Takes the next whole datagram from *data (of *len bytes, which it moves on). 1: *ret and *ret_len are it, to be
 * changed in place and valid until the bytes of the next read are given; 0: all is taken in, read more; -EPROTO: this
 * is no stream of ours, for good. */
MUST_CHECK int carrier_next(struct carrier *c, uint8_t **data, size_t *len, uint8_t **ret, size_t *ret_len);
