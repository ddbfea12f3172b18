/* Fuzz target of wire/portmap and node/portmap: what a gateway says, behind a byte each that says how long it is and
 * what passes between. Never more than one request comes of an answer, and what is taken for a way in could be one. */
#include "node/portmap.h"

#include "base/base.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct portmap_options o = { .port = 51820, .natpmp = size > 0 && (data[0] & 1) };
    const struct endpoint from = { { ADDR_V4, { 10, 0, 0, 1 } }, PORTMAP_PORT };
    uint8_t out[PORTMAP_REQUEST_MAX];
    instant now = 1000 * SEC;
    struct portmap_answer a;
    struct portmap p;
    struct prng prng;

    if (portmap_answer_read(data, size, &a) == 0)
        assert(*portmap_result_name(a.version, a.result) != '\0');
    prng_init(&prng, 1);
    o.rng = prng_rng(&prng);
    o.client = (struct addr){ ADDR_V4, { 10, 0, 0, 2 } };
    o.gateway = from.addr;
    portmap_start(&p, &o, now);
    for (size_t off = 0; off < size;) {
        uint8_t how = data[off++];
        size_t len = MIN((size_t)(how >> 2), size - off);
        unsigned said = 0;

        while (said < 3 && portmap_output(&p, now, out) > 0)
            said++;
        assert(said <= 1);
        portmap_input(&p, &from, data + off, len, how & 1, now);
        if (p.state == PORTMAP_MAPPED)
            assert(p.external.port > 0 && addr_is_unicast(&p.external.addr) && p.until >= now - 86400 * SEC);
        assert(portmap_next_expiry(&p) < now + 100000 * SEC);
        off += len;
        now = how & 2 ? portmap_next_expiry(&p) : now + SEC;
    }
    (void)portmap_stop(&p, out);
    return 0;
}
