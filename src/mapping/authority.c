/* mapping/authority.c - see authority.h.
 *
 * Theory of operation. One allocation an entity, which holds its record; three maps from keyed hashes of name, tag and
 * key to it. Those with the same hash hang in a list each. The sub-realms of one realm have ranges that do not overlap,
 * at a digit of the number: so the one that has a number is found under each of the three first digits in turn, by a
 * hash of the digits.
 *
 * Memory: some 190 bytes, the record, and 50 in the maps: 100,000 names are 50 MB.
 *
 * Limits: as given. */
#include "mapping/authority.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>

#define NAME_FETCHED 192 /* chosen: bytes of a record in which its name is */

enum by { BY_NAME, BY_TAG, BY_KEY, BY_COUNT, BY_PLACE = BY_COUNT };

struct authority {
    struct map64 maps[BY_COUNT];
    uint8_t hash_key[16];
    uint32_t count, max;
    uint64_t newest;                             /* sequence of the realm's own records */
    struct entity *ranges[3][TAG_REALM_MAX + 1]; /* by bits / 4 - 1 and number */
    struct chain_end self;
    struct slice chain[CHAIN_LINKS_MAX]; /* into chain_bytes */
    size_t chain_count;
    uint8_t *chain_bytes;
};

static uint64_t hash_of(const struct authority *a, enum by by, const void *data, size_t len)
{
    uint8_t key[16];

    memcpy(key, a->hash_key, sizeof(key));
    key[0] ^= (uint8_t)by;
    return siphash13(key, data, len);
}

/* What an entity is found by; NULL: not by this. */
static const void *what_of(const struct entity *e, enum by by, size_t *ret_len)
{
    if (by == BY_NAME) {
        *ret_len = e->name.len;
        return e->name.data;
    }
    if (by == BY_TAG) {
        *ret_len = sizeof(e->tag.bytes);
        return e->tag.bytes;
    }
    *ret_len = sizeof(e->key);
    return e->type == ENTITY_ALIAS ? NULL : e->key;
}

static bool is_of(const struct entity *e, enum by by, const void *data, size_t len)
{
    size_t own_len;
    const void *own = what_of(e, by, &own_len);

    return own && own_len == len && memcmp(own, data, len) == 0;
}

static struct entity *find_hashed(const struct authority *a, enum by by, uint64_t hash, const void *data, size_t len)
{
    struct entity *e = map64_get(&a->maps[by], hash);

    while (e && !is_of(e, by, data, len))
        e = e->chained[by];
    return e;
}

static struct entity *find(const struct authority *a, enum by by, const void *data, size_t len)
{
    return find_hashed(a, by, hash_of(a, by, data, len), data, len);
}

struct authority *authority_new(uint32_t max, const struct rng *rng)
{
    struct authority *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->max = max;
    rng_fill(rng, a->hash_key, sizeof(a->hash_key));
    for (unsigned by = 0; by < BY_COUNT; by++)
        map64_init(&a->maps[by], max, rng_u64(rng));
    return a;
}

static void forget_all(struct authority *a)
{
    struct map64 *tags = &a->maps[BY_TAG]; /* which has all of them */

    for (size_t i = 0; i < tags->capacity; i++) {
        for (struct entity *e = tags->slots[i].value, *next; e; e = next) {
            next = e->chained[BY_TAG];
            free(e);
        }
    }
    for (unsigned by = 0; by < BY_COUNT; by++) {
        uint64_t salt = a->maps[by].salt;

        map64_deinit(&a->maps[by]);
        map64_init(&a->maps[by], a->max, salt);
    }
    memset(a->ranges, 0, sizeof(a->ranges));
    a->count = 0;
    a->newest = 0;
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    forget_all(a);
    for (unsigned by = 0; by < BY_COUNT; by++)
        map64_deinit(&a->maps[by]);
    free(a->chain_bytes);
    free(a);
}

