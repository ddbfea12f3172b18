/* dmux/client.c - see client.h.
 *
 * Theory of operation. A HELLO goes to the anycast address each few seconds; the answer names the gateway, says where
 * the client was seen, and gives the cookie that all packets carry from then on. An ECHO with that cookie asks which
 * router the gateway chose. A packet that comes back while none is known has that asked too, once a second at most: so
 * where nobody serves nothing more is asked. What the protocol has to say (a solicitation, say) goes like any packet.
 * Words with the router about credentials are the applicant's (applicant.h); while it waits for a verdict packets wait
 * with it. */
#include "dmux/client.h"

struct client {
    struct client_options o;
    void *state; /* of the protocol */
    struct applicant *applicant;
    struct client_info info;
    bool has_cookie;
    uint8_t cookie[SHIM_COOKIE_LEN];
    uint64_t hello_nonce, echo_nonce; /* 0: none is out */
    instant hello_at, hello_next;
    unsigned unanswered;
    bool echo_due;
    bool served;       /* a packet came back since the last ECHO */
    instant echo_next; /* not before */
};

struct client *client_new(const struct client_options *o, instant now)
{
    struct client *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->o = *o;
    c->hello_next = now;
    c->state = calloc(1, o->protocol->state_bytes + 1);
    c->applicant = applicant_new(o->credentials, o->credentials_count, o->protocol->id, &o->rng);
    if (!c->state || !c->applicant) {
        client_free(c);
        return NULL;
    }
    if (o->protocol->init)
        o->protocol->init(c->state, &c->o.rng);
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    applicant_free(c->applicant);
    free(c->state);
    free(c);
}

static size_t wrap(struct client *c, uint8_t flags, const uint8_t *packet, size_t len, uint8_t *out)
{
    size_t at = shim_put(out, flags | (c->has_cookie ? SHIM_COOKIE : 0), c->o.protocol->id, c->o.provider);

    if (c->has_cookie)
        memcpy(out + SHIM_LEN, c->cookie, SHIM_COOKIE_LEN);
    memcpy(out + at, packet, len);
    c->info.tx_pkts += !(flags & SHIM_WORD);
    return at + len;
}

/* 0: it is held back. */
static size_t send_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out)
{
    if (!applicant_waits(c->applicant))
        return wrap(c, 0, packet, len, out);
    applicant_hold(c->applicant, packet, len);
    return 0;
}

size_t client_on_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out)
{
    if (len > PROTOCOL_PACKET_MAX) {
        c->info.drops[CLIENT_DROP_SIZE]++;
        return 0;
    }
    if (c->o.protocol->may_send && !c->o.protocol->may_send(c->state, packet, len)) {
        c->info.drops[CLIENT_DROP_PACKET]++;
        return 0;
    }
    return send_packet(c, packet, len, out);
}

static enum client_input drop(struct client *c, enum client_drop cause)
{
    c->info.drops[cause]++;
    return CLIENT_NOTHING;
}

static enum client_input on_challenge(struct client *c, const struct dmux_message *m, instant now)
{
    struct client_id self = { .addr = get_be32(m->you.addr.bytes), .port = m->you.port };

    if (c->hello_nonce == 0 || m->nonce != c->hello_nonce)
        return drop(c, CLIENT_DROP_NONCE);
    c->hello_nonce = 0;
    c->unanswered = 0;
    c->info.rtt = now - c->hello_at;
    if (c->info.gateway != 0 && c->info.gateway != m->gateway)
        c->info.gateway_changes++;
    c->info.up = true;
    c->info.gateway = m->gateway;
    c->info.unicast = m->unicast;
    memcpy(c->cookie, m->cookie, sizeof(c->cookie));
    c->has_cookie = true;
    c->echo_due = true;
    c->hello_next = now + CLIENT_HELLO_EVERY;
    if (!endpoint_equal(&c->info.you, &m->you)) {
        c->info.you = m->you;
        if (c->o.protocol->on_seen)
            c->o.protocol->on_seen(c->state, &self);
        applicant_begin(c->applicant, &self, now);
    }
    return CLIENT_NOTHING;
}

static enum client_input on_echo_reply(struct client *c, const struct dmux_message *m, instant now)
{
    const struct client_id self = { .addr = get_be32(c->info.you.addr.bytes), .port = c->info.you.port };

    if (c->echo_nonce == 0 || m->nonce != c->echo_nonce)
        return drop(c, CLIENT_DROP_NONCE);
    c->echo_nonce = 0;
    if (m->refusal != DMUX_REFUSED_NONE) {
        c->info.provider = 0;
        return CLIENT_NOTHING;
    }
    if (c->info.provider != 0 && !endpoint_equal(&c->info.router, &m->router)) {
        c->info.router_changes++;
        applicant_begin(c->applicant, &self, now);
    }
    c->info.provider = m->provider;
    c->info.router = m->router;
    c->info.router_rtt_us = m->rtt_us;
    c->info.dmux = m->prefix;
    return CLIENT_NOTHING;
}

