/* mapping/internal.h - what the files of the manager share. */
#pragma once

#include "ident/name.h"
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

/* What was asked for. */
struct asked {
    bool foreign;                                    /* no business of this realm */
    enum record_fault why;                           /* foreign */
    const struct entity *below;                      /* a realm to ask; NULL: this one */
    const struct entity *found;                      /* NULL: none, or the realm itself */
    bool decoy;                                      /* there is nobody: the subject is somebody else's */
    bool label;                                      /* of a service that has no key, so nobody is found */
    struct tag subject;                              /* of it; zeros: none */
    enum record_class granted;                       /* that who asks may know of the subject */
    const struct entity *proofs[MAPPING_PROOFS_MAX]; /* aliases, from the tag that was asked for to that one */
    size_t proofs_count;
};

/* A lookup that was read. */
struct lookup {
    const struct mapping_request *request;
    struct name name;              /* len 0: it is none, or a tag is asked for */
    struct authority_look subject; /* where that name or tag stands */
};

/* All but its bytes and who asks that decides what a lookup is of: the log, guests, the time. */
struct manager_state {
    uint64_t said, wall_s, floor_s;
};

#define AHEAD_BYTES_MAX 512 /* chosen: of a lookup; what is longer is another request, and not read twice */

/* manager_lookup.c: a lookup that waits. */
struct ahead {
    size_t len;
    uint8_t bytes[AHEAD_BYTES_MAX], key[IDENT_KEY_LEN]; /* of the request and of who asks, copied */
    struct mapping_request request;                     /* into bytes */
    struct lookup lookup;
    struct authority_look decoy, asker;
    bool known; /* who asks; else what is below is not what he is told */
    struct who who;
    struct asked asked;
    struct manager_state state; /* in which that was found */
    uint32_t hash, row;
};

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
    uint64_t said;      /* how often what the log says or who is a guest may have changed */
    struct ahead ahead[MANAGER_AHEAD_MAX];
    unsigned ahead_first, ahead_end;              /* those whose turn is to come */
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

#define LATER_BEHIND_MS 1000u /* chosen: who follows asks as often, while it is put off */

/* --- manager.c --- */

/* It follows another, and does not know all that that one knows, or has not for too long. */
bool manager_is_behind(const struct manager *m);

/* The entity of that tag if the key is his, or the realm's own; of a label who asks, if he may speak for labels. NULL:
 * it is nobody's business of who asks. */
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

/* foreseen: what was found already (manager_foreseen), or NULL. What the answer says of rows is the table's, until that
 * changes. */
struct mapping_answer manager_resolve(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      const struct asked *foreseen, instant now, uint64_t wall_s);
/* What manager_foresee found of this request, if it is still so; NULL: all is to be found now. */
const struct ahead *manager_foreseen(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len,
                                     uint64_t wall_s);

/* --- manager_bind.c --- */

/* Who says what that row says: the issuer of its record, if it is of this realm still. */
const struct entity *manager_issuer(const struct manager *m, const struct binding *b, uint64_t wall_s);

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
struct manager_state manager_state(const struct manager *m, uint64_t wall_s);
/* Who has that key: of a peer that is known by its key alone. */
struct who manager_identify(const struct manager *m, const struct manager_who *who, uint64_t wall_s);

/* manager_calls.c */
/* Who calls the subject of that binding, as its lookup says; and the relay that he is given. */
void manager_call(struct manager *m, const struct who *w, const struct mapping_request *r, const struct binding *b,
                  uint64_t wall_s, struct mapping_relay *ret_relay);
/* Of a manager that follows: that peer speaks for the row, which may not have come yet; and it has. */
void manager_heard(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t peer);
void manager_heard_follows(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer);