int authority_set_self(struct authority *a, const struct slice *links, size_t count, const struct chain_end *self)
{
    size_t len = 0;
    uint8_t *bytes;

    if (count == 0 || count >= CHAIN_LINKS_MAX || !self->is_realm)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        len += links[i].len;
    bytes = malloc(len);
    if (!bytes)
        return -ENOMEM;
    slices_gather(links, count, bytes, len);
    forget_all(a);
    free(a->chain_bytes);
    a->chain_bytes = bytes;
    a->chain_count = count;
    for (size_t i = 0; i < count; i++) {
        a->chain[i] = (struct slice){ bytes, links[i].len };
        bytes += links[i].len;
    }
    a->self = *self;
    return 0;
}

/* --- changes --- */

static void unlink_from(struct authority *a, struct entity *e, enum by by)
{
    size_t len;
    const void *what = what_of(e, by, &len);
    uint64_t hash;
    struct entity *at;

    if (!what || len == 0)
        return;
    hash = hash_of(a, by, what, len);
    at = map64_get(&a->maps[by], hash);
    if (at != e) {
        while (at && at->chained[by] != e)
            at = at->chained[by];
        if (at)
            at->chained[by] = e->chained[by];
    } else if (!e->chained[by]) {
        map64_remove(&a->maps[by], hash);
    } else if (map64_put(&a->maps[by], hash, e->chained[by]) < 0) {
        return; /* never: the key is there */
    }
}

static void take_out(struct authority *a, struct entity *e)
{
    for (unsigned by = 0; by < BY_COUNT; by++)
        unlink_from(a, e, (enum by)by);
    if (e->type == ENTITY_REALM && a->ranges[e->range.bits / 4 - 1][e->range.number] == e)
        a->ranges[e->range.bits / 4 - 1][e->range.number] = NULL;
    a->count--;
    free(e);
}

/* What is told as ended: a copy of its tag, before it goes. */
static void end(struct authority *a, struct entity *e, struct authority_ended *ended)
{
    if (!e)
        return;
    if (ended->count < ARRAY_LEN(ended->tags))
        ended->tags[ended->count++] = e->tag;
    if (e->type == ENTITY_REALM && ended->realms_count < ARRAY_LEN(ended->realms))
        ended->realms[ended->realms_count++] = e->range;
    take_out(a, e);
}

static int put_in(struct authority *a, struct entity *e)
{
    for (unsigned by = 0; by < BY_COUNT; by++) {
        size_t len;
        const void *what = what_of(e, (enum by)by, &len);
        uint64_t hash;
        int r;

        if (!what || len == 0)
            continue;
        hash = hash_of(a, (enum by)by, what, len);
        e->chained[by] = map64_get(&a->maps[by], hash);
        r = map64_put(&a->maps[by], hash, e);
        if (r < 0) {
            while (by-- > 0)
                unlink_from(a, e, (enum by)by);
            free(e);
            return r;
        }
    }
    if (e->type == ENTITY_REALM)
        a->ranges[e->range.bits / 4 - 1][e->range.number] = e;
    a->count++;
    return 0;
}

static struct entity *entity_from(const struct record *r, const uint8_t *bytes, size_t len)
{
    struct entity *e = malloc(sizeof(*e) + len);
    size_t name_len = strlen(r->name);
    uint8_t *copy;

    if (!e)
        return NULL;
    copy = (uint8_t *)(e + 1);
    memcpy(copy, bytes, len);
    *e = (struct entity){ .tag = r->subject,
                          .type = r->type == RECORD_REGISTRATION ? ENTITY_REGISTERED
                                  : r->type == RECORD_DELEGATION ? ENTITY_REALM
                                                                 : ENTITY_ALIAS,
                          .flags = r->flags,
                          .tiers = r->tiers,
                          .range = r->range,
                          .next = r->next,
                          .seq = r->seq,
                          .not_after_s = r->not_after_s,
                          .record = { copy, len } };
    memcpy(e->key, r->type == RECORD_SUCCESSOR ? r->old_key : r->key, IDENT_KEY_LEN);
    if (name_len > 0)
        e->name = (struct slice){ memmem(copy, len, r->name, name_len), name_len };
    return e;
}

