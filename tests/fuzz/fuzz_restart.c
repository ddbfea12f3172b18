/* Fuzz target of what a process hands to its successor (node/restart.c): into a node or an agent, by the first byte, of
 * one peer, whose keys are written over the first ones of the state.
 *
 * What must hold: nothing crashes or leaks; a state that is refused leaves nothing behind; one that is taken can be
 * lived with: its packets come out, its timers run, and it can be handed on, and taken again. */
#include "ident/hash.h"
#include "node/node.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS_AT 12 /* after the header and the number of peers */
#define POOL_PKTS 64
#define PACKETS_MAX 256 /* after each instant: an end with a window may send without end, as nobody answers */
#define INSTANTS 8

static struct node *make(bool agent, const struct identity *self, const struct peer_key *peer, struct prng *prng,
                         instant now)
{
    const struct node_options o = { .self = self,
                                    .rng = prng_rng(prng),
                                    .role = agent ? ROLE_AGENT : ROLE_NODE,
                                    .pool_pkts = POOL_PKTS,
                                    .mtu = 1400,
                                    .wait = 60 * SEC };
    struct node_peer_spec spec = { .key = *peer, .addresses_count = 1 };
    struct node *n = node_new(&o, now);
    int r;

    assert(n);
    spec.addresses[0] = (struct prefix){ addr_v4(0x0a090002), 32 };
    if (!agent) {
        spec.endpoints[0] = (struct endpoint){ addr_v4(0xc6336464), 51820 };
        spec.endpoints_count = 1;
    }
    r = node_peer_add(n, &spec, now);
    assert(r == 0);
    return n;
}

static void live(struct node *n, instant *now)
{
    for (int i = 0; i < INSTANTS; i++) {
        struct node_event ev;
        struct merged out;

        for (int k = 0; k < PACKETS_MAX && node_pop_inner(n, &out, *now); k++)
            ;
        while (node_pop_event(n, &ev))
            ;
        *now += SEC << i;
        node_on_expiry(n, *now);
    }
}

static size_t connections(const struct node *n)
{
    struct node_split_info info;

    node_split_info(n, &info);
    return info.count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identity self, other;
    static struct peer_key key;
    struct prng prng = { 0 };
    struct rng rng;
    struct node *n, *next;
    uint8_t *state, *again;
    instant now = 1000 * SEC;
    size_t len, bound, count;
    int r;

    if (size < 1 || size > 1 << 20)
        return 0;
    prng_init(&prng, 1);
    rng = prng_rng(&prng);
    if (key.x25519[0] == 0 && key.x25519[1] == 0) {
        r = identity_generate(&self, &rng);
        assert(r == 0);
        r = identity_generate(&other, &rng);
        assert(r == 0);
        identity_peer_key(&other, SUITES_KNOWN, &key);
    }
    state = malloc(size);
    assert(state);
    len = size - 1;
    memcpy(state, data + 1, len);
    if (len >= KEYS_AT + 64) {
        memcpy(state + KEYS_AT, key.x25519, 32);
        memcpy(state + KEYS_AT + 32, key.ed25519, 32);
    }
    n = make(data[0] & 1, &self, &key, &prng, now);
    if (node_restore(n, state, len, now) < 0) {
        assert(connections(n) == 0);
    } else {
        bound = node_save_bound(n);
        again = malloc(bound);
        assert(again);
        len = node_save((const struct node *const *)&n, 1, again, bound, &count);
        assert(len > 0 && count == 0); /* there are no keys yet: none can be handed on */
        next = make(data[0] & 1, &self, &key, &prng, now);
        assert(node_restore(next, again, len, now) == 0 && connections(next) == 0);
        node_free(next);
        free(again);
        live(n, &now);
    }
    node_free(n);
    free(state);
    return 0;
}
