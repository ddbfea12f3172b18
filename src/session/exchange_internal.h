/* session/exchange_internal.h - what the files of an exchange share; nobody else includes it.
 *
 *   exchange.c         life, peers, events, time, output
 *   exchange_keys.c    keys of an association, and records under them
 *   exchange_dial.c    handshakes of ours: calls
 *   exchange_accept.c  handshakes of others, HELLO, RESET
 *   exchange_record.c  what comes in sealed: requests, answers, parts
 *   exchange_ask.c     requests of ours, and answers that we give
 *
 * Prefixes: assoc_ an association, keys_ its keys, call_ what only the end that called has, ask_ a request of ours,
 * join_ a message of which some parts have come. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "ident/aead.h"
#include "session/discovery.h"
#include "session/exchange.h"
#include "session/guard.h"
#include "session/replay.h"

#define EXCHANGE_PATH_ID 1       /* of the key schedule: an association has one path. 0 is for CONFIRM of sessions */
#define REPLAY_MESSAGE_BITS 1024 /* chosen: 9 ms of reordering at 100,000 messages a second of one peer */
#define COOL_AFTER (30 * SEC)    /* chosen: keys that were not used for so long are made again when they are */
#define PREV_LIFE (10 * SEC)     /* chosen: what is under way with old keys arrives within that */
#define SWEEP_EVERY (1 * SEC)
#define SWEEP_MIN 64           /* associations that a sweep looks at, */
#define SWEEP_MAX 16384        /* at most: well under 1 ms */
#define SPARE_AFTER (10 * SEC) /* chosen: who was heard of since is not forgotten to make room */
#define SPARE_LOOKS 64         /* chosen: so many are looked at for one that may be */
#define TENTATIVE_MAX 2048     /* chosen: what the budget of handshakes allows in SESSION_TENTATIVE_LIFE */
#define RECENT_INITS_MAX 1024
#define JOIN_LIFE (5 * SEC)     /* chosen: longer than a request of 4 tries goes on */
#define JOIN_SPARE (500 * MSEC) /* chosen: an older one makes room for another */
#define JOINS_PER_PEER 2
#define DIAL_MORE 3               /* chosen: an INIT is sent once to each way and so often again */
#define DIAL_AGAIN_MIN (1 * SEC)  /* chosen: a call with `keep` that found nobody waits so long, */
#define DIAL_AGAIN_MAX (60 * SEC) /* doubled each time up to this */
#define CHALLENGES_MAX 8          /* chosen: for so many a request is sent again; who roams gets one */
#define EXPIRY_BATCH 1024         /* timers that one exchange_on_expiry looks at */
#define OUT_SLOT 1280             /* bytes: EXCHANGE_DATAGRAM_MAX, in whole cache lines */

struct replay_message {
    struct replay window;
    uint64_t words[REPLAY_MESSAGE_BITS / 64];
};

/* What one handshake gave. First what each record needs. */
struct keys {
    struct assoc *assoc;
    uint64_t rx_cid, tx_cid;
    struct aead *rx, *tx; /* NULL: not in use; made again from the master */
    uint64_t tx_next;     /* counter */
    uint64_t forged;
    instant born;
    struct replay_message replay;
    uint8_t suite;
    bool initiator;
    int64_t cookie_time; /* of the INIT, -1: none */
    uint8_t digest[32];  /* of the INIT, where we answered it */
    uint8_t master[32];
};

/* A response that stands until the peer has shown that it has it. */
struct answered {
    struct list item; /* in exchange.tentative, the oldest first */
    struct assoc *assoc;
    instant expires;
    struct locator_pair at; /* where it went, */
    bool elsewhere;         /* and not only there: then nothing is proven by it */
    uint16_t body_len;
    uint8_t suite;
    uint8_t body[HANDSHAKE_MAX];
};

enum timer_kind { TIMER_CALL, TIMER_ASK };
struct timer {
    struct heap_item item;
    uint8_t kind; /* enum timer_kind */
};

/* What only the end that called has. */
struct call {
    struct assoc *assoc;
    uint64_t instance; /* so that two calls of one key are two associations at the other end as well */
    struct locator_pair ways[EXCHANGE_WAYS_MAX];
    uint8_t ways_count, way; /* way: the one in use */
    span keep;
    span again;          /* the next pause after nobody was found */
    instant pause_until; /* no handshake before; 0: none */
    instant last_reset;
    bool down_told;
    bool keeping; /* the ping of `keep` is under way */
    instant keep_at;
    struct discovery *discovery; /* owned; NULL: the key is known, or nobody wants to know it now */
    uint32_t wrong;              /* ways, a bit each, at which somebody else was found */
    struct list discovering;     /* in exchange.discovering */
    struct dial *dial;           /* owned; NULL: no handshake is under way */
    uint8_t reset_token[RESET_TOKEN_LEN];
    bool has_token;
};

