/* session/replay.h - which counters have been seen: a sliding window over 64-bit counters.
 *
 * A window of `bits` remembers the highest counter and tells, for it and the bits - 64 counters before it, which were
 * seen. What is older is refused. Two sizes are in use:
 *   struct replay_record  8192 bits, 1 KiB, one for each path and key: no record is opened twice;
 *   struct replay_seq     65536 bits, 8 KiB, one for each session: the copies of a record that was sent over several
 *                         paths are seen once, though their delays differ by seconds.
 * Both are values: they may be copied and need no clean-up. */
#pragma once

#include "base/base.h"

#define REPLAY_RECORD_BITS 8192 /* as WireGuard: about 100 ms of reordering at 1 Gbit/s of full packets */
#define REPLAY_SEQ_BITS 65536   /* chosen: above 0.7 s at 1 Gbit/s of full packets, 7 s at 100 Mbit/s */

/* The head of a window; its words follow, so use one of the structs below. */
struct replay {
    uint64_t next; /* one above the highest counter seen, 0: none */
    uint64_t bits; /* a power of two, at least 128 */
};

struct replay_record {
    struct replay window;
    uint64_t words[REPLAY_RECORD_BITS / 64];
};

struct replay_seq {
    struct replay window;
    uint64_t words[REPLAY_SEQ_BITS / 64];
};

/* Nothing seen yet. `bits` is the size of the struct around r: a power of two, at least 128. */
void replay_init(struct replay *r, size_t bits);

static inline void replay_record_init(struct replay_record *r)
{
    replay_init(&r->window, REPLAY_RECORD_BITS);
}

static inline void replay_seq_init(struct replay_seq *r)
{
    replay_init(&r->window, REPLAY_SEQ_BITS);
}

/* True when the counter is new: cheap, changes nothing, for use before the record is opened. */
bool replay_check(const struct replay *r, uint64_t counter);
/* True when the counter is new, and then it no longer is. Call only once the record was authenticated, or anyone could
 * move the window. UINT64_MAX is never accepted. */
bool replay_check_and_set(struct replay *r, uint64_t counter);
