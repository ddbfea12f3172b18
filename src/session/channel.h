/* session/channel.h - streams of bytes beside the packets of a session.
 *
 * A channel carries the bytes of one connection both ways, over every path of its steering rule, each way with a window
 * and an end of its own (the channels of SSH, RFC 4254 section 5, over the delivery of session/delivery.h). The opener
 * of a session asks for one, the acceptor says whether it is there. Bytes of channels share the paths with packets:
 * flow beside flow (session/channel.c).
 *
 *   opener:    session_channel_open -> CHANNEL_ASKED ... CHANNEL_OPEN or CHANNEL_ENDED, see channel_refused
 *   acceptor:  session_channel_pop gives one in CHANNEL_OFFERED -> channel_accept, channel_refuse
 *   both:      channel_write, channel_finish, channel_peek, channel_consume; channel_reset; channel_free at last
 *
 * Nothing calls back: what came, and room to write that was waited for, makes session_channel_pop give the channel
 * again. A session that breaks or begins anew ends its channels with -ECONNRESET, but for those that a successor has
 * (channel_resume.c). Ask session_output after any call.
 *
 * Memory of a session: CHANNELS_TX_MAX bytes that are not acknowledged and CHANNELS_RX_MAX that are not read, and
 * windows of 64 KiB for each channel. */
#pragma once

#include "base/slice.h"
#include "session/flowq.h"
#include "wire/cursor.h"
#include "wire/message.h"

#define CHANNELS_MAX 1024           /* of a session; chosen: a busy household has a hundred */
#define CHANNEL_BUFFER (8u << 20)   /* bytes: 330 Mbit/s for 200 ms */
#define CHANNELS_TX_MAX (32u << 20) /* chosen: some channels at full speed */
#define CHANNELS_RX_MAX (32u << 20)

struct session;
struct channel;

enum channel_state {
    CHANNEL_ASKED,   /* we did */
    CHANNEL_OFFERED, /* the peer did */
    CHANNEL_OPEN,
    CHANNEL_ENDED, /* refused, or broken: what was received before can still be read */
};

/* Both ends know what a channel is, and there are keys. */
bool session_has_channels(const struct session *s);
/* from, to: of one family, ports not 0. Its bytes take target 0 unless channel_steer says otherwise. 0; -ENOTCONN;
 * -ENOSPC: no room, or every id was in use within the last minute; -ENOMEM. */
MUST_CHECK int session_channel_open(struct session *s, const struct endpoint *from, const struct endpoint *to,
                                    instant now, struct channel **ret);
/* The next one with which there may be something to do; NULL: none. One that the peer offered and took back at once
 * may come for the first time when it has ended, and is to be freed, too. */
struct channel *session_channel_pop(struct session *s);
size_t session_channels_count(const struct session *s);

void channel_set_owner(struct channel *c, void *owner);
void *channel_owner(const struct channel *c);
/* Which of the session's targets its bytes take, and before whom. At any time. */
void channel_steer(struct channel *c, uint16_t target, enum flow_class class);
/* DSCP and ECN of the datagrams that its bytes leave in from now on; 0 at first. */
void channel_set_tos(struct channel *c, uint8_t tos);
enum channel_state channel_state(const struct channel *c);
const struct channel_open *channel_request(const struct channel *c);

void channel_accept(struct channel *c);
void channel_refuse(struct channel *c, enum channel_refusal why);
/* Why, if either side refused it; else CHANNEL_ACCEPTED, also of one that broke before there was an answer. */
enum channel_refusal channel_refused(const struct channel *c);

/* Copies as much as fits: that many bytes; 0: full, and session_channel_pop gives it when there is room again. Not
 * before it is open. -EPIPE after channel_finish; -ENOMEM; what ended it. */
int64_t channel_write(struct channel *c, const uint8_t *data, size_t len);
/* At any time: the peer hears of it when the channel is open, after all that was written. */
void channel_finish(struct channel *c);
/* All that was written, and the end if it was said, has arrived. */
bool channel_flushed(const struct channel *c);
/* What stands next in one piece (len 0: nothing now), until anything comes in for the session. */
struct slice channel_peek(const struct channel *c);
void channel_consume(struct channel *c, size_t len);
bool channel_at_end(const struct channel *c);
/* 0, or what ended it: -ECONNRESET, -ETIMEDOUT, -ENOMEM, -EPROTO (the peer sent what it must not). */
int channel_error(const struct channel *c);
/* Breaks it off, and tells the peer. */
void channel_reset(struct channel *c);
/* One that is not over (finished, channel_flushed and channel_at_end, or ended) is reset. */
void channel_free(struct channel *c);

/* --- to a successor --- */

/* The other end can go on with the channels of a session of which one end is another process now. Else none is to be
 * saved. */
bool session_may_resume(const struct session *s);
/* One that is open. Nothing may go in or out of the session after the first of these. */
bool channel_may_save(const struct channel *c);
#define SESSION_SAVED 10 /* bytes of session_save */
void session_save(const struct session *s, struct writer *w);
void channel_save(const struct channel *c, struct writer *w);
/* Bytes that it takes at most. */
size_t channel_save_bound(const struct channel *c);
/* Into a session that was not up yet, and each of its channels, which are open. The next handshake says so; if the
 * other end does not go on, or is not there within a minute, they end as others do. 0; -EPROTO: it cannot be so;
 * -ENOMEM, -EIO. */
MUST_CHECK int session_restore(struct session *s, struct reader *r, instant now);
MUST_CHECK int session_channel_restore(struct session *s, struct reader *r, struct channel **ret);
/* Nothing of that is there any more; who owned the channels has forgotten them. */
void session_restore_undo(struct session *s, instant now);