struct dial {
    struct list item; /* in exchange.dials */
    struct assoc *assoc;
    struct handshake_init init;
    struct handshake_mask mask;
    uint8_t mac1[EXCHANGE_WAYS_MAX][MAC1_LEN]; /* of the last copy on each way, if `sent` has its bit */
    uint32_t sent;
    uint8_t way, sends, cookies;
    instant next_at;
};

enum told { TOLD_UP = 1, TOLD_DOWN = 2, TOLD_GONE = 4 };

struct assoc { /* first what each record needs */
    struct exchange *x;
    uint64_t number;                /* generation << 32 | index */
    struct keys *cur, *prev, *next; /* next: answered, not confirmed */
    instant used;
    struct call *call; /* NULL: it called us */
    void *owner;       /* the program's */
    struct locator_pair at;
    bool proven, dead; /* proven: something that was sent to `at` came back */
    uint8_t to_tell;   /* bits of enum told */
    uint8_t down_fault;
    span srtt, rttvar;
    struct peer_key key;
    uint64_t instance;
    instant prev_since;
    struct answered *answered;
    struct timer timer;                /* of the call */
    struct list asks;                  /* ask.item */
    struct join *join[JOINS_PER_PEER]; /* of its requests */
    struct list telling;               /* in exchange.telling */
    uint64_t token;                    /* what the peer's last challenge said */
};

struct join {
    struct list item; /* in exchange.joins, the oldest first */
    struct assoc *assoc;
    struct ask *ask; /* an answer's; NULL: a request's */
    instant touched; /* when a part was new */
    uint64_t digest, parts;
    uint32_t id;
    uint8_t last;
    size_t len;     /* known once the last part has come; 0 before */
    uint8_t data[]; /* (last + 1) * EXCHANGE_PART_LEN */
};

struct ask {
    struct list item;    /* in assoc.asks, or in exchange.done */
    struct list waiting; /* in exchange.waiting while there is something to send */
    struct exchange *x;
    struct assoc *assoc; /* NULL when it has ended */
    uint64_t peer;       /* the association's number, */
    void *owner;         /* and its owner at the end */
    struct timer timer;
    uint64_t number; /* serial << 32 | id */
    void *context;
    struct join *join;               /* parts of the answer; owned with exchange.joins */
    uint64_t challenged;             /* the last challenge that it was sent again for */
    instant sent_at[EXCHANGE_TRIES]; /* of try t at t % EXCHANGE_TRIES */
    uint64_t digest;
    uint64_t progress; /* parts of the answer when it was sent last */
    uint8_t tries;     /* timers that ended without anything new */
    uint8_t challenges;
    uint8_t try;           /* number of the next sending */
    bool ping;             /* ours: nobody is told of its end */
    bool sent;             /* its timer runs */
    uint8_t fault;         /* enum exchange_fault, when done */
    const uint8_t *answer; /* when done: in the join or in a datagram */
    size_t answer_len;
    size_t len;
    uint8_t data[];
};

struct exchange {
    struct exchange_options o;
    struct handshake_mask self_mask;
    struct guard guard;
    uint8_t hash_key[16], token_key[16], reset_secret[32];
    uint64_t instance;

    struct assoc **slots; /* peers by index; NULL: free */
    uint32_t *generations;
    uint32_t slots_count, slots_room, peers_count, hand, free_hint;
    struct map64 cids;      /* connection id -> struct keys */
    struct map64 by_static; /* keyed hash of static key and instance -> struct assoc: who called us */
    struct map64 tokens;    /* first bytes of a reset token -> struct assoc */
    struct map64 asks;      /* id -> struct ask */
    struct map64 dialing;   /* index of an INIT -> struct assoc */
    uint32_t next_id;
    uint32_t serial;
    uint32_t asks_count, requests_open, joins_count; /* requests_open: asks but for pings, until they were told of */
    struct list dials, discovering, tentative, joins, waiting, done, telling;
    uint32_t tentative_count;
    struct heap timers;
    instant sweep_at;
    struct {
        uint8_t digest[8];
        uint64_t number;
    } recent[RECENT_INITS_MAX];

    /* Requests that are to be popped, from requests_first on; the bytes of one with a join stand in that. */
    struct exchange_event requests[EXCHANGE_WAITING_MAX];
    struct join *request_joins[EXCHANGE_WAITING_MAX];
    unsigned requests_first, requests_end;
    struct join *spent; /* of the event that was popped last: freed at the next call */
    struct ask *spent_ask;
    struct assoc *spent_assoc;

    uint8_t *out; /* EXCHANGE_OUTPUT_MAX * OUT_SLOT, owned */
    struct {
        struct locator_pair at;
        uint16_t len;
    } out_slots[EXCHANGE_OUTPUT_MAX];
    uint32_t out_head, out_count;

    struct exchange_stats stats;
    size_t memory;
};

