/* mapping/holder.h - who is attached keeps it known: a binding that is signed, registered at a manager and refreshed.
 *
 * A machine without IO, of one binding at one manager: what it wants to ask comes out of holder_output, one request at
 * a time, and the answer goes in. It signs a new record when its targets change; as long as they do not, refreshes
 * inside the association are enough. A manager that has forgotten is sent the record again; one that knows a higher
 * sequence than the holder remembers makes it jump past that, into the next epoch. */
#pragma once

#include "base/instant.h"
#include "ident/keys.h"
#include "mapping/message.h"

#define HOLDER_LEASE_S 300u                        /* chosen: who falls silent is gone after 5 minutes */
#define HOLDER_RETRY_MIN (1 * SEC)                 /* chosen: after an answer that was none; doubled each time */
#define HOLDER_RETRY_MAX (60 * SEC)                /* chosen */
#define HOLDER_REQUEST_MAX (RECORD_BYTES_MAX + 64) /* bytes */

enum holder_state {
    HOLDER_IDLE,       /* has no targets yet */
    HOLDER_TRYING,     /* not registered, or not any more */
    HOLDER_REGISTERED, /* until its lease ends */
    HOLDER_UNKNOWN,    /* the manager knows nobody of this key: tried again, at long intervals */
    HOLDER_REFUSED,    /* the manager refused the record: likewise */
};

struct holder {
    uint8_t seed[IDENT_KEY_LEN]; /* Ed25519; secret: holder_deinit */
    struct tag issuer, subject;
    uint8_t kind, answer;
    uint32_t lease_s;
    uint64_t seq; /* of the record */
    uint32_t counter;
    uint8_t record[RECORD_BYTES_MAX];
    size_t record_len;
    struct record_target targets[RECORD_TARGETS_MAX];
    size_t targets_count;
    uint8_t details[RECORD_DETAILS_MAX]; /* of a service: what is said of the targets */
    size_t details_len;
    enum holder_state state;
    uint8_t fault; /* HOLDER_REFUSED: enum record_fault */
    bool asking;   /* a request is under way */
    bool asked_refresh;
    bool has_told; /* the manager has had this record */
    bool again;    /* the record changed while a request was under way */
    instant next;  /* when to ask again */
    instant until; /* HOLDER_REGISTERED: end of the lease */
    span retry;
};

/* "registered". */
const char *holder_state_name(enum holder_state state);
/* boot_epoch: what sequences begin with, the higher the newer: seconds since 1970, or 1. counter: what follows it, here
 * and after a jump: at random, the same for all holders of a subject that begin together, so that the same sequence is
 * the same record. Nothing is attached yet. */
void holder_init(struct holder *h, const uint8_t ed25519_seed[IDENT_KEY_LEN], const struct tag *issuer,
                 const struct tag *subject, uint8_t kind, uint8_t answer, uint32_t lease_s, uint32_t boot_epoch,
                 uint32_t counter);
/* Wipes the seed. */
void holder_deinit(struct holder *h);
/* Attached at these now; 0: nowhere, which is said too. The same again changes nothing. 0; -EINVAL: what no binding of
 * that kind may have; -ENOMEM. */
MUST_CHECK int holder_set_targets(struct holder *h, const struct record_target *targets, size_t count, instant now);
/* Likewise of a service, with what is said of its targets, RECORD_DETAILS_MAX bytes at most. */
MUST_CHECK int holder_set_service(struct holder *h, const struct record_target *targets, size_t count,
                                  struct slice details, instant now);
/* A binding of that sequence was seen: what is said from now on is above it. */
void holder_set_floor(struct holder *h, uint64_t seq);
/* What to ask now, into out of HOLDER_REQUEST_MAX bytes. Its length; 0: nothing now. */
size_t holder_output(struct holder *h, instant now, uint8_t *out);
/* To what was asked. */
void holder_on_answer(struct holder *h, const uint8_t *bytes, size_t len, instant now);
/* Nobody answered. */
void holder_on_failed(struct holder *h, instant now);
/* The association stands anew: who is asked may have forgotten. */
void holder_on_up(struct holder *h, instant now);
/* INSTANT_NEVER while a request is under way, or nothing is to be said. */
instant holder_next_expiry(const struct holder *h);
