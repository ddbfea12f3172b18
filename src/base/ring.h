/* base/ring.h - messages of bytes from one thread to another, without a lock.
 *
 * One writer, one reader. A message lies in one piece, 8 bytes aligned, where the reader may change it until it
 * releases it. Whoever wakes the reader is outside: a ring knows no descriptor. */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

#define RING_ALIGN 8 /* of each message, and what it takes beside its bytes */

struct ring {
    uint8_t *bytes; /* owned */
    size_t size;
    _Alignas(64) atomic_size_t written; /* these count for ever, modulo size they are places */
    _Alignas(64) atomic_size_t read;
};

/* size: a power of two, at least 64. 0 or -ENOMEM. */
MUST_CHECK int ring_init(struct ring *r, size_t size);
void ring_deinit(struct ring *r);

/* The writer's. Where len bytes may be written, or NULL: no room now. len at most half the size less RING_ALIGN: so
 * much an empty ring takes wherever it stands. */
void *ring_reserve(struct ring *r, size_t len);
/* Gives the reader what was written there; len as reserved. */
void ring_commit(struct ring *r, size_t len);

/* Bytes that the reader has not released yet. */
size_t ring_used(const struct ring *r);

/* The reader's. The oldest message, or NULL; it stays until ring_release. */
void *ring_peek(struct ring *r, size_t *ret_len);
void ring_release(struct ring *r);
