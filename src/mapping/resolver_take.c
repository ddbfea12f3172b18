/* mapping/resolver_take.c - what answers of managers prove, and what of them is kept: see resolver.h.
 *
 * Theory of operation. An answer is read, judged and only then kept. FOUND must show the chain from the root to the
 * subject, and the subject must be what was asked: of that name, or of that tag, or of the tag that it was changed to,
 * which proofs show. The binding must be signed by the subject, or by its realm where that may. A referral must show
 * the chain of a realm that is below the one whose manager says so and above what was asked, so that referrals cannot
 * go in circles, and the binding by which that realm itself says where its managers are.
 *
 * What is known stands in rows, by what was asked. The binding's bytes and the sequences that must not fall stand in a
 * struct cache, by subject, kind and granted class. */
#include "mapping/resolver_internal.h"

#include <errno.h>

uint64_t resolver_wall(const struct resolver *r, instant now)
{
    return r->wall_s ? r->wall_s + (uint64_t)((now - r->wall_at) / SEC) : 0;
}

/* --- what is asked --- */

uint64_t subject_key(const struct resolver *r, const struct subject *s)
{
    uint8_t key[2 + NAME_SIZE] = { s->by_name, s->kind };

    if (s->by_name) {
        memcpy(key + 2, s->name.text, s->name.len);
        return siphash13(r->hash_key, key, 2u + s->name.len);
    }
    memcpy(key + 2, s->tag.bytes, sizeof(s->tag.bytes));
    return siphash13(r->hash_key, key, 2 + sizeof(s->tag.bytes));
}

bool subject_equal(const struct subject *a, const struct subject *b)
{
    if (a->by_name != b->by_name || a->kind != b->kind)
        return false;
    return a->by_name ? strcmp(a->name.text, b->name.text) == 0 : tag_equal(&a->tag, &b->tag);
}

bool zone_covers(const struct chain_end *realm, const struct subject *s)
{
    const char *of = s->name.text + s->name.realm_at;
    size_t len = strlen(realm->name), of_len;

    if (!s->by_name)
        return tag_raa(&realm->tag) == tag_raa(&s->tag) && realm_range_has(&realm->range, tag_realm(&s->tag));
    of_len = strlen(of);
    if (of_len < len || strcmp(of + of_len - len, realm->name) != 0)
        return false;
    return of_len == len || of[of_len - len - 1] == '.';
}

/* True if the end of a chain is what was asked for. */
static bool is_subject(const struct resolver *r, const struct subject *s, const struct chain_end *end)
{
    struct tag current;
    const char *text = s->name.text;

    if (!s->by_name) {
        current = trust_current(r->trust, &s->tag);
        return tag_equal(&s->tag, &end->tag) || tag_equal(&current, &end->tag);
    }
    if (name_check_key(&s->name, end->key) < 0)
        return false;
    /* The hash in front of a leaf proves itself, so that it need not be registered. */
    if (s->name.has_hash && s->name.leaf_len && strcmp(text, end->name) != 0)
        text += s->name.leaf_at;
    return strcmp(text, end->name) == 0;
}

/* --- rows --- */

struct row *row_find(struct resolver *r, const struct subject *s)
{
    struct row *row = map64_get(&r->rows_by_key, subject_key(r, s));

    if (!row || !subject_equal(&row->of, s))
        return NULL;
    list_remove(&row->link);
    list_prepend(&r->rows, &row->link);
    return row;
}

void row_free(struct resolver *r, struct row *row)
{
    map64_remove(&r->rows_by_key, row->key);
    list_remove(&row->link);
    r->rows_count--;
    free(row->chain);
    free(row);
}

/* A row of the subject, which replaces the one that was there. NULL when out of memory. */
static struct row *row_new(struct resolver *r, const struct subject *s)
{
    struct row *row = calloc(1, sizeof(*row)), *old;

