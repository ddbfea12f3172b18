/* mapping/resolver.h - from a name or tag to where it is attached: asks realm managers, from the root down.
 *
 * A machine without IO. It says which manager is to be asked what (RESOLVER_ASK), and is told what came of it; how that
 * is brought there is its owner's (session/exchange.h). Managers are found by referrals, each of which leads to a realm
 * below the one that gave it. Whatever they say is believed by its signatures alone: a manager can be silent, or deny,
 * but not invent.
 *
 * Who asks. One resolver is one requester: it speaks with the key of its owner, and introduces itself by its chain
 * where that would show it more. Its cache holds what that requester may know; class_max bounds it where others are
 * served from it.
 *
 * Freshness. An answer says how long it may be used without asking again, and how long its lease still runs. In the
 * first span it is given at once, and in its last tenth asked for again in the background; in the second the managers
 * are asked, and it is given, marked stale, if none of them answers soon. After that it is gone. No answer is ever
 * older, by its sequence, than one that was given before. */
#pragma once

#include "base/instant.h"
#include "mapping/message.h"

#define RESOLVER_MANAGERS_MAX 16           /* of a realm: what a binding has room for */
#define RESOLVER_REFERRALS_MAX 4           /* one more than there are realms below a root in a chain */
#define RESOLVER_HEDGE (400 * MSEC)        /* chosen: then the next manager is asked as well */
#define RESOLVER_DEADLINE (4500 * MSEC)    /* chosen: two silent managers; clients of the DNS wait for 5 s */
#define RESOLVER_STALE_AFTER (1800 * MSEC) /* RFC 8767 section 6: then an answer whose time is over is given */
#define RESOLVER_AVOID (30 * SEC)          /* chosen: who was silent is asked last, so long */
#define RESOLVER_ASKS_MAX 12               /* of one question, all in all */
#define RESOLVER_REALMS_MAX 256            /* chosen: whose managers are known; 1.5 KB each */
#define RESOLVER_STEPS_MAX 64              /* of a question that is traced */
#define RESOLVER_REQUEST_MAX 17000         /* bytes: an introduction by a chain of 4 records */

struct resolver;

struct resolver_options {
    struct slice root;                               /* the root's record: its key is taken on faith. Not kept */
    struct endpoint managers[RESOLVER_MANAGERS_MAX]; /* of the root */
    size_t managers_count;                           /* at least 1 */
    struct slice chain[CHAIN_LINKS_MAX];             /* whom the owner's key belongs to; copied */
    size_t chain_count;                              /* 0: a stranger */
    uint8_t class_max;       /* answers above it are refused: enum record_class, at least CLASS_AGENT */
    uint32_t questions_max;  /* that are open, and as many answers that are remembered */
    uint32_t signatures_max; /* that are remembered: a power of two from 2 on; 0: TRUST_CACHED_DEFAULT */
    struct rng rng;
};

struct resolver_question {
    const struct name *name; /* NULL: tag */
    struct tag tag;
    uint8_t kind; /* enum record_kind */
    bool anew;    /* not from what is known */
    bool traced;  /* RESOLVER_STEP tells of it */
    /* Of a host that is about to be called: from where, so that it is told (then `anew` is meant); 0: it is not. */
    struct endpoint places[MAPPING_PLACES_MAX];
    size_t places_count;
};

enum resolver_outcome {
    RESOLVER_FOUND,
    RESOLVER_NONE,   /* there is none, or nothing for this requester */
    RESOLVER_FAILED, /* see why */
};

enum resolver_why {
    RESOLVER_WHY_NONE = 0,
    RESOLVER_WHY_SILENT,    /* no manager answered in time */
    RESOLVER_WHY_LATER,     /* they are busy */
    RESOLVER_WHY_REFUSED,   /* they refused us: fault */
    RESOLVER_WHY_RECORD,    /* what they said is not to be believed: fault */
    RESOLVER_WHY_FOREIGN,   /* neither name nor tag is below the root */
    RESOLVER_WHY_REFERRAL,  /* a referral that does not lead down to what was asked, or too many */
    RESOLVER_WHY_UNMANAGED, /* a realm on the way has said nothing of its managers */
    RESOLVER_WHY_ANSWER,    /* no answer that we understand, or of a class that is not for us */
    RESOLVER_WHY_FULL,      /* no memory, or a full table here */
    RESOLVER_WHY_COUNT,
};

