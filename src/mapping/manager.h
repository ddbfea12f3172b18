/* mapping/manager.h - a realm manager: whoever belongs to the realm says to it where he is, and whoever may know is
 * told.
 *
 * A machine without IO, between three others that its owner has: exchanges (session/exchange.h) bring requests and take
 * answers; the realm's log says who belongs to it (manager_take); a store keeps bindings beyond the process, if there
 * is one (manager_pop_change). One manager serves one realm; several may serve the same one, each with its own
 * bindings' table.
 *
 * Who asks is known by the key of his association. A key of the realm's own is found in its authority; any other shows
 * its chain once (INTRODUCE). What he may learn is the class that the subject's policy gives his tag; without a policy,
 * nothing. A denied answer and that of a name that is not there are the same bytes, and come about by the same steps.
 *
 * Customers. Who moves often is served differently from who does not (enum binding_pace), so that a manager's work goes
 * where it is needed, and what others know of him is never older than is said here:
 *
 *   pace       is told to subscribers   an answer may be used for
 *   mobile     at once                  5 s
 *   roaming    within 1 s               60 s
 *   settled    within 5 s               300 s
 *
 * Under overload requests of the lower of four ranks are answered LATER first: movers' own registrations go before
 * those of others, these before lookups by members and known guests, and these before strangers.
 *
 * Changes are numbered, from 1 in each run of the program; `epoch` says which run. Who is behind, or comes from another
 * run, is given a snapshot and then what changed since it began. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "ident/keys.h"
#include "mapping/authority.h"
#include "mapping/bindings.h"
#include "mapping/follower.h"
#include "mapping/message.h"

#define MANAGER_FRESH_MOBILE_S 5    /* chosen: a door or a street corner */
#define MANAGER_FRESH_ROAMING_S 60  /* chosen */
#define MANAGER_FRESH_SETTLED_S 300 /* chosen: who finds it wrong says so in his next lookup */
#define MANAGER_NONE_S 30           /* chosen: who has just registered is found within half a minute */
#define MANAGER_TELL_ROAMING (1 * SEC)
#define MANAGER_TELL_SETTLED (5 * SEC)
#define MANAGER_SUBSCRIPTION_MAX_S 3600 /* chosen: then it is asked for again */
#define MANAGER_BEHIND_MAX (300 * SEC)  /* chosen: the common lease; what is older may be of one who is gone */
#define MANAGER_RANKS 4
#define MANAGER_AHEAD_MAX 16  /* chosen: as many as an exchange has waiting */
#define MANAGER_CALLS_MAX 256 /* chosen: between two turns of the owner */
#define MANAGER_CALL_BYTES_MAX 288
#define MANAGER_FOLLOWED UINT64_MAX /* for a peer: the manager that is followed */

struct manager;

struct manager_options {
    struct rng rng;        /* for the keys of hashes; not kept */
    uint32_t bindings_max; /* rows */
    uint32_t names_max;    /* in the authority, and policies */
    uint32_t guests_max;   /* keys that have introduced themselves */
    uint32_t subscriptions_max;
    uint32_t log_max; /* changes that are kept: a power of two, 2 at least; 32 bytes each */
    uint64_t epoch;   /* 1.., another one in each run */
    bool stores;      /* manager_pop_change is emptied, and manager_stored called */
    bool caches;  /* follows: of each subject only what a fetcher has (mapping/fetcher.h); nobody follows this one */
    bool follows; /* bindings are those of another manager of the realm (manager_followed), not of members */
    uint32_t capacity; /* plain lookups a second that this machine is trusted with; 0: no bound */
};

/* Who asks. */
struct manager_who {
    uint64_t peer; /* a number that is never given to another; whom notifications go to */
    const uint8_t *ed25519;
    const struct endpoint *at; /* from where; NULL: not known */
};

/* A request that waits. */
struct manager_ahead {
    struct manager_who who;
    const uint8_t *bytes;
    size_t len;
};

/* Who is to be told of a call. */
struct manager_call {
    uint64_t peer; /* or MANAGER_FOLLOWED */
    struct tag caller, callee;
    struct endpoint places[MAPPING_PLACES_MAX];
    size_t places_count;
    struct mapping_relay relay;
};

/* Which row of the table. */
struct manager_row {
    struct tag subject;
    uint8_t kind, answer;
};

