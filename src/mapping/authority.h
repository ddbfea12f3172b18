/* mapping/authority.h - who belongs to a realm: what is in force of all that its log says, found by name, tag and key.
 *
 * It is fed with records whose signatures were looked at when the log was read (an owner reads his own log, or one that
 * he verified); here they are decoded, and a later one ends what it replaces, as in the log. */
#pragma once

#include "base/rng.h"
#include "base/slice.h"
#include "ident/chain.h"

struct authority;

enum entity_type {
    ENTITY_REGISTERED, /* of this realm itself */
    ENTITY_REALM,      /* to which a range of this realm's was delegated */
    ENTITY_ALIAS,      /* an old tag, by a succession */
};

/* What is in force of one name. Lives until the next call that changes the authority. */
struct entity {
    struct tag tag;
    uint8_t key[IDENT_KEY_LEN]; /* Ed25519; of an alias, the old one */
    enum entity_type type;
    uint8_t flags, tiers;      /* RECORD_FLAG_*; realm: set of 1 << enum tag_tier */
    struct realm_range range;  /* realm */
    struct tag next;           /* alias: the new tag */
    uint64_t seq, not_after_s; /* 0: does not end by itself; alias: until when it is one */
    struct slice record;       /* its bytes */
    struct slice name;         /* into them; alias: none */
    struct entity *chained[3]; /* private: those with the same hash, by name, tag and key */
};

/* What is no longer in force because of what was taken. */
struct authority_ended {
    struct tag tags[2];
    size_t count;
    struct realm_range realms[2]; /* of sub-realms: they ended, or may give something else now */
    size_t realms_count;
};

/* At most max names and aliases. NULL when out of memory. */
struct authority *authority_new(uint32_t max, const struct rng *rng);
/* Accepts NULL. */
void authority_free(struct authority *a);

/* The realm's own chain, root first, which is copied; self is what it ends at (trust_verify). What was taken before is
 * forgotten, since it was said by another key. 0, -EINVAL or -ENOMEM. */
MUST_CHECK int authority_set_self(struct authority *a, const struct slice *links, size_t count,
                                  const struct chain_end *self);
/* A record of the log, in the log's order: registration, delegation, revocation or succession; others change nothing.
 * A registration or delegation of a lower sequence than what is there of its tag or name is none of the log's order.
 * 0; -EBADMSG: no record; -ESTALE: of a lower sequence; -ENOSPC: full; -ENOMEM. */
MUST_CHECK int authority_take(struct authority *a, const uint8_t *bytes, size_t len, struct authority_ended *ret_ended);
/* The highest sequence of all that was taken and that the realm itself said since authority_set_self; 0: none. What it
 * said up to there, and is not found here, is not in force. */
uint64_t authority_newest(const struct authority *a);

const struct chain_end *authority_self(const struct authority *a);
/* The realm's own chain; links as many as they are. */
size_t authority_chain(const struct authority *a, struct slice ret[CHAIN_LINKS_MAX]);

/* All NULL when there is none. Names are canonical. Whether it has expired is for the caller to see. */
const struct entity *authority_by_name(const struct authority *a, const char *name, size_t len);
const struct entity *authority_by_tag(const struct authority *a, const struct tag *tag);
/* The first of that key; entity_of_same_key has the others. */
const struct entity *authority_by_key(const struct authority *a, const uint8_t ed25519[IDENT_KEY_LEN]);
const struct entity *entity_of_same_key(const struct entity *e);
/* What a look by name, tag or key will want, in two steps between which memory is waited for: has its place fetched;
 * has an entity of that hash fetched, which is the one in question but for chance. NULL: there is none. */
struct authority_look {
    uint64_t hash; /* private, all */
    uint8_t by;
};
struct authority_look authority_foresee_name(const struct authority *a, const char *name, size_t len);
struct authority_look authority_foresee_tag(const struct authority *a, const struct tag *tag);
/* Of authority_decoy. */
struct authority_look authority_foresee_decoy(const struct authority *a, uint64_t which);
struct authority_look authority_foresee_key(const struct authority *a, const uint8_t ed25519[IDENT_KEY_LEN]);
const struct entity *authority_foresee_entity(const struct authority *a, const struct authority_look *look);
/* What authority_by_name or the like would say of that name, tag or key, of which the look is. */
const struct entity *authority_found(const struct authority *a, const struct authority_look *look, const void *what,
                                     size_t len);
/* Somebody, the same for the same `which`; NULL: there is nobody. Who asks for one who is not there is answered by the
 * steps that this one takes, so that the time tells nothing. */
const struct entity *authority_decoy(const struct authority *a, uint64_t which);
/* The sub-realm that has the realm number of the tag, or whose name the realm's name is or is below. */
const struct entity *authority_realm_of_tag(const struct authority *a, const struct tag *tag);
const struct entity *authority_realm_of_name(const struct authority *a, const char *name, size_t len);

/* It may say where a service is that is that label. */
bool entity_serves(const struct entity *e, const struct tag *label);
/* What a chain of this realm and then the entity ends at. */
void entity_end(const struct authority *a, const struct entity *e, struct chain_end *ret);
uint32_t authority_count(const struct authority *a);
