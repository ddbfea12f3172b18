/* Fuzz target of src/dmux/mirror_*: an answer is as long as the question, answers it, and is none itself. */
#include "dmux/mirror.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct protocol_reply reply, second;
    const struct client_id client = { 1, 2 };

    (void)mirror_client.may_send(NULL, data, size);
    (void)mirror_client.on_router(NULL, data, size, 0);
    if (mirror_router.on_client(NULL, &client, data, size, &reply) == PROTOCOL_ANSWER) {
        assert(reply.len == size && memcmp(reply.packet + 12, data + 16, 4) == 0);
        assert(mirror_router.on_client(NULL, &client, reply.packet, reply.len, &second) == PROTOCOL_DROP);
    }
    return 0;
}
