/* session/stream.h - a reliable ordered stream of messages inside a session, for control exchanges.
 *
 * Its frames travel in records that may be lost, duplicated, reordered and sent over any path. A message is cut into
 * frames with a sequence each; the receiver acknowledges the next one that it expects. Both sides begin at 0 with a new
 * session. One object carries both directions.
 *
 *   frame: u32 sequence | u8 flags (1: the message goes on in the next frame) | 1..1024 bytes
 *   ack:   u32 next expected sequence
 *
 * The owner: after any call, while stream_wants_send, sends what stream_next_frame gives; when stream_ack_pending, what
 * stream_make_ack gives; calls again at stream_next_expiry. Bounded in memory: 64 KiB of messages to send, 16 KiB and a
 * window of frames received. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define STREAM_MESSAGE_MAX 16384   /* bytes of one message, at least 1 */
#define STREAM_QUEUE_MAX 65536     /* bytes of messages that are not wholly acknowledged */
#define STREAM_QUEUE_MESSAGES 256  /* chosen: bounds the small ones */
#define STREAM_WINDOW 32           /* frames sent and not acknowledged */
#define STREAM_FRAME_HEADER 5      /* bytes before the data */
#define STREAM_FRAME_DATA_MAX 1024 /* chosen: fits a record on any path of 1280 bytes, whichever it is re-sent on */
#define STREAM_ACK_LEN 4
#define STREAM_RTO_MIN (10 * MSEC)
#define STREAM_RTO_MAX (1 * SEC)
#define STREAM_RTO_INITIAL (250 * MSEC) /* chosen: above most round trips, for before one is measured */

struct stream;

/* NULL when out of memory. */
struct stream *stream_new(void);
/* Accepts NULL. */
void stream_free(struct stream *s);
/* As new: both directions at 0 and empty; the retransmission timeout stays. */
void stream_reset(struct stream *s);
/* Timeout of a frame's first sending, clamped to 10 ms..1 s; doubled with each repetition up to 1 s. */
void stream_set_rto(struct stream *s, span rto);

/* Queues a copy. 0, -EINVAL (empty), -EMSGSIZE (above STREAM_MESSAGE_MAX), -ENOBUFS (queue full), -ENOMEM. */
MUST_CHECK int stream_send(struct stream *s, const uint8_t *msg, size_t len);
/* The frame to send now, repetitions first: its length in buf, or 0 when there is none, or -EMSGSIZE when max is too
 * small: below STREAM_FRAME_HEADER + 1, or for a frame that must be repeated as it was cut. */
int stream_next_frame(struct stream *s, uint8_t *buf, size_t max, instant now);
/* True when stream_next_frame has something. */
bool stream_wants_send(const struct stream *s, instant now);
/* When the next repetition is due; INSTANT_NEVER when nothing is unacknowledged. */
instant stream_next_expiry(const struct stream *s);
/* So many messages wait, or their acknowledgement does, that who says much should wait too. */
bool stream_is_busy(const struct stream *s);
/* True when every message queued was acknowledged. */
bool stream_idle(const struct stream *s);
/* 0, or -EPROTO: not an acknowledgement, or of frames never sent. Nothing changes then. */
MUST_CHECK int stream_on_ack(struct stream *s, const uint8_t *body, size_t len);

/* 0, also for a repetition and when there is no memory (the frame will come again); -EPROTO: not a frame, beyond the
 * window, or the message grows above STREAM_MESSAGE_MAX. After the last of these the receiving side stands still until
 * stream_reset: end the session. */
MUST_CHECK int stream_on_frame(struct stream *s, const uint8_t *body, size_t len);
/* The next whole message; valid until the next stream_on_frame, stream_pop_message, stream_reset or stream_free. While
 * messages are not popped the peer's window fills and its sender waits. */
bool stream_pop_message(struct stream *s, const uint8_t **ret_msg, size_t *ret_len);
/* True after a frame came, or after a pop made room. */
bool stream_ack_pending(const struct stream *s);
/* STREAM_ACK_LEN in buf, or -EMSGSIZE. No longer pending then. */
int stream_make_ack(struct stream *s, uint8_t *buf, size_t max);
