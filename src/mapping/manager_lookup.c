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
 * Sources: doc/records.md (names, tags, chains). */
#include "mapping/internal.h"

/* What was asked for. */
struct asked {
    bool foreign;                                    /* no business of this realm */
    enum record_fault why;                           /* foreign */
    const struct entity *below;                      /* a realm to ask; NULL: this one */
    const struct entity *found;                      /* NULL: none, or the realm itself */
    bool decoy;                                      /* there is nobody: the subject is somebody else's */
    struct tag subject;                              /* of it; zeros: none */
    const struct entity *proofs[MAPPING_PROOFS_MAX]; /* aliases, from the tag that was asked for to that one */
    size_t proofs_count;
};

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

static void by_name(const struct manager *m, const struct mapping_request *r, uint64_t wall_s, struct asked *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    char realm[NAME_SIZE];
    struct name_error why;
    const struct entity *e;
    struct name n;
    size_t skip;

    if (r->kind == KIND_REALM_REALM && name_parse_realm(r->name, r->name_len, realm, &why) == 0) {
        by_realm_name(m, realm, strlen(realm), wall_s, ret);
        return;
    }
    if (name_parse(r->name, r->name_len, &n, &why) < 0) {
        ret->foreign = true;
        ret->why = RECORD_NAME;
        return;
    }
    if (!ends_in(n.text + n.realm_at, n.len - n.realm_at, self->name)) {
        ret->foreign = true;
        ret->why = RECORD_FOREIGN_NAME;
        return;
    }
    if (strcmp(n.text + n.realm_at, self->name) != 0) {
        ret->below = authority_realm_of_name(m->authority, n.text + n.realm_at, n.len - n.realm_at);
        return;
    }
    e = authority_by_name(m->authority, n.text, n.len);
    if (!e && n.has_hash && n.leaf_len > 0) {
        /* The hash is a proof of the name without it. */
        skip = NAME_HASH_CHARS + 2;
        e = authority_by_name(m->authority, n.text + skip, n.len - skip);
        if (e && name_check_key(&n, e->key) < 0)
            e = NULL;
    }
    follow(m, e, wall_s, ret);
}