    if (!row)
        return NULL;
    row->key = subject_key(r, s);
    row->of = *s;
    list_init(&row->link);
    old = map64_get(&r->rows_by_key, row->key);
    if (!old && r->rows_count == r->options.questions_max)
        old = CONTAINER_OF(r->rows.prev, struct row, link);
    if (old)
        row_free(r, old);
    if (map64_put(&r->rows_by_key, row->key, row) < 0) {
        free(row);
        return NULL;
    }
    r->rows_count++;
    list_prepend(&r->rows, &row->link);
    return row;
}

static uint32_t left_s(instant until, instant now)
{
    return until > now ? (uint32_t)((until - now) / SEC) : 0;
}

int row_result(struct resolver *r, struct row *row, instant now, struct resolver_result *ret, uint8_t **ret_bytes)
{
    struct resolver_result res = { .outcome = row->found ? RESOLVER_FOUND : RESOLVER_NONE,
                                   .stale = row->fresh <= now,
                                   .fresh_s = left_s(row->fresh, now),
                                   .age_s = left_s(now, row->received) };
    size_t chain_len = 0, at = 0, len;
    const uint8_t *bytes;
    instant until;
    uint8_t *copy;

    *ret_bytes = NULL;
    if (!row->found) {
        *ret = res;
        return res.stale ? -ENOENT : 0;
    }
    if (cache_find(r->cache, &row->subject.tag, row->of.kind, row->granted, now, &bytes, &len, &until) != CACHE_FOUND ||
        trust_is_revoked(r->trust, &row->subject.tag) || trust_is_revoked(r->trust, &row->speaker) ||
        (row->subject.not_after_s && row->subject.not_after_s < resolver_wall(r, now)))
        return -ENOENT;
    for (size_t i = 0; i < row->chain_count; i++)
        chain_len += row->chain_lens[i];
    copy = malloc(chain_len + len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, row->chain, chain_len);
    memcpy(copy + chain_len, bytes, len);
    for (; res.chain_count < row->chain_count; at += row->chain_lens[res.chain_count++])
        res.chain[res.chain_count] = (struct slice){ copy + at, row->chain_lens[res.chain_count] };
    res.record = (struct slice){ copy + chain_len, len };
    res.subject = row->subject;
    res.granted = row->granted;
    res.left_s = left_s(until, now);
    *ret = res;
    *ret_bytes = copy;
    return 0;
}

/* --- answers --- */

static int judged(int e, const struct record_error *err, enum record_fault *ret_fault)
{
    if (e != -EBADMSG)
        return RESOLVER_WHY_FULL;
    *ret_fault = err->fault;
    return RESOLVER_WHY_RECORD;
}

/* The chain without its last link ends at the realm, which says how keys changed. 0 or -errno. */
static int take_proofs(struct resolver *r, const struct chain_end *realm, struct mapping_list proofs,
                       struct record_error *err)
{
    struct slice proof;
    int e = 0;

    while (e == 0 && mapping_next_bytes(&proofs, &proof))
        e = trust_apply(r->trust, realm, proof.data, proof.len, err);
    return e;
}

/* Verifies the chain of an answer and its proofs: 0 or -errno. ret_realm: what is above the end. */
static int take_chain(struct resolver *r, const struct mapping_answer *a, instant now, struct chain_end *ret_realm,
                      struct chain_end *ret_end, struct record_error *err)
{
    uint64_t wall_s = resolver_wall(r, now);
    int e;

    if (a->chain_count < 2) {
        *err = (struct record_error){ .fault = RECORD_BROKEN_CHAIN };
        return -EBADMSG;
    }
    e = trust_verify(r->trust, a->chain, a->chain_count - 1, wall_s, ret_realm, err);
    if (e == 0)
        e = take_proofs(r, ret_realm, a->proofs, err);
    return e < 0 ? e : trust_verify(r->trust, a->chain, a->chain_count, wall_s, ret_end, err);
}