/* What is to be done with an answer. */
struct manager_reply {
    size_t len;
    bool subscribed;        /* the peer is to be told of things from now on: it should be kept */
    uint64_t stored;        /* it may be sent when manager_durable has come to that number; 0: at once */
    struct manager_row row; /* stored > 0: it says that this one is, and is wrong if manager_store_has_newer names it */
    struct slice publish; /* len > 0: first this record must be in the log, and given to manager_take; it stands in the
                           * request. If that fails, say LATER */
};

/* A row as it is now, for a store. */
struct manager_change {
    uint64_t number;
    bool forgotten; /* the row and its sequence are to go, since its subject is no longer of the realm. What only gave
                     * way to others here is a row without bytes */
    struct binding row; /* forgotten: subject, kind, class and seq */
};

/* What is to be sent to a subscriber, as a request. */
struct manager_notice {
    uint64_t peer, id; /* of the subscription, for manager_on_told */
    size_t len;
};

struct manager_stats {
    uint64_t requests[MAPPING_TYPE_END], unknown; /* by type, 0: none; that were not understood */
    uint64_t answers[MAPPING_STATUS_COUNT];
    uint64_t refused[RECORD_FAULT_COUNT]; /* records, by cause */
    uint64_t later[MANAGER_RANKS];        /* overload, by rank */
    uint64_t notices, notices_lost;
    uint64_t calls, calls_lost; /* lost: too many waited for manager_pop_call */
    uint64_t changes, stored;   /* the last numbers */
    uint32_t names, bindings, bindings_live, guests, subscriptions;
    size_t bindings_bytes;
};

/* NULL when out of memory or for options that make no sense. */
struct manager *manager_new(const struct manager_options *o, instant now);
/* Accepts NULL. */
void manager_free(struct manager *m);

/* --- what the realm's log says --- */

/* The realm's own chain, root first. The first call sets whom to trust; a later one (a new key) forgets all that was
 * taken, but for bindings. 0; -EBADMSG and *ret_error; -EINVAL: another root, or no realm; -ENOMEM. */
MUST_CHECK int manager_set_self(struct manager *m, const struct slice *links, size_t count, uint64_t wall_s,
                                struct record_error *ret_error);
/* A record of the log that is in force, in the log's order: who is enrolled, delegated to, revoked, and policies. What
 * it ends is forgotten, bindings included. 0; -EBADMSG and *ret_error; -ENOSPC; -ENOMEM. */
MUST_CHECK int manager_take(struct manager *m, const uint8_t *bytes, size_t len, instant now,
                            struct record_error *ret_error);
const struct authority *manager_authority(const struct manager *m);

/* --- requests --- */

/* Answers a request into out, of MAPPING_BYTES_MAX bytes. wall_s: seconds since 1970, or 0. */
void manager_on_request(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, instant now,
                        uint64_t wall_s, uint8_t *out, struct manager_reply *ret);
/* Has the processor fetch what several requests will want, of which manager_on_request is about to be told: of a
 * million bindings most of what a lookup costs is waiting for memory, one place after the other; here the first place
 * of all is waited for at once, then the second. What was read and found is kept until it is called again, and used if
 * it is still so. Changes no answer. At most MANAGER_AHEAD_MAX; those beyond are not looked at. */
void manager_foresee(struct manager *m, const struct manager_ahead *requests, size_t count, instant now,
                     uint64_t wall_s);
/* An answer that says: not now. Its length. */
size_t manager_say_later(uint32_t wait_ms, uint8_t *out, size_t size);
/* An answer that says: older than what there is, which has that sequence. Its length. */
size_t manager_say_older(uint64_t newest, uint8_t *out, size_t size);

/* follows: what members say of themselves (REGISTER, REFRESH, PUBLISH) is for the manager that is followed, who takes
 * it from this one, as it has the realm's key. True: who asks may say all of it, so it may be passed on as it is; and
 * so may the answer. Then it is also remembered by which peer calls (MAPPING_CALL) reach who asks. */
bool manager_passes_on(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, instant now,
                       uint64_t wall_s);
/* caches: the subject, if the answer to this request says anything of one, that a fetcher should know before it is
 * answered. *ret_doubted: the sequence that who asks has found to be wrong (fetcher_on_doubt); 0: none. False: no
 * request, or one that nothing is known of to who asks, as of one who is not there. */
