/* session/adu.h - application data units: messages, each sent with what its application asks for.
 *
 * A unit is up to ADU_LEN_MAX bytes and arrives whole or not at all. Its sender says whether it keeps its place among
 * the others, whether it is sent again when it is lost, how long it is of use (its lifetime), and what goes first.
 * The semantics of Habib, Christin, Chuang (Taking advantage of multihoming with session layer striping) are: (1) none:
 * unordered, unreliable; (2) lossless, unordered; (3) ordered, lossy: a lifetime; (4) ordered, lossless. Words are
 * those of RFC 9622 section 9.1.3.
 *
 * What cannot arrive in time is dropped by its sender, who tells the receiver, so that nobody waits for it. An ordered
 * unit that is complete waits for those before it until its own lifetime is over, and no longer: an ordered one without
 * a lifetime that comes after one with it was given is dropped, so who mixes them sends it unordered.
 *
 * Two windows bound what a receiver must keep: bytes of units that were begun, and units in number.
 *
 * Pure: time is an argument. carry.c moves pieces, limits and drops; the application sends and receives. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define ADU_LEN_MAX (1u << 20)      /* chosen: a key frame of video at 4K */
#define ADU_WINDOW 4096             /* units: chosen: 40,000 a second at a round trip of 100 ms */
#define ADU_BYTES_MIN ADU_LEN_MAX   /* of a receiver's window, and what it is before the receiver said one */
#define ADU_LEFT_NEVER 0xffffu      /* of piece.left_ms */
#define ADU_LEFT_MAX (60000 * MSEC) /* the longest lifetime: 16 bits of milliseconds on the wire */

/* How long a piece is of use, whichever way it goes. */
struct adu_use {
    instant until; /* INSTANT_NEVER: until it has arrived */
    bool once;     /* what is lost of it is not sent again */
};

struct adus;

struct adu_options {
    size_t send_bytes, receive_bytes; /* kept at most, of each direction; at least ADU_BYTES_MIN */
};

struct adu_spec {
    bool unordered;  /* may overtake and be overtaken */
    bool unreliable; /* what is lost is not sent again */
    int8_t priority; /* lower ones go first */
    span lifetime;   /* from adus_send until it has been received; 0: for ever; at most ADU_LEFT_MAX */
};

struct adu_received {
    uint64_t number; /* of this direction's units, from 0, in the order of adus_send */
    size_t len;
    bool unordered;
    span left; /* of its lifetime, as far as this end can know; negative: it came late; INSTANT_NEVER: none */
};

/* Bytes offset..offset+len of a unit. */
struct piece {
    uint64_t number; /* 48 bits on the wire */
    uint32_t offset, len, unit_len;
    uint16_t left_ms; /* when it left its sender, of its lifetime less the way */
    bool unordered;
};

/* NULL when out of memory. */
struct adus *adus_new(const struct adu_options *o);
/* Accepts NULL. */
void adus_free(struct adus *a);

/* --- the application --- */

/* Copies. 0; -EAGAIN: full; -EMSGSIZE: longer than ADU_LEN_MAX; -EINVAL: the lifetime; -ENOMEM; what broke it. */
MUST_CHECK int adus_send(struct adus *a, const uint8_t *data, size_t len, const struct adu_spec *spec, instant now);
/* adus_send would take that many bytes. */
bool adus_has_room(const struct adus *a, size_t len);
/* Every unit that was sent has arrived or was dropped, and the peer knows. */
bool adus_flushed(const struct adus *a);
/* The next whole unit; its length. -EAGAIN: none now. -EMSGSIZE: it is ret->len long, and stays. What broke it, when
 * all has been taken that came before. */
int64_t adus_receive(struct adus *a, uint8_t *buf, size_t max, struct adu_received *ret, instant now);
bool adus_receivable(const struct adus *a);
/* Some unit has been seen, and an earlier one neither came nor is known to be gone: there is more to come. */
bool adus_is_waiting(const struct adus *a);

/* Nothing goes on: a negative errno that calls return from now on. The first one stays. */
void adus_break(struct adus *a, int error);
int adus_error(const struct adus *a);
/* Something was sent, or has come. */
bool adus_has_begun(const struct adus *a);

/* --- the session: out --- */

/* A path that may send a piece now. */
struct adu_offer {
    unsigned slot;
    size_t most;      /* bytes */
    span way;         /* how long it takes by this path, */
    span preferred;   /* by the fastest of those that would be chosen */
    span least;       /* it never took less by any path */
    uint64_t bps;     /* of all paths, when it is known; else 0 */
    span other;       /* by the second fastest path; 0: there is none */
    span answer;      /* until it should have been acknowledged, by this path */
    bool only_copies; /* a faster path will bring everything else earlier */
    bool only_timed;  /* the path may fail: nothing for it that has no lifetime */
};

bool adus_wants_send(const struct adus *a);
/* Bytes that wait to be cut. */
uint64_t adus_waiting(const struct adus *a);
/* What goes next by this path. False: nothing. What cannot arrive any more is dropped on the way. */
bool adus_cut(struct adus *a, const struct adu_offer *o, struct piece *ret, instant now);
/* Its bytes. False: the unit is done with, and the piece must not be sent. */
bool adus_copy(const struct adus *a, const struct piece *p, uint8_t *out);
struct adu_use adus_use_of(const struct adus *a, const struct piece *p);
/* The piece will be sent once more, as it is: each copy meets a fate of its own. */
void adus_on_copied(struct adus *a, const struct piece *p);
/* Such a copy was never sent. */
void adus_on_forgotten(struct adus *a, const struct piece *p);
/* Each piece that was cut meets its fate once. */
void adus_on_acked(struct adus *a, const struct piece *p);
void adus_on_lost(struct adus *a, const struct piece *p);
/* The peer's limits; lower ones than before say nothing new. */
void adus_on_limit(struct adus *a, uint64_t bytes, uint64_t number);
/* Units that will not come, `count` from a number on, to be told to the peer; bytes: of a single one of which something
 * was sent, else 0. False: none. */
bool adus_pop_dropped(struct adus *a, uint64_t *ret_number, uint32_t *ret_count, uint32_t *ret_bytes);

/* --- the session: in --- */

/* 0, also for what is not wanted any more; -EPROTO: beyond a limit or against what came before; -ENOMEM. */
MUST_CHECK int adus_on_piece(struct adus *a, const struct piece *p, const uint8_t *bytes, instant now);
MUST_CHECK int adus_on_dropped(struct adus *a, uint64_t number, uint32_t count, uint32_t bytes);
/* True when the peer should hear new limits, which are then taken for said. */
bool adus_pop_limit(struct adus *a, uint64_t *ret_bytes, uint64_t *ret_number);

/* --- time --- */

instant adus_next_expiry(const struct adus *a);
void adus_on_expiry(struct adus *a, instant now);

struct adu_info {
    uint64_t sent, arrived, expired,
        lost;                         /* units sent: acknowledged whole; dropped by their lifetime; unreliable, lost */
    uint64_t received, missed;        /* units given to the reader; that never will be */
    uint64_t cut_bytes, copied_bytes; /* copied: sent by another path before they were known to be lost */
    size_t queued_bytes, kept_bytes;  /* of units that have not arrived; that were not taken */
};
void adus_info(const struct adus *a, struct adu_info *ret);
