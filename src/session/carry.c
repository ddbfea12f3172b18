/* session/carry.c - between the paths of a session and its delivery.
 *
 * Theory of operation. A path that may send asks for a chunk as large as it carries. What then waits in the path's log
 * is a buffer with the chunk's header alone, `tracked`, so that the path tells what became of it; the bytes stay where
 * the application's were copied to, and are fetched when the record is sealed. A chunk that is lost, or in flight on a
 * path that is in doubt, is cut again for whichever path asks next. Nothing gives up: a session without a path keeps
 * everything until it ends.
 *
 * Limits are said in the control stream, which does not lose them. */
#include <errno.h>

#include "session/internal.h"

struct delivery *session_delivery(struct session *s)
{
    return s->delivery;
}

bool carry_wants_send(const struct session *s)
{
    return s->delivery && delivery_wants_send(s->delivery);
}

static struct chunk chunk_of(const struct pbuf *b)
{
    struct chunk c;

    (void)!chunk_header_get(b->data, &c.at, &c.last);
    c.len = (uint32_t)(b->len - DATA_HEADER_LEN);
    return c;
}

struct pbuf *carry_pull(struct session *s, unsigned slot, instant now)
{
    size_t most = s->paths[slot].mtu - RECORD_OVERHEAD;
    struct pbuf *b;
    struct chunk c;

    if (!carry_wants_send(s) || !sched_may_carry(s, slot))
        return NULL;
    b = pbuf_take(s->o.pool);
    if (!b)
        return NULL; /* what is in flight gives some back */
    if (!delivery_cut(s->delivery, most, &c)) {
        pbuf_unref(b);
        return NULL;
    }
    pbuf_use_head(b);
    b->tracked = true;
    b->stamp = now;
    chunk_header_put(b->data, c.at, c.last);
    b->len = (uint16_t)(DATA_HEADER_LEN + c.len);
    s->info.tx_bytes += c.len;
    s->info.tx_pkts++;
    s->last_data = now;
    return b;
}

void carry_gather(const struct session *s, const struct pbuf *b, uint8_t *out)
{
    const struct chunk c = chunk_of(b);

    memcpy(out, b->data, DATA_HEADER_LEN);
    delivery_copy(s->delivery, &c, out + DATA_HEADER_LEN);
}

void carry_lost(struct session *s, struct pbuf *b)
{
    const struct chunk c = chunk_of(b);

    delivery_on_lost(s->delivery, &c);
    pbuf_unref(b);
}

void carry_told(struct session *s, unsigned slot)
{
    struct pbuf *b;
    bool acked;

    while ((b = path_take_told(s->paths[slot].path, &acked))) {
        const struct chunk c = chunk_of(b);

        if (acked)
            delivery_on_acked(s->delivery, &c);
        else
            delivery_on_lost(s->delivery, &c);
        pbuf_unref(b);
    }
}

int carry_on_chunk(struct session *s, const uint8_t *plain, size_t len, instant now)
{
    struct chunk c;
    int r;

    if (!chunk_header_get(plain, &c.at, &c.last) || !s->delivery)
        return -EPROTO;
    c.len = (uint32_t)(len - DATA_HEADER_LEN);
    r = delivery_on_chunk(s->delivery, &c, plain + DATA_HEADER_LEN);
    s->info.rx_bytes += c.len;
    s->info.rx_pkts++;
    s->last_data = now;
    return r;
}

int carry_on_limit(struct session *s, struct reader *r)
{
    uint64_t limit = read_u64(r);

    if (!reader_done(r) || !s->delivery || limit > DELIVERY_END_MAX)
        return -EPROTO;
    delivery_on_limit(s->delivery, limit);
    return 0;
}

void carry_say_limit(struct session *s, instant now)
{
    uint8_t msg[9] = { MESSAGE_LIMIT };

    if (!s->delivery || !s->up)
        return;
    (void)delivery_pop_limit(s->delivery, &s->limit_unsaid);
    put_be64(msg + 1, s->limit_unsaid);
    if (s->limit_unsaid > 0 && session_send_message(s, msg, sizeof(msg), now) == 0)
        s->limit_unsaid = 0; /* else the queue is full: later */
}

void carry_restart(struct session *s)
{
    s->limit_unsaid = 0;
    if (s->delivery && delivery_has_begun(s->delivery))
        delivery_break(s->delivery, -ECONNRESET); /* the peer has lost what it had of it */
}

void carry_end(struct session *s, int error)
{
    if (!s->delivery)
        return;
    delivery_break(s->delivery, error);
    s->rekey_at = INSTANT_NEVER;
    establish_stop(s);
}
