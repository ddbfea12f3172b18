/* prog/offload.c - see offload.h. */
#include "prog/offload.h"

struct offload offload_of_meta(const struct tun_meta *meta)
{
    static const uint8_t gso[] = {
        [TUN_GSO_NONE] = OFFLOAD_GSO_NONE,
        [TUN_GSO_TCP4] = OFFLOAD_GSO_TCPV4,
        [TUN_GSO_TCP6] = OFFLOAD_GSO_TCPV6,
        [TUN_GSO_UDP] = OFFLOAD_GSO_UDP,
    };

    return (struct offload){
        .flags = (uint8_t)((meta->needs_csum ? OFFLOAD_NEEDS_CSUM : 0) | (meta->csum_valid ? OFFLOAD_DATA_VALID : 0)),
        .gso_type = gso[meta->gso],
        .hdr_len = meta->hdr_bytes,
        .gso_size = meta->gso_bytes,
        .csum_start = meta->csum_start,
        .csum_offset = meta->csum_offset,
    };
}

int offload_write(struct tun *t, const struct merged *packet)
{
    const struct offload *o = &packet->offload;
    struct iovec iov[MERGE_PKTS_MAX + 1];
    struct tun_meta meta = {
        .gso = o->gso_type == OFFLOAD_GSO_TCPV4   ? TUN_GSO_TCP4
               : o->gso_type == OFFLOAD_GSO_TCPV6 ? TUN_GSO_TCP6
               : o->gso_type == OFFLOAD_GSO_UDP   ? TUN_GSO_UDP
                                                  : TUN_GSO_NONE,
        .gso_bytes = o->gso_size,
        .hdr_bytes = o->hdr_len,
        .needs_csum = (o->flags & OFFLOAD_NEEDS_CSUM) != 0,
        .csum_start = o->csum_start,
        .csum_offset = o->csum_offset,
    };

    for (size_t i = 0; i < packet->count; i++)
        iov[i] =
            (struct iovec){ .iov_base = (void *)(uintptr_t)packet->slices[i].data, .iov_len = packet->slices[i].len };
    return tun_write(t, iov, packet->count, &meta);
}

unsigned offload_merge_options(const struct tun *t)
{
    struct tun_features f = tun_features_get(t);

    return (f.vnet_hdr ? MERGE_CSUM | MERGE_TCP : 0u) | (f.tx_uso ? MERGE_UDP : 0u);
}