/* exchange.c */
void *ex_alloc(struct exchange *x, size_t size);                    /* zeroed, counted; NULL */
void ex_free(struct exchange *x, void *p, size_t size);             /* wipes; accepts NULL */
struct assoc *assoc_get(const struct exchange *x, uint64_t number); /* NULL */
struct assoc *assoc_new(struct exchange *x, instant now);           /* NULL: no room */
/* Its asks end, its keys go; it is freed at once, or after GONE was told. */
void assoc_drop(struct assoc *a, enum exchange_fault f);
void assoc_tell(struct assoc *a, enum told what);
uint64_t static_hash(const struct exchange *x, const uint8_t pub[32], uint64_t instance);
/* The next free place for a datagram of up to EXCHANGE_DATAGRAM_MAX bytes; NULL: there is none. ex_push makes it one
 * that waits. */
uint8_t *ex_slot(struct exchange *x);
void ex_push(struct exchange *x, const struct locator_pair *at, size_t len);
static inline uint32_t ex_room(const struct exchange *x)
{
    return EXCHANGE_OUTPUT_MAX - x->out_count;
}
/* 0 or -ENOMEM; before the first timer_set. */
int timer_reserve(struct exchange *x);
void timer_set(struct exchange *x, struct timer *t, instant at);

/* exchange_keys.c */
/* Keys of a finished handshake, registered under their connection id; NULL. */
struct keys *keys_new(struct assoc *a, const uint8_t master[32], enum suite suite, bool initiator, instant now);
void keys_free(struct keys *k); /* accepts NULL */
void keys_cool(struct keys *k); /* accepts NULL */
/* Seals len bytes that stand at out + SEALED_HEADER_LEN in place: the datagram's length, or -ENOTCONN: the keys may
 * not be used any more. */
int keys_seal(struct keys *k, uint8_t *out, size_t len, instant now);
/* Fetches what a record under these keys will want. */
void keys_foresee(const struct keys *k);
/* Opens in place: the text's length; -EALREADY (replay), -EBADMSG, -ENOMEM. */
int keys_open(struct keys *k, uint8_t *pkt, size_t len, instant now);
/* The end that called should make new ones. */
bool keys_are_worn(const struct keys *k, instant now);
bool keys_are_dead(const struct keys *k, instant now);
/* k is the current one; what was it before still receives. */
void assoc_install(struct assoc *a, struct keys *k);

/* exchange_dial.c */
void call_free(struct assoc *a);
/* No handshake and no search is under way any more. */
void call_stop(struct assoc *a);
/* A handshake begins, or a search for the key, unless one is under way or was in vain a moment ago. False: it cannot.
 */
bool call_start(struct assoc *a, instant now);
void call_on_timer(struct assoc *a, instant now);
void call_on_network(struct assoc *a, instant now); /* its handshake begins its tries anew */
void call_arm(struct assoc *a);
bool call_is_busy(const struct assoc *a);
void dial_on_response(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now);
void dial_on_cookie(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now);
void dial_on_hello_answer(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                          instant now);
void dial_on_reset(struct exchange *x, const uint8_t *pkt, size_t len, instant now);
void call_on_unreachable(struct assoc *a, const struct locator_pair *at, instant now);
/* It is there, and there. */
void call_on_answer(struct assoc *a, const struct locator_pair *at);
void call_set_token(struct assoc *a, const uint8_t token[RESET_TOKEN_LEN]);

/* exchange_accept.c */
void accept_on_init(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now);
void accept_on_hello(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now);
void accept_reset(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, instant now);
/* The peer has opened the response: its keys are the current ones. at: whence it said so. */
void accept_confirmed(struct assoc *a, const struct locator_pair *at, instant now);
void answered_drop(struct assoc *a); /* and its keys */
void tentative_expire(struct exchange *x, instant now);

/* exchange_record.c */
void record_input(struct exchange *x, const struct locator_pair *at, uint8_t *pkt, size_t len, instant now);
void join_free(struct exchange *x, struct join *j); /* accepts NULL */
void joins_expire(struct exchange *x, instant now);

/* exchange_ask.c */
int ask_new(struct assoc *a, const void *data, size_t len, bool ping, struct ask **ret);
/* Puts it where it is sent from. */
void ask_again(struct ask *q);
/* Sends what waits, as long as there is room. */
void asks_send(struct exchange *x, instant now);
void ask_on_timer(struct ask *q, instant now);
/* It ends: an event tells of it, unless it is ours. answer: NULL when it failed. */
void ask_end(struct ask *q, enum exchange_fault f, const uint8_t *answer, size_t len);
void ask_free(struct ask *q);
/* Those that wait for keys are sent, or end. */
void assoc_asks_go(struct assoc *a);
/* A request may have ended. If it was to show new keys to the peer, which does not use them before, and was answered
 * under the old ones, a ping does. */
void assoc_show_keys(struct assoc *a);
void assoc_asks_fail(struct assoc *a, enum exchange_fault f);
struct ask *ask_get(const struct exchange *x, const struct assoc *a, uint32_t id);
