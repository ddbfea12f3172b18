/* Fuzz target: coalescing (tunnel/merge.h).
 *
 * Input: one byte of options (enum merge_option; bit 6: every checksum is owed; bit 7: mend every checksum first, so
 * that mutated packets still merge), then records of a length (2 bytes, big-endian) and a packet. A record of length 0
 * flushes. As many packets and bytes of payload must come out, once cut again, as went in. */
#include "tunnel/merge.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct merge m;
static uint8_t out[PACKET_MAX + 1], whole[PACKET_MAX + 1];
static struct pbuf_pool pool;

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
    struct merged o;

    while (merge_pop(&m, &o)) {
        size_t len = slices_gather(o.slices, o.count, whole, sizeof(whole));
        struct segment s;
        int n;

        assert(len == o.len && len <= PACKET_MAX);
        assert(segment_init(&s, whole, len, &o.offload) == 0);
        assert(o.offload.gso_type == OFFLOAD_GSO_NONE || s.count > 1);
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
    bool mending, owed;

    if (size < 1 || (!pool.slab && pbuf_pool_init(&pool, MERGE_FLOWS * MERGE_PKTS_MAX + 1) < 0))
        return 0;
    mending = *data & 0x80;
    owed = *data & 0x40;
    merge_init(&m, *data++ & 7);
    while (end - data >= 2) {
        size_t len = MIN(get_be16(data), (size_t)(end - data) - 2);
        struct merge_packet p = { .csum_owed = owed };
        struct packet_info i;
        struct pbuf *b;

        data += 2;
        if (len == 0)
            merge_flush(&m);
        b = len <= PBUF_CAPACITY ? pbuf_take(&pool) : NULL; /* larger ones and the last stay in the input */
        p.data = b ? b->data : data;
        if (b)
            memcpy(b->data, data, len);
        data += len;
        if (packet_parse(p.data, len, &i) < 0) {
            pbuf_unref(b);
            continue;
        }
        if (b && mending)
            mend(b->data, &i);
        p.info = &i;
        p.owner = b;
        if (merge_push(&m, &p) < 0) {
            drain(&got);
            assert(merge_push(&m, &p) == 0);
        }
        pbuf_unref(b);
        in.count++;
        in.payload += (size_t)(i.total_len - i.payload_off);
    }
    merge_flush(&m);
    drain(&got);
    merge_deinit(&m);
    assert(pool.used == 0);
    assert(in.count == got.count && in.payload == got.payload);
    return 0;
}
