/* tunnel/merge.h - coalesce in-order packets of a flow into super-packets for a TUN with IFF_VNET_HDR.
 *
 * What merges is what Linux's own GRO merges: TCP segments with the same headers whose sequence numbers follow each
 * other, and UDP datagrams of one size; the last of either may be shorter. FIN, PSH or a short piece ends a
 * super-packet. Everything else passes unchanged. Packets of one flow never overtake each other. */
#pragma once

#include "tunnel/packet.h"
#include "tunnel/segment.h"

#define MERGE_FLOWS 8     /* super-packets held at a time; chosen: 8 x 64 KiB still fits a second-level cache */
#define MERGE_UDP_PKTS 64 /* datagrams in one super-packet, as Linux's UDP_GRO_CNT_MAX */

enum merge_option {
    MERGE_TCP = 1,
    MERGE_UDP = 2,     /* only if the TUN takes USO (Linux 6.2) */
    MERGE_TRUSTED = 4, /* transport checksums were verified or the bytes authenticated since: do not check them */
};

enum merge_state { MERGE_FREE, MERGE_OPEN, MERGE_READY };

struct merge_slot {
    uint8_t state; /* enum merge_state */
    uint8_t proto;
    uint16_t hdr, l4_off; /* bytes of all headers; where the transport header starts */
    uint16_t piece;       /* bytes of payload in every packet but the last */
    uint32_t count;       /* packets in here */
    uint32_t next_seq;    /* TCP */
    uint32_t len;
    uint64_t order; /* of becoming ready, and before that of being opened */
    struct addr src, dst;
    uint16_t sport, dport;
    uint8_t buf[PACKET_MAX + 1];
};

struct merge {
    unsigned options;
    uint64_t order;
    struct merge_slot slots[MERGE_FLOWS];
};

/* options: of enum merge_option. The struct takes 8 x 64 KiB: it belongs on the heap. */
void merge_init(struct merge *m, unsigned options);
/* Takes a copy of one packet with complete checksums. 0; -EAGAIN: no room, pop all that is ready and push it again;
 * or what packet_parse says (the packet is not taken). */
int merge_push(struct merge *m, const uint8_t *pkt, size_t len);
/* Makes all that is held ready, oldest first. Call it when the wake-up's input is at its end. */
void merge_flush(struct merge *m);
/* The next packet that is ready, and its offload header. Its length, or 0. It is valid until the next merge_push. */
size_t merge_pop(struct merge *m, struct offload *ret_offload, const uint8_t **ret_pkt);