/* The binding of an answer, signed by the subject or by its realm. 0 or -errno. */
static int take_binding(struct resolver *r, const struct slice *bytes, const struct chain_end *realm,
                        const struct chain_end *subject, struct record *ret, struct record_error *err)
{
    struct record_bytes b;
    int e = record_decode(bytes->data, bytes->len, ret, &b, err);

    if (e < 0)
        return e;
    if (tag_is_label(&ret->subject)) { /* which has no chain: who speaks for it has */
        struct chain_end label = *subject;

        label.tag = ret->subject;
        return trust_accept(r->trust, subject, &label, bytes->data, bytes->len, ret, err);
    }
    return trust_accept(r->trust, tag_equal(&ret->issuer, &realm->tag) ? realm : subject, subject, bytes->data,
                        bytes->len, ret, err);
}

static int keep_found(struct resolver *r, const struct subject *s, const struct mapping_answer *a,
                      const struct chain_end *end, instant now)
{
    size_t len = 0, at = 0;
    struct row *row;
    uint8_t *chain;

    for (size_t i = 0; i < a->chain_count; i++)
        len += a->chain[i].len;
    chain = malloc(len);
    row = chain ? row_new(r, s) : NULL;
    if (!row) {
        free(chain);
        return RESOLVER_WHY_FULL;
    }
    for (size_t i = 0; i < a->chain_count; i++) {
        memcpy(chain + at, a->chain[i].data, a->chain[i].len);
        row->chain_lens[i] = (uint16_t)a->chain[i].len;
        at += a->chain[i].len;
    }
    row->found = true;
    row->subject = *end;
    row->speaker = end->tag;
    if (!s->by_name && tag_is_label(&s->tag))
        row->subject.tag = s->tag;
    row->chain = chain;
    row->chain_count = a->chain_count;
    row->granted = a->granted;
    row->received = now;
    row->fresh = now + (instant)MIN(a->fresh_s, a->left_s) * SEC;
    return 0;
}

int take_found(struct resolver *r, const struct subject *s, const struct mapping_answer *a, instant now,
               enum record_fault *ret_fault)
{
    struct record_error err = { 0 };
    struct chain_end realm, end;
    struct record rec = { 0 };
    int e;

    if (a->granted == CLASS_DENY || a->granted > r->options.class_max)
        return RESOLVER_WHY_ANSWER;
    e = take_chain(r, a, now, &realm, &end, &err);
    if (e == 0)
        e = take_binding(r, &a->record, &realm, &end, &rec, &err);
    if (e < 0)
        return judged(e, &err, ret_fault);
    if (!(tag_is_label(&rec.subject) ? !s->by_name && tag_equal(&s->tag, &rec.subject) : is_subject(r, s, &end)) ||
        rec.type != RECORD_BINDING || rec.kind != s->kind || rec.answer > a->granted)
        return RESOLVER_WHY_ANSWER;
    e = cache_put(r->cache, &rec, a->record.data, a->record.len, a->granted, MIN(a->left_s, rec.lease_s), now);
    if (e == CACHE_OLDER) {
        *ret_fault = RECORD_OLDER_SEQUENCE;
        return RESOLVER_WHY_RECORD;
    }
    return e < 0 ? RESOLVER_WHY_FULL : keep_found(r, s, a, &end, now);
}

int take_none(struct resolver *r, const struct subject *s, const struct mapping_answer *a, instant now)
{
    struct row *row = row_new(r, s);

    if (!row)
        return RESOLVER_WHY_FULL;
    row->received = now;
    row->fresh = now + (instant)MIN(a->fresh_s, CACHE_NEGATIVE_MAX_S) * SEC;
    return 0;
}

/* --- realms --- */

void zone_unref(struct resolver *r, struct zone *z)
{
    if (z && --z->refs == 0 && z->gone)
        free(z);
}

