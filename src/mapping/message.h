/* mapping/message.h - what realm managers and those who ask them say to each other (doc/protocol.md, Mapping).
 *
 * A request and its answer are a message of an exchange each (session/exchange.h), which finds out who speaks, repeats
 * what was lost and seals everything. Each is one map in deterministic CBOR (wire/cbor.h) whose keys are small numbers;
 * which of them a type has stands in a table in message.c, and a key that a type does not have is refused, as bytes
 * behind the end are. So what was accepted has one encoding.
 *
 * Requests say the same however often they come. Records inside are bytes: their signatures are for ident/chain.h. */
#pragma once

#include "base/slice.h"
#include "ident/chain.h"
#include "ident/entry.h"
#include "ident/grant.h"

#define MAPPING_VERSION 1
#define MAPPING_BYTES_MAX 65536    /* of a message: what an exchange carries */
#define MAPPING_REFRESHES_MAX 1024 /* chosen: 36 KB */
#define MAPPING_CHANGES_MAX 1024   /* chosen: of a page, which its bytes bound first */
#define MAPPING_PROOFS_MAX 4       /* chosen: generations of a key between the one that was asked for and that of now */
#define MAPPING_PLACES_MAX 8       /* chosen: of a host that calls, two each of four uplinks */
#define MAPPING_WAIT_MAX_MS 600000 /* chosen: nobody is sent away for longer than 10 minutes */

/* 10 is not used. */
enum mapping_type {
    MAPPING_INTRODUCE = 1, /* who I am: my chain. Not needed where the asked one has enrolled the key itself */
    MAPPING_RESOLVE,       /* name or tag, kind */
    MAPPING_REGISTER,      /* a signed binding of who asks */
    MAPPING_REFRESH,       /* leases of bindings that are there begin anew, without a signature */
    MAPPING_PUBLISH,       /* a hard record of who asks: a policy, or a revocation of itself */
    MAPPING_SUBSCRIBE,     /* a page, as CHANGES, and be notified from then on */
    MAPPING_CHANGES,       /* a page of what is, or of what changed since a cursor */
    MAPPING_NOTIFY,        /* of a manager to a subscriber: what has changed */
    MAPPING_LOG,           /* entries of the realm's log, for another manager of the same realm */
    MAPPING_CALL = 11,     /* of a manager, to a host or to another on the way there: who has that tag calls it */
    MAPPING_WHERE,         /* from which endpoint I ask */
    MAPPING_GROWN,         /* of a manager to one that follows its log: what was said since */
    MAPPING_TYPE_END,
};

/* Each answer begins with one of these. */
enum mapping_status {
    MAPPING_FOUND = 0, /* RESOLVE: a binding */
    MAPPING_NONE,      /* there is none, or nothing for who asks: the same bytes */
    MAPPING_REFERRAL,  /* RESOLVE: ask the managers of that realm */
    MAPPING_LATER,     /* full, or busy with what is more urgent: ask again after wait_ms */
    MAPPING_REFUSED,   /* for the reason that fault says */
    MAPPING_DONE,      /* taken, and durable where it is to be; REFRESH: but for those in the list */
    MAPPING_OLDER,     /* REGISTER, PUBLISH: a newer one is there, of sequence seq */
    MAPPING_PAGE,      /* SUBSCRIBE, CHANGES */
    MAPPING_ENTRIES,   /* LOG */
    MAPPING_UNKNOWN,   /* not a request that we understand: another version, or no sound encoding */
    MAPPING_STATUS_COUNT,
};

/* flags of requests */
#define MAPPING_WITH_CHAIN 1u /* RESOLVE: the subject's chain, too */
#define MAPPING_RECURSE 2u    /* RESOLVE: for others than who asks: of CLASS_AGENT at most. Nobody recurses */
#define MAPPING_LOST 4u       /* NOTIFY: there was more than is kept; ask for CHANGES from where you are */
#define MAPPING_REQUEST_FLAGS 7u
/* flags of answers */
#define MAPPING_STRANGER 1u  /* who asks is known by its key alone: with INTRODUCE there may be more */
#define MAPPING_CAUGHT_UP 2u /* PAGE: there is nothing after it */
#define MAPPING_SNAPSHOT 4u  /* PAGE: of what is, not of what changed: go on at `position` until it is 0 */
#define MAPPING_ANSWER_FLAGS 7u

/* Items one behind the other, in CBOR, without the head of the array. Read: all are known to be sound. To write one,
 * make the items by mapping_write_* and count them. */
struct mapping_list {
    const uint8_t *items;
    size_t len, count;
};

/* Who may pass on what two hosts cannot say directly, and the word by which it does. */
struct mapping_relay {
    struct endpoint at; /* ADDR_NONE: nobody may */
    uint8_t grant[GRANT_LEN];
};

