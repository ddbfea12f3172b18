/* dmux/locate.c - see locate.h. */
#include "dmux/locate.h"

#include "wire/frame.h"

#include <errno.h>

#define QUESTION 1
#define ANSWER 2
#define QUESTION_FIXED 10 /* up to the zeros */
#define ASK_EVERY SEC     /* chosen: RFC 8085 section 3.1.1's start for an unknown round trip */
#define LEAF "agent"
#define OFFER "1 to 4 addresses of an agent, and its certificate of at most 1100 bytes"

_Static_assert(2 + 8 + LOCATE_ENDPOINTS_MAX * (1 + 16 + 2) + LOCATE_CHAIN_MAX <= LOCATE_QUESTION_LEN,
               "an answer is no longer than its question");
_Static_assert(LOCATE_QUESTION_LEN <= PROTOCOL_PACKET_MAX, "a question is one packet");

size_t locate_offer_write(const struct locate_offer *o, uint8_t *out)
{
    struct writer w = writer_init(out, LOCATE_QUESTION_LEN);

    if (o->at_count == 0 || o->at_count > LOCATE_ENDPOINTS_MAX || o->chain.len == 0 || o->chain.len > LOCATE_CHAIN_MAX)
        return 0;
    write_u8(&w, ANSWER);
    write_u8(&w, (uint8_t)o->at_count);
    write_u64(&w, o->nonce);
    for (size_t i = 0; i < o->at_count; i++)
        endpoint_write(&w, &o->at[i]);
    write_bytes(&w, o->chain.data, o->chain.len);
    return w.failed ? 0 : writer_len(&w);
}

int locate_offer_read(const uint8_t *packet, size_t len, struct locate_offer *ret)
{
    struct reader r = reader_init(packet, len);
    bool answer = read_u8(&r) == ANSWER;

    *ret = (struct locate_offer){ .at_count = read_u8(&r) };
    ret->nonce = read_u64(&r);
    if (!answer || ret->at_count == 0 || ret->at_count > LOCATE_ENDPOINTS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < ret->at_count; i++) {
        endpoint_read(&r, &ret->at[i]);
        if (r.failed || ret->at[i].port == 0 || !addr_is_unicast(&ret->at[i].addr))
            return -EBADMSG;
    }
    ret->chain = (struct slice){ r.at, reader_left(&r) };
    return ret->chain.len > 0 && ret->chain.len <= LOCATE_CHAIN_MAX ? 0 : -EBADMSG;
}

bool locate_is_agent(const char *name, const char *realm)
{
    struct name_error e;
    struct name n;

    return name_parse(name, strlen(name), &n, &e) == 0 && n.tier == TAG_TIER_SERVICE &&
           strcmp(n.text + n.realm_at, realm) == 0 && n.leaf_len >= strlen(LEAF) &&
           memcmp(n.text + n.leaf_at, LEAF, strlen(LEAF)) == 0 &&
           (n.leaf_len == strlen(LEAF) || n.text[n.leaf_at + strlen(LEAF)] == '-');
}

int locate_judge(const struct locate_offer *o, struct slice root, uint64_t wall_s, const struct rng *rng,
                 struct chain_end *ret, const char **ret_why)
{
    const struct trust_options to = { .cached_max = 2, .facts_max = 2 * CHAIN_LINKS_MAX, .rng = rng };
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record_error e;
    struct record_bytes b;
    struct record top;
    struct trust *t;
    int r;

    if (record_decode(root.data, root.len, &top, &b, &e) < 0 ||
        record_split(o->chain.data, o->chain.len, links, &count, &e) < 0) {
        *ret_why = record_fault_name(e.fault);
        return -EBADMSG;
    }
    t = trust_new(top.key, &to);
    if (!t)
        return -ENOMEM;
    r = count > 0 ? trust_verify(t, links, count, wall_s, ret, &e) : -EBADMSG;
    trust_free(t);
    if (r == -EBADMSG)
        *ret_why = count > 0 ? record_fault_name(e.fault) : "no records";
    else if (r == 0 && (ret->is_realm || !locate_is_agent(ret->name, top.name))) {
        *ret_why = "its name is not that of an agent of the root's realm";
        r = -EBADMSG;
    }
    return r;
}

/* --- the client --- */

struct asking {
    uint64_t nonce;
    bool seen, answered;
    instant next;
};

static void client_init(void *state, const struct rng *rng)
{
    ((struct asking *)state)->nonce = rng_nonzero(rng);
}

/* From now on there is a cookie: a question without one would be more than a gateway does for a stranger. */
static void client_on_seen(void *state, const struct client_id *self)
{
    ((struct asking *)state)->seen = true;
}

static size_t client_output(void *state, uint8_t packet[PROTOCOL_PACKET_MAX], instant now)
{
    struct asking *s = state;

    if (!s->seen || s->answered || now < s->next)
        return 0;
    s->next = now + ASK_EVERY;
    memset(packet, 0, LOCATE_QUESTION_LEN);
    packet[0] = QUESTION;
    put_be64(packet + 2, s->nonce);
    return LOCATE_QUESTION_LEN;
}

static instant client_next_expiry(const void *state)
{
    const struct asking *s = state;

    return s->seen && !s->answered ? s->next : INSTANT_NEVER;
}

static enum protocol_verdict client_on_router(void *state, const uint8_t *packet, size_t len, instant now)
{
    struct asking *s = state;
    struct locate_offer o;

    if (locate_offer_read(packet, len, &o) < 0 || o.nonce != s->nonce)
        return PROTOCOL_DROP;
    s->answered = true;
    return PROTOCOL_DELIVER;
}

const struct protocol_client locate_client = {
    .id = LOCATE_ID,
    .name = "hawser",
    .state_bytes = sizeof(struct asking),
    .no_device = true,
    .init = client_init,
    .on_seen = client_on_seen,
    .output = client_output,
    .next_expiry = client_next_expiry,
    .on_router = client_on_router,
};

/* --- the router --- */

struct answering {
    struct locate_offer offer; /* its chain is the configuration's */
};

static const char *router_init(void *state, const struct protocol_setup *setup)
{
    struct answering *s = state;
    uint8_t probe[LOCATE_QUESTION_LEN];

    if (setup->offers_count > LOCATE_ENDPOINTS_MAX)
        return OFFER;
    s->offer = (struct locate_offer){ .at_count = setup->offers_count, .chain = setup->offered };
    memcpy(s->offer.at, setup->offers, setup->offers_count * sizeof(*setup->offers));
    return locate_offer_write(&s->offer, probe) > 0 ? NULL : OFFER;
}

static enum protocol_verdict router_on_client(void *state, const struct client_id *client, const uint8_t *packet,
                                              size_t len, struct protocol_reply *reply)
{
    struct answering *s = state;

    if (len != LOCATE_QUESTION_LEN || packet[0] != QUESTION || packet[1] != 0)
        return PROTOCOL_DROP;
    for (size_t i = QUESTION_FIXED; i < len; i++)
        if (packet[i] != 0)
            return PROTOCOL_DROP;
    s->offer.nonce = get_be64(packet + 2);
    reply->len = locate_offer_write(&s->offer, reply->packet);
    return PROTOCOL_ANSWER;
}

const struct protocol_router locate_router = {
    .id = LOCATE_ID,
    .name = "hawser",
    .state_bytes = sizeof(struct answering),
    .needs = PROTOCOL_OFFERS,
    .init = router_init,
    .on_client = router_on_client,
};
