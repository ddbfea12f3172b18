/* wire/ack.h - the acknowledgement of one path's records (doc/protocol.md, frame ACK).
 *
 * body: u32 path id | u64 largest counter | u32 ack delay us | u32 receive time us of the largest (receiver's clock,
 * wraps) | u32 records received so far (wraps) | u32 bytes received so far (wraps) | u8 n | n x { u16 gap, u16 len }
 * The first pair has gap 0 and counts the contiguous counters received ending at the largest; every further pair skips
 * `gap` missing counters downwards and then counts `len` received ones. */
#pragma once

#include "wire/cursor.h"

#define ACK_RANGES_MAX 24

struct ack_range {
    uint64_t first, last; /* counters, inclusive */
};

struct ack {
    uint32_t path_id;
    uint64_t largest;
    uint32_t delay_us;                       /* from receipt of the largest to the sending of this */
    uint32_t rx_time_us;                     /* receiver's clock, low 32 bits */
    uint32_t rx_pkts;                        /* all records of this path received, low 32 bits */
    uint32_t rx_bytes;                       /* their bytes on the wire above UDP, low 32 bits */
    unsigned ranges_count;                   /* >= 1 */
    struct ack_range ranges[ACK_RANGES_MAX]; /* descending; ranges[0].last == largest */
};

/* Writes as many ranges as fit and can be expressed in 16 bits. */
void ack_write(struct writer *w, const struct ack *a);
/* Sets the cursor failed on a bad count, a range below 0, or bytes missing. */
void ack_read(struct reader *r, struct ack *ret);
