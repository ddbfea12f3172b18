/* ident/chain.c - see chain.h.
 *
 * Theory of operation. A chain is decoded and judged link by link, from the root down, into locals; when all of it is
 * good, what it teaches (sequences seen, the time) is kept, in one place.
 *
 * What is cached is that a signature is right: the digest of the record's bytes and of the key that verified them,
 * which is a fact that never changes. Times, revocations, successions and sequences are looked at each time, so nothing
 * is believed longer because it was believed before. The cache has sets of two digests, the older of which gives way.
 *
 * A fact is a row of one table, by tag and what is said of it: the highest sequence of a type of record that was seen,
 * a revocation, a succession. Rows are never evicted: a sequence or revocation that was forgotten could be undone by
 * showing an old record again. When the table is full, sequences of records that are expired by now go, since these are
 * refused anyway; if that does not help, the newcomer is refused.
 *
 * A root that changes its key signs its own succession. Both keys are anchors until the succession's not-after, the new
 * one alone from then on.
 *
 * Limits: 4 links, 8 generations of a root, tables as the options say. A cold chain of 4 costs 4 Ed25519 verifications
 * and 5 hashes for tags; a warm one the hashes.
 *
 * Sources: RFC 9374 (tags), RFC 9052 (signatures); doc/records.md (whose clock). */
#include "ident/chain.h"

#include "base/hash.h"
#include "ident/hash.h"

#include <errno.h>

enum { FACT_REVOKED = RECORD_TYPE_END, FACT_SUCCEEDED }; /* below: the sequence of that type of record */

struct fact {
    struct tag tag;
    uint8_t what;     /* 0: free */
    uint64_t seq;     /* sequence */
    uint64_t until_s; /* sequence: when the record expires, 0 never; succession: when the old tag ends */
    struct tag next;  /* succession */
};

struct trust {
    uint8_t hash_key[16];
    uint8_t anchors[CHAIN_ANCHORS_MAX][IDENT_KEY_LEN];
    size_t anchors_count;
    uint64_t time_floor_s;
    uint8_t (*cached)[RECORD_DIGEST_LEN]; /* zeros: free */
    uint32_t cached_max;
    struct fact *facts;
    uint32_t facts_capacity, facts_count, facts_max, facts_kept;
    uint64_t swept_s; /* when what has expired was looked for last */
    struct trust_stats stats;
};

struct trust *trust_new(const uint8_t root_ed25519[IDENT_KEY_LEN], const struct trust_options *o)
{
    struct trust *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->cached_max = o->cached_max;
    t->facts_max = o->facts_max;
    t->facts_kept = MIN(o->facts_kept, o->facts_max);
    t->cached = calloc(o->cached_max, sizeof(*t->cached));
    if (!t->cached) {
        trust_free(t);
        return NULL;
    }
    rng_fill(o->rng, t->hash_key, sizeof(t->hash_key));
    memcpy(t->anchors[0], root_ed25519, IDENT_KEY_LEN);
    t->anchors_count = 1;
    return t;
}

void trust_free(struct trust *t)
{
    if (!t)
        return;
    free(t->cached);
    free(t->facts);
    free(t);
}

/* --- facts --- */

static struct fact *fact_slot(const struct trust *t, const struct tag *tag, unsigned what)
{
    uint8_t key[17];
    uint32_t mask = t->facts_capacity - 1;

    memcpy(key, tag->bytes, 16);
    key[16] = (uint8_t)what;
    for (uint32_t i = (uint32_t)siphash13(t->hash_key, key, sizeof(key)) & mask;; i = (i + 1) & mask) {
        struct fact *f = &t->facts[i];

        if (!f->what || (f->what == what && tag_equal(&f->tag, tag)))
            return f;
    }
}

/* NULL when nothing is known. */
static struct fact *fact_find(const struct trust *t, const struct tag *tag, unsigned what)
{
    struct fact *f = t->facts_capacity ? fact_slot(t, tag, what) : NULL;

    return f && f->what ? f : NULL;
}

