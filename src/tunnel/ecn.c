/* tunnel/ecn.c - see ecn.h.
 *
 * Theory of operation. A tunnel must not hide congestion: a router on the way marks the outer header, and the mark has
 * to reach the inner receiver. At encapsulation the outer field is a copy of the inner one (RFC 6040 section 4.1,
 * normal mode); at decapsulation both are combined by the table of section 4.2. The table is wider than copying marks:
 * it also carries ECT(0) -> ECT(1), by which a router may speak of a lesser congestion.
 *
 * The header checksum is corrected, not computed anew: what came in wrong stays wrong (RFC 1624).
 *
 * Sources: RFC 6040, RFC 3168 section 5, RFC 8200 section 7. */
#include "tunnel/ecn.h"

#include <errno.h>

#include "tunnel/packet.h"

uint8_t ecn_tos(const uint8_t *pkt)
{
    return pkt[0] >> 4 == 4 ? pkt[1] : (uint8_t)(get_be16(pkt) >> 4);
}

int ecn_combine(enum ecn inner, enum ecn outer)
{
    /* RFC 6040 figure 4: a row for each inner field, a column for each outer one, in the order of the bits */
    static const int8_t table[4][4] = {
        [ECN_NOT_ECT] = { ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, -EBADMSG },
        [ECN_ECT1] = { ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE },
        [ECN_ECT0] = { ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE },
        [ECN_CE] = { ECN_CE, ECN_CE, ECN_CE, ECN_CE },
    };
    return table[inner & TOS_ECN_MASK][outer & TOS_ECN_MASK];
}

void ecn_set(uint8_t *pkt, enum ecn to)
{
    uint16_t first = get_be16(pkt);

    if (pkt[0] >> 4 == 4) {
        pkt[1] = (uint8_t)((pkt[1] & ~TOS_ECN_MASK) | to);
        put_be16(pkt + 10, csum_update16(get_be16(pkt + 10), first, get_be16(pkt)));
    } else {
        pkt[1] = (uint8_t)((pkt[1] & ~(TOS_ECN_MASK << 4)) | to << 4);
    }
}

bool ecn_mark(uint8_t *pkt)
{
    if ((ecn_tos(pkt) & TOS_ECN_MASK) == ECN_NOT_ECT)
        return false;
    ecn_set(pkt, ECN_CE);
    return true;
}
