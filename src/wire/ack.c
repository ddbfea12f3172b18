/* wire/ack.c - see ack.h. Limits: 24 ranges, 65,535 counters a range or gap; what lies below is not reported again and
 * the sender counts it by time. */
#include "wire/ack.h"

void ack_write(struct writer *w, const struct ack *a)
{
    uint8_t *count;
    uint64_t next = a->largest + 1; /* one above the next counter to describe */

    write_u32(w, a->path_id);
    write_u64(w, a->largest);
    write_u32(w, a->delay_us);
    write_u32(w, a->rx_time_us);
    write_u32(w, a->rx_pkts);
    write_u32(w, a->rx_bytes);
    count = write_room(w, 1);
    if (!count)
        return;
    *count = 0;
    if (writer_left(w) < 4)
        w->failed = true; /* an acknowledgement of nothing is refused by the reader */
    for (unsigned i = 0; i < a->ranges_count && i < ACK_RANGES_MAX && writer_left(w) >= 4; i++) {
        uint64_t gap = next - 1 - a->ranges[i].last, len = a->ranges[i].last - a->ranges[i].first + 1;

        if (gap > UINT16_MAX)
            return;
        write_u16(w, (uint16_t)gap);
        write_u16(w, (uint16_t)MIN(len, (uint64_t)UINT16_MAX));
        ++*count;
        if (len > UINT16_MAX)
            return;
        next = a->ranges[i].first;
    }
}

void ack_read(struct reader *r, struct ack *ret)
{
    struct ack a = { 0 };
    uint64_t next;
    unsigned count;

    a.path_id = read_u32(r);
    a.largest = read_u64(r);
    a.delay_us = read_u32(r);
    a.rx_time_us = read_u32(r);
    a.rx_pkts = read_u32(r);
    a.rx_bytes = read_u32(r);
    count = read_u8(r);
    if (count == 0 || count > ACK_RANGES_MAX || a.largest == UINT64_MAX)
        r->failed = true;
    next = a.largest + 1;
    for (unsigned i = 0; i < count && !r->failed; i++) {
        uint64_t gap = read_u16(r), len = read_u16(r);

        if (len == 0 || gap + len > next || (i == 0) != (gap == 0)) {
            r->failed = true;
            break;
        }
        a.ranges[i].last = next - 1 - gap;
        a.ranges[i].first = next - gap - len;
        next = a.ranges[i].first;
    }
    a.ranges_count = count;
    if (!r->failed)
        *ret = a;
}
