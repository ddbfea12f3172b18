/* wire/federation.c - see federation.h. */
#include "wire/federation.h"

#include <errno.h>

enum field { NONCE = 1, FROM = 2, VERSION = 4, PASS = 8, PROTOCOL = 16, PROVIDER = 32, KEY = 64, REST = 128 };

/* Which fields a kind has, in the order above. */
static const uint8_t fields_of[FEDERATION_KIND_COUNT] = {
    [FEDERATION_PING] = NONCE | VERSION,
    [FEDERATION_PONG] = NONCE | PASS,
    [FEDERATION_SUMMARY] = FROM | VERSION | REST,
    [FEDERATION_HEARD] = VERSION,
    [FEDERATION_BORDERS] = REST,
    [FEDERATION_WANT] = PROTOCOL | PROVIDER,
    [FEDERATION_PROVE] = PROVIDER,
    [FEDERATION_CERTIFICATE] = PROVIDER | KEY | REST,
};

size_t federation_write(const struct federation_message *m, uint8_t *buf, size_t size)
{
    struct writer w = writer_init(buf, MIN(size, (size_t)MESH_TEXT_MAX));
    uint8_t fields = fields_of[m->kind];

    write_u8(&w, m->kind);
    if (fields & NONCE)
        write_u64(&w, m->nonce);
    if (fields & FROM)
        write_u64(&w, m->from);
    if (fields & VERSION)
        write_u64(&w, m->version);
    if (fields & PASS)
        write_bytes(&w, m->pass, sizeof(m->pass));
    if (fields & PROTOCOL)
        write_u16(&w, m->protocol);
    if (fields & PROVIDER)
        write_u32(&w, m->provider);
    if (fields & KEY)
        write_bytes(&w, m->key, sizeof(m->key));
    if (fields & REST)
        write_bytes(&w, m->rest, m->rest_len);
    return w.failed ? 0 : writer_len(&w);
}

/* Whether the fields mean something, and a rest is what its kind has, to the end. */
static bool sound(const struct federation_message *m)
{
    struct reader r = reader_init(m->rest, m->rest_len);
    struct federation_item item;
    struct mesh_member member;

    switch (m->kind) {
    case FEDERATION_SUMMARY:
        while (reader_left(&r) > 0) {
            if (!federation_next_item(&r, &item))
                return false;
        }
        return m->from <= m->version;
    case FEDERATION_BORDERS:
        while (reader_left(&r) > 0) {
            if (!mesh_next_member(&r, &member))
                return false;
        }
        return true;
    case FEDERATION_WANT:
        return m->protocol != 0 && m->provider > PROVIDER_ANY;
    case FEDERATION_PROVE:
        return m->provider > PROVIDER_ANY;
    case FEDERATION_CERTIFICATE:
        return m->provider > PROVIDER_ANY && m->rest_len > 0;
    default:
        return true;
    }
}

int federation_read(const uint8_t *data, size_t len, struct federation_message *ret)
{
    struct reader r = reader_init(data, len);
    struct federation_message m = { .kind = read_u8(&r) };
    uint8_t fields;

    if (m.kind == 0 || m.kind >= FEDERATION_KIND_COUNT || len > MESH_TEXT_MAX)
        return -EBADMSG;
    fields = fields_of[m.kind];
    if (fields & NONCE)
        m.nonce = read_u64(&r);
    if (fields & FROM)
        m.from = read_u64(&r);
    if (fields & VERSION)
        m.version = read_u64(&r);
    if (fields & PASS)
        read_copy(&r, m.pass, sizeof(m.pass));
    if (fields & PROTOCOL)
        m.protocol = read_u16(&r);
    if (fields & PROVIDER)
        m.provider = read_u32(&r);
    if (fields & KEY)
        read_copy(&r, m.key, sizeof(m.key));
    m.rest_len = fields & REST ? reader_left(&r) : 0;
    m.rest = read_bytes(&r, m.rest_len);
    if (!reader_done(&r) || !sound(&m))
        return -EBADMSG;
    *ret = m;
    return 0;
}

void federation_put_item(struct writer *w, const struct federation_item *i)
{
    write_u16(w, i->protocol);
    write_u32(w, i->provider);
    write_u32(w, i->rtt_us);
}

bool federation_next_item(struct reader *r, struct federation_item *ret)
{
    struct federation_item i;

    if (reader_left(r) == 0)
        return false;
    i = (struct federation_item){ .protocol = read_u16(r) };
    i.provider = read_u32(r);
    i.rtt_us = read_u32(r);
    if (r->failed || i.protocol == 0 || i.provider <= PROVIDER_ANY)
        return false;
    *ret = i;
    return true;
}