/* What an answer of FOUND is, until the next resolver_pop_event. */
struct resolver_result {
    enum resolver_outcome outcome;
    enum resolver_why why;
    enum record_fault fault;
    bool cached, stale;
    struct chain_end subject;
    struct slice chain[CHAIN_LINKS_MAX]; /* root .. subject */
    size_t chain_count;
    struct slice record;        /* the binding */
    uint8_t granted;            /* enum record_class */
    uint32_t left_s;            /* of the lease */
    uint32_t fresh_s;           /* FOUND, NONE: may be used so long; stale: 0 */
    uint32_t age_s;             /* since a manager said so */
    struct mapping_relay relay; /* of a call */
};

enum resolver_step_type {
    RESOLVER_STEP_ASKED,
    RESOLVER_STEP_INTRODUCED, /* asked to know us by our chain */
    RESOLVER_STEP_ANSWERED,   /* status; fault where it is not believed, or REFUSED */
    RESOLVER_STEP_SILENT,
    RESOLVER_STEP_CACHED, /* known already */
};

/* One step of a traced question. */
struct resolver_step {
    enum resolver_step_type type;
    void *context;
    char realm[NAME_SIZE]; /* whose manager */
    struct endpoint manager;
    uint8_t status; /* enum mapping_status */
    enum resolver_why why;
    enum record_fault fault;
    char to[NAME_SIZE]; /* referral: the realm that it leads to */
    span took;          /* since it was asked */
};

enum resolver_event_type {
    RESOLVER_ASK,  /* send data to the manager: at `at`, by the key; then resolver_on_answer or resolver_on_failed */
    RESOLVER_DONE, /* context, result */
    RESOLVER_STEP, /* step */
};

struct resolver_event {
    enum resolver_event_type type;
    uint64_t ask;
    struct endpoint at;
    uint8_t ed25519[IDENT_KEY_LEN]; /* of the manager's realm, which it must prove */
    const uint8_t *data;            /* until the next call */
    size_t len;
    void *context;
    struct resolver_result result;
    struct resolver_step step;
};

struct resolver_stats {
    uint64_t questions, cached, joined, prefetched, asks, referrals, stale, failed[RESOLVER_WHY_COUNT];
    uint32_t open, realms, known;
};

/* 0 and *ret; -EBADMSG and *ret_error: the root's record; -EINVAL: no managers, a class that is none; -ENOMEM. */
MUST_CHECK int resolver_new(const struct resolver_options *o, uint64_t wall_s, instant now, struct resolver **ret,
                            struct record_error *ret_error);
/* Accepts NULL. */
void resolver_free(struct resolver *r);
/* Seconds since 1970, as far as the owner knows; 0: it does not. Counts on by `now` from then. */
void resolver_set_wall(struct resolver *r, uint64_t wall_s, instant now);
/* Whom it believes: to tell it of revocations and successions. */
struct trust *resolver_trust(struct resolver *r);
/* The kind of binding that says where a name or tag of a tier is. */
enum record_kind resolver_kind_of(enum tag_tier tier);

/* RESOLVER_DONE with the context follows in any case, unless -ENOSPC: questions_max are open, or 8 times as many wait;
 * -ENOMEM; -EINVAL: no such kind. Equal questions are asked once, unless they are traced. */
MUST_CHECK int resolver_ask(struct resolver *r, const struct resolver_question *q, void *context, instant now);
/* No RESOLVER_DONE with that context any more. */
void resolver_cancel(struct resolver *r, const void *context);
/* What is known of it is stale: it is asked for anew when somebody wants it, and managers that have no newer one are
 * told that this one is wrong. A hint, which anybody may have caused: what is known serves on if nobody answers. */
void resolver_on_stale(struct resolver *r, const struct tag *subject, instant now);

/* What came of RESOLVER_ASK. A number that is not open any more is ignored. */
void resolver_on_answer(struct resolver *r, uint64_t ask, const uint8_t *bytes, size_t len, instant now);
void resolver_on_failed(struct resolver *r, uint64_t ask, instant now);

bool resolver_pop_event(struct resolver *r, struct resolver_event *ret, instant now);
instant resolver_next_expiry(const struct resolver *r);
void resolver_on_expiry(struct resolver *r, instant now);

void resolver_stats_get(const struct resolver *r, struct resolver_stats *ret);
/* One word, and a few. */
const char *resolver_why_name(enum resolver_why why);
const char *resolver_why_text(enum resolver_why why);