/* What is there of the tag or name of r, and was said later. */
static bool has_newer(const struct authority *a, const struct record *r)
{
    const struct entity *of_tag = authority_by_tag(a, &r->subject);
    const struct entity *of_name = authority_by_name(a, r->name, strlen(r->name));

    return r->type != RECORD_SUCCESSOR && ((of_tag && of_tag->seq > r->seq) || (of_name && of_name->seq > r->seq));
}

int authority_take(struct authority *a, const uint8_t *bytes, size_t len, struct authority_ended *ret_ended)
{
    struct record_error why;
    struct record_bytes b;
    struct record r;
    struct entity *e;
    int got = record_decode(bytes, len, &r, &b, &why);

    ret_ended->count = ret_ended->realms_count = 0;
    if (got < 0)
        return got;
    if (tag_equal(&r.issuer, &a->self.tag))
        a->newest = MAX(a->newest, r.seq);
    if (r.type == RECORD_REVOCATION) {
        end(a, find(a, BY_TAG, r.subject.bytes, 16), ret_ended);
        return 0;
    }
    if (r.type != RECORD_REGISTRATION && r.type != RECORD_DELEGATION && r.type != RECORD_SUCCESSOR)
        return 0;
    if (r.type == RECORD_SUCCESSOR && tag_equal(&r.subject, &a->self.tag))
        return 0; /* the realm's own */
    if (has_newer(a, &r))
        return -ESTALE;
    if (a->count >= a->max && !find(a, BY_TAG, r.subject.bytes, 16))
        return -ENOSPC;
    e = entity_from(&r, bytes, len);
    if (!e)
        return -ENOMEM;
    end(a, find(a, BY_TAG, r.subject.bytes, 16), ret_ended);
    if (e->name.len > 0)
        end(a, find(a, BY_NAME, e->name.data, e->name.len), ret_ended);
    /* What is the same subject still has not ended. */
    for (size_t i = 0; i < ret_ended->count && e->type != ENTITY_ALIAS; i++)
        if (tag_equal(&ret_ended->tags[i], &e->tag))
            ret_ended->tags[i] = ret_ended->tags[--ret_ended->count];
    return put_in(a, e);
}

/* --- questions --- */

const struct chain_end *authority_self(const struct authority *a)
{
    return &a->self;
}

size_t authority_chain(const struct authority *a, struct slice ret[CHAIN_LINKS_MAX])
{
    memcpy(ret, a->chain, a->chain_count * sizeof(a->chain[0]));
    return a->chain_count;
}

const struct entity *authority_by_name(const struct authority *a, const char *name, size_t len)
{
    return find(a, BY_NAME, name, len);
}

const struct entity *authority_by_tag(const struct authority *a, const struct tag *tag)
{
    return find(a, BY_TAG, tag->bytes, sizeof(tag->bytes));
}

const struct entity *authority_by_key(const struct authority *a, const uint8_t ed25519[IDENT_KEY_LEN])
{
    return find(a, BY_KEY, ed25519, IDENT_KEY_LEN);
}

static struct authority_look foresee(const struct authority *a, enum by by, const void *data, size_t len)
{
    const struct authority_look look = { .hash = hash_of(a, by, data, len), .by = (uint8_t)by };

    map64_foresee(&a->maps[by], look.hash);
    return look;
}

struct authority_look authority_foresee_name(const struct authority *a, const char *name, size_t len)
{
    return foresee(a, BY_NAME, name, len);
}

struct authority_look authority_foresee_tag(const struct authority *a, const struct tag *tag)
{
    return foresee(a, BY_TAG, tag->bytes, sizeof(tag->bytes));
}

struct authority_look authority_foresee_key(const struct authority *a, const uint8_t ed25519[IDENT_KEY_LEN])
{
    return foresee(a, BY_KEY, ed25519, IDENT_KEY_LEN);
}

static uint64_t hash_of_decoy(const struct authority *a, uint64_t which)
{
    uint8_t bytes[8];

    put_be64(bytes, which);
    return hash_of(a, BY_TAG, bytes, sizeof(bytes));
}

