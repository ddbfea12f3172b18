/* Fuzz target of node/relay: datagrams behind a byte each that says from whom and how long. Nothing is sent that is
 * longer than what came, nor to somebody who did not show the cookie that was told to him. What is answered is read as
 * a host reads it, and so is the input itself. */
#include "node/relay.h"
#include "wire/header.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t keys[1][IDENT_KEY_LEN] = { { 7 } };

/* What no input could guess: the grant of that body, and the cookie of the last answer to somebody, whoever shows it.
 */
static void prove(uint8_t *bind, const uint8_t told[4][RELAY_COOKIE_LEN], uint8_t grant[GRANT_LEN])
{
    struct grant g = grant_read(bind + 4);

    g.side &= 1;
    grant_seal(keys[0], &g, grant);
    relay_bind_write(grant, get_be64(bind + 4 + GRANT_BODY_LEN), told[bind[RELAY_BIND_LEN - 1] & 3], bind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t told[4][RELAY_COOKIE_LEN] = { { 0 } }, cookie[RELAY_COOKIE_LEN], grant[GRANT_LEN] = { 0 };
    bool bound[4] = { false };
    instant now = 1000 * SEC;
    struct prng prng;
    struct rng rng;
    struct relay *r;

    prng_init(&prng, 1);
    rng = prng_rng(&prng);
    r = relay_new(keys, 1, 2, &rng);
    (void)!relay_bound_read(data, size, grant, 0, cookie);
    for (size_t off = 0; r && off < size;) {
        struct locator_pair at = { .link = 1, .remote = { { .family = ADDR_V4 }, 1 } }, to;
        uint8_t who = data[off] & 3, buf[64];
        size_t len = MIN(data[off] >> 2, size - off - 1), out;
        bool proven = false, mine = false;

        at.remote.addr.bytes[3] = who;
        memcpy(buf, data + off + 1, len);
        if (len == RELAY_BIND_LEN && buf[0] == PACKET_RELAY_BIND && (buf[4 + 8] & 2)) {
            mine = (buf[RELAY_BIND_LEN - 1] & 3) == who;
            prove(buf, told, grant);
            proven = true;
        }
        if (relay_on_datagram(r, &at, buf, len, 0, now, &to, &out)) {
            assert(out <= len && to.link == 1);
            if (buf[0] == PACKET_RELAY_BOUND) {
                int state = relay_bound_read(buf, out, grant, get_be64(buf + RELAY_HEADER_LEN), told[who]);

                assert(proven && state >= 0 && to.remote.addr.bytes[3] == who);
                assert(state != RELAY_BOUND || mine);
                bound[who] |= state == RELAY_BOUND;
            } else {
                assert(bound[who] && bound[to.remote.addr.bytes[3]]);
            }
        }
        off += 1 + len;
        now += 10 * SEC;
    }
    relay_free(r);
    return 0;
}
