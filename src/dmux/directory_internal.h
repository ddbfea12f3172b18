/* dmux/directory_internal.h - shared by directory.c (services, peers, what is to be done), directory_publish.c (the
 * bindings that this gateway is in) and directory_want.c (what it looks for). */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "dmux/directory.h"
#include "dmux/provider.h"

#define NEAR_MAX 6   /* chosen: of the gateways that were found; the first DIRECTORY_NEAREST are linked */
#define BELOW_MAX 2  /* chosen: of those found, whose smaller cells are asked */
#define CELLS_MAX 14 /* chosen: that one search asks: one a level, those beside, and below */

#define LINKS_MAX 192       /* chosen: that a gateway wants, of MESH_PEERS_MAX; the rest are for those who want it */
#define LINKS_WANT_MAX 128  /* chosen: of these, for what clients want: owners are always reached */
#define ASKS_PER_SECOND 50u /* chosen: questions for what clients want: a search of a dozen cells each 1/4 s */
#define ASKS_BURST 25u      /* chosen: at once, half a second's */

/* Something that waits: for its time, for an answer, to be asked. */
struct waiter {
    struct heap_item timer;
    struct list out; /* directory.out, until it is popped */
    uint64_t id;     /* of what is under way; 0: nothing is */
    bool is_want;
    bool tells; /* what is under way, or waits to be, is a TELL */
    bool anew;
};

/* The binding that this gateway writes. */
struct row {
    struct holder holder;
    struct directory_entry entries[DIRECTORY_ENTRIES_MAX];
    size_t count;
};

enum publication_state {
    PUBLICATION_IDLE,
    PUBLICATION_LOOKING, /* who else is there? */
    PUBLICATION_MEMBER,  /* another gateway writes it */
    PUBLICATION_OWNED,
    PUBLICATION_LEAVING, /* its owner does not serve it here any more, and says so */
};

/* A service in the cell of this gateway, of one level. */
struct publication {
    struct waiter w;
    struct service *service;
    uint8_t level;
    uint8_t state; /* enum publication_state */
    struct directory_cell cell;
    struct tag tag;
    uint64_t floor;    /* the highest sequence that was seen */
    uint32_t owner;    /* MEMBER: the link to it keeps us in the binding; 0: it is full without us */
    bool settled;      /* MEMBER: the link to the owner has come about */
    bool yields;       /* it was taken from us while we refreshed it: that others are silent shows nothing here */
    span wait;         /* until the next look, if there is nothing better: doubles */
    unsigned position; /* MEMBER: in the binding; who is first behind the owner takes over first */
    struct row *row;   /* OWNED, LEAVING */
    instant write_at;  /* what changes is gathered until then */
    instant leave_until;
};

/* While it is wanted its timer runs: whatever becomes of a question, it ends. */
struct want {
    struct waiter w;
    bool wanted;        /* a client has wanted it, and it has one of DIRECTORY_WANTS_MAX places */
    instant until;      /* for so long */
    uint32_t network;   /* of the client */
    bool counted;       /* for that network, until somebody is found */
    struct list nobody; /* in directory.nobody: the last search found nobody */
    bool open;          /* a search is under way */
    bool lost;          /* one that was found is not there any more: what managers said before is old */
    struct directory_cell cells[CELLS_MAX];
    size_t cells_count, cells_at;
    enum { WANT_WIDER, WANT_BESIDE, WANT_BELOW, WANT_LAST } phase;
    struct directory_entry found[NEAR_MAX], near[NEAR_MAX]; /* the search's; what the last one found */
    size_t found_count, near_count;
};

struct service {
    struct list all;
    uint16_t protocol;
    uint32_t provider;
    uint32_t here; /* routers that are registered here */
    struct publication publications[DIRECTORY_LEVELS];
    struct want want;
};

struct peer_at {
    struct list all, out;
    struct directory_entry e;
    struct directory_entry shown; /* as it was when bindings were looked at for it last */
    bool up, linked;              /* linked: we want it, and the owner of links was told so, or is about to be */
    instant wanted_until, linked_at, up_at, suspect_until;
    enum { SAY_NOTHING, SAY_LINK, SAY_UNLINK } say;
    struct map64 serves; /* by keys of services: not NULL; that of PROVIDER_ANY counts those of the protocol */
};