bool manager_wants(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, uint64_t wall_s,
                   struct tag *ret, uint64_t *ret_doubted);
/* How often one moves of whom an answer may be used for so long. */
static inline enum binding_pace manager_pace_of(uint32_t fresh_s)
{
    return fresh_s <= MANAGER_FRESH_MOBILE_S    ? PACE_MOBILE
           : fresh_s <= MANAGER_FRESH_ROAMING_S ? PACE_ROAMING
                                                : PACE_SETTLED;
}

/* --- subscribers --- */

/* The next notice that is due, into out of MAPPING_BYTES_MAX bytes. False: none. */
bool manager_pop_notice(struct manager *m, instant now, uint64_t wall_s, uint8_t *out, struct manager_notice *ret);
/* What became of it: the answer, or NULL when there was none, or the peer has gone. */
void manager_on_told(struct manager *m, uint64_t id, const uint8_t *answer, size_t len, instant now);
/* The peer has gone, and its subscriptions. */
void manager_on_gone(struct manager *m, uint64_t peer);
/* All have: their numbers may be given to others from now on. */
void manager_on_all_gone(struct manager *m);

/* --- calls --- */

/* Who calls and who is called are given the two sides of a channel at that relay, with which the key is shared
 * (grant_key), for what does not go directly. rng: for the channels' numbers; kept. */
void manager_set_relay(struct manager *m, const struct endpoint *at, const uint8_t key[IDENT_KEY_LEN],
                       const struct rng *rng);
/* A CALL that came from the manager that is followed, or from one that follows (manager_on_request does that). */
void manager_called(struct manager *m, const struct mapping_request *r, bool from_followed, instant now);
/* The next that is to be told who calls a host: that host, or a manager on the way to it. As a request without an
 * answer that counts, into out of MANAGER_CALL_BYTES_MAX bytes. Its length; 0: none. A peer that has gone has not heard
 * it, and its caller tries without. */
size_t manager_pop_call(struct manager *m, uint8_t *out, uint64_t *ret_peer);

/* --- another manager of the realm that is followed --- */

/* What a follower (mapping/follower.h) of all the realm's prefixes writes into. */
struct bindings *manager_bindings(struct manager *m);
/* What follower_pop gave. Subscribers of this manager are told in their time. */
void manager_followed(struct manager *m, const struct follower_change *c, instant now);
/* follower_behind; INSTANT_NEVER until it is told. Beyond MANAGER_BEHIND_MAX lookups are answered LATER, and so is who
 * wants to follow this one: it has what it has, and is behind itself soon. So a chain of n is behind by n times that at
 * most. */
void manager_set_behind(struct manager *m, span behind);

/* follows: whether entries of the realm's log are not here, or it is not known whether they are. Of a key that such a
 * one may have revoked nobody can say that it was not: all that depends on it is answered LATER, and nothing is passed
 * on. */
void manager_set_gap(struct manager *m, bool gap);

/* --- a store --- */

/* A row that was stored before, at the start. 0, -EEXIST, -ENOSPC, -ENOMEM. */
MUST_CHECK int manager_load(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                            const uint8_t *bytes, size_t len, instant expires, instant now);
/* The next change that a store is to be given, oldest first; false when there is none. */
bool manager_pop_change(struct manager *m, instant now, struct manager_change *ret);
/* All changes up to this number are durable: each of them, not just those that were given last. */
void manager_stored(struct manager *m, uint64_t number);
/* The number up to which all is durable. */
uint64_t manager_durable(const struct manager *m);
/* The store did not take a change, since it has a newer record of that row, or another one of the same sequence: what
 * is here is not what is so. It ends here, and its holder is to be told `newest`: true and *ret, of which no answer
 * that waits is right. False: what is here has gone on meanwhile. */
bool manager_store_has_newer(struct manager *m, uint64_t number, uint64_t newest, instant now, struct manager_row *ret);
/* The store failed: all after the last that is durable come again from manager_pop_change. */
void manager_store_again(struct manager *m);

instant manager_next_expiry(const struct manager *m);
void manager_on_expiry(struct manager *m, instant now);
void manager_get_stats(const struct manager *m, struct manager_stats *ret);
