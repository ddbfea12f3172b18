/* session/stream.c - a reliable ordered stream of messages inside a session.
 *
 * Theory of operation. The sender keeps whole messages in a queue and cuts frames from them in order. A frame that was
 * cut stays as it is: a ring of 32 entries remembers which bytes it has, when it was sent and how often. The
 * acknowledgement is cumulative; a message is freed when its last frame is acknowledged. Each frame has its own timer,
 * so that several losses are repaired in one timeout; the frames behind a gap are then repeated needlessly, at most 31
 * small ones, which is the price of an acknowledgement of four bytes.
 *
 * The receiver keeps frames that come early in a ring of 32 slots and joins those that are in order into one message.
 * While a whole message waits to be popped, the ones behind it stay in the slots and are not acknowledged: that is the
 * flow control.
 *
 * Sequences are compared modulo 2^32. A sender never has a frame in flight that is 32 or more above what the receiver
 * expects, so such a frame is a fault of the peer, not of the network.
 *
 * Limits: see stream.h. Memory: 1.5 KiB idle; at most 64 KiB (256 messages) to send, 16 KiB + 32 x 1 KiB received.
 * Control messages are rare: allocation is on demand.
 *
 * Sources: RFC 9293 (window, cumulative acknowledgement), RFC 6298 section 5.5 (doubled timeout). */
#include "session/stream.h"

#include "base/list.h"
#include "wire/cursor.h"

#include <errno.h>

#define FLAG_MORE 1u

struct message {
    struct list link;
    size_t len, cut; /* cut: bytes already in frames */
    uint8_t data[];
};

struct tx_frame {
    const struct message *message;
    size_t at, len; /* bytes of the message */
    instant due;    /* when to send it again */
    span timeout;   /* of the last sending */
    bool more;
};

struct rx_slot {
    uint8_t *data; /* owned; NULL: free */
    size_t len;
    bool more;
};

struct stream {
    span rto;

    struct list queue;    /* struct message, oldest first, until wholly acknowledged */
    struct message *next; /* the first with bytes that are in no frame yet, or NULL */
    size_t queued_bytes, queued_messages;
    uint32_t tx_base, tx_next; /* oldest unacknowledged, next new frame */
    struct tx_frame frames[STREAM_WINDOW];

    uint32_t rx_next;
    struct rx_slot slots[STREAM_WINDOW];
    uint8_t *joined; /* owned, capacity joined_size; the message that is being received */
    size_t joined_size, joined_len;
    bool complete, popped; /* of `joined` */
    bool broken;
    bool ack_pending;
};

struct stream *stream_new(void)
{
    struct stream *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->rto = STREAM_RTO_INITIAL;
    list_init(&s->queue);
    return s;
}

void stream_reset(struct stream *s)
{
    span rto = s->rto;

    LIST_FOREACH_SAFE (m, &s->queue, struct message, link)
        free(m);
    for (unsigned i = 0; i < STREAM_WINDOW; i++)
        free(s->slots[i].data);
    free(s->joined);
    *s = (struct stream){ .rto = rto };
    list_init(&s->queue);
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    stream_reset(s);
    free(s);
}

void stream_set_rto(struct stream *s, span rto)
{
    s->rto = CLAMP(rto, STREAM_RTO_MIN, STREAM_RTO_MAX);
}

int stream_send(struct stream *s, const uint8_t *msg, size_t len)
{
    struct message *m;

    if (len == 0)
        return -EINVAL;
    if (len > STREAM_MESSAGE_MAX)
        return -EMSGSIZE;
    if (s->queued_bytes + len > STREAM_QUEUE_MAX || s->queued_messages == STREAM_QUEUE_MESSAGES)
        return -ENOBUFS;
    m = malloc(sizeof(*m) + len);
    if (!m)
        return -ENOMEM;
    m->len = len;
    m->cut = 0;
    memcpy(m->data, msg, len);
    list_append(&s->queue, &m->link);
    s->queued_bytes += len;
    s->queued_messages++;
    if (!s->next)
        s->next = m;
    return 0;
}

static struct tx_frame *tx_frame(struct stream *s, uint32_t seq)
{
    return &s->frames[seq % STREAM_WINDOW];
}

static bool may_cut(const struct stream *s)
{
    return s->next && s->tx_next - s->tx_base < STREAM_WINDOW;
}

static int write_frame(uint8_t *buf, size_t max, uint32_t seq, const struct tx_frame *f)
{
    struct writer w = writer_init(buf, max);

    write_u32(&w, seq);
    write_u8(&w, f->more ? FLAG_MORE : 0);
    write_bytes(&w, f->message->data + f->at, f->len);
    return w.failed ? -EMSGSIZE : (int)writer_len(&w);
}

/* Cuts the next frame, of at most max bytes with its header, from the queue. There is a message and room for a byte. */
static void cut_frame(struct stream *s, size_t max)
{
    struct message *m = s->next;
    size_t len = MIN(m->len - m->cut, MIN(max - STREAM_FRAME_HEADER, (size_t)STREAM_FRAME_DATA_MAX));
    struct tx_frame *f = tx_frame(s, s->tx_next);

    *f = (struct tx_frame){ .message = m, .at = m->cut, .len = len, .more = m->cut + len < m->len };
    m->cut += len;
    s->tx_next++;
    if (!f->more)
        s->next = m->link.next == &s->queue ? NULL : CONTAINER_OF(m->link.next, struct message, link);
}