/* Whoever stands at that place of the tags, or the next after it. */
static const struct entity *at_place(const struct map64 *m, uint64_t place)
{
    for (size_t i = 0; m->count > 0; i++) {
        const struct entity *e = m->slots[(place + i) & (m->capacity - 1)].value;

        if (e)
            return e;
    }
    return NULL;
}

struct authority_look authority_foresee_decoy(const struct authority *a, uint64_t which)
{
    const struct map64 *m = &a->maps[BY_TAG];
    const struct authority_look look = { .hash = hash_of_decoy(a, which), .by = BY_PLACE };

    if (m->capacity)
        fetch_ahead(&m->slots[look.hash & (m->capacity - 1)], sizeof(m->slots[0]));
    return look;
}

const struct entity *authority_foresee_entity(const struct authority *a, const struct authority_look *look)
{
    const struct entity *e =
        look->by == BY_PLACE ? at_place(&a->maps[BY_TAG], look->hash) : map64_get(&a->maps[look->by], look->hash);

    if (e)
        fetch_ahead(e, sizeof(*e) + NAME_FETCHED);
    return e;
}

const struct entity *authority_found(const struct authority *a, const struct authority_look *look, const void *what,
                                     size_t len)
{
    return find_hashed(a, (enum by)look->by, look->hash, what, len);
}

const struct entity *authority_decoy(const struct authority *a, uint64_t which)
{
    return at_place(&a->maps[BY_TAG], hash_of_decoy(a, which));
}

const struct entity *entity_of_same_key(const struct entity *e)
{
    const struct entity *next = e->chained[BY_KEY];

    while (next && memcmp(next->key, e->key, IDENT_KEY_LEN) != 0)
        next = next->chained[BY_KEY];
    return next;
}

const struct entity *authority_realm_of_tag(const struct authority *a, const struct tag *tag)
{
    unsigned number = tag_realm(tag);

    for (unsigned digits = 1; digits <= 3; digits++) {
        const struct entity *e = a->ranges[digits - 1][number & ~(0xfffu >> 4 * digits)];

        if (e)
            return e;
    }
    return NULL;
}

const struct entity *authority_realm_of_name(const struct authority *a, const char *name, size_t len)
{
    const char *own = a->self.name;
    size_t own_len = strlen(own);
    const char *label;
    const struct entity *e;

    if (len < own_len + 2)
        return NULL;
    label = name + len - own_len - 1;
    if (*label != '.' || memcmp(label + 1, own, own_len) != 0)
        return NULL;
    while (label > name && label[-1] != '.')
        label--;
    e = find(a, BY_NAME, label, (size_t)(name + len - label));
    return e && e->type == ENTITY_REALM ? e : NULL;
}

bool entity_serves(const struct entity *e, const struct tag *label)
{
    return e->type == ENTITY_REGISTERED && e->flags & RECORD_FLAG_SERVES &&
           memcmp(e->tag.bytes, label->bytes, TAG_REALM_BYTES) == 0;
}

void entity_end(const struct authority *a, const struct entity *e, struct chain_end *ret)
{
    *ret = (struct chain_end){ .tag = e->tag,
                               .is_realm = e->type == ENTITY_REALM,
                               .links = (uint8_t)(a->chain_count + 1),
                               .tiers = e->tiers,
                               .range = e->range,
                               .flags = e->flags,
                               .seq = e->seq,
                               .not_after_s = e->not_after_s };
    memcpy(ret->key, e->key, IDENT_KEY_LEN);
    memcpy(ret->name, e->name.data, MIN(e->name.len, NAME_MAX_LEN));
    if (a->self.not_after_s && (!ret->not_after_s || a->self.not_after_s < ret->not_after_s))
        ret->not_after_s = a->self.not_after_s;
}

uint64_t authority_newest(const struct authority *a)
{
    return a->newest;
}

uint32_t authority_count(const struct authority *a)
{
    return a->count;
}
