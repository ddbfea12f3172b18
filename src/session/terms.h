/* session/terms.h - what the two ends of a session ask of each other, and what they do not take.
 *
 * Both say theirs in their hello, with the words of RFC 9622, section 6.2: what one requires the other must not
 * prohibit, and some transport both must have. Where that is not so the responder refuses, and names what it was. What
 * one prefers or avoids is its own affair. */
#pragma once

#include "base/base.h"
#include "wire/cursor.h"

enum semantics { /* Habib, Christin, Chuang, section 2 */
                 SEMANTICS_UNORDERED_LOSSY,
                 SEMANTICS_UNORDERED,
                 SEMANTICS_LOSSY,
                 SEMANTICS_ORDERED,
                 SEMANTICS_COUNT,
};

/* The paths that an end can have. */
enum terms_transport { TERMS_UDP, TERMS_TCP, TERMS_MPTCP, TERMS_SCTP, TERMS_TRANSPORT_COUNT };

#define TERMS_OBJECTIVES 4
#define TERMS_LEN 9

struct terms {
    uint8_t semantics_required, semantics_prohibited; /* a bit for each of enum semantics */
    uint8_t objectives[TERMS_OBJECTIVES];             /* by which the other is to send, as session_preferences */
    uint8_t objectives_prohibited;                    /* bit n: objective n */
    uint8_t fairness;                                 /* enum fairness_mode, of what this end sends */
    uint8_t fairness_prohibited;                      /* a bit each, of what the other sends */
    uint8_t transports;                               /* a bit for each of enum terms_transport; 0: it does not say */
    uint8_t refused;                                  /* in a RESPONSE: why; 0: it is not */
};

/* TERMS_LEN bytes. Values that are not known are kept: a newer end may have them. */
void terms_write(struct writer *w, const struct terms *t);
void terms_read(struct reader *r, struct terms *ret);
/* 0, or why the responder refuses what the initiator asks: terms.refused. */
uint8_t terms_conflict(const struct terms *responder, const struct terms *initiator);
/* Words for it, of a sentence that begins with "refused: ". */
const char *terms_refusal_name(uint8_t refused);