/* All rows but sequences that have expired by `now`, in a table of the capacity. 0 or -ENOMEM. */
static int facts_move(struct trust *t, uint32_t capacity, uint64_t now_s)
{
    struct fact *old = t->facts;
    uint32_t old_capacity = t->facts_capacity;
    struct fact *facts = calloc(capacity, sizeof(*facts));

    if (!facts)
        return -ENOMEM;
    t->facts = facts;
    t->facts_capacity = capacity;
    t->facts_count = 0;
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (!old[i].what || (old[i].what < RECORD_TYPE_END && old[i].until_s && old[i].until_s < now_s))
            continue;
        *fact_slot(t, &old[i].tag, old[i].what) = old[i];
        t->facts_count++;
    }
    free(old);
    return 0;
}

/* Room for `more` rows, of max. 0, -ENOSPC or -ENOMEM. */
static int facts_reserve(struct trust *t, uint32_t more, uint32_t max, uint64_t now_s)
{
    int r;

    /* Once a second at most: who is refused for want of room must not make each try cost the whole table. */
    if (t->facts_count + more > max && t->facts_capacity && now_s > t->swept_s) {
        t->swept_s = now_s;
        r = facts_move(t, t->facts_capacity, now_s);
        if (r < 0)
            return r;
    }
    if (t->facts_count + more > max)
        return -ENOSPC;
    if ((uint64_t)(t->facts_count + more) * 3 > (uint64_t)t->facts_capacity * 2)
        return facts_move(t, t->facts_capacity ? t->facts_capacity * 2 : 64, now_s);
    return 0;
}

/* The row, made if there is none; room was reserved. */
static struct fact *fact_put(struct trust *t, const struct tag *tag, unsigned what)
{
    struct fact *f = fact_slot(t, tag, what);

    if (!f->what) {
        *f = (struct fact){ .tag = *tag, .what = (uint8_t)what };
        t->facts_count++;
    }
    return f;
}

bool trust_is_revoked(const struct trust *t, const struct tag *tag)
{
    const struct fact *f;

    /* Who revokes a subject means it under its old keys too, which are aliases still. Not the other way round: an old
     * key that leaked says nothing of the new one. */
    for (; !fact_find(t, tag, FACT_REVOKED); tag = &f->next)
        if (!(f = fact_find(t, tag, FACT_SUCCEEDED)))
            return false;
    return true;
}

struct tag trust_current(const struct trust *t, const struct tag *tag)
{
    struct tag at = *tag;
    const struct fact *f;

    /* No succession is taken in that leads in a circle; each step is another row. */
    while ((f = fact_find(t, &at, FACT_SUCCEEDED)))
        at = f->next;
    return at;
}

uint64_t trust_time_floor(const struct trust *t)
{
    return t->time_floor_s;
}

void trust_get_stats(const struct trust *t, struct trust_stats *ret)
{
    *ret = t->stats;
    ret->facts = t->facts_count;
}

/* --- signatures --- */

static int refuse(struct record_error *ret, enum record_fault fault, size_t link)
{
    *ret = (struct record_error){ .fault = fault, .link = (uint8_t)link };
    return -EBADMSG;
}

/* Every door ends here: what is refused is counted. */
static int counted(struct trust *t, int r, const struct record_error *err)
{
    if (r == -EBADMSG)
        t->stats.refused[err->fault]++;
    return r;
}

/* 0, -EBADMSG or -ENOMEM. */
static int verify_signature(struct trust *t, const struct record_bytes *b, const uint8_t key[IDENT_KEY_LEN])
{
    uint8_t digest[RECORD_DIGEST_LEN];
    uint8_t(*set)[RECORD_DIGEST_LEN];
    int r;

    record_digest(b, key, digest);
    set = &t->cached[(get_be64(digest) & (t->cached_max - 1)) & ~(uint64_t)1];
    for (size_t i = 0; i < 2; i++) {
        if (memcmp(set[i], digest, sizeof(digest)) == 0) {
            t->stats.cached++;
            return 0;
        }
    }
    r = record_verify(b, key);
    t->stats.verified++;
    if (r == 0) {
        memcpy(set[1], set[0], sizeof(digest));
        memcpy(set[0], digest, sizeof(digest));
    }
    return r;
}

/* --- chains --- */

static bool is_anchor(const struct trust *t, const uint8_t key[IDENT_KEY_LEN])
{
    for (size_t i = 0; i < t->anchors_count; i++)
        if (memcmp(t->anchors[i], key, IDENT_KEY_LEN) == 0)
            return true;
    return false;
}

