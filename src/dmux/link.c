/* dmux/link.c - see link.h.
 *
 *   INIT    cookie 12 | Noise message 1 of a card           ANSWER  index 4 | message 2 of a card
 *   RECORD  index 4 | counter 8 | sealed text               each behind a shim with C, u8 type | u8 0
 *
 * Theory of operation. Noise IK, or IKpsk2 where both have a secret: the initiator knows the other's key from its
 * configuration or from a gateway that it believes. A card has the sender's chain, which must be of a gateway of the
 * realm, with the very key of the handshake, at the address that it came from. A cookie has shown that address before
 * the first key is computed. ANSWER is shorter than INIT by 56 bytes, where both chains have one length.
 *
 * A replayed INIT decrypts, as Noise says: its keys take no effect until a record comes under them. Records count up,
 * and one that does not is dropped: news that are lost that way are sent again.
 *
 * A link is good as long as the chain that its other end has shown: then its records are opened no more, so it falls
 * silent, and begins anew with another chain or not at all.
 *
 * Limits: 2^62 records of ChaCha20-Poly1305 (ident/suite.h), so keys last as long as the link.
 * Sources: The Noise Protocol Framework, revision 34, section 7.5 (IK) and 9 (psk). */
#include "dmux/link.h"

#include "dmux/credentials.h"
#include "ident/hash.h"

#include <errno.h>

#define INDEX_AT DMUX_HEADER_LEN
#define INIT_AT (DMUX_HEADER_LEN + SHIM_COOKIE_LEN)
#define ANSWER_AT (DMUX_HEADER_LEN + 4)
#define RECORD_AT LINK_TEXT_AT

void link_keys_free(struct link_keys *k)
{
    aead_free(k->tx);
    aead_free(k->rx);
    *k = (struct link_keys){ 0 };
}

static void put_header(uint8_t *out, uint8_t type)
{
    shim_put(out, SHIM_CONTROL, 0, PROVIDER_ANY);
    out[SHIM_LEN] = type;
    out[SHIM_LEN + 1] = 0;
}

uint32_t link_to(const uint8_t *data)
{
    return get_be32(data + INDEX_AT);
}

const uint8_t *link_cookie_of(const uint8_t *data, size_t len)
{
    return len >= INIT_AT ? data + DMUX_HEADER_LEN : NULL;
}

static size_t own_card(const struct link_end *e, uint32_t index, uint8_t card[MESH_CARD_MAX])
{
    const struct mesh_card c = {
        .gateway = e->id, .index = index, .at = e->unicast, .chain = e->chain.data, .chain_len = e->chain.len
    };

    return mesh_card_write(&c, card, MESH_CARD_MAX);
}

static int begin(const struct link_end *e, bool initiator, const uint8_t *to, struct noise *ret)
{
    return noise_init(ret, e->psk ? NOISE_IKPSK2 : NOISE_IK, SUITE_CHACHA20_POLY1305, initiator, e->prologue,
                      strlen(e->prologue), e->identity->x25519_priv, e->identity->x25519, to, e->psk);
}

size_t link_init_write(const struct link_end *e, const uint8_t cookie[SHIM_COOKIE_LEN], const uint8_t to[IDENT_KEY_LEN],
                       uint32_t index, struct noise *ret, uint8_t *out)
{
    uint8_t card[MESH_CARD_MAX];
    size_t n = own_card(e, index, card);
    int r = begin(e, true, to, ret);

    put_header(out, e->init_type);
    memcpy(out + DMUX_HEADER_LEN, cookie, SHIM_COOKIE_LEN);
    if (r == 0 && n > 0)
        r = noise_write(ret, &e->rng, card, n, out + INIT_AT, DMUX_REGISTER_MAX - INIT_AT);
    return r > 0 ? (size_t)INIT_AT + (size_t)r : 0;
}

/* Is the sender of this card, with this key, a gateway of the realm? And until when. */
static bool is_gateway(const struct link_realm *realm, const struct mesh_card *c, const struct slice *links,
                       size_t count, const uint8_t *x25519, uint64_t wall_s, uint64_t *ret_until_s)
{
    struct record_error e;
    struct name_error ne;
    struct chain_end end;
    struct name n;
    uint32_t number;

    if (trust_verify(realm->trust, links, count, wall_s, &end, &e) < 0)
        return false;
    *ret_until_s = end.not_after_s;
    return !end.is_realm && memcmp(end.x25519, x25519, IDENT_KEY_LEN) == 0 &&
           name_parse(end.name, strlen(end.name), &n, &ne) == 0 && strcmp(n.text + n.realm_at, realm->name) == 0 &&
           credentials_numbers(&n, "dmux-gateway", &number, 1) == 1 && number == c->gateway;
}