static void by_tag(const struct manager *m, const struct tag *tag, uint64_t wall_s, struct asked *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    const struct entity *e = authority_by_tag(m->authority, tag);

    if (!tag_in_prefix(tag) || tag_raa(tag) != tag_raa(&self->tag) || !realm_range_has(&self->range, tag_realm(tag))) {
        ret->foreign = true;
        ret->why = RECORD_FOREIGN_PREFIX;
    } else if (tag_equal(tag, &self->tag)) {
        ret->subject = self->tag;
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

static void find_asked(const struct manager *m, const struct mapping_request *r, uint64_t wall_s, struct asked *ret)
{
    if (r->name)
        by_name(m, r, wall_s, ret);
    else
        by_tag(m, &r->tag, wall_s, ret);
}

static bool is_nobody(const struct manager *m, const struct asked *a)
{
    return !a->found && !tag_equal(&a->subject, &authority_self(m->authority)->tag);
}

/* Where realms are is told whoever follows a referral, so it is told who asks. */
static bool is_open(const struct asked *a, uint8_t kind)
{
    return kind == KIND_REALM_REALM && !a->decoy && (!a->found || a->found->type == ENTITY_REALM);
}

bool manager_wants(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, uint64_t wall_s,
                   struct tag *ret, uint64_t *ret_doubted)
{
    struct asked asked = { 0 };
    struct mapping_request r;
    enum record_class granted;
    struct who w;

    if (!m->trust || m->log_gap || mapping_request_read(bytes, len, &r) < 0 || r.type != MAPPING_RESOLVE)
        return false;
    *ret_doubted = r.seq;
    w = manager_identify(m, who, wall_s);
    find_asked(m, &r, wall_s, &asked);
    if (asked.below) {
        *ret = asked.below->tag;
        return true;
    }
    if (asked.foreign)
        return false;
    if (is_nobody(m, &asked)) /* by the same steps */
        take_decoy(m, &r, &asked);
    *ret = asked.subject;
    granted = manager_class(m, &w, &asked.subject, wall_s);
    return !asked.decoy && (is_open(&asked, r.kind) || granted != CLASS_DENY);
}

struct mapping_answer manager_resolve(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      instant now, uint64_t wall_s)
{
    struct mapping_answer a = { .status = MAPPING_FOUND, .flags = w->type == WHO_STRANGER ? MAPPING_STRANGER : 0 };
    struct asked asked = { 0 };
    enum record_class granted;
    struct binding b;
    bool open, there;

    if (!m->o.caches && manager_is_behind(m))
        return manager_later(LATER_BEHIND_MS);
    find_asked(m, r, wall_s, &asked);
    if (asked.foreign)
        return manager_refuse(m, asked.why);
    if (asked.below)
        return refer(m, w, asked.below, now);
    if (is_nobody(m, &asked))
        take_decoy(m, r, &asked);
    open = is_open(&asked, r->kind);
    granted = manager_class(m, w, &asked.subject, wall_s);
    if (r->flags & MAPPING_RECURSE) /* for others than who asks */
        granted = MIN(granted, CLASS_AGENT);
    there = bindings_find(m->bindings, &asked.subject, r->kind, granted ? (uint8_t)granted : CLASS_FULL, now, &b) == 0;
    if (open) {
        granted = CLASS_FULL;
        there = bindings_find(m->bindings, &asked.subject, r->kind, CLASS_FULL, now, &b) == 0;
    }
    if (!there || granted == CLASS_DENY || asked.decoy)
        return manager_none(w);
    a.record = (struct slice){ b.bytes, b.len };
    a.granted = (uint8_t)granted;
    a.left_s = manager_left_s(m, &b, now);
    a.fresh_s = manager_fresh_s(b.pace, a.left_s);
    if (r->places_count > 0 && r->kind == KIND_HOST_LOCATOR && granted == CLASS_FULL)
        manager_call(m, w, r, &b, wall_s, &a.relay);
    if (r->flags & MAPPING_WITH_CHAIN)
        add_chain(m, asked.found, &a);
    if (asked.proofs_count > 0) {
        struct writer proofs = writer_init(m->page, PAGE_BYTES);

        for (size_t i = 0; i < asked.proofs_count; i++)
            mapping_write_bytes(&proofs, asked.proofs[i]->record);
        a.proofs = (struct mapping_list){ m->page, writer_len(&proofs), asked.proofs_count };
    }
    return a;
}

/* --- several that wait --- */

#define AHEAD_BYTES_MAX 1024 /* chosen: of a lookup; what is longer is another request, and not read twice */

struct ahead {
    const struct manager_who *who;
    struct authority_look subject, decoy, asker;
    const struct entity *entity; /* or who stands for it; NULL: there is nobody */
    uint32_t hash, row;
    uint8_t kind;
};

/* False: no lookup of a host, user or the like. */
static bool ahead_begin(const struct manager *m, const struct manager_ahead *w, struct ahead *ret)
{
    struct mapping_request r;
    struct name_error why;
    struct name n;

    if (w->len > AHEAD_BYTES_MAX || mapping_request_read(w->bytes, w->len, &r) < 0 || r.type != MAPPING_RESOLVE ||
        (r.name && name_parse(r.name, r.name_len, &n, &why) < 0))
        return false;
    *ret = (struct ahead){ .who = &w->who, .kind = r.kind };
    ret->subject =
        r.name ? authority_foresee_name(m->authority, n.text, n.len) : authority_foresee_tag(m->authority, &r.tag);
    ret->decoy = authority_foresee_decoy(m->authority, which_of(&r));
    ret->asker = authority_foresee_key(m->authority, w->who.ed25519);
    return true;
}

/* The decoy is fetched whether or not it is wanted, so that the time does not tell. */
static void ahead_entity(const struct manager *m, struct ahead *a)
{
    const struct entity *decoy = authority_foresee_entity(m->authority, &a->decoy);

    a->entity = authority_foresee_entity(m->authority, &a->subject);
    if (!a->entity)
        a->entity = decoy;
    authority_foresee_entity(m->authority, &a->asker);
}

static void ahead_binding(const struct manager *m, struct ahead *a, uint64_t wall_s)
{
    const struct entity *e = a->entity;
    const struct tag *subject = !e ? &authority_self(m->authority)->tag : e->type == ENTITY_ALIAS ? &e->next : &e->tag;
    enum record_class granted = CLASS_DENY;
    struct who w;

    if (manager_knows(m, a->who, wall_s, &w))
        granted = manager_class(m, &w, subject, wall_s);
    a->hash = bindings_foresee(m->bindings, subject, a->kind, granted ? (uint8_t)granted : CLASS_FULL);
}

void manager_foresee(const struct manager *m, const struct manager_ahead *requests, size_t count, instant now,
                     uint64_t wall_s)
{
    struct ahead a[MANAGER_AHEAD_MAX];
    size_t n = 0;

    if (!m->trust || m->log_gap || manager_is_pressed(m, now))
        return;
    for (size_t i = 0; i < MIN(count, ARRAY_LEN(a)); i++)
        n += ahead_begin(m, &requests[i], &a[n]);
    for (size_t i = 0; i < n; i++)
        ahead_entity(m, &a[i]);
    for (size_t i = 0; i < n; i++)
        ahead_binding(m, &a[i], wall_s);
    for (size_t i = 0; i < n; i++)
        a[i].row = bindings_foresee_row(m->bindings, a[i].hash);
    for (size_t i = 0; i < n; i++)
        bindings_foresee_record(m->bindings, a[i].row);
}
