/* dmux/federation_internal.h - what the files of the federation share: federation.c has the links to borders,
 * federation_services.c what those tell, federation_wants.c what they are asked for, federation_askers.c whom this
 * gateway tells as a border. */
#pragma once

#include "base/hash.h"
#include "dmux/directory.h"
#include "dmux/federation.h"
#include "dmux/limits.h"
#include "dmux/link.h"
#include "dmux/provider.h"
#include "wire/federation.h"

#define WANTS_MAX 128 /* chosen: of a realm */
#define PROVES_MAX 16 /* chosen: certificates that an asker has asked for and was not sent yet */

#define BORDERS_TOLD 16 /* chosen: others that a border tells of at a time: twice the links that an asker has */
#define PLACES_MAX (2 * FEDERATION_LINKS_MAX) /* of a realm: links, and one for each of them that is tried */

#define ABSENCE (30 * SEC) /* chosen: of an asker, until all that was agreed with it is forgotten */

/* A gateway of another realm that this one asks. */
struct border {
    uint32_t gateway; /* 0: not known yet */
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
    bool up, configured;
    struct link_shake shake;
    instant idle_at; /* when it was begun with, or was up last */
    struct link_keys keys;
    instant heard, ping_next;
    struct link_pings pings;
    uint32_t rtt_us; /* 0: not measured */
    uint64_t have;   /* version up to which all was heard */
    bool heard_due;
    uint8_t pass[SHIM_COOKIE_LEN];
    instant pass_at; /* when it was given; 0: there is none */
    struct bucket summaries, proofs;
    unsigned asked;                        /* services for whose certificate it was asked */
    unsigned charged;                      /* services that it told of first, and that are not proved */
    bool missed;                           /* it has told of what there was no room for */
    instant again_at;                      /* and tells it all again, from then on */
    struct mesh_member told[BORDERS_TOLD]; /* others that it has told of, and that are yet to be tried */
    size_t told_count;
    instant told_next; /* not looked at before */
};

enum service_state { SERVICE_UNPROVED, SERVICE_PROVED, SERVICE_REFUSED };

/* What the borders of a realm have told of one provider and protocol. Bits are by the index of the border. */
struct service {
    struct list all;
    struct list waiting; /* in to_ask, asked or refused of its realm, or in none; each is in the order of `next` */
    uint16_t protocol;
    uint32_t provider;
    uint8_t state;      /* enum service_state */
    uint8_t has;        /* borders that have it */
    uint8_t used;       /* and that are registered for it */
    uint8_t bad;        /* and that have shown nothing that proves it */
    uint8_t tried;      /* and that were asked to, in this round */
    uint8_t denied;     /* and that the registry has no place for, or not yet */
    uint8_t charged_to; /* index; FEDERATION_LINKS_MAX: nobody, for it was proved */
    uint8_t asked_of;   /* index; FEDERATION_LINKS_MAX: nobody */
    uint32_t rtt_us[FEDERATION_LINKS_MAX];
    uint64_t until_s; /* of the certificate; 0: none */
    instant next;     /* asked: again; refused: looked at again; proved: asked for a newer one, not before */
};

/* What clients want. */
struct want {
    uint16_t protocol;
    bool due; /* a border is to be told */
    uint32_t provider;
    uint32_t network; /* of the client that wanted it first */
    instant until, next;
};

struct realm {
    const struct federation_realm *o;
    uint8_t number;                  /* of registrations */
    struct credentials *credentials; /* what its root has certified */
    /* Links; and behind FEDERATION_LINKS_MAX, for each of them, one that it has told of and that is tried. */
    struct border *borders[PLACES_MAX];
    instant try_next; /* when all links are taken: when one is tried that may be nearer, and */
    span try_wait;    /* the next one after this */
    struct map64 services;
    struct list all, to_ask, asked, refused; /* for whose certificate a border is to be asked, or was */
    uint8_t may_ask;                         /* borders for which there may be something to ask */
    size_t adopted, askers;
    struct want wants[WANTS_MAX];
    size_t wants_count, wants_due;
    uint64_t drops[FEDERATION_DROP_COUNT];
    struct federation_refusal refusal;
};

