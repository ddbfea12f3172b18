/* mapping/manager_lookup.c - RESOLVE: from a name or tag to a binding, to the realm that has it, or to nothing.
 *
 * Theory of operation. What is asked for is of this realm itself, of a realm below it, or none of its business. Realms
 * below are no secret: whoever asks is referred to them, by their chain and where their managers are. Of this realm's
 * own, the answer is of the class that who asks has been given. One who has been given none, and one who asks for what
 * is not there, go through the same steps: a look into the policies and one into the table, of the subject or, where
 * there is none, of somebody else (authority_decoy); so neither bytes nor time tell them apart.
 *
 * A lookup may say that a call follows, and from where: manager_calls.c.
 *
 * Of several lookups that wait all are taken one step at a time (manager_foresee): where the name stands in the table
 * of names, the entity, where its binding stands, the row, the record. Each step finds in the cache what the one before
 * had fetched. One who may learn nothing and one who is not there go through the same steps here, too.
 *
 * What was found on that way is kept for the request's turn, but for the row. It follows from the request's bytes and
 * the key of who asks, which are compared; from what the log says and who is a guest, of which each change is counted;
 * and from the time in seconds. Where one of them is another, all is found again.
 *
 * Sources: doc/records.md (names, tags, chains). */
#include "mapping/internal.h"

static bool ends_in(const char *name, size_t len, const char *realm)
{
    size_t realm_len = strlen(realm);

    return len >= realm_len && memcmp(name + len - realm_len, realm, realm_len) == 0 &&
           (len == realm_len || name[len - realm_len - 1] == '.');
}

/* An old tag leads to the one of now. */
static void follow(const struct manager *m, const struct entity *e, uint64_t wall_s, struct asked *ret)
{
    while (e && e->type == ENTITY_ALIAS && !manager_is_over(m, e, wall_s) && ret->proofs_count < MAPPING_PROOFS_MAX) {
        ret->proofs[ret->proofs_count++] = e;
        e = authority_by_tag(m->authority, &e->next);
    }
    if (!e || e->type == ENTITY_ALIAS || manager_is_over(m, e, wall_s))
        return;
    ret->found = e;
    ret->subject = e->tag;
}

static void by_realm_name(const struct manager *m, const char *text, size_t len, uint64_t wall_s, struct asked *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    const struct entity *e;

    if (!ends_in(text, len, self->name)) {
        ret->foreign = true;
        ret->why = RECORD_FOREIGN_NAME;
        return;
    }
    if (len == strlen(self->name)) {
        ret->subject = self->tag;
        return;
    }
    e = authority_realm_of_name(m->authority, text, len);
    if (e && e->name.len == len)
        follow(m, e, wall_s, ret);
    else
        ret->below = e;
}

static void by_name(const struct manager *m, const struct lookup *l, uint64_t wall_s, struct asked *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    const struct mapping_request *r = l->request;
    const struct name *n = &l->name;
    char realm[NAME_SIZE];
    struct name_error why;
    const struct entity *e;
    size_t skip;

    if (r->kind == KIND_REALM_REALM && name_parse_realm(r->name, r->name_len, realm, &why) == 0) {
        by_realm_name(m, realm, strlen(realm), wall_s, ret);
        return;
    }
    if (n->len == 0) {
        ret->foreign = true;
        ret->why = RECORD_NAME;
        return;
    }
    if (!ends_in(n->text + n->realm_at, n->len - n->realm_at, self->name)) {
        ret->foreign = true;
        ret->why = RECORD_FOREIGN_NAME;
        return;
    }
    if (strcmp(n->text + n->realm_at, self->name) != 0) {
        ret->below = authority_realm_of_name(m->authority, n->text + n->realm_at, n->len - n->realm_at);
        return;
    }
    e = authority_found(m->authority, &l->subject, n->text, n->len);
    if (!e && n->has_hash && n->leaf_len > 0) {
        /* The hash is a proof of the name without it. */
        skip = NAME_HASH_CHARS + 2;
        e = authority_by_name(m->authority, n->text + skip, n->len - skip);
        if (e && name_check_key(n, e->key) < 0)
            e = NULL;
    }
    follow(m, e, wall_s, ret);
}

static void by_tag(const struct manager *m, const struct lookup *l, uint64_t wall_s, struct asked *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    const struct tag *tag = &l->request->tag;
    const struct entity *e = authority_found(m->authority, &l->subject, tag->bytes, sizeof(tag->bytes));

    if (!tag_in_prefix(tag) || tag_raa(tag) != tag_raa(&self->tag) || !realm_range_has(&self->range, tag_realm(tag))) {
        ret->foreign = true;
        ret->why = RECORD_FOREIGN_PREFIX;
    } else if (tag_equal(tag, &self->tag)) {
        ret->subject = self->tag;
    } else if (tag_is_label(tag) && tag_realm(tag) == self->range.number) {
        ret->label = true;
        ret->subject = *tag;
    } else if (e || tag_realm(tag) == self->range.number) {
        follow(m, e, wall_s, ret);
    } else {
        ret->below = authority_realm_of_tag(m->authority, tag);
    }
}

