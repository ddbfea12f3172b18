/* Fuzz target: coalescing (tunnel/merge.h).
 *
 * Input: one byte of options (enum merge_option; bit 7: mend every checksum first, so that mutated packets still
 * merge), then records of a length (2 bytes, big-endian) and a packet. A record of length 0 flushes. As many packets
 * and bytes of payload must come out, once cut again, as went in. */
#include "tunnel/merge.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct merge m;
static uint8_t pkt[PACKET_MAX + 1], out[PACKET_MAX + 1];

struct tally {
    size_t count, payload;
};

static void mend(uint8_t *p, const struct packet_info *i)
{
    size_t l4_len = (size_t)(i->total_len - i->l4_off), at = i->proto == PROTO_TCP ? 16 : 6;

    if (i->family == ADDR_V4)
        packet_fix_v4_header(p);
    if (i->fragment || (i->proto != PROTO_TCP && i->proto != PROTO_UDP))
        return;
    put_be16(p + i->l4_off + at, 0);
    put_be16(p + i->l4_off + at,
             csum_finish(csum_add(csum_pseudo(p, i->proto, (uint32_t)l4_len), p + i->l4_off, l4_len)));
}

static void drain(struct tally *t)
{
    struct offload o;
    const uint8_t *p;
    size_t len;

    while ((len = merge_pop(&m, &o, &p)) > 0) {
        struct segment s;
        int n;

        assert(len <= PACKET_MAX);
        assert(segment_init(&s, p, len, &o) == 0);
        assert(o.gso_type == OFFLOAD_GSO_NONE || s.count > 1);
        while ((n = segment_next(&s, out, sizeof(out))) > 0) {
            t->count++;
            t->payload += (size_t)n - s.info.payload_off;
        }
        assert(n == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tally in = { 0 }, got = { 0 };
    const uint8_t *end = data + size;
    bool mending;

    if (size < 1)
        return 0;
    mending = *data & 0x80;
    merge_init(&m, *data++ & 7);
    while (end - data >= 2) {
        size_t len = MIN(get_be16(data), (size_t)(end - data) - 2);
        struct packet_info i;
        int r;

        data += 2;
        if (len == 0)
            merge_flush(&m);
        memcpy(pkt, data, len);
        data += len;
        r = packet_parse(pkt, len, &i);
        if (r == 0 && mending)
            mend(pkt, &i);
        if (r < 0) {
            assert(merge_push(&m, pkt, len) == r);
            continue;
        }
        if (merge_push(&m, pkt, len) < 0) {
            drain(&got);
            assert(merge_push(&m, pkt, len) == 0);
        }
        in.count++;
        in.payload += (size_t)(i.total_len - i.payload_off);
    }
    merge_flush(&m);
    drain(&got);
    assert(in.count == got.count && in.payload == got.payload);
    return 0;
}