/* Which of the realms the sender of this card is a gateway of, with this key, here. -EBADMSG, -EACCES. */
static int card_check(const struct link_realm *realms, size_t realms_count, const struct mesh_card *c,
                      const uint8_t *x25519, const struct endpoint *from, uint64_t wall_s, uint64_t *ret_until_s)
{
    struct slice links[CHAIN_LINKS_MAX];
    struct record_error e;
    size_t count = CHAIN_LINKS_MAX;

    if (record_split(c->chain, c->chain_len, links, &count, &e) < 0)
        return -EBADMSG;
    if (!x25519 || !endpoint_equal(&c->at, from))
        return -EACCES;
    for (size_t i = 0; i < realms_count; i++) {
        if (is_gateway(&realms[i], c, links, count, x25519, wall_s, ret_until_s))
            return (int)i;
    }
    return -EACCES;
}

/* --- which this end begins --- */

void link_shake_begin(struct link_shake *s, instant at)
{
    noise_wipe(&s->noise);
    s->step = LINK_IDLE;
    s->next = at;
    s->retry = LINK_RETRY;
}

void link_shake_rest(struct link_shake *s, instant until)
{
    noise_wipe(&s->noise);
    s->step = LINK_IDLE;
    s->next = until;
}

size_t link_shake_output(const struct link_end *e, struct link_shake *s, const uint8_t to[IDENT_KEY_LEN], uint8_t *out,
                         instant now)
{
    struct dmux_message hello = { .type = DMUX_HELLO, .provider = PROVIDER_ANY };
    size_t len;

    if (now < s->next)
        return 0;
    s->next = now + s->retry;
    if (s->step == LINK_SENT && s->index == 0) {
        s->index = (uint32_t)rng_nonzero(&e->rng);
        len = link_init_write(e, s->cookie, to, s->index, &s->noise, out);
        if (len > 0)
            return len;
    }
    s->retry = MIN(s->retry * 2, LINK_RETRY_MAX);
    s->step = LINK_ASKED;
    s->nonce = hello.nonce = rng_nonzero(&e->rng);
    return dmux_write(&hello, out, DMUX_MESSAGE_MAX);
}

bool link_shake_on_challenge(struct link_shake *s, const struct dmux_message *c, instant now)
{
    if (s->step != LINK_ASKED || s->nonce != c->nonce)
        return false;
    memcpy(s->cookie, c->cookie, sizeof(s->cookie));
    s->step = LINK_SENT;
    s->index = 0;
    s->next = now;
    return true;
}

bool link_shake_awaits(const struct link_shake *s, const uint8_t *data)
{
    return s->step == LINK_SENT && s->index != 0 && s->index == link_to(data);
}

/* --- how far it is --- */

uint64_t link_ping(struct link_pings *p, const struct rng *rng, instant now)
{
    unsigned i = p->count++ % LINK_PINGS_MAX;

    p->last[i].nonce = rng_nonzero(rng);
    p->last[i].at = now;
    return p->last[i].nonce;
}

span link_pong(const struct link_pings *p, uint64_t nonce, instant now)
{
    for (unsigned i = 0; i < LINK_PINGS_MAX && nonce != 0; i++) {
        if (p->last[i].nonce == nonce && now - p->last[i].at < LINK_PONG_WITHIN)
            return MAX(now - p->last[i].at, 1);
    }
    return 0;
}

int link_init_read(const struct link_end *e, const struct link_realm *realms, size_t count, const uint8_t *data,
                   size_t len, const struct endpoint *from, uint64_t wall_s, struct noise *ret,
                   struct link_sender *ret_sender)
{
    uint8_t card[MESH_CARD_MAX];
    struct mesh_card c = { 0 };
    uint64_t until_s = 0;
    int n = begin(e, false, NULL, ret);

