/* wire/dmux.c - see dmux.h.
 *
 * Theory of operation. A message is a sequence of fields; fields[] says which, in their order, for each type, and one
 * loop reads and one writes them. Each has a fixed length, but the certificate at the end of REGISTER, so a type's
 * length is known from the table.
 *
 * Limits: DMUX_MESSAGE_MAX, DMUX_REGISTER_MAX. */
#include "wire/dmux.h"

#include "wire/cursor.h"

#include <errno.h>

enum field {
    END,
    NONCE,
    GATEWAY,
    VOUCHER,
    UNICAST,
    YOU,
    COOKIE,
    WEIGHT,
    LOAD,
    DH,
    KEY,
    SIGNATURE,
    CHAIN, /* to the end of the datagram */
    MAC,
    SEQ,
    REFUSAL,
    WAIT,
    ROUTER,
    RTT,
    PREFIX
};

#define FIELDS_MAX 9

static const struct {
    uint8_t fields[FIELDS_MAX];
    uint8_t at_least; /* filled up with zeros to this length */
} types[DMUX_TYPE_COUNT] = {
    [DMUX_HELLO] = { { NONCE }, DMUX_HELLO_LEN },
    [DMUX_CHALLENGE] = { { NONCE, GATEWAY, UNICAST, YOU, COOKIE }, 0 },
    [DMUX_REGISTER] = { { NONCE, GATEWAY, COOKIE, YOU, WEIGHT, DH, KEY, SIGNATURE, CHAIN }, 0 },
    [DMUX_ACK] = { { NONCE, GATEWAY, DH, MAC }, 0 },
    [DMUX_NAK] = { { NONCE, GATEWAY, REFUSAL, WAIT }, 0 },
    [DMUX_KEEPALIVE] = { { GATEWAY, SEQ, NONCE, WEIGHT, LOAD, MAC }, 0 },
    [DMUX_CHECK] = { { GATEWAY, SEQ, NONCE, MAC }, 0 },
    [DMUX_PROOF] = { { GATEWAY, SEQ, NONCE, MAC }, 0 },
    [DMUX_WITHDRAW] = { { GATEWAY, SEQ, MAC }, 0 },
    [DMUX_ECHO] = { { COOKIE, NONCE }, DMUX_ECHO_LEN },
    [DMUX_VOUCHED] = { { GATEWAY, VOUCHER, UNICAST, NONCE, MAC }, 0 },
    [DMUX_ECHO_REPLY] = { { NONCE, GATEWAY, UNICAST, REFUSAL, ROUTER, RTT, PREFIX }, 0 },
};

static const uint8_t field_len[] = {
    [NONCE] = 8,
    [GATEWAY] = 4,
    [VOUCHER] = 4,
    [UNICAST] = 6,
    [YOU] = 6,
    [COOKIE] = SHIM_COOKIE_LEN,
    [WEIGHT] = 2,
    [LOAD] = 2,
    [DH] = DMUX_KEY_LEN,
    [KEY] = DMUX_KEY_LEN,
    [SIGNATURE] = DMUX_SIGNATURE_LEN,
    [CHAIN] = 0,
    [MAC] = DMUX_MAC_LEN,
    [SEQ] = 4,
    [REFUSAL] = 1,
    [WAIT] = 2,
    [ROUTER] = 6,
    [RTT] = 4,
    [PREFIX] = 5,
};

static void write_endpoint(struct writer *w, const struct endpoint *e)
{
    write_bytes(w, e->addr.bytes, 4);
    write_u16(w, e->port);
}

static void read_endpoint(struct reader *r, struct endpoint *ret)
{
    ret->addr.family = ADDR_V4;
    read_copy(r, ret->addr.bytes, 4);
    ret->port = read_u16(r);
}

static void write_field(struct writer *w, enum field f, const struct dmux_message *m)
{
    switch (f) {
    case NONCE:
        write_u64(w, m->nonce);
        break;
    case GATEWAY:
        write_u32(w, m->gateway);
        break;
    case VOUCHER:
        write_u32(w, m->voucher);
        break;
    case UNICAST:
        write_endpoint(w, &m->unicast);
        break;
    case YOU:
        write_endpoint(w, &m->you);
        break;
    case COOKIE:
        write_bytes(w, m->cookie, sizeof(m->cookie));
        break;
    case WEIGHT:
        write_u16(w, m->weight);
        break;
    case LOAD:
        write_u16(w, m->load);
        break;
    case DH:
        write_bytes(w, m->dh, sizeof(m->dh));
        break;
    case KEY:
        write_bytes(w, m->key, sizeof(m->key));
        break;
    case SIGNATURE:
        write_bytes(w, m->signature, sizeof(m->signature));
        break;
    case CHAIN:
        write_bytes(w, m->chain, m->chain_len);
        break;
    case MAC:
        write_bytes(w, m->mac, sizeof(m->mac));
        break;
    case SEQ:
        write_u32(w, m->seq);
        break;
    case REFUSAL:
        write_u8(w, m->refusal);
        break;
    case WAIT:
        write_u16(w, m->wait_s);
        break;
    case ROUTER:
        write_endpoint(w, &m->router);
        break;
    case RTT:
        write_u32(w, m->rtt_us);
        break;
    case PREFIX:
        write_bytes(w, m->prefix.addr.bytes, 4);
        write_u8(w, m->prefix.len);
        break;
    case END:
        break;
    }
}