/* Of what was asked for. */
static uint64_t which_of(const struct mapping_request *r)
{
    uint64_t which = get_be64(r->tag.bytes + 8);

    for (size_t i = 0; r->name && i < r->name_len; i++)
        which = which * 31 + (uint8_t)r->name[i];
    return which;
}

static void take_decoy(const struct manager *m, const struct mapping_request *r, struct asked *ret)
{
    const struct entity *e = authority_decoy(m->authority, which_of(r));

    ret->decoy = true;
    if (e)
        ret->subject = e->tag;
}

static void add_chain(const struct manager *m, const struct entity *e, struct mapping_answer *a)
{
    a->chain_count = authority_chain(m->authority, a->chain);
    if (e)
        a->chain[a->chain_count++] = e->record;
}

static struct mapping_answer refer(const struct manager *m, const struct who *w, const struct entity *realm,
                                   instant now)
{
    struct mapping_answer a = { .status = MAPPING_REFERRAL, .flags = w->type == WHO_STRANGER ? MAPPING_STRANGER : 0 };
    struct binding b;

    add_chain(m, realm, &a);
    if (bindings_find(m->bindings, &realm->tag, KIND_REALM_REALM, CLASS_FULL, now, &b) == 0) {
        a.record = (struct slice){ b.bytes, b.len };
        a.left_s = manager_left_s(m, &b, now);
        a.fresh_s = manager_fresh_s(b.pace, a.left_s);
    }
    return a;
}

static bool is_nobody(const struct manager *m, const struct asked *a)
{
    return !a->found && !a->label && !tag_equal(&a->subject, &authority_self(m->authority)->tag);
}

/* Reads what is asked for, and has its place among names or tags fetched. */
static void lookup_begin(const struct manager *m, const struct mapping_request *r, struct lookup *ret)
{
    struct name_error why;

    ret->request = r;
    ret->name.len = 0;
    if (!r->name)
        ret->subject = authority_foresee_tag(m->authority, &r->tag);
    else if (name_parse(r->name, r->name_len, &ret->name, &why) == 0)
        ret->subject = authority_foresee_name(m->authority, ret->name.text, ret->name.len);
}

/* Who is asked for, and what of him who asks may know. */
static struct asked lookup_find(const struct manager *m, const struct lookup *l, const struct who *w, uint64_t wall_s)
{
    struct asked a = { .granted = CLASS_DENY };

    if (l->request->name)
        by_name(m, l, wall_s, &a);
    else
        by_tag(m, l, wall_s, &a);
    if (a.foreign || a.below)
        return a;
    if (is_nobody(m, &a))
        take_decoy(m, l->request, &a);
    a.granted = manager_class(m, w, &a.subject, wall_s);
    return a;
}

/* Where realms are is told whoever follows a referral, so it is told who asks. */
static bool is_open(const struct asked *a, uint8_t kind)
{
    return kind == KIND_REALM_REALM && !a->decoy && !a->label && (!a->found || a->found->type == ENTITY_REALM);
}

bool manager_wants(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, uint64_t wall_s,
                   struct tag *ret, uint64_t *ret_doubted)
{
    struct mapping_request r;
    struct asked asked;
    struct lookup l;
    struct who w;

    if (!m->trust || m->log_gap || mapping_request_read(bytes, len, &r) < 0 || r.type != MAPPING_RESOLVE)
        return false;
    *ret_doubted = r.seq;
    w = manager_identify(m, who, wall_s);
    lookup_begin(m, &r, &l);
    asked = lookup_find(m, &l, &w, wall_s);
    if (asked.below) {
        *ret = asked.below->tag;
        return true;
    }
    if (asked.foreign)
        return false;
    *ret = asked.subject;
    return !asked.decoy && (is_open(&asked, r.kind) || asked.granted != CLASS_DENY);
}

static struct mapping_answer resolve(struct manager *m, const struct who *w, const struct mapping_request *r,
                                     const struct asked *asked, instant now, uint64_t wall_s)
{
    struct mapping_answer a = { .status = MAPPING_FOUND, .flags = w->type == WHO_STRANGER ? MAPPING_STRANGER : 0 };
    const bool open = is_open(asked, r->kind);
    const struct entity *found = asked->found;
    enum record_class granted = asked->granted;
    struct binding b;
    bool there;

    if (asked->foreign)
        return manager_refuse(m, asked->why);
    if (asked->below)
        return refer(m, w, asked->below, now);
    if (r->flags & MAPPING_RECURSE) /* for others than who asks */
        granted = MIN(granted, CLASS_AGENT);
    there = bindings_find(m->bindings, &asked->subject, r->kind, granted ? (uint8_t)granted : CLASS_FULL, now, &b) == 0;
    if (open) {
        granted = CLASS_FULL;
        there = bindings_find(m->bindings, &asked->subject, r->kind, CLASS_FULL, now, &b) == 0;
    }
    if (there && asked->label && granted != CLASS_DENY) { /* whose chain goes with it */
        found = manager_issuer(m, &b, wall_s);
        there = found != NULL;
    }
    if (!there || granted == CLASS_DENY || asked->decoy)
        return manager_none(w);
    a.record = (struct slice){ b.bytes, b.len };
    a.granted = (uint8_t)granted;
    a.left_s = manager_left_s(m, &b, now);
    a.fresh_s = manager_fresh_s(b.pace, a.left_s);
    if (r->places_count > 0 && r->kind == KIND_HOST_LOCATOR && granted == CLASS_FULL)
        manager_call(m, w, r, &b, wall_s, &a.relay);
    if (r->flags & MAPPING_WITH_CHAIN)
        add_chain(m, found, &a);
    if (asked->proofs_count > 0) {
        struct writer proofs = writer_init(m->page, PAGE_BYTES);

        for (size_t i = 0; i < asked->proofs_count; i++)
            mapping_write_bytes(&proofs, asked->proofs[i]->record);
        a.proofs = (struct mapping_list){ m->page, writer_len(&proofs), asked->proofs_count };
    }
    return a;
}