    if (n == 0)
        n = len > INIT_AT ? noise_read(ret, data + INIT_AT, len - INIT_AT, card, MESH_CARD_MAX) : -EBADMSG;
    if (n > 0)
        n = mesh_card_read(card, (size_t)n, &c);
    if (n == 0)
        n = card_check(realms, count, &c, noise_remote_static(ret), from, wall_s, &until_s);
    else
        n = -EBADMSG;
    if (n < 0)
        noise_wipe(ret);
    else
        *ret_sender = (struct link_sender){ .gateway = c.gateway, .index = c.index, .until_s = until_s };
    return n;
}

static int split(struct noise *n, uint32_t local, uint32_t remote, uint64_t until_s, struct link_keys *ret)
{
    uint8_t tx[32], rx[32];
    struct link_keys k = { .local = local, .remote = remote, .until_s = until_s };
    int r = noise_split(n, tx, rx);

    if (r == 0) {
        k.tx = aead_new(SUITE_CHACHA20_POLY1305, tx);
        k.rx = aead_new(SUITE_CHACHA20_POLY1305, rx);
        r = k.tx && k.rx ? 0 : -ENOMEM;
    }
    ident_wipe(tx, sizeof(tx));
    ident_wipe(rx, sizeof(rx));
    if (r < 0)
        link_keys_free(&k);
    else
        *ret = k;
    return r;
}

size_t link_answer_write(const struct link_end *e, struct noise *n, const struct link_sender *to, uint32_t local,
                         uint8_t *out, struct link_keys *ret)
{
    uint8_t card[MESH_CARD_MAX];
    size_t len = own_card(e, local, card);
    int r = -EINVAL;

    put_header(out, e->init_type + 1);
    put_be32(out + INDEX_AT, to->index);
    if (len > 0)
        r = noise_write(n, &e->rng, card, len, out + ANSWER_AT, DMUX_REGISTER_MAX - ANSWER_AT);
    return r > 0 && split(n, local, to->index, to->until_s, ret) == 0 ? (size_t)ANSWER_AT + (size_t)r : 0;
}

int link_answer_read(const struct link_end *e, const struct link_realm *realm, const struct noise *state,
                     uint32_t index, const uint8_t *data, size_t len, const struct endpoint *from, uint64_t wall_s,
                     struct link_keys *ret, uint32_t *ret_gateway)
{
    uint8_t card[MESH_CARD_MAX];
    struct noise n = *state; /* a forged answer spoils nothing */
    struct mesh_card c = { 0 };
    uint64_t until_s = 0;
    int r = len > ANSWER_AT ? noise_read(&n, data + ANSWER_AT, len - ANSWER_AT, card, sizeof(card)) : -EBADMSG;

    if (r > 0)
        r = mesh_card_read(card, (size_t)r, &c);
    if (r == 0)
        r = card_check(realm, 1, &c, noise_remote_static(&n), from, wall_s, &until_s);
    else
        r = -EBADMSG;
    if (r == 0)
        r = split(&n, index, c.index, until_s, ret);
    *ret_gateway = c.gateway;
    noise_wipe(&n);
    return r;
}

size_t link_seal(const struct link_end *e, struct link_keys *k, size_t len, uint8_t *out)
{
    put_header(out, e->init_type + 2);
    put_be32(out + INDEX_AT, k->remote);
    put_be64(out + INDEX_AT + 4, k->tx_next);
    if (len == 0 || aead_seal(k->tx, k->tx_next, out, RECORD_AT, out + RECORD_AT, len, out + RECORD_AT) < 0)
        return 0;
    k->tx_next++;
    return RECORD_AT + len + AEAD_TAG_LEN;
}

int link_open(struct link_keys *k, const uint8_t *data, size_t len, uint64_t wall_s, uint8_t *text)
{
    uint64_t counter;

    if (len < RECORD_AT + AEAD_TAG_LEN || len - RECORD_AT - AEAD_TAG_LEN > MESH_TEXT_MAX)
        return -EBADMSG;
    counter = get_be64(data + INDEX_AT + 4);
    if (counter < k->rx_next || aead_open(k->rx, counter, data, RECORD_AT, data + RECORD_AT, len - RECORD_AT, text) < 0)
        return -EBADMSG;
    if (k->until_s != 0 && k->until_s < wall_s)
        return -EKEYEXPIRED;
    k->rx_next = counter + 1;
    return (int)(len - RECORD_AT - AEAD_TAG_LEN);
}