/* Whether the subject of a link is still to be believed. */
static enum record_fault standing(const struct trust *t, const struct tag *tag, uint64_t now_s)
{
    const struct fact *f = fact_find(t, tag, FACT_SUCCEEDED);

    if (trust_is_revoked(t, tag))
        return RECORD_REVOKED;
    return f && f->until_s < now_s ? RECORD_SUPERSEDED : RECORD_SOUND;
}

/* What a link may give, of what the one before it has. */
static enum record_fault within(const struct chain_end *above, const struct record *r)
{
    const char *dot;

    if (tag_raa(&above->tag) != tag_raa(&r->subject))
        return RECORD_FOREIGN_PREFIX;
    if (r->type == RECORD_DELEGATION) {
        if (!realm_range_may_delegate(&above->range, &r->range) || (r->tiers & ~above->tiers))
            return RECORD_FOREIGN_PREFIX;
        return name_is_child_realm(r->name, above->name) ? RECORD_SOUND : RECORD_FOREIGN_NAME;
    }
    if (tag_realm(&r->subject) != above->range.number || !(above->tiers & 1u << tag_tier(&r->subject)))
        return RECORD_FOREIGN_PREFIX;
    /* The realm's name stands behind the label of the tier, which a canonical name has once. */
    for (dot = strchr(r->name, '.'); dot; dot = strchr(dot + 1, '.'))
        if (dot[1] == name_tier_letter(tag_tier(&r->subject)) && dot[2] == '.')
            break;
    return dot && strcmp(dot + 3, above->name) == 0 ? RECORD_SOUND : RECORD_FOREIGN_NAME;
}

static struct chain_end end_of(const struct record *r, const struct chain_end *above)
{
    struct chain_end e = { .tag = r->subject, .seq = r->seq, .links = (uint8_t)(above ? above->links + 1 : 1) };

    memcpy(e.key, r->key, sizeof(e.key));
    memcpy(e.name, r->name, sizeof(e.name));
    memcpy(e.x25519, r->x25519, sizeof(e.x25519));
    e.is_realm = r->type != RECORD_REGISTRATION;
    e.tiers = r->type == RECORD_ROOT ? 0x0f : r->tiers;
    e.range = r->range; /* of a root: zeros, which is all numbers */
    e.suites = r->suites;
    e.flags = r->flags;
    e.not_after_s = r->not_after_s;
    if (above && above->not_after_s && (!e.not_after_s || above->not_after_s < e.not_after_s))
        e.not_after_s = above->not_after_s;
    return e;
}

/* One link: r and b are decoded. 0, -EBADMSG or -ENOMEM. */
static int judge(struct trust *t, const struct record *r, const struct record_bytes *b, const struct chain_end *above,
                 uint64_t now_s, struct record_error *err)
{
    size_t link = above ? above->links : 0;
    const struct fact *seen = fact_find(t, &r->subject, r->type);
    enum record_fault fault = RECORD_SOUND;
    int e;

    if (!above) {
        if (r->type != RECORD_ROOT)
            return refuse(err, RECORD_BROKEN_CHAIN, link);
        if (!is_anchor(t, r->key))
            return refuse(err, RECORD_FOREIGN_ROOT, link);
    } else {
        if ((r->type != RECORD_DELEGATION && r->type != RECORD_REGISTRATION) || !above->is_realm ||
            !tag_equal(&r->issuer, &above->tag))
            return refuse(err, RECORD_BROKEN_CHAIN, link);
        fault = within(above, r);
    }
    if (fault == RECORD_SOUND) {
        e = verify_signature(t, b, above ? above->key : r->key);
        if (e < 0)
            return e == -EBADMSG ? refuse(err, RECORD_SIGNATURE, link) : e;
        fault = standing(t, &r->subject, now_s);
    }
    if (fault == RECORD_SOUND && r->not_after_s && r->not_after_s < now_s)
        fault = RECORD_EXPIRED;
    if (fault == RECORD_SOUND && seen && r->seq < seen->seq)
        fault = RECORD_OLDER_SEQUENCE;
    return fault == RECORD_SOUND ? 0 : refuse(err, fault, link);
}

struct lesson {
    struct tag tag;
    uint8_t type;
    uint64_t seq, until_s;
};

static int verify(struct trust *t, const struct slice *links, size_t count, uint64_t wall_s, struct chain_end *ret,
                  struct record_error *err)
{
    struct lesson learned[CHAIN_LINKS_MAX];
    struct chain_end end = { 0 };
    uint64_t floor_s = t->time_floor_s;
    int r;