struct mapping_answer manager_resolve(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      const struct asked *foreseen, instant now, uint64_t wall_s)
{
    struct asked asked;
    struct lookup l;

    if (!m->o.caches && manager_is_behind(m))
        return manager_later(LATER_BEHIND_MS);
    if (foreseen)
        return resolve(m, w, r, foreseen, now, wall_s);
    lookup_begin(m, r, &l);
    asked = lookup_find(m, &l, w, wall_s);
    return resolve(m, w, r, &asked, now, wall_s);
}

/* --- several that wait --- */

/* False: no lookup of a host, user or the like. */
static bool ahead_begin(const struct manager *m, const struct manager_ahead *w, struct ahead *ret)
{
    const struct mapping_request *r = &ret->request;

    if (w->len > sizeof(ret->bytes))
        return false;
    memcpy(ret->bytes, w->bytes, w->len);
    ret->len = w->len;
    if (mapping_request_read(ret->bytes, ret->len, &ret->request) < 0 || r->type != MAPPING_RESOLVE)
        return false;
    lookup_begin(m, r, &ret->lookup);
    if (r->name && ret->lookup.name.len == 0)
        return false;
    memcpy(ret->key, w->who.ed25519, sizeof(ret->key));
    ret->decoy = authority_foresee_decoy(m->authority, which_of(r));
    ret->asker = authority_foresee_key(m->authority, ret->key);
    return true;
}

/* The decoy is fetched whether or not it is wanted, so that the time does not tell. */
static void ahead_entities(const struct manager *m, const struct ahead *a)
{
    authority_foresee_entity(m->authority, &a->lookup.subject);
    authority_foresee_entity(m->authority, &a->decoy);
    authority_foresee_entity(m->authority, &a->asker);
}

static void ahead_find(const struct manager *m, struct ahead *a, uint64_t wall_s)
{
    const struct manager_who who = { .ed25519 = a->key };
    enum record_class granted;

    /* A stranger's tag is the hash of its key, which is for its turn: by then it may be put off. */
    a->known = manager_knows(m, &who, wall_s, &a->who);
    a->asked = lookup_find(m, &a->lookup, &a->who, wall_s);
    a->state = manager_state(m, wall_s);
    granted = a->known ? a->asked.granted : CLASS_DENY;
    a->hash =
        bindings_foresee(m->bindings, &a->asked.subject, a->request.kind, granted ? (uint8_t)granted : CLASS_FULL);
}

void manager_foresee(struct manager *m, const struct manager_ahead *requests, size_t count, instant now,
                     uint64_t wall_s)
{
    struct ahead *a = m->ahead;
    size_t n = 0;

    m->ahead_first = m->ahead_end = 0;
    if (!m->trust || m->log_gap || manager_is_pressed(m, now))
        return;
    for (size_t i = 0; i < MIN(count, ARRAY_LEN(m->ahead)); i++)
        n += ahead_begin(m, &requests[i], &a[n]);
    for (size_t i = 0; i < n; i++)
        ahead_entities(m, &a[i]);
    for (size_t i = 0; i < n; i++)
        ahead_find(m, &a[i], wall_s);
    for (size_t i = 0; i < n; i++)
        a[i].row = bindings_foresee_row(m->bindings, a[i].hash);
    for (size_t i = 0; i < n; i++)
        bindings_foresee_record(m->bindings, a[i].row);
    m->ahead_end = (unsigned)n;
}

const struct ahead *manager_foreseen(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len,
                                     uint64_t wall_s)
{
    const struct manager_state state = manager_state(m, wall_s);

    for (unsigned i = m->ahead_first; i < m->ahead_end; i++) { /* the first, but where a peer has gone */
        const struct ahead *a = &m->ahead[i];

        if (a->len != len || memcmp(a->bytes, bytes, len) != 0 || memcmp(a->key, who->ed25519, sizeof(a->key)) != 0)
            continue;
        m->ahead_first = i + 1;
        return a->known && memcmp(&a->state, &state, sizeof(state)) == 0 ? a : NULL;
    }
    return NULL;
}