enum client_input client_on_datagram(struct client *c, const uint8_t *data, size_t len, const struct endpoint *from,
                                     instant now, const uint8_t **ret_packet, size_t *ret_len)
{
    struct dmux_message m;
    struct shim s;

    if (!endpoint_equal(from, &c->o.service))
        return drop(c, CLIENT_DROP_FROM);
    if (shim_parse(data, data + len, &s) != SHIM_OK)
        return drop(c, CLIENT_DROP_SHIM);
    if (s.flags & SHIM_CONTROL) {
        if (dmux_read(&s, data, len, &m) < 0)
            return drop(c, CLIENT_DROP_SHIM);
        if (m.type == DMUX_CHALLENGE)
            return on_challenge(c, &m, now);
        return m.type == DMUX_ECHO_REPLY ? on_echo_reply(c, &m, now) : drop(c, CLIENT_DROP_SHIM);
    }
    if (s.flags & ~SHIM_WORD)
        return drop(c, CLIENT_DROP_SHIM);
    if (s.protocol != c->o.protocol->id || (c->o.provider != PROVIDER_ANY && s.provider != c->o.provider))
        return drop(c, CLIENT_DROP_OTHER);
    c->served = true;
    if (s.flags & SHIM_WORD) {
        applicant_on_word(c->applicant, s.provider, data + s.len, len - s.len, now);
        return CLIENT_NOTHING;
    }
    c->info.rx_pkts++;
    applicant_on_served(c->applicant);
    switch (c->o.protocol->on_router(c->state, data + s.len, len - s.len, now)) {
    case PROTOCOL_DELIVER:
        *ret_packet = data + s.len;
        *ret_len = len - s.len;
        return CLIENT_PACKET;
    case PROTOCOL_TAKEN:
        return CLIENT_NOTHING;
    default:
        return drop(c, CLIENT_DROP_PACKET);
    }
}

/* Is there anything to be asked of the router, if it is time? */
static bool wants_echo(const struct client *c)
{
    return c->echo_due || (c->served && c->info.up && c->info.provider == 0);
}

static size_t hello(struct client *c, uint8_t *out, instant now)
{
    struct dmux_message m = { .type = DMUX_HELLO, .protocol = c->o.protocol->id, .provider = c->o.provider };

    c->hello_nonce = m.nonce = rng_nonzero(&c->o.rng);
    c->hello_at = now;
    c->hello_next = now + CLIENT_HELLO_RETRY;
    if (++c->unanswered > CLIENT_DOWN_AFTER) {
        c->info.up = false;
        c->info.provider = 0;
    }
    return dmux_write(&m, out, DMUX_MESSAGE_MAX);
}

size_t client_output(struct client *c, uint8_t *out, instant now)
{
    struct dmux_message m = { .type = DMUX_ECHO, .protocol = c->o.protocol->id, .provider = c->o.provider };
    uint8_t packet[PROTOCOL_PACKET_MAX];
    size_t len;

    if (now >= c->hello_next)
        return hello(c, out, now);
    if (wants_echo(c) && now >= c->echo_next) {
        c->echo_due = c->served = false;
        c->echo_next = now + CLIENT_ECHO_EVERY;
        c->echo_nonce = m.nonce = rng_nonzero(&c->o.rng);
        memcpy(m.cookie, c->cookie, sizeof(m.cookie));
        return dmux_write(&m, out, DMUX_MESSAGE_MAX);
    }
    if ((len = applicant_output(c->applicant, packet, now)) > 0)
        return wrap(c, SHIM_WORD, packet, len, out);
    if ((len = applicant_release(c->applicant, packet)) > 0)
        return wrap(c, 0, packet, len, out);
    len = c->o.protocol->output ? c->o.protocol->output(c->state, packet, now) : 0;
    return len > 0 ? send_packet(c, packet, len, out) : 0;
}

instant client_next_expiry(const struct client *c)
{
    instant next = instant_min(c->hello_next, applicant_next_expiry(c->applicant));

    if (wants_echo(c))
        next = instant_min(next, c->echo_next);
    return c->o.protocol->next_expiry ? instant_min(next, c->o.protocol->next_expiry(c->state)) : next;
}

void client_info_get(const struct client *c, struct client_info *ret)
{
    *ret = c->info;
    applicant_info_get(c->applicant, &ret->admission);
    ret->address = c->o.protocol->address ? c->o.protocol->address(c->state) : (struct addr){ .family = ADDR_NONE };
}

const char *client_drop_name(unsigned drop)
{
    static const char *const names[CLIENT_DROP_COUNT] = { "shim", "from", "other", "nonce", "packet", "size" };

    return drop < CLIENT_DROP_COUNT ? names[drop] : "?";
}