static void read_field(struct reader *r, enum field f, struct dmux_message *m)
{
    switch (f) {
    case NONCE:
        m->nonce = read_u64(r);
        break;
    case GATEWAY:
        m->gateway = read_u32(r);
        break;
    case VOUCHER:
        m->voucher = read_u32(r);
        break;
    case UNICAST:
        read_endpoint(r, &m->unicast);
        break;
    case YOU:
        read_endpoint(r, &m->you);
        break;
    case COOKIE:
        read_copy(r, m->cookie, sizeof(m->cookie));
        break;
    case WEIGHT:
        m->weight = read_u16(r);
        break;
    case LOAD:
        m->load = read_u16(r);
        break;
    case DH:
        read_copy(r, m->dh, sizeof(m->dh));
        break;
    case KEY:
        read_copy(r, m->key, sizeof(m->key));
        break;
    case SIGNATURE:
        read_copy(r, m->signature, sizeof(m->signature));
        break;
    case CHAIN:
        m->chain_len = reader_left(r);
        m->chain = read_bytes(r, m->chain_len);
        break;
    case MAC:
        read_copy(r, m->mac, sizeof(m->mac));
        break;
    case SEQ:
        m->seq = read_u32(r);
        break;
    case REFUSAL:
        m->refusal = read_u8(r);
        break;
    case WAIT:
        m->wait_s = read_u16(r);
        break;
    case ROUTER:
        read_endpoint(r, &m->router);
        break;
    case RTT:
        m->rtt_us = read_u32(r);
        break;
    case PREFIX:
        m->prefix.addr.family = ADDR_V4;
        read_copy(r, m->prefix.addr.bytes, 4);
        m->prefix.len = read_u8(r);
        break;
    case END:
        break;
    }
}

/* A field that a message has must mean something. */
static bool has_sense(enum field f, const struct dmux_message *m)
{
    switch (f) {
    case GATEWAY:
        return m->gateway != 0;
    case VOUCHER:
        return m->voucher != 0;
    case REFUSAL:
        return m->refusal < DMUX_REFUSAL_COUNT;
    case PREFIX:
        return m->prefix.len <= 32;
    case CHAIN:
        return m->chain_len <= DMUX_REGISTER_MAX - DMUX_MESSAGE_MAX;
    default:
        return true;
    }
}

size_t dmux_write(const struct dmux_message *m, uint8_t *buf, size_t size)
{
    struct writer w = writer_init(buf, size);
    uint8_t *shim = write_room(&w, SHIM_LEN);
    size_t fill;

    if (shim)
        shim_put(shim, SHIM_CONTROL, m->protocol, m->provider);
    write_u8(&w, m->type);
    write_u8(&w, 0);
    for (size_t i = 0; i < FIELDS_MAX && types[m->type].fields[i] != END; i++)
        write_field(&w, types[m->type].fields[i], m);
    fill = types[m->type].at_least > writer_len(&w) ? types[m->type].at_least - writer_len(&w) : 0;
    shim = write_room(&w, fill);
    if (shim)
        memset(shim, 0, fill);
    return w.failed ? 0 : writer_len(&w);
}

int dmux_read(const struct shim *shim, const uint8_t *data, size_t len, struct dmux_message *ret)
{
    struct reader r = reader_init(data, len);
    struct dmux_message m = { .protocol = shim->protocol, .provider = shim->provider };

    read_bytes(&r, shim->len);
    m.type = read_u8(&r);
    if (read_u8(&r) != 0 || m.type == 0 || m.type >= DMUX_TYPE_COUNT || len < types[m.type].at_least)
        return -EBADMSG;
    for (size_t i = 0; i < FIELDS_MAX && types[m.type].fields[i] != END; i++) {
        read_field(&r, types[m.type].fields[i], &m);
        if (!has_sense(types[m.type].fields[i], &m))
            return -EBADMSG;
    }
    if (types[m.type].at_least > 0) {
        while (reader_left(&r) > 0) {
            if (read_u8(&r) != 0)
                return -EBADMSG;
        }
    }
    if (!reader_done(&r))
        return -EBADMSG;
    *ret = m;
    return 0;
}

size_t dmux_signed_len(const uint8_t *data, size_t len)
{
    uint8_t type = len >= DMUX_HEADER_LEN ? data[SHIM_LEN] : 0;
    size_t at = DMUX_HEADER_LEN;

    if (type >= DMUX_TYPE_COUNT)
        return 0;
    for (size_t i = 0; i < FIELDS_MAX && types[type].fields[i] != END; i++) {
        enum field f = types[type].fields[i];

        if (f == SIGNATURE || f == MAC)
            return at <= len ? at : 0;
        at += field_len[f];
    }
    return 0;
}

const char *dmux_refusal_name(unsigned refusal)
{
    static const char *const names[DMUX_REFUSAL_COUNT] = {
        "none", "cookie", "address", "provider", "signature", "damped", "full", "unknown", "withdrawn", "no-router",
    };

    return refusal < DMUX_REFUSAL_COUNT ? names[refusal] : "?";
}