struct mapping_request {
    enum mapping_type type;
    uint8_t flags;
    uint8_t kind;     /* RESOLVE: enum record_kind */
    const char *name; /* RESOLVE: not terminated, not checked (name_parse); NULL: the tag is asked for */
    size_t name_len;
    struct tag tag;      /* RESOLVE; CALL: who calls */
    uint64_t seq;        /* RESOLVE: of a binding that was wrong, as nobody was there; 0: none was */
    struct slice record; /* REGISTER, PUBLISH */
    struct slice chain[CHAIN_LINKS_MAX];
    size_t chain_count;       /* INTRODUCE: 1..; others 0 */
    struct tag_prefix prefix; /* SUBSCRIBE, CHANGES, NOTIFY; CALL: the callee, all of it */
    uint32_t lease_s;         /* SUBSCRIBE: how long to be notified; 0: no longer */
    uint64_t epoch, from;     /* SUBSCRIBE, CHANGES: where I am; 0 0: nowhere. NOTIFY: what follows is after `from` */
    uint64_t to;              /* NOTIFY: and goes to here; GROWN: entries that there are */
    uint32_t position;        /* SUBSCRIBE, CHANGES: inside a snapshot, as the last page said; 0: in none. LOG: bytes of
                               * the first that are there already */
    uint64_t index;           /* LOG: the first that is wanted; GROWN: the first of the items */
    struct mapping_list items; /* REFRESH: mapping_refresh; NOTIFY: mapping_change; GROWN: bytes */
    /* RESOLVE: who asks is about to call the subject, from there. If it may know all, the subject is told by CALL. */
    struct endpoint places[MAPPING_PLACES_MAX];
    size_t places_count;
    struct mapping_relay relay; /* CALL */
};

struct mapping_answer {
    enum mapping_status status;
    uint8_t flags;
    uint8_t granted;     /* FOUND: the class of the answer, enum record_class: it is nobody else's */
    uint8_t fault;       /* REFUSED: enum record_fault */
    struct tag tag;      /* DONE: whom the asked one takes who asks for; zeros: not said */
    uint64_t seq;        /* DONE: what stands there now, 0: not said; OLDER: the newest */
    struct slice record; /* FOUND: the binding; REFERRAL: the realm's own, where its managers are; len 0: not known */
    struct slice chain[CHAIN_LINKS_MAX]; /* FOUND: of the subject, if asked for; REFERRAL: of the realm */
    size_t chain_count;
    uint32_t left_s;   /* FOUND, REFERRAL: of the lease; DONE: of what was given; PAGE: of the subscription */
    uint32_t fresh_s;  /* FOUND, REFERRAL, NONE: use it so long without asking again; DONE: register again within */
    uint32_t wait_ms;  /* LATER */
    uint64_t epoch;    /* PAGE, DONE of NOTIFY */
    uint64_t from;     /* PAGE: the items are what changed after it */
    uint64_t to;       /* PAGE, DONE of NOTIFY: where who asks is now; ENTRIES: how many there are */
    uint32_t position; /* PAGE: of the next page of the snapshot; 0: that was the last. ENTRIES: the one item is a piece
                        * of its entry that ends at that byte; 0: whole entries, or the rest of the first */
    uint64_t index;    /* ENTRIES: of the first; who asked from beyond the end: of the end */
    const uint8_t *digest;      /* ENTRIES: of the entry before that, ENTRY_DIGEST_LEN bytes; NULL: there is none */
    struct mapping_list proofs; /* FOUND, REFERRAL: records, from the tag that was asked for to the one of now */
    struct mapping_relay relay; /* FOUND: of a call */
    struct endpoint place;      /* DONE of WHERE; ADDR_NONE: it is not known */
    struct mapping_list items;  /* DONE of REFRESH: mapping_failure; PAGE: mapping_change; ENTRIES: bytes */
};

/* A lease that is to begin anew, of just that record. */
struct mapping_refresh {
    struct tag subject;
    uint8_t kind, answer; /* enum record_kind; enum record_class of the record */
    uint64_t seq;
    uint32_t lease_s;
};

/* A refresh that was not done. */
struct mapping_failure {
    uint32_t index; /* in the request */
    uint64_t seq;   /* 0: nothing is there, send the record; else that sequence is there */
};

/* What is now, of a subject, kind and class. */
struct mapping_change {
    struct slice record; /* len 0: gone, of which the next four tell */
    struct tag subject;
    uint8_t kind, answer;
    uint64_t seq;
    uint32_t left_s, fresh_s; /* of a record */
};

/* All of len is the message: 0 and *ret, which points into bytes; -EBADMSG: not sound; -EPROTONOSUPPORT: of another
 * version, or a type that we do not know. */
MUST_CHECK int mapping_request_read(const uint8_t *bytes, size_t len, struct mapping_request *ret);
MUST_CHECK int mapping_answer_read(const uint8_t *bytes, size_t len, struct mapping_answer *ret);
/* Fields that the type does not have are not looked at; those that it may have are written unless they are 0. */
void mapping_request_write(struct writer *w, const struct mapping_request *r);
void mapping_answer_write(struct writer *w, const struct mapping_answer *a);

/* The next item of a list that was read, which is taken off. False: none is left. */
bool mapping_next_refresh(struct mapping_list *l, struct mapping_refresh *ret);
bool mapping_next_failure(struct mapping_list *l, struct mapping_failure *ret);
bool mapping_next_change(struct mapping_list *l, struct mapping_change *ret);
bool mapping_next_bytes(struct mapping_list *l, struct slice *ret);

void mapping_write_refresh(struct writer *w, const struct mapping_refresh *i);
void mapping_write_failure(struct writer *w, const struct mapping_failure *i);
void mapping_write_change(struct writer *w, const struct mapping_change *i);
void mapping_write_bytes(struct writer *w, struct slice bytes);

/* "resolve", "found". NULL for a number that is none. */
const char *mapping_type_name(unsigned type);
const char *mapping_status_name(unsigned status);