static struct zone *zone_find(struct resolver *r, const struct tag *realm)
{
    LIST_FOREACH (z, &r->zones, struct zone, link)
        if (tag_equal(&z->end.tag, realm))
            return z;
    return NULL;
}

static void zone_evict(struct resolver *r, struct zone *z)
{
    list_remove(&z->link);
    r->zones_count--;
    z->gone = true;
    z->refs++;
    zone_unref(r, z);
}

/* A realm's entry, in front of the list. NULL when out of memory. */
static struct zone *zone_get(struct resolver *r, const struct chain_end *end)
{
    struct zone *z = zone_find(r, &end->tag);

    if (!z) {
        z = calloc(1, sizeof(*z));
        if (!z)
            return NULL;
        if (r->zones_count == RESOLVER_REALMS_MAX) /* the root is last */
            zone_evict(r, CONTAINER_OF(r->root->link.prev, struct zone, link));
        list_init(&z->link);
        r->zones_count++;
    }
    list_remove(&z->link);
    list_prepend(&r->zones, &z->link);
    return z;
}

/* The managers that a realm's own binding names; what is known of those that were there stays. */
static void zone_set(struct resolver *r, struct zone *z, const struct chain_end *end, const struct record *rec)
{
    struct zone was = *z;

    z->end = *end;
    z->managers_count = 0;
    for (size_t i = 0; i < rec->targets_count; i++) {
        const struct record_target *t = &rec->targets[i];
        struct manager *m = &z->managers[z->managers_count];
        uint64_t draw = rng_u64(&r->options.rng);

        if (!t->is_locator || t->transport != 0)
            continue;
        /* Equal priorities at random: a number divided by the weight is more often the lowest where that is high. */
        *m = (struct manager){ .at = t->locator, .priority = t->priority, .order = (uint32_t)draw };
        if (t->weight)
            m->order /= t->weight;
        for (size_t k = 0; k < was.managers_count; k++)
            if (endpoint_equal(&was.managers[k].at, &m->at))
                m->avoid = was.managers[k].avoid;
        z->managers_count++;
    }
}

int take_referral(struct resolver *r, const struct zone *from, const struct subject *s, const struct mapping_answer *a,
                  instant now, struct zone **ret, enum record_fault *ret_fault)
{
    struct record_error err = { 0 };
    struct chain_end above, end;
    struct record rec = { 0 };
    struct zone *z;
    int e = take_chain(r, a, now, &above, &end, &err);

    if (e < 0)
        return judged(e, &err, ret_fault);
    if (!end.is_realm || end.links <= from->end.links || !zone_covers(&end, s))
        return RESOLVER_WHY_REFERRAL;
    if (a->record.len == 0)
        return RESOLVER_WHY_UNMANAGED;
    e = take_binding(r, &a->record, &above, &end, &rec, &err);
    if (e < 0)
        return judged(e, &err, ret_fault);
    if (rec.type != RECORD_BINDING || rec.kind != KIND_REALM_REALM)
        return RESOLVER_WHY_REFERRAL;
    e = cache_put(r->cache, &rec, a->record.data, a->record.len, CLASS_FULL, MIN(a->left_s, rec.lease_s), now);
    if (e < 0)
        return RESOLVER_WHY_FULL;
    z = e == CACHE_OLDER ? zone_find(r, &end.tag) : zone_get(r, &end);
    if (e == CACHE_OLDER) { /* who refers is behind: what is known is newer */
        *ret_fault = RECORD_OLDER_SEQUENCE;
        *ret = z;
        return z && z->until > now ? 0 : RESOLVER_WHY_RECORD;
    }
    if (!z)
        return RESOLVER_WHY_FULL;
    zone_set(r, z, &end, &rec);
    z->until = now + (instant)MIN(a->left_s, rec.lease_s) * SEC;
    z->fresh = MIN(z->until, now + (instant)a->fresh_s * SEC);
    *ret = z;
    return z->managers_count > 0 ? 0 : RESOLVER_WHY_UNMANAGED;
}
