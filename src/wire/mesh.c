/* wire/mesh.c - see mesh.h, which has the format. Limits: MESH_TEXT_MAX, MESH_CARD_MAX. */
#include "wire/mesh.h"

#include <errno.h>

static void put_endpoint(struct writer *w, const struct endpoint *e)
{
    write_bytes(w, e->addr.bytes, 4);
    write_u16(w, e->port);
}

static struct endpoint get_endpoint(struct reader *r)
{
    struct endpoint e = { .addr.family = ADDR_V4 };

    read_copy(r, e.addr.bytes, 4);
    e.port = read_u16(r);
    return e;
}

void mesh_put_coord(struct writer *w, const struct mesh_coord *c)
{
    for (size_t i = 0; i < MESH_COORD_DIMENSIONS; i++)
        write_u32(w, (uint32_t)c->at_us[i]);
    write_u32(w, c->height_us);
    write_u16(w, c->error_permille);
}

struct mesh_coord mesh_get_coord(struct reader *r)
{
    struct mesh_coord c;

    for (size_t i = 0; i < MESH_COORD_DIMENSIONS; i++)
        c.at_us[i] = (int32_t)read_u32(r);
    c.height_us = read_u32(r);
    c.error_permille = read_u16(r);
    return c;
}

size_t mesh_write(const struct mesh_message *m, uint8_t *buf, size_t size)
{
    struct writer w = writer_init(buf, size);

    write_u8(&w, m->kind);
    switch (m->kind) {
    case MESH_PING:
    case MESH_PONG:
        write_u64(&w, m->nonce);
        write_u64(&w, m->version);
        mesh_put_coord(&w, &m->coord);
        break;
    case MESH_NEWS:
        write_u64(&w, m->from);
        write_u64(&w, m->version);
        break;
    case MESH_HEARD:
        write_u64(&w, m->version);
        break;
    case MESH_WANT:
    case MESH_CERTIFICATE:
        write_bytes(&w, m->key, sizeof(m->key));
        break;
    default:
        break;
    }
    write_bytes(&w, m->rest, m->rest_len);
    return w.failed ? 0 : writer_len(&w);
}

/* Whether a rest is what its kind has, to the end. */
static bool rest_sound(const struct mesh_message *m)
{
    struct reader r = reader_init(m->rest, m->rest_len);
    struct mesh_member member;
    struct mesh_item item;

    switch (m->kind) {
    case MESH_NEWS:
        while (reader_left(&r) > 0) {
            if (!mesh_next_item(&r, &item))
                return false;
        }
        return m->from <= m->version;
    case MESH_MEMBERS:
        while (reader_left(&r) > 0) {
            if (!mesh_next_member(&r, &member))
                return false;
        }
        return true;
    case MESH_CERTIFICATE:
        return m->rest_len > 0;
    default:
        return m->rest_len == 0;
    }
}

int mesh_read(const uint8_t *data, size_t len, struct mesh_message *ret)
{
    struct reader r = reader_init(data, len);
    struct mesh_message m = { .kind = read_u8(&r) };

    if (m.kind == 0 || m.kind >= MESH_KIND_COUNT || len > MESH_TEXT_MAX)
        return -EBADMSG;
    if (m.kind == MESH_PING || m.kind == MESH_PONG)
        m.nonce = read_u64(&r);
    if (m.kind == MESH_NEWS)
        m.from = read_u64(&r);
    if (m.kind <= MESH_HEARD)
        m.version = read_u64(&r);
    if (m.kind == MESH_PING || m.kind == MESH_PONG)
        m.coord = mesh_get_coord(&r);
    if (m.kind == MESH_WANT || m.kind == MESH_CERTIFICATE)
        read_copy(&r, m.key, sizeof(m.key));
    m.rest_len = reader_left(&r);
    m.rest = read_bytes(&r, m.rest_len);
    if (!reader_done(&r) || !rest_sound(&m))
        return -EBADMSG;
    *ret = m;
    return 0;
}

void mesh_put_item(struct writer *w, const struct mesh_item *i)
{
    write_u8(w, i->what);
    write_u16(w, i->protocol);
    write_u32(w, i->provider);
    write_u32(w, i->addr);
    write_u16(w, i->port);
    if (i->what == MESH_GONE)
        return;
    write_u16(w, i->weight);
    write_u16(w, i->load);
    write_u32(w, i->rtt_us);
    if (i->what == MESH_CHANGED)
        return;
    write_bytes(w, i->vouch, sizeof(i->vouch));
    write_u64(w, i->proof.nonce);
    write_bytes(w, i->proof.cookie, sizeof(i->proof.cookie));
    write_u16(w, i->proof.weight);
    write_bytes(w, i->proof.dh, sizeof(i->proof.dh));
    write_bytes(w, i->proof.key, sizeof(i->proof.key));
    write_bytes(w, i->proof.signature, sizeof(i->proof.signature));
}

bool mesh_next_item(struct reader *r, struct mesh_item *ret)
{
    struct mesh_item i = { 0 };

    if (reader_left(r) == 0)
        return false;
    i.what = read_u8(r);
    i.protocol = read_u16(r);
    i.provider = read_u32(r);
    i.addr = read_u32(r);
    i.port = read_u16(r);
    if (i.what != MESH_GONE) {
        i.weight = read_u16(r);
        i.load = read_u16(r);
        i.rtt_us = read_u32(r);
    }
    if (i.what == MESH_NEW) {
        read_copy(r, i.vouch, sizeof(i.vouch));
        i.proof.nonce = read_u64(r);
        read_copy(r, i.proof.cookie, sizeof(i.proof.cookie));
        i.proof.weight = read_u16(r);
        read_copy(r, i.proof.dh, sizeof(i.proof.dh));
        read_copy(r, i.proof.key, sizeof(i.proof.key));
        read_copy(r, i.proof.signature, sizeof(i.proof.signature));
    }
    if (r->failed || i.what == 0 || i.what >= MESH_WHAT_COUNT || i.protocol == 0 || i.provider <= PROVIDER_ANY)
        return false;
    *ret = i;
    return true;
}

void mesh_put_member(struct writer *w, const struct mesh_member *m)
{
    write_u32(w, m->gateway);
    put_endpoint(w, &m->at);
    write_bytes(w, m->x25519, sizeof(m->x25519));
}

bool mesh_next_member(struct reader *r, struct mesh_member *ret)
{
    if (reader_left(r) == 0)
        return false;
    ret->gateway = read_u32(r);
    ret->at = get_endpoint(r);
    read_copy(r, ret->x25519, sizeof(ret->x25519));
    return !r->failed && ret->gateway != 0 && ret->at.port != 0;
}

size_t mesh_card_write(const struct mesh_card *c, uint8_t *buf, size_t size)
{
    struct writer w = writer_init(buf, size);

    write_u32(&w, c->gateway);
    write_u32(&w, c->index);
    put_endpoint(&w, &c->at);
    write_bytes(&w, c->chain, c->chain_len);
    return w.failed ? 0 : writer_len(&w);
}

int mesh_card_read(const uint8_t *data, size_t len, struct mesh_card *ret)
{
    struct reader r = reader_init(data, len);
    struct mesh_card c;

    c.gateway = read_u32(&r);
    c.index = read_u32(&r);
    c.at = get_endpoint(&r);
    c.chain_len = reader_left(&r);
    c.chain = read_bytes(&r, c.chain_len);
    if (!reader_done(&r) || c.gateway == 0 || c.chain_len == 0 || len > MESH_CARD_MAX)
        return -EBADMSG;
    *ret = c;
    return 0;
}
