/* Fuzz target of src/dmux/locate.*: an offer that is read is written as the same bytes; whom it leads to is looked
 * at; a question has an answer that is no longer. */
#include "dmux/locate.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct protocol_reply reply;
    const struct client_id client = { 1, 2 };
    const struct endpoint at = { addr_v4(0xc0000207), 51820 };
    const uint8_t record[] = { 0x80 };
    const struct protocol_setup setup = { .offers = &at, .offers_count = 1, .offered = { record, 1 } };
    uint8_t out[LOCATE_QUESTION_LEN];
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record_error e;
    struct locate_offer o;
    struct chain_end end;
    struct prng p;
    struct rng rng;
    const char *why = NULL;
    void *state = calloc(1, locate_router.state_bytes);

    prng_init(&p, 1);
    rng = prng_rng(&p);
    assert(state && !locate_router.init(state, &setup));
    if (locate_router.on_client(state, &client, data, size, &reply) == PROTOCOL_ANSWER)
        assert(reply.len <= size && locate_offer_read(reply.packet, reply.len, &o) == 0);
    free(state);
    if (locate_offer_read(data, size, &o) == 0) {
        assert(locate_offer_write(&o, out) == size && memcmp(out, data, size) == 0);
        if (record_split(o.chain.data, o.chain.len, links, &count, &e) == 0 && count > 0)
            assert(locate_judge(&o, links[0], 1750000000, &rng, &end, &why) == 0 || why);
    }
    return 0;
}
