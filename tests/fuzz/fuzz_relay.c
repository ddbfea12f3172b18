/* Fuzz target of node/relay: datagrams behind a byte each that says from whom and how long. Nothing is sent that is
 * longer than what came, nor to somebody who showed no grant. */
#include "node/relay.h"
#include "wire/header.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t keys[1][IDENT_KEY_LEN] = { { 7 } };
    struct relay *r = relay_new(keys, 1, 2, 1);
    bool bound[4] = { false };
    instant now = 1000 * SEC;

    for (size_t off = 0; r && off < size;) {
        struct locator_pair at = { .link = 1, .remote = { { .family = ADDR_V4 }, 1 } }, to;
        uint8_t who = data[off] & 3, buf[64];
        size_t len = MIN(data[off] >> 2, size - off - 1), out;

        at.remote.addr.bytes[3] = who;
        memcpy(buf, data + off + 1, len);
        if (len == RELAY_BIND_LEN && buf[0] == PACKET_RELAY_BIND && (buf[4 + 8] & 2)) { /* what no input could guess */
            struct grant g = grant_read(buf + 4);

            g.side &= 1;
            grant_seal(keys[0], &g, buf + 4);
        }
        if (relay_on_datagram(r, &at, buf, len, 0, now, &to, &out)) {
            assert(out <= len && to.link == 1);
            bound[who] |= buf[0] == PACKET_RELAY_BOUND;
            assert(bound[who] && bound[to.remote.addr.bytes[3]]);
        }
        off += 1 + len;
        now += 10 * SEC;
    }
    relay_free(r);
    return 0;
}