    if (count == 0)
        return refuse(err, RECORD_BROKEN_CHAIN, 0);
    if (count > CHAIN_LINKS_MAX)
        return refuse(err, RECORD_TOO_LONG_CHAIN, CHAIN_LINKS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct record_bytes b;
        struct record rec;

        r = record_decode(links[i].data, links[i].len, &rec, &b, err);
        if (r < 0) {
            err->link = (uint8_t)i;
            return r;
        }
        r = judge(t, &rec, &b, i > 0 ? &end : NULL, MAX(wall_s, floor_s), err);
        if (r < 0)
            return r;
        if (i <= 1) /* signed by the root */
            floor_s = MAX(floor_s, rec.issued_s);
        end = end_of(&rec, i > 0 ? &end : NULL);
        learned[i] = (struct lesson){ rec.subject, (uint8_t)rec.type, rec.seq, rec.not_after_s };
    }
    r = facts_reserve(t, (uint32_t)count, t->facts_max - t->facts_kept, MAX(wall_s, floor_s));
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        struct fact *f = fact_put(t, &learned[i].tag, learned[i].type);

        f->seq = learned[i].seq;
        f->until_s = learned[i].until_s;
    }
    t->time_floor_s = floor_s;
    *ret = end;
    return 0;
}

int trust_verify(struct trust *t, const struct slice *links, size_t count, uint64_t wall_s, struct chain_end *ret,
                 struct record_error *ret_error)
{
    return counted(t, verify(t, links, count, wall_s, ret, ret_error), ret_error);
}

/* --- what ends before its time --- */

/* True if a realm speaks for the tag: it enrolled it, or gave the range that it is in. */
static bool speaks_for(const struct chain_end *realm, const struct tag *tag)
{
    return realm->is_realm && tag_raa(&realm->tag) == tag_raa(tag) && realm_range_has(&realm->range, tag_realm(tag)) &&
           (realm->tiers & 1u << tag_tier(tag) || tag_tier(tag) == TAG_TIER_SERVICE);
}

int trust_note_revoked(struct trust *t, const struct tag *tag, uint64_t seq)
{
    int e;

    if (fact_find(t, tag, FACT_REVOKED))
        return 0;
    e = facts_reserve(t, 1, t->facts_max, t->time_floor_s);
    if (e == 0)
        fact_put(t, tag, FACT_REVOKED)->seq = seq;
    return e;
}

static bool may_revoke(const struct chain_end *issuer, const struct record *r)
{
    return tag_equal(&r->subject, &issuer->tag) || speaks_for(issuer, &r->subject);
}

static int apply_revocation(struct trust *t, const struct chain_end *issuer, const struct record *r,
                            struct record_error *err)
{
    return may_revoke(issuer, r) ? trust_note_revoked(t, &r->subject, r->seq) : refuse(err, RECORD_NOT_AUTHORISED, 0);
}

static int apply_successor(struct trust *t, const struct chain_end *issuer, const struct record *r,
                           struct record_error *err)
{
    const bool of_root = tag_equal(&r->subject, &issuer->tag);
    const struct fact *known = fact_find(t, &r->subject, FACT_SUCCEEDED);
    struct tag end;
    struct fact *f;
    bool anchors;
    int e;

    /* A root has nobody above it; everybody else needs who has. */
    if (of_root ? !is_anchor(t, issuer->key) || memcmp(issuer->key, r->old_key, IDENT_KEY_LEN) != 0
                : !speaks_for(issuer, &r->subject))
        return refuse(err, RECORD_NOT_AUTHORISED, 0);
    e = successor_verify(r);
    if (e < 0)
        return e == -EBADMSG ? refuse(err, RECORD_SIGNATURE, 0) : e;
    if (known)
        return tag_equal(&known->next, &r->next) ? 0 : refuse(err, RECORD_CONFLICT, 0);
    if (trust_is_revoked(t, &r->subject))
        return refuse(err, RECORD_REVOKED, 0);
    /* Records come in any order. What leads to a key that is revoked already, or has a successor itself, is taken in:
     * without it the old key would never be known to be revoked, too. */
    end = trust_current(t, &r->next);
    if (tag_equal(&end, &r->subject)) /* it would lead in a circle */
        return refuse(err, RECORD_CONFLICT, 0);
    anchors = of_root && !is_anchor(t, r->key) && !trust_is_revoked(t, &r->next);
    e = anchors && t->anchors_count == CHAIN_ANCHORS_MAX ? -ENOSPC : facts_reserve(t, 1, t->facts_max, t->time_floor_s);
    if (e < 0)
        return e;
    f = fact_put(t, &r->subject, FACT_SUCCEEDED);
    f->next = r->next;
    f->until_s = r->not_after_s;
    if (anchors)
        memcpy(t->anchors[t->anchors_count++], r->key, IDENT_KEY_LEN);
    return 0;
}

