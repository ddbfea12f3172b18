/* mapping/internal.h - what the files of the manager share. */
#pragma once

#include "mapping/guests.h"
#include "mapping/index.h"
#include "mapping/manager.h"
#include "mapping/policy.h"
#include "mapping/subscribers.h"

#define PAGE_BYTES                                                                                                     \
    61440                /* of the items of a page: the rest of MAPPING_BYTES_MAX is more than its other fields take   \
                          */
#define PAGE_STEPS 4096u /* chosen: rows or changes that one page looks at, well under a millisecond */

/* A change: of which row. What it is now stands in the table. */
struct change {
    struct index_key key;
    bool forgotten; /* its subject is no longer of the realm; else a row that is not there has given way to others */
    bool known;     /* to the store, which told it */
    uint64_t seq;   /* and what the store was given, once it was */
};

#define FORMER_MAX CHAIN_ANCHORS_MAX /* keys of the realm's own that are known by name still */

#define HEARD_MAX 64u /* chosen: first registrations on their way by this manager at once */

struct manager {
    struct manager_options o;
    struct trust *trust; /* NULL: no realm yet */
    struct authority *authority;
    struct tag former[FORMER_MAX]; /* the realm's own tags of before, the newest first */
    size_t former_count;
    struct policies *policies;
    struct bindings *bindings;
    struct guests *guests;
    struct subscribers *subscribers;
    struct change *log; /* by number & (log_size - 1) */
    uint32_t log_size;  /* a power of two: log_max, or more (manager_changed) */
    uint64_t head;      /* of the last change; 1 before the first one */
    uint64_t gap;       /* of the last that has no entry; 0: all have had one */
    uint64_t taken;     /* by the store */
    uint64_t stored;    /* durable */
    bool expiring;      /* leases that ended wait for room */
    instant busy_until; /* when what was taken on would be done at the capacity that was told */
    span behind;        /* who follows: another manager */
    bool log_gap;       /* who follows: manager_set_gap */
    uint8_t *page;      /* PAGE_BYTES */
    uint64_t wall_s;    /* the last that was told; 0: never */
    struct manager_call calls[MANAGER_CALLS_MAX]; /* manager_calls.c */
    unsigned calls_head, calls_count;
    struct heard { /* manager_calls.c: who spoke for a row that has not come yet; peer 0: free */
        struct manager_row row;
        uint64_t peer;
    } heard[HEARD_MAX];
    unsigned heard_next;
    struct { /* at.addr.family ADDR_NONE: there is none */
        struct endpoint at;
        uint8_t key[IDENT_KEY_LEN];
        struct rng rng;
    } relay;
    struct manager_stats stats;
};

enum who_type {
    WHO_STRANGER, /* its key alone */
    WHO_GUEST,    /* introduced itself */
    WHO_MEMBER,   /* enrolled here, or a sub-realm */
    WHO_SELF,     /* has the realm's own key: another manager of it, or its owner */
};

/* Who asks, as far as it is known. */
struct who {
    enum who_type type;
    uint64_t peer;
    const uint8_t *key;
    struct tag tag;              /* of a stranger, what its key has without a realm */
    const struct entity *member; /* the first of that key; NULL: none */
};

#define LATER_BEHIND_MS 1000u /* chosen: who follows asks as often, while it is put off */

/* --- manager.c --- */

/* It follows another, and does not know all that that one knows, or has not for too long. */
bool manager_is_behind(const struct manager *m);

/* The entity of that tag if the key is his, or the realm's own. NULL: it is nobody's business of who asks. */
const struct entity *manager_own_subject(const struct manager *m, const struct who *w, const struct tag *subject);
/* Whether it has ended by itself. */
bool manager_is_over(const struct manager *m, const struct entity *e, uint64_t wall_s);
/* The subject is an old key of who asks, in whose place another has come. */
bool manager_is_succeeded(const struct manager *m, const struct who *w, const struct tag *subject);
/* What who asks may learn of a subject; of one that is not there (NULL) by the same steps. */
enum record_class manager_class(const struct manager *m, const struct who *w, const struct tag *subject,
                                uint64_t wall_s);
uint32_t manager_fresh_s(uint8_t pace, uint32_t left_s);
uint32_t manager_left_s(const struct manager *m, const struct binding *b, instant now);
/* A row has changed: it gets a number, and subscribers are told in their time. */
void manager_changed(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                     uint8_t pace, instant now);
/* A subject is no longer of this realm: its bindings go, and their sequences. */
void manager_forget(struct manager *m, const struct tag *subject, instant now);
/* Answers of a kind. */
struct mapping_answer manager_none(const struct who *w);
struct mapping_answer manager_refuse(struct manager *m, enum record_fault fault);
struct mapping_answer manager_later(uint32_t wait_ms);

/* --- manager_lookup.c --- */

/* links: room for a chain, which the answer points to; so does what it says of rows, until the table changes. */
struct mapping_answer manager_resolve(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      instant now, uint64_t wall_s);

/* --- manager_bind.c --- */

struct mapping_answer manager_register(struct manager *m, const struct who *w, const struct mapping_request *r,
                                       instant now, uint64_t wall_s, struct manager_reply *reply);
struct mapping_answer manager_refresh(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      instant now, uint64_t wall_s);
struct mapping_answer manager_publish(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      uint64_t wall_s, struct manager_reply *reply);

/* --- manager_changes.c --- */

/* A page for CHANGES and SUBSCRIBE; its items are in m->page. */
struct mapping_answer manager_page(struct manager *m, const struct who *w, const struct tag_prefix *prefix,
                                   uint64_t epoch, uint64_t from, uint32_t position, instant now, uint64_t wall_s);
struct mapping_answer manager_subscribe(struct manager *m, const struct who *w, const struct mapping_request *r,
                                        instant now, uint64_t wall_s, struct manager_reply *reply);

/* So much is to be done that some are put off. */
bool manager_is_pressed(const struct manager *m, instant now);

/* Whether it is the realm itself, a member or a guest. */
bool manager_knows(const struct manager *m, const struct manager_who *who, uint64_t wall_s, struct who *ret);
/* Who has that key: of a peer that is known by its key alone. */
struct who manager_identify(const struct manager *m, const struct manager_who *who, uint64_t wall_s);

/* manager_calls.c */
/* Who calls the subject of that binding, as its lookup says; and the relay that he is given. */
void manager_call(struct manager *m, const struct who *w, const struct mapping_request *r, const struct binding *b,
                  uint64_t wall_s, struct mapping_relay *ret_relay);
/* Of a manager that follows: that peer speaks for the row, which may not have come yet; and it has. */
void manager_heard(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t peer);
void manager_heard_follows(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer);
