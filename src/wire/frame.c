/* wire/frame.c - see frame.h. Limits: a frame's body is at most 65,535 bytes on paper and the record's rest in
 * practice; link names 15 bytes, as Linux interface names. */
#include "wire/frame.h"

bool frame_next(struct reader *r, struct frame *ret)
{
    struct frame f;

    if (r->failed || reader_left(r) == 0)
        return false;
    f.type = read_u8(r);
    f.len = read_u16(r);
    f.body = read_bytes(r, f.len);
    if (r->failed)
        return false;
    *ret = f;
    return true;
}

uint8_t *frame_begin(struct writer *w, enum frame_type type)
{
    write_u8(w, (uint8_t)type);
    write_u16(w, 0);
    return w->at;
}

void frame_end(struct writer *w, uint8_t *mark)
{
    if (!w->failed)
        put_be16(mark - 2, (uint16_t)(w->at - mark));
}

void path_open_write(struct writer *w, const struct path_open *p)
{
    size_t len = strlen(p->link);

    write_u8(w, p->slot);
    write_u8(w, p->tier);
    write_u8(w, p->flags);
    write_u16(w, p->weight);
    write_u16(w, p->revision);
    write_u8(w, (uint8_t)len);
    write_bytes(w, p->link, len);
}

void path_open_read(struct reader *r, struct path_open *ret)
{
    struct path_open p = { 0 };
    size_t len;

    p.slot = read_u8(r);
    p.tier = read_u8(r);
    p.flags = read_u8(r);
    p.weight = read_u16(r);
    p.revision = read_u16(r);
    len = read_u8(r);
    if (p.slot > 7 || p.tier >= TIER_COUNT || p.weight == 0 || len == 0 || len > LINK_NAME_MAX)
        r->failed = true;
    else
        read_copy(r, p.link, len);
    for (size_t i = 0; i < len && !r->failed; i++)
        if (p.link[i] <= ' ' || p.link[i] > '~')
            r->failed = true;
    if (!r->failed)
        *ret = p;
}

void path_summary_write(struct writer *w, const struct path_summary *s)
{
    write_u32(w, s->path_id);
    write_u16(w, s->number);
    write_u16(w, (uint16_t)s->skew);
    write_u16(w, s->freq);
    write_u16(w, s->loss);
    write_u32(w, s->var_us);
    write_u32(w, s->mean_us);
}

void path_summary_read(struct reader *r, struct path_summary *ret)
{
    struct path_summary s;

    s.path_id = read_u32(r);
    s.number = read_u16(r);
    s.skew = (int16_t)read_u16(r);
    s.freq = read_u16(r);
    s.loss = read_u16(r);
    s.var_us = read_u32(r);
    s.mean_us = read_u32(r);
    if (s.skew < -SUMMARY_ONE || s.skew > SUMMARY_ONE || s.freq > SUMMARY_ONE || s.loss > SUMMARY_ONE ||
        s.var_us > SUMMARY_VAR_MAX || s.mean_us >= SUMMARY_TIME_WRAP)
        r->failed = true;
    if (!r->failed)
        *ret = s;
}

static void addr_write(struct writer *w, const struct addr *a)
{
    write_bytes(w, a->bytes, addr_bytes_len(a));
}

static void addr_read(struct reader *r, uint8_t family, struct addr *a)
{
    *a = (struct addr){ .family = family };
    if (family != ADDR_V4 && family != ADDR_V6)
        r->failed = true;
    else
        read_copy(r, a->bytes, addr_bytes_len(a));
}

void endpoint_write(struct writer *w, const struct endpoint *e)
{
    write_u8(w, e->addr.family);
    addr_write(w, &e->addr);
    write_u16(w, e->port);
}

void endpoint_read(struct reader *r, struct endpoint *ret)
{
    uint8_t family = read_u8(r);

    addr_read(r, family, &ret->addr);
    ret->port = read_u16(r);
}

void prefix_write(struct writer *w, const struct prefix *p)
{
    write_u8(w, p->addr.family);
    write_u8(w, p->len);
    addr_write(w, &p->addr);
}

void prefix_read(struct reader *r, struct prefix *ret)
{
    uint8_t family = read_u8(r), len = read_u8(r);

    addr_read(r, family, &ret->addr);
    ret->len = len;
    if (len > addr_bits(&ret->addr))
        r->failed = true;
}

const char *link_tier_name(enum link_tier t)
{
    static const char *const names[TIER_COUNT] = { "primary", "secondary", "backup", "never" };
    return t < TIER_COUNT ? names[t] : "?";
}
