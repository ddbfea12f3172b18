/* tunnel/merge.h - coalesce in-order packets of a flow into super-packets for a TUN with IFF_VNET_HDR.
 *
 * What merges is what Linux's own GRO merges: TCP segments with the same headers whose sequence numbers follow each
 * other, and UDP datagrams of one size; the last of either may be shorter. FIN, PSH or a short piece ends a
 * super-packet. Everything else passes unchanged. Packets of one flow never overtake each other.
 *
 * Payload is not copied: what comes out are the headers, copied and corrected, and slices of what was pushed. */
#pragma once

#include "base/pbuf.h"
#include "base/slice.h"
#include "tunnel/packet.h"
#include "tunnel/segment.h"

#define MERGE_FLOWS 8     /* super-packets held at a time; chosen: more flows than arrive in one batch as a rule */
#define MERGE_PKTS_MAX 64 /* packets in one, as Linux's UDP_GRO_CNT_MAX; 46 of 1400 bytes fill a super-packet */

enum merge_option {
    MERGE_TCP = 1,
    MERGE_UDP = 2,  /* only if the TUN takes USO (Linux 6.2) */
    MERGE_CSUM = 4, /* a checksum that is owed may be left to the TUN: needed by the two above */
};

struct merge_packet {
    const uint8_t *data; /* info->total_len bytes: they stay as they are until what they are in was popped and used */
    const struct packet_info *info;
    bool csum_owed;     /* the bytes are right, and the transport checksum was not computed */
    struct pbuf *owner; /* holds the bytes: merge takes a reference of its own; NULL: the caller keeps them */
};

enum merge_state { MERGE_FREE, MERGE_OPEN, MERGE_READY, MERGE_OUT };

struct merge_slot {
    uint8_t state; /* enum merge_state */
    uint8_t proto;
    bool owed;            /* of a lone packet */
    uint16_t hdr, l4_off; /* bytes of all headers; where the transport header starts */
    uint16_t piece;       /* bytes of payload in every packet but the last */
    uint32_t count;       /* packets in here */
    uint32_t next_seq;    /* TCP */
    uint32_t len;
    uint64_t order; /* of becoming ready, and before that of being opened */
    struct addr src, dst;
    uint16_t sport, dport;
    struct slice slices[MERGE_PKTS_MAX + 1]; /* headers, then each payload */
    struct pbuf *owners[MERGE_PKTS_MAX];
    uint8_t headers[PACKET_HDR_MAX];
};

struct merge {
    unsigned options;
    uint64_t order;
    struct merge_slot *grown; /* the slot that took the packet before this one: most often it takes the next one too */
    struct merge_slot *out;   /* popped and in use, or NULL */
    struct merge_slot slots[MERGE_FLOWS];
};

struct merged {
    const struct slice *slices;
    size_t count, len; /* slices; bytes in all */
    struct offload offload;
};

/* options: of enum merge_option. The struct takes 16 KiB. */
void merge_init(struct merge *m, unsigned options);
/* Gives up the references that are held. */
void merge_deinit(struct merge *m);
/* One packet. 0; -EAGAIN: no room, pop all that is ready and push it again. */
int merge_push(struct merge *m, const struct merge_packet *p);
/* Makes all that is held ready, oldest first. Call it when the wake-up's input is at its end. */
void merge_flush(struct merge *m);
/* True and the next packet that is ready; it is valid until the next call of merge_push or merge_pop. */
bool merge_pop(struct merge *m, struct merged *ret);
