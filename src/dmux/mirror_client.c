/* dmux/mirror_client.c - see mirror.h. The client has a fixed address, says nothing by itself, and passes packets of
 * the mirror's network: out, whole IPv4 packets to it; in, such that come from it and are for the client. */
#include "dmux/mirror.h"

#define ADDRESS 0x0a4d0001u /* 10.77.0.1 */

static bool is_whole(const uint8_t *packet, size_t len)
{
    return len >= 20 && packet[0] == 0x45 && get_be16(packet + 2) == len;
}

static bool may_send(void *state, const uint8_t *packet, size_t len)
{
    return is_whole(packet, len) && get_be16(packet + 16) == MIRROR_NET && get_be32(packet + 12) == ADDRESS;
}

static enum protocol_verdict on_router(void *state, const uint8_t *packet, size_t len, instant now)
{
    bool ours = is_whole(packet, len) && get_be16(packet + 12) == MIRROR_NET && get_be32(packet + 16) == ADDRESS;

    return ours ? PROTOCOL_DELIVER : PROTOCOL_DROP;
}

static struct addr address(const void *state)
{
    return addr_v4(ADDRESS);
}

const struct protocol_client mirror_client = {
    .id = MIRROR_ID,
    .name = "mirror",
    .routes = ADDR_V4,
    .may_send = may_send,
    .on_router = on_router,
    .address = address,
};
