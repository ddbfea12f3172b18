/* dmux/mirror_router.c - see mirror.h. An echo request goes back as its reply (RFC 792): source and destination change
 * places, which leaves the IPv4 checksum as it is, and the type falls from 8 to 0, which its checksum follows (RFC
 * 1624). */
#include "dmux/mirror.h"

#define HEADER 20
#define ICMP 1

static enum protocol_verdict on_client(void *state, const struct client_id *client, const uint8_t *packet, size_t len,
                                       struct protocol_reply *reply)
{
    uint8_t *out = reply->packet;
    uint32_t sum;

    if (len < HEADER + 8 || len > sizeof(reply->packet) || packet[0] != 0x45 || get_be16(packet + 2) != len ||
        packet[9] != ICMP || packet[HEADER] != 8 || get_be16(packet + 16) != MIRROR_NET)
        return PROTOCOL_DROP;
    memcpy(out, packet, len);
    memcpy(out + 12, packet + 16, 4);
    memcpy(out + 16, packet + 12, 4);
    out[HEADER] = 0;
    sum = get_be16(packet + HEADER + 2) + 0x0800u;
    put_be16(out + HEADER + 2, (uint16_t)(sum + (sum >> 16)));
    reply->len = len;
    return PROTOCOL_ANSWER;
}

const struct protocol_router mirror_router = { .id = MIRROR_ID, .name = "mirror", .on_client = on_client };
