/* session/channel_resume.c - channels that outlive the session's keys: a planned restart of either end.
 *
 * Theory of operation. Who is about to be restarted writes its open channels down (channel_save: places, and the bytes
 * that are not acknowledged or not read), but no key and no number of a record: its successor makes a handshake, as
 * after a crash, so no nonce can come twice. In that handshake it names the session by its id and says that it has kept
 * its channels (HELLO_FLAG_KEPT); who has that very session answers likewise, and both begin anew with all but the
 * channels (session_restart). Whoever lacks the feature, or has another session, does not, and the channels end, as
 * after a crash.
 *
 * What was under way when the keys went is settled by places: what is not known to have arrived is cut again, and what
 * came twice is dropped by its place. Words of the control stream may be lost, so each end says them again: first, for
 * each channel that it has or has asked for, its limit (an acceptor before that that it is open), then
 * MESSAGE_CHANNELS_NAMED: those were all. What the other has and did not hear named is gone on this side: either both
 * directions had ended, and the last acknowledgements were lost, or it was broken off. A channel that was asked for and
 * is not named is asked for again.
 *
 * Limits: KEPT_LIFE. Sources: channel.h; RFC 5077 has nothing of this: no secret is kept. */
#include <errno.h>

#include "base/ranges.h"
#include "session/channel_internal.h"

#define KEPT_LIFE (60 * SEC) /* chosen: a node that is away that long has its connections' peers give up, too */

/* --- to the successor --- */

bool session_may_resume(const struct session *s)
{
    return s->up && s->cur && s->packets && (s->cur->peer_features & s->o.features & FEATURE_RESUME);
}

void session_save(const struct session *s, struct writer *w)
{
    write_u64(w, s->id);
    write_u16(w, s->channels ? s->channels->next_id : 1);
}

bool channel_may_save(const struct channel *c)
{
    return c->state == CHANNEL_OPEN && !c->freed && delivery_error(c->d) == 0;
}

void channel_save(const struct channel *c, struct writer *w)
{
    write_u16(w, c->request.channel);
    endpoint_write(w, &c->request.from);
    endpoint_write(w, &c->request.to);
    delivery_save(c->d, w);
}

size_t channel_save_bound(const struct channel *c)
{
    struct delivery_info i;

    delivery_info(c->d, &i);
    return 128 + i.buffered_tx + i.buffered_rx + i.holes * sizeof(struct range);
}

int session_restore(struct session *s, struct reader *r, instant now)
{
    uint64_t id = read_u64(r);
    uint16_t next_id = read_u16(r);
    struct channels *cs;

    if (r->failed || next_id == 0 || s->up || s->channels || !s->packets)
        return -EPROTO;
    cs = channels_make(s, now);
    if (!cs)
        return -ENOMEM;
    cs->next_id = next_id;
    s->kept = (struct kept){ .is = true, .id = id, .until = now + KEPT_LIFE };
    session_stir(s);
    return establish_renew(s, now);
}

static bool request_is_possible(const struct channel_open *q)
{
    return q->channel != 0 && q->from.port != 0 && q->to.port != 0 && q->from.addr.family == q->to.addr.family;
}

int session_channel_restore(struct session *s, struct reader *r, struct channel **ret)
{
    struct channel_open request;
    struct delivery_info info;
    struct channel *c;
    int rc;

    request.channel = read_u16(r);
    endpoint_read(r, &request.from);
    endpoint_read(r, &request.to);
    if (r->failed || !s->kept.is || !request_is_possible(&request) || map64_get(&s->channels->by_id, request.channel) ||
        s->channels->by_id.count == CHANNELS_MAX)
        return -EPROTO;
    rc = channels_add(s->channels, &request, CHANNEL_OPEN, &c);
    if (rc < 0)
        return rc;
    rc = delivery_restore(c->d, r);
    delivery_info(c->d, &info);
    s->channels->windows += info.window - DELIVERY_WINDOW_INITIAL;
    c->widened_at = info.read;
    if (rc < 0) {
        channel_destroy(c);
        return rc;
    }
    channel_update(c);
    channel_touch(c); /* what was read before its owner was there */
    *ret = c;
    return 0;
}

/* No handshake of ours may go on that says that there are channels. */
static void kept_no_longer(struct session *s, instant now)
{
    s->kept.is = false;
    establish_drop_response(s);
    if (establish_renew(s, now) < 0)
        establish_stop(s);
}

void session_restore_undo(struct session *s, instant now)
{
    if (!s->kept.is)
        return;
    kept_no_longer(s, now);
    channels_free(s);
}

void channels_on_expiry(struct session *s, instant now)
{
    if (!s->kept.is || now < s->kept.until)
        return;
    kept_no_longer(s, now);
    channels_end(s, -ETIMEDOUT);
}

/* --- the handshake --- */

bool channels_outlive(const struct session *s, uint64_t id, uint32_t features)
{
    return s->packets && (features & s->o.features & FEATURE_RESUME) &&
           (s->kept.is ? id == s->kept.id : s->up && id == s->id);
}

static void resume_one(struct channel *c, int is_acceptor)
{
    channel_say_nothing(c);
    if (c->freed) { /* its last word is that it is not named */
        channel_destroy(c);
        return;
    }
    c->awaited = c->state != CHANNEL_ENDED;
    if (c->state == CHANNEL_ENDED)
        return;
    c->limit = delivery_resume(c->d);
    if (delivery_error(c->d)) {
        channel_end_and_forget(c, delivery_error(c->d));
        return;
    }
    channel_update(c);
    if (is_acceptor)
        channel_say(c, DUE_ANSWER);
    channel_say(c, DUE_LIMIT);
    c->to_name = true;
}

void channels_resume(struct session *s)
{
    s->kept.is = false;
    if (!s->channels)
        return;
    s->channels->busy_count = 0;
    s->channels->resuming = true;
    channels_each(s->channels, resume_one, !s->o.opener);
}

/* --- words --- */

int channels_say_named(struct session *s, instant now)
{
    const uint8_t msg[1] = { MESSAGE_CHANNELS_NAMED };

    if (!s->channels->resuming)
        return 0;
    if (stream_is_busy(s->stream) || session_send_message(s, msg, sizeof(msg), now) < 0)
        return -ENOBUFS;
    s->channels->resuming = false;
    return 0;
}

static void not_named(struct channel *c, int unused)
{
    if (!c->awaited)
        return;
    c->awaited = false;
    if (c->state == CHANNEL_ASKED) {
        channel_say(c, DUE_OPEN);
    } else if (c->state == CHANNEL_OPEN && delivery_conclude(c->d)) {
        channel_update(c);
        channel_touch(c);
    } else {
        channel_end_and_forget(c, -ECONNRESET);
    }
}

int channels_on_named(struct session *s, struct reader *r)
{
    if (!reader_done(r) || !(s->o.features & FEATURE_RESUME))
        return -EPROTO;
    if (s->channels)
        channels_each(s->channels, not_named, 0);
    return 0;
}
