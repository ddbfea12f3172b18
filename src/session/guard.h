/* session/guard.h - what an end spends on strangers: who gets an answer, and at what cost.
 *
 * A machine without IO, for whoever takes handshakes (node/, session/exchange.h). It counts; what is sent and what is
 * done is the owner's. Nothing here is as large as what it answers: COOKIE 60 < INIT, ANSWER 88 < HELLO 128, RESET 24 <
 * the shortest record. */
#pragma once

#include "session/handshake.h"

#define GUARD_BUDGET_PER_SEC 100000                 /* us of public-key work a second: 10 % of a core */
#define GUARD_BUDGET_MAX (GUARD_BUDGET_PER_SEC / 2) /* what is saved up at most */
#define GUARD_INIT_COST 300                         /* us: two X25519, one Ed25519 verification, measured 200-300 */
#define GUARD_SOURCES 1024      /* chosen: source networks, by keyed hash, that are told apart in a second */
#define GUARD_SOURCE_PER_SEC 20 /* INITs of a source network, while wary */
#define GUARD_COOKIES_FREE 1000 /* a second for whoever asks; above that for a source that asks again */
#define GUARD_HELLOS_FREE 1000  /* likewise, of answers to HELLO */
#define GUARD_RESETS_PER_SEC 100
#define GUARD_SEEN_SPAN (1 * SEC) /* chosen: INITs are sent again after 250 and 500 ms */
#define GUARD_SEEN_BITS (1u << 20)
#define GUARD_JAR_LIFE (2 * COOKIE_LIFETIME)

struct guard {
    struct cookie_jar jar;
    int64_t jar_period; /* its number: of the jar, and of the INITs that may come with one of its cookies */
    uint8_t jar_secret[32], hash_key[16];
    int64_t budget_per_sec; /* GUARD_BUDGET_PER_SEC, or what the owner sets */
    int64_t budget_us;      /* credit of public-key work */
    instant budget_at;
    bool wary; /* the credit fell below half and is not full again: an INIT must bring a cookie */
    uint32_t source_used[GUARD_SOURCES];
    instant second_at;        /* since when these count: */
    uint32_t cookies, hellos; /* sent in this second */
    uint32_t resets;          /* likewise */
    uint64_t *seen[2]; /* owned: sources in this span and the one before, a bit each of GUARD_SEEN_BITS by keyed hash */
    instant seen_at;
};

/* jar_secret: 32 random bytes that ends which share cookies have in common. 0 or -ENOMEM. */
MUST_CHECK int guard_init(struct guard *g, const uint8_t jar_secret[32], const uint8_t hash_key[16], instant now);
/* Accepts what guard_init has refused, and all zero. */
void guard_deinit(struct guard *g);
/* What time gives back. Before each of the following. */
void guard_turn(struct guard *g, instant now);

enum guard_verdict {
    GUARD_ADMITTED,   /* it has paid */
    GUARD_COOKIE_DUE, /* it must bring a cookie */
    GUARD_REFUSED,    /* neither work nor an answer */
};
/* May an INIT from there cost public-key work? has_cookie: a valid one (handshake_cookie_check). */
enum guard_verdict guard_charge(struct guard *g, const struct endpoint *from, bool has_cookie);
/* May a cookie, an answer to HELLO, a RESET be sent there? If so it is counted as sent. */
bool guard_may_send_cookie(struct guard *g, const struct endpoint *to, instant now);
bool guard_may_answer_hello(struct guard *g, const struct endpoint *to, instant now);
bool guard_may_reset(struct guard *g);
