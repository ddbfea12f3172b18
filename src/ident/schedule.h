/* ident/schedule.h - what a session derives from its 32-byte master: a key and a connection id for each path and
 * direction.
 *
 * The master comes from a finished handshake (noise_export), so a rekey is a new master and every value below is new. A
 * path id must never be used twice under one master: its counters would start again under the same key. */
#pragma once

#include "base/base.h"

enum schedule_direction {
    SCHEDULE_TO_RESPONDER = 0, /* initiator -> responder */
    SCHEDULE_TO_INITIATOR = 1,
};

#define SCHEDULE_CID_BITS 56

void schedule_path_key(const uint8_t master[32], uint32_t path_id, uint8_t direction, uint8_t key[32]);
/* The connection id that packets of this path and direction carry: 56 bits, the top 8 are zero. An observer cannot link
 * two of them. */
uint64_t schedule_cid(const uint8_t master[32], uint32_t path_id, uint8_t direction);
