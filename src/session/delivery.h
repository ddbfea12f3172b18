/* session/delivery.h - bytes from one application to another, without loss.
 *
 * A delivery carries a stream of bytes each way. What was written is cut into chunks, each for the path that asks for
 * it and as large as that path carries; a chunk names the place of its first byte, so paths need no order among
 * themselves. What a path loses is told here and cut anew, for whichever path is offered it. The receiver gives the
 * bytes in order, or (unordered) as they come with their places. Semantics 4 and 2 of Habib, Christin, Chuang: Taking
 * advantage of multihoming with session layer striping.
 *
 * One window for the whole session bounds what the receiver must keep: the sender may send what lies below the limit
 * that the receiver said last, DELIVERY_WINDOW_INITIAL before it said any.
 *
 * Pure: no clock, no socket. session.c moves chunks and limits; the application writes and reads. */
#pragma once

#include "base/slice.h"
#include "wire/cursor.h"

#define DELIVERY_WINDOW_INITIAL 65536
#define DELIVERY_BUFFER_DEFAULT (8u << 20) /* chosen: 100 Mbit/s for 600 ms */
#define DELIVERY_BUFFER_MAX (64u << 20)
#define DELIVERY_END_MAX ((UINT64_C(1) << 48) - 1) /* the place is 48 bits on the wire */

struct delivery;

struct delivery_options {
    size_t send_bytes, receive_bytes; /* at most that much is kept; rounded down to a power of two; 0: the default */
    bool unordered;                   /* the reader takes bytes as they come */
    bool narrow;                      /* the window begins at DELIVERY_WINDOW_INITIAL, and widens by delivery_widen */
    bool lingers;                     /* memory for bytes that has become empty stays until delivery_trim */
};

struct chunk {
    uint64_t at; /* of its first byte */
    uint32_t len;
    bool last; /* nothing follows */
};

/* NULL when out of memory. Memory for bytes is taken when there are any. */
struct delivery *delivery_new(const struct delivery_options *o);
/* Accepts NULL. */
void delivery_free(struct delivery *d);

/* Frees memory for bytes that was not needed since the call before. */
void delivery_trim(struct delivery *d);

/* --- the application --- */

/* Copies as much as fits: that many bytes; 0: full. -EPIPE after delivery_finish; -ENOMEM; what broke it. */
int64_t delivery_write(struct delivery *d, const uint8_t *data, size_t len);
/* Bytes that delivery_write would take now. */
size_t delivery_room(const struct delivery *d);
/* Nothing more will be written: the peer reads an end after the last byte. */
void delivery_finish(struct delivery *d);
/* Everything that was written, and the end if it was said, has reached the peer. */
bool delivery_flushed(const struct delivery *d);

/* Bytes into buf, in one piece; *ret_at (may be NULL) is the place of the first. 0: none now, or the end
 * (delivery_at_end). What broke it, when all has been read that came before. */
int64_t delivery_read(struct delivery *d, uint8_t *buf, size_t max, uint64_t *ret_at);
/* The same without a copy, for who reads in order: what stands next in one piece (len 0: see delivery_read), until the
 * next delivery_on_chunk; then how much of it was used. */
struct slice delivery_peek(const struct delivery *d);
void delivery_consume(struct delivery *d, size_t len);
/* delivery_read would give bytes, the end, or an error. */
bool delivery_readable(const struct delivery *d);
bool delivery_at_end(const struct delivery *d);

/* Some of it, or of its limits, has been told to the peer. */
bool delivery_has_begun(const struct delivery *d);
/* Nothing goes on: error is a negative errno that reads and writes return from now on. The first one stays. */
void delivery_break(struct delivery *d, int error);
int delivery_error(const struct delivery *d);

/* --- the session: out --- */

/* Something may be cut now. */
bool delivery_wants_send(const struct delivery *d);
/* Something waits, and nothing may be cut before the peer's reader goes on, for whom something in flight may be
 * missing. */
bool delivery_is_blocked(const struct delivery *d);
/* Bytes that the peer would take beyond what it has acknowledged. */
uint64_t delivery_window(const struct delivery *d);
/* Bytes of it, and those among them that were lost: for who decides whether a slow path is worth waiting for. */
uint64_t delivery_waiting(const struct delivery *d);
uint64_t delivery_lost(const struct delivery *d);
/* The next chunk of at most max bytes; what was lost goes first. False: none. */
bool delivery_cut(struct delivery *d, size_t max, struct chunk *ret);
/* The same of what was not cut yet: what was lost is left to a path that brings it sooner. */
bool delivery_cut_fresh(struct delivery *d, size_t max, struct chunk *ret);
/* Its bytes. False: some of it has been acknowledged meanwhile, and the chunk must not be sent. */
bool delivery_copy(const struct delivery *d, const struct chunk *c, uint8_t *out);
/* Each chunk that was cut meets its fate once. */
void delivery_on_acked(struct delivery *d, const struct chunk *c);
void delivery_on_lost(struct delivery *d, const struct chunk *c);
/* The peer's limit; one that is lower than before says nothing new. */
void delivery_on_limit(struct delivery *d, uint64_t limit);

/* --- the session: in --- */

/* 0, also for what is there already; -EPROTO: beyond the limit or the end; -ENOMEM, -ENOSPC: it cannot be kept, and
 * who sent it believes that it was. */
MUST_CHECK int delivery_on_chunk(struct delivery *d, const struct chunk *c, const uint8_t *bytes);
/* Doubles the window, up to receive_bytes. True if it was not that wide. */
bool delivery_widen(struct delivery *d);
/* True when the peer should hear a new limit, which is then taken for said. */
bool delivery_pop_limit(struct delivery *d, uint64_t *ret);

struct delivery_info {
    uint64_t written, sent, acked, read, received; /* bytes; received: of all that came, how much is without a hole */
    uint64_t resent;                               /* bytes that were cut again */
    bool finished;
    size_t send_max;
    size_t holes; /* pieces that wait for an earlier one */
    uint64_t send_limit;
    size_t window;                   /* that the peer is given */
    size_t buffered_tx, buffered_rx; /* bytes of memory */
};
void delivery_info(const struct delivery *d, struct delivery_info *ret);

/* --- to a successor --- */

/* What whoever goes on with it needs; it is ordered. Nothing may be written, read, cut or taken in after it. */
void delivery_save(const struct delivery *d, struct writer *w);
/* Into one that delivery_new has just given. 0; -EPROTO: no delivery can be so; -ENOMEM. Then it is to be freed. */
MUST_CHECK int delivery_restore(struct delivery *d, struct reader *r);
/* Whatever was cut and has not met its fate never will: it is to be cut again. Returns the limit that was said last. */
uint64_t delivery_resume(struct delivery *d);
/* Both directions are over, as the peer has shown, whatever news of it was lost. False: that cannot be. */
bool delivery_conclude(struct delivery *d);

/* It is idle: gives back the memory of buffers in which there is nothing. */
void delivery_rest(struct delivery *d);
