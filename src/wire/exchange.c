/* wire/exchange.c - see exchange.h.
 *
 * Theory of operation. The lengths of all parts but the last are equal, so a part's place follows from its number, and
 * a part that would not stand where its number says is refused before anything is kept of it. */
#include "wire/exchange.h"

#include <errno.h>

#include "base/hash.h"

#define FLAG_PARTS 1
#define FLAG_HAVE 2

size_t exchange_message_put(uint8_t *out, const struct exchange_message *m)
{
    uint8_t *p = out + EXCHANGE_ANSWER_HEADER;

    out[0] = CONTENT_MESSAGE;
    out[1] = m->kind;
    out[2] = m->try;
    out[3] = (uint8_t)((m->in_parts ? FLAG_PARTS : 0) | (m->has_have ? FLAG_HAVE : 0));
    put_be32(out + 4, m->id);
    if (m->kind == EXCHANGE_KIND_REQUEST || m->kind == EXCHANGE_KIND_CHALLENGE) {
        put_be64(p, m->token);
        p += 8;
    }
    if (m->in_parts) {
        p[0] = m->part;
        p[1] = m->last;
        put_be16(p + 2, 0);
        put_be64(p + 4, m->digest);
        p += EXCHANGE_PARTS_LEN;
    }
    if (m->has_have) {
        put_be64(p, m->have_digest);
        put_be64(p + 8, m->have_parts);
        p += EXCHANGE_HAVE_LEN;
    }
    return (size_t)(p - out);
}

/* False: the part cannot be where it says. */
static bool part_fits(const struct exchange_message *m)
{
    if (m->last == 0 || m->part > m->last)
        return false;
    if (m->part < m->last)
        return m->len == EXCHANGE_PART_LEN && m->last < EXCHANGE_PARTS_MAX;
    return m->len > 0 && m->len <= EXCHANGE_PART_LEN &&
           (size_t)m->last * EXCHANGE_PART_LEN + m->len <= EXCHANGE_MESSAGE_MAX;
}

static int body_read(const uint8_t *p, size_t len, uint8_t flags, struct exchange_message *m)
{
    if (flags & FLAG_PARTS) {
        if (len < EXCHANGE_PARTS_LEN || get_be16(p + 2) != 0)
            return -EBADMSG;
        m->in_parts = true;
        m->part = p[0];
        m->last = p[1];
        m->digest = get_be64(p + 4);
        p += EXCHANGE_PARTS_LEN;
        len -= EXCHANGE_PARTS_LEN;
    }
    if (flags & FLAG_HAVE) {
        if (len < EXCHANGE_HAVE_LEN || m->kind != EXCHANGE_KIND_REQUEST)
            return -EBADMSG;
        m->has_have = true;
        m->have_digest = get_be64(p);
        m->have_parts = get_be64(p + 8);
        p += EXCHANGE_HAVE_LEN;
        len -= EXCHANGE_HAVE_LEN;
    }
    m->data = p;
    m->len = len;
    return m->in_parts && !part_fits(m) ? -EBADMSG : 0;
}

int exchange_message_read(const uint8_t *text, size_t len, struct exchange_message *ret)
{
    struct exchange_message m = { 0 };
    int r = -EBADMSG;

    if (len < EXCHANGE_ANSWER_HEADER || len > EXCHANGE_TEXT_MAX || text[0] != CONTENT_MESSAGE ||
        (text[3] & ~(FLAG_PARTS | FLAG_HAVE)))
        return -EBADMSG;
    m.kind = text[1];
    m.try = text[2];
    m.id = get_be32(text + 4);
    switch (m.kind) {
    case EXCHANGE_KIND_REQUEST:
        if (len < EXCHANGE_REQUEST_HEADER)
            return -EBADMSG;
        m.token = get_be64(text + 8);
        r = body_read(text + EXCHANGE_REQUEST_HEADER, len - EXCHANGE_REQUEST_HEADER, text[3], &m);
        break;
    case EXCHANGE_KIND_ANSWER:
        r = body_read(text + EXCHANGE_ANSWER_HEADER, len - EXCHANGE_ANSWER_HEADER, text[3], &m);
        break;
    case EXCHANGE_KIND_CHALLENGE:
        if (len != EXCHANGE_CHALLENGE_LEN || text[3] != 0)
            return -EBADMSG;
        m.token = get_be64(text + 8);
        r = 0;
        break;
    case EXCHANGE_KIND_RESET_TOKEN:
        r = len == EXCHANGE_RESET_LEN && text[2] == 0 && text[3] == 0 && m.id == 0 ? 0 : -EBADMSG;
        m.data = text + 8;
        m.len = RESET_TOKEN_LEN;
        break;
    default:
        break;
    }
    if (r == 0)
        *ret = m;
    return r;
}

uint64_t exchange_digest(const void *data, size_t len)
{
    static const uint8_t key[16];

    return siphash13(key, data, len);
}