struct directory {
    struct directory_options o;
    bool placed;
    struct directory_cell cells[DIRECTORY_LEVELS]; /* of this gateway */
    struct list services, peers, links;
    struct list out, searches, again; /* waiters of bindings; of wants, which have a rate; and of those of nobody */
    struct list nobody;               /* wants, by when they found nobody */
    struct map64 by_key, by_id, by_gateway;
    struct map64 networks; /* of clients: how many of their wants have found nobody yet, as a pointer */
    struct heap timers;
    struct heap_item sweep;
    unsigned sweeps;
    size_t wants, linked; /* how many */
    instant ask_at;       /* when the next question of a want would be in time, without a burst */
    uint64_t ids;
    struct directory_stats stats;
};

/* --- directory.c --- */

/* Asks or tells as soon as it is popped, if nothing is under way. */
void waiter_send(struct directory *d, struct waiter *w, bool tells, bool anew);
/* Nothing is under way any more: an answer will be ignored. */
void waiter_reset(struct directory *d, struct waiter *w);
/* Between half and all of a span, so that not all do it at once. */
span directory_jitter(const struct directory *d, span s);
struct service *directory_service(const struct directory *d, uint16_t protocol, uint32_t provider);
struct peer_at *directory_peer(const struct directory *d, uint32_t gateway);
/* Falls silent, or did not answer: not believed for a while. */
bool directory_suspects(const struct directory *d, uint32_t gateway, instant now);
/* A link is wanted for some minutes from now, unless there are max of them. */
void directory_link(struct directory *d, const struct directory_entry *e, size_t max, instant now);
/* Likewise, of one that is there; 0: of nobody. */
void directory_keep_link(struct directory *d, uint32_t gateway, instant now);
bool peer_serves(const struct peer_at *p, uint16_t protocol, uint32_t provider);
/* As far as a binding goes: who moves by little is where it was. */
bool directory_entry_same(const struct directory_entry *a, const struct directory_entry *b);

/* --- directory_publish.c --- */

void publication_init(struct publication *p, struct service *s, uint8_t level);
void publication_deinit(struct directory *d, struct publication *p);
/* Begins, goes on or ends by whether the service is here and, in a wider cell, whether the narrower one is owned. */
void publication_review(struct directory *d, struct publication *p, instant now);
void publication_on_time(struct directory *d, struct publication *p, instant now);
void publication_on_found(struct directory *d, struct publication *p, enum resolver_outcome outcome,
                          struct slice record, instant now);
/* What a TELL says now: its length; 0: nothing. */
size_t publication_output(struct directory *d, struct publication *p, uint8_t *out, instant now);
/* It was popped, and could not be sent. */
void publication_on_unsent(struct directory *d, struct publication *p, instant now);
void publication_on_told(struct directory *d, struct publication *p, const uint8_t *answer, size_t len, instant now);
/* What goes into the binding may be another. */
void publication_touch(struct directory *d, struct publication *p, instant now);
/* A gateway is not there any more, or not for this service. */
void publication_on_lost(struct directory *d, struct publication *p, uint32_t gateway, instant now);

/* --- directory_want.c --- */

void want_init(struct want *w);
/* A place for what a client of that network wants. 0; -ENOSPC: there is none; -EDQUOT: that network has as many as one
 * gets. */
MUST_CHECK int want_admit(struct directory *d, uint32_t network);
/* It has that place. 0 or -ENOMEM. */
MUST_CHECK int want_begin(struct directory *d, struct service *s, uint32_t network, instant now);
/* It is wanted on. */
void want_touch(struct want *w, instant now);
/* It is not wanted any more, if it was. */
void want_end(struct directory *d, struct want *w);
void want_on_time(struct directory *d, struct service *s, instant now);
void want_on_found(struct directory *d, struct service *s, enum resolver_outcome outcome, struct slice record,
                   instant now);
/* As publication_on_lost. */
void want_on_lost(struct directory *d, struct service *s, uint32_t gateway, instant now);