/* What this gateway has to tell; in the order of versions. */
struct told {
    struct list in_order;
    uint64_t key, version;
    uint32_t rtt_us; /* FEDERATION_GONE */
    instant at;
};

/* A gateway of another realm that asks this one: one for each, wherever it is. */
struct asker {
    struct list all, due;
    uint32_t index, gateway;
    uint8_t realm; /* index */
    struct endpoint at, fresh_at;
    struct link_keys keys, fresh; /* fresh: of an INIT that was answered; until its sender, there, uses them */
    uint8_t fresh_digest[32];     /* of that INIT, and */
    instant fresh_until;          /* when its sender is not waited for any more */
    uint8_t *answer;              /* that waits to be sent; NULL: none */
    size_t answer_len;
    instant heard;
    bool pong_due, listens; /* listens: it is told */
    bool silent;            /* for FEDERATION_SILENCE: it is told nothing until it speaks */
    uint64_t pong_nonce;
    uint64_t sent, acked; /* versions */
    uint64_t knows;       /* up to there it has heard what is gone, or need not */
    instant sent_at, borders_next;
    uint32_t proves[PROVES_MAX];
    size_t proves_count;
    struct bucket questions;
};

struct federation {
    struct federation_options o;
    struct link_end end;
    struct registry *registry;
    const struct credentials *own;
    const struct jar *jar;
    struct directory *directory;
    struct realm realms[FEDERATION_REALMS_MAX];
    struct link_realm link_realms[FEDERATION_REALMS_MAX];
    size_t realms_count, turn;
    instant tick_at, looked_at;
    uint64_t wall_s;
    uint8_t seed[16];
    uint64_t drops[FEDERATION_DROP_COUNT];
    /* federation_askers.c */
    struct map64 by_index, by_gateway, told;
    struct list askers, due, order;
    uint64_t version, unproven;
    bool untold;      /* there was no room for a service, or no proof of it */
    instant again_at; /* when all are summed up again for that, not before */
    instant askers_at;
    struct mesh_member others[FEDERATION_KNOWN_MAX];
    size_t others_count;
};

/* --- federation_services.c --- */
void services_init(struct realm *r, const uint8_t seed[16]);
void services_free(struct realm *r);
void services_take(struct federation *f, struct realm *r, unsigned border, const struct federation_message *m,
                   instant now);
/* The border has none of them any more; silent: that is damped. */
void services_lose(struct federation *f, struct realm *r, unsigned border, bool silent, instant now);
void services_take_certificate(struct federation *f, struct realm *r, unsigned border,
                               const struct federation_message *m, instant now);
/* The next provider whose certificate this border is to be asked for; 0: none, until may_ask has its bit. */
uint32_t services_prove(struct realm *r, unsigned border, instant now);
/* The border has given a new pass. */
void services_set_pass(struct federation *f, struct realm *r, unsigned border);
/* Each second: registrations are held, or moved to borders that are nearer. */
void services_tend(struct federation *f, struct realm *r, instant now);

/* May the realm give it? */
bool services_may_give(const struct realm *r, uint16_t protocol, uint32_t provider);

/* --- federation_wants.c --- */
void wants_add(struct realm *r, uint16_t protocol, uint32_t provider, uint32_t network, instant now);
/* WANT, for the nearest border; false: there is none. */
bool wants_pop(struct realm *r, struct federation_message *ret);

/* --- federation_askers.c --- */
void askers_init(struct federation *f);
void askers_free(struct federation *f);
void askers_on_init(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now);
/* False: it is for no asker. */
bool askers_on_record(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now);
size_t askers_output(struct federation *f, uint8_t *out, struct endpoint *to, instant now);
instant askers_next_expiry(const struct federation *f);
void askers_on_expiry(struct federation *f, instant now);

/* Seals a message: the record's length. */
size_t federation_seal(const struct federation *f, struct link_keys *k, const struct federation_message *m,
                       uint8_t *out);