/* What trust_apply and trust_accept begin with: whose it says it is, and that he signed it. */
static int from_issuer(struct trust *t, const struct chain_end *issuer, const uint8_t *bytes, size_t len,
                       struct record *ret, struct record_error *err)
{
    struct record_bytes b;
    int e = record_decode(bytes, len, ret, &b, err);

    if (e < 0)
        return e;
    if (!tag_equal(&ret->issuer, &issuer->tag))
        return refuse(err, RECORD_BROKEN_CHAIN, 0);
    if (trust_is_revoked(t, &issuer->tag) && ret->type != RECORD_REVOCATION)
        return refuse(err, RECORD_REVOKED, 0);
    e = verify_signature(t, &b, issuer->key);
    return e == -EBADMSG ? refuse(err, RECORD_SIGNATURE, 0) : e;
}

int trust_apply(struct trust *t, const struct chain_end *issuer, const uint8_t *bytes, size_t len,
                struct record_error *ret_error)
{
    struct record r;
    int e = from_issuer(t, issuer, bytes, len, &r, ret_error);

    if (e == 0 && r.type == RECORD_REVOCATION)
        e = apply_revocation(t, issuer, &r, ret_error);
    else if (e == 0 && r.type == RECORD_SUCCESSOR)
        e = apply_successor(t, issuer, &r, ret_error);
    else if (e == 0)
        e = refuse(ret_error, RECORD_NOT_AUTHORISED, 0);
    return counted(t, e, ret_error);
}

int trust_check_revocation(struct trust *t, const struct chain_end *issuer, const uint8_t *bytes, size_t len,
                           struct record_error *ret_error)
{
    struct record r;
    int e = from_issuer(t, issuer, bytes, len, &r, ret_error);

    if (e == 0 && (r.type != RECORD_REVOCATION || !may_revoke(issuer, &r)))
        e = refuse(ret_error, RECORD_NOT_AUTHORISED, 0);
    return counted(t, e, ret_error);
}

/* Who may say this of the subject. */
static bool may_say(const struct chain_end *issuer, const struct chain_end *subject, const struct record *r)
{
    if (r->type != RECORD_BINDING && r->type != RECORD_POLICY)
        return false;
    if (tag_is_label(&r->subject)) /* nobody's own: who serves in that realm says where */
        return r->type == RECORD_BINDING && !issuer->is_realm && issuer->flags & RECORD_FLAG_SERVES &&
               memcmp(issuer->tag.bytes, r->subject.bytes, TAG_REALM_BYTES) == 0;
    if (tag_equal(&issuer->tag, &subject->tag))
        return true;
    return !subject->is_realm && speaks_for(issuer, &subject->tag) &&
           issuer->range.number == tag_realm(&subject->tag) &&
           (r->type == RECORD_POLICY || subject->flags & RECORD_FLAG_REALM_BINDS);
}

int trust_accept(struct trust *t, const struct chain_end *issuer, const struct chain_end *subject, const uint8_t *bytes,
                 size_t len, struct record *ret, struct record_error *ret_error)
{
    struct record r;
    int e = from_issuer(t, issuer, bytes, len, &r, ret_error);

    if (e == 0 && !tag_equal(&r.subject, &subject->tag))
        e = refuse(ret_error, RECORD_BROKEN_CHAIN, 0);
    if (e == 0 && !may_say(issuer, subject, &r))
        e = refuse(ret_error, RECORD_NOT_AUTHORISED, 0);
    if (e == 0 && trust_is_revoked(t, &subject->tag))
        e = refuse(ret_error, RECORD_REVOKED, 0);
    if (e == 0)
        *ret = r;
    return counted(t, e, ret_error);
}
