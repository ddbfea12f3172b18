/* Fuzz target of src/dmux/ipv4.*: what a router delivers is of its client, and what comes back for that client finds
 * it; a client takes what is for itself. */
#include "dmux/ipv4.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct protocol_reply reply;
    const struct protocol_setup setup = { .clients = { .addr = { .family = ADDR_V4, .bytes = { 198, 51, 100 } },
                                                       .len = 24 } };
    const struct client_id client = { 0xc6336407, 4000 };
    void *router = calloc(1, ipv4_router.state_bytes), *self = calloc(1, ipv4_client.state_bytes);
    struct client_id found;

    assert(router && self && !ipv4_router.init(router, &setup));
    ipv4_client.on_seen(self, &client);
    if (ipv4_router.on_client(router, &client, data, size, &reply) == PROTOCOL_DELIVER) {
        uint8_t back[20] = { 0x45, 0, 0, 20 };

        assert(size >= 20 && get_be16(data + 2) == size && get_be32(data + 12) == client.addr);
        assert(ipv4_client.may_send(self, data, size));
        put_be32(back + 16, client.addr);
        assert(ipv4_router.client_of(router, back, sizeof(back), &found) && found.port == client.port);
    } else {
        assert(!ipv4_router.client_of(router, data, size, &found));
    }
    if (ipv4_client.on_router(self, data, size, 0) == PROTOCOL_DELIVER)
        assert(size >= 20 && get_be32(data + 16) == client.addr);
    free(router);
    free(self);
    return 0;
}
