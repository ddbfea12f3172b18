/* tunnel/mss.c - TCP MSS clamping in place.
 *
 * Theory of operation: the options of a SYN are walked to the MSS option; its value is lowered and the checksum
 * corrected by the difference. An option may stand at an odd place in the header (behind one NOP): there its two bytes
 * belong to two words of the sum, and the difference is that of the swapped values (RFC 1071 2 B).
 *
 * Limits: none beyond those of packet.h. Options are not added to a SYN that has no MSS: the default that the receiver
 * then assumes is below any MTU that a tunnel offers.
 * Sources: RFC 9293 3.1, 3.2, 3.7.1; RFC 6691; RFC 1624. */
#include "tunnel/mss.h"

#include <errno.h>

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_MSS_LEN = 4 };

/* The MSS option's value in [opt, end): *ret, or NULL if there is none. 0 or -EBADMSG. */
static int find_mss(uint8_t *opt, const uint8_t *end, uint8_t **ret)
{
    *ret = NULL;
    while (opt < end && *opt != OPT_END) {
        if (*opt == OPT_NOP) {
            opt++;
            continue;
        }
        if (end - opt < 2 || opt[1] < 2 || opt[1] > end - opt)
            return -EBADMSG;
        if (*opt == OPT_MSS) {
            if (opt[1] != OPT_MSS_LEN)
                return -EBADMSG;
            *ret = opt + 2;
            return 0;
        }
        opt += opt[1];
    }
    return 0;
}

int mss_clamp(uint8_t *pkt, const struct packet_info *info, uint16_t mtu, bool partial)
{
    uint8_t *tcp = pkt + info->l4_off, *at;
    uint16_t fits, was;
    int r;

    if (mtu < MSS_MTU_MIN)
        return -EINVAL;
    if (info->proto != PROTO_TCP || info->fragment || !(info->tcp_flags & TCP_SYN))
        return 0;
    r = find_mss(tcp + 20, pkt + info->payload_off, &at);
    if (r < 0 || !at)
        return r;
    fits = (uint16_t)(mtu - (info->family == ADDR_V4 ? PACKET_V4_HDR : PACKET_V6_HDR) - 20);
    was = get_be16(at);
    if (was <= fits)
        return 0;
    put_be16(at, fits);
    if (partial)
        return 1;
    if ((at - tcp) % 2) {
        was = __builtin_bswap16(was);
        fits = __builtin_bswap16(fits);
    }
    put_be16(tcp + 16, csum_update16(get_be16(tcp + 16), was, fits));
    return 1;
}