int stream_next_frame(struct stream *s, uint8_t *buf, size_t max, instant now)
{
    for (uint32_t seq = s->tx_base; seq != s->tx_next; seq++) {
        struct tx_frame *f = tx_frame(s, seq);
        int len;

        if (now < f->due)
            continue;
        len = write_frame(buf, max, seq, f);
        if (len < 0)
            return len;
        f->timeout = MIN(2 * f->timeout, STREAM_RTO_MAX);
        f->due = now + f->timeout;
        return len;
    }
    if (may_cut(s)) {
        uint32_t seq = s->tx_next;
        struct tx_frame *f = tx_frame(s, seq);

        if (max < STREAM_FRAME_HEADER + 1)
            return -EMSGSIZE;
        cut_frame(s, max);
        f->timeout = s->rto;
        f->due = now + f->timeout;
        return write_frame(buf, max, seq, f);
    }
    return 0;
}

bool stream_wants_send(const struct stream *s, instant now)
{
    return may_cut(s) || stream_next_expiry(s) <= now;
}

instant stream_next_expiry(const struct stream *s)
{
    instant next = INSTANT_NEVER;

    for (uint32_t seq = s->tx_base; seq != s->tx_next; seq++)
        next = instant_min(next, s->frames[seq % STREAM_WINDOW].due);
    return next;
}

bool stream_is_busy(const struct stream *s)
{
    return s->queued_messages >= STREAM_QUEUE_MESSAGES / 2 || s->queued_bytes >= STREAM_QUEUE_MAX / 2;
}

bool stream_idle(const struct stream *s)
{
    return list_empty(&s->queue);
}

int stream_on_ack(struct stream *s, const uint8_t *body, size_t len)
{
    struct reader r = reader_init(body, len);
    uint32_t expected = read_u32(&r);

    if (!reader_done(&r))
        return -EPROTO;
    if ((int32_t)(expected - s->tx_base) < 0) /* an old one, overtaken */
        return 0;
    if (expected - s->tx_base > s->tx_next - s->tx_base)
        return -EPROTO;
    for (; s->tx_base != expected; s->tx_base++) {
        struct message *m;

        if (tx_frame(s, s->tx_base)->more)
            continue;
        m = LIST_FIRST(&s->queue, struct message, link);
        list_remove(&m->link);
        s->queued_bytes -= m->len;
        s->queued_messages--;
        free(m);
    }
    return 0;
}

/* Adds a frame that is in order to the message. 0, -ENOMEM or -EPROTO (too long). */
static int join(struct stream *s, const uint8_t *data, size_t len, bool more)
{
    size_t need = s->joined_len + len;

    if (need + more > STREAM_MESSAGE_MAX) /* what goes on has one byte more at least */
        return -EPROTO;
    if (need > s->joined_size) {
        size_t size = MIN(MAX(need, 2 * s->joined_size), (size_t)STREAM_MESSAGE_MAX);
        uint8_t *joined = realloc(s->joined, size);

        if (!joined)
            return -ENOMEM;
        s->joined = joined;
        s->joined_size = size;
    }
    memcpy(s->joined + s->joined_len, data, len);
    s->joined_len = need;
    s->complete = !more;
    s->rx_next++;
    s->ack_pending = true;
    return 0;
}

/* Joins what the slots have in order, up to the end of one message. */
static int drain(struct stream *s)
{
    while (!s->complete) {
        struct rx_slot *slot = &s->slots[s->rx_next % STREAM_WINDOW];
        int r;

        if (!slot->data)
            return 0;
        r = join(s, slot->data, slot->len, slot->more);
        if (r == -ENOMEM)
            return 0; /* tried again with the next frame or pop */
        if (r < 0) {
            s->broken = true;
            return r;
        }
        free(slot->data);
        *slot = (struct rx_slot){ 0 };
    }
    return 0;
}

/* The owner is done with the message that it popped. */
static int forget_popped(struct stream *s)
{
    if (!s->popped)
        return 0;
    s->popped = s->complete = false;
    s->joined_len = 0;
    return drain(s);
}

int stream_on_frame(struct stream *s, const uint8_t *body, size_t len)
{
    struct reader r = reader_init(body, len);
    uint32_t seq = read_u32(&r);
    uint8_t flags = read_u8(&r);
    size_t data_len = reader_left(&r);
    struct rx_slot *slot;
    int rc;

    if (s->broken || r.failed || flags & ~FLAG_MORE || data_len == 0 || data_len > STREAM_FRAME_DATA_MAX)
        return -EPROTO;
    rc = forget_popped(s);
    if (rc < 0)
        return rc;
    if ((int32_t)(seq - s->rx_next) < 0) {
        s->ack_pending = true; /* the acknowledgement was lost, or is on its way */
        return 0;
    }
    if (seq - s->rx_next >= STREAM_WINDOW)
        return -EPROTO;
    slot = &s->slots[seq % STREAM_WINDOW];
    s->ack_pending = true;
    if (slot->data)
        return drain(s);
    slot->data = malloc(data_len);
    if (!slot->data)
        return 0;
    memcpy(slot->data, r.at, data_len);
    slot->len = data_len;
    slot->more = flags & FLAG_MORE;
    return drain(s);
}

bool stream_pop_message(struct stream *s, const uint8_t **ret_msg, size_t *ret_len)
{
    if (forget_popped(s) < 0 || !s->complete)
        return false;
    s->popped = true;
    *ret_msg = s->joined;
    *ret_len = s->joined_len;
    return true;
}

bool stream_ack_pending(const struct stream *s)
{
    return s->ack_pending;
}

int stream_make_ack(struct stream *s, uint8_t *buf, size_t max)
{
    if (max < STREAM_ACK_LEN)
        return -EMSGSIZE;
    put_be32(buf, s->rx_next);
    s->ack_pending = false;
    return STREAM_ACK_LEN;
}
