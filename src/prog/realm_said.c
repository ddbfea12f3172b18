/* prog/realm_said.c - see realm_said.h.
 *
 * Theory of operation. What is in force hangs in two chained hashes, by tag and by name; what has ended is in neither,
 * so that a chain is no longer than what is in force of one tag (a name, its policy, a revocation, a succession) and
 * who has the same hash. Names and tags are chosen by those who are enrolled, so the hash has a key.
 *
 * Limits: 2^31 records; memory 200 bytes each. */
#include "prog/realm_said.h"

#include "base/hash.h"
#include "sys/clock.h"

#include <errno.h>

#define FIRST_SIZE 64u

struct said_links {
    uint32_t tag, name; /* the next in the chain */
};

void said_init(struct said_list *l)
{
    const struct rng kernel = sys_rng();

    *l = (struct said_list){ 0 };
    rng_fill(&kernel, l->hash_key, sizeof(l->hash_key));
}

void said_deinit(struct said_list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        free(l->all[i].name);
    free(l->all);
    free(l->links);
    free(l->by_tag);
    free(l->by_name);
    *l = (struct said_list){ 0 };
}

static bool names_somebody(const struct realm_said *s)
{
    return s->type == RECORD_DELEGATION || s->type == RECORD_REGISTRATION;
}

static uint32_t *tag_head(const struct said_list *l, const struct tag *t)
{
    return &l->by_tag[siphash13(l->hash_key, t->bytes, sizeof(t->bytes)) & (l->heads_count - 1)];
}

static uint32_t *name_head(const struct said_list *l, const char *name)
{
    return &l->by_name[siphash13(l->hash_key, name, strlen(name)) & (l->heads_count - 1)];
}

static void hang(struct said_list *l, uint32_t i)
{
    const struct realm_said *s = &l->all[i];
    uint32_t *head = tag_head(l, &s->subject);

    l->links[i].tag = *head;
    *head = i;
    if (!names_somebody(s))
        return;
    head = name_head(l, s->name);
    l->links[i].name = *head;
    *head = i;
}

static void end(struct said_list *l, uint32_t i)
{
    struct realm_said *s = &l->all[i];
    uint32_t *at = tag_head(l, &s->subject);

    while (*at != i)
        at = &l->links[*at].tag;
    *at = l->links[i].tag;
    s->in_force = false;
    if (!names_somebody(s))
        return;
    at = name_head(l, s->name);
    while (*at != i)
        at = &l->links[*at].name;
    *at = l->links[i].name;
}

static int grow(struct said_list *l)
{
    const uint32_t size = l->size ? l->size * 2 : FIRST_SIZE;
    struct realm_said *all = realloc(l->all, size * sizeof(*all));
    struct said_links *links;
    uint32_t *tags, *names;

    if (all)
        l->all = all;
    links = realloc(l->links, size * sizeof(*links));
    if (links)
        l->links = links;
    tags = malloc(size * sizeof(*tags));
    names = malloc(size * sizeof(*names));
    if (!all || !links || !tags || !names) {
        free(tags);
        free(names);
        return -ENOMEM;
    }
    free(l->by_tag);
    free(l->by_name);
    l->by_tag = tags;
    l->by_name = names;
    l->size = l->heads_count = size;
    memset(tags, 0xff, size * sizeof(*tags)); /* SAID_NONE */
    memset(names, 0xff, size * sizeof(*names));
    for (uint32_t i = 0; i < l->count; i++)
        if (l->all[i].in_force)
            hang(l, i);
    return 0;
}

/* The next of the chain from i on that is of that tag. */
static uint32_t of_tag(const struct said_list *l, uint32_t i, const struct tag *t)
{
    while (i != SAID_NONE && !tag_equal(&l->all[i].subject, t))
        i = l->links[i].tag;
    return i;
}

static uint32_t find_tag(const struct said_list *l, const struct tag *t)
{
    return l->count > 0 ? of_tag(l, *tag_head(l, t), t) : SAID_NONE;
}

/* Whether `now` ends s, which is of the same tag. */
static bool ends(const struct realm_said *now, const struct realm_said *s)
{
    if (names_somebody(now))
        return names_somebody(s);
    if (now->type == RECORD_REVOCATION)
        return names_somebody(s) || s->type == RECORD_REVOCATION;
    return s->type == now->type;
}

static void end_older(struct said_list *l, const struct realm_said *now)
{
    const struct realm_said *of_name;
    uint32_t next;

    for (uint32_t i = find_tag(l, &now->subject); i != SAID_NONE; i = next) {
        next = of_tag(l, l->links[i].tag, &now->subject);
        if (ends(now, &l->all[i]))
            end(l, i);
    }
    of_name = names_somebody(now) ? said_by_name(l, now->name) : NULL;
    if (of_name)
        end(l, (uint32_t)(of_name - l->all));
}

static void note_given(struct said_list *l, const struct realm_range *range)
{
    for (unsigned n = range->number; n < range->number + (1u << (12 - range->bits)) && n <= TAG_REALM_MAX; n++)
        l->given[n / 8] |= (uint8_t)(1u << n % 8);
}

bool said_was_given(const struct said_list *l, const struct realm_range *range)
{
    for (unsigned n = range->number; n < range->number + (1u << (12 - range->bits)) && n <= TAG_REALM_MAX; n++)
        if (l->given[n / 8] & 1u << n % 8)
            return true;
    return false;
}

int said_add(struct said_list *l, const struct record *rec, struct slice bytes)
{
    struct realm_said s = { .type = rec->type,
                            .subject = rec->subject,
                            .range = rec->range,
                            .seq = rec->seq,
                            .not_after_s = rec->not_after_s,
                            .record = bytes,
                            .in_force = true };
    const struct realm_said *policy;

    if (l->count == l->size && grow(l) < 0)
        return -ENOMEM;
    s.name = strdup(rec->name);
    if (!s.name)
        return -ENOMEM;
    policy = s.type == RECORD_POLICY ? said_policy(l, &s.subject) : NULL;
    s.again = policy ? policy->again + 1 : 0;
    if (policy && policy->seq > s.seq)
        s.in_force = false;
    else
        end_older(l, &s);
    if (s.type == RECORD_DELEGATION)
        note_given(l, &s.range);
    l->all[l->count] = s;
    if (s.in_force)
        hang(l, l->count);
    l->count++;
    return 0;
}

struct realm_said *said_by_tag(const struct said_list *l, const struct tag *t)
{
    for (uint32_t i = find_tag(l, t); i != SAID_NONE; i = of_tag(l, l->links[i].tag, t))
        if (names_somebody(&l->all[i]))
            return &l->all[i];
    return NULL;
}

struct realm_said *said_by_name(const struct said_list *l, const char *name)
{
    uint32_t i = l->count > 0 ? *name_head(l, name) : SAID_NONE;

    while (i != SAID_NONE && strcmp(l->all[i].name, name) != 0)
        i = l->links[i].name;
    return i == SAID_NONE ? NULL : &l->all[i];
}

static const struct realm_said *of_type(const struct said_list *l, const struct tag *t, enum record_type type)
{
    for (uint32_t i = find_tag(l, t); i != SAID_NONE; i = of_tag(l, l->links[i].tag, t))
        if (l->all[i].type == type)
            return &l->all[i];
    return NULL;
}

const struct realm_said *said_policy(const struct said_list *l, const struct tag *t)
{
    return of_type(l, t, RECORD_POLICY);
}

bool said_is_revoked(const struct said_list *l, const struct tag *t)
{
    return of_type(l, t, RECORD_REVOCATION) != NULL;
}
