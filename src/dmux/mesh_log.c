/* dmux/mesh_log.c - what this gateway tells the others of its own routers.
 *
 * Theory of operation. Each router is one item of a log, at the version of its last change: a change moves it to the
 * end, so that a peer is told the newest state of each and never twice what has changed meanwhile. A peer has two marks
 * in the log, up to where it was told and up to where it has said that it heard. What it does not confirm in time is
 * told again from the second mark on. A peer that is new begins before the first item. A router that is gone stays in
 * the log until every peer whose link is up has heard so.
 *
 * Costs: a change costs each peer one step; a new peer, the log's length in all. */
#include "dmux/mesh_internal.h"

#include "dmux/mac.h"
#include "ident/hash.h"

#define ITEMS_ROOM (MESH_TEXT_MAX - 17)
#define RETELL_MIN (250 * MSEC) /* chosen: above the round trip of most pairs of gateways */

static struct log_item *item_of(struct list *at)
{
    return CONTAINER_OF(at, struct log_item, in_log);
}

static struct mesh_local *local_of(struct list *at)
{
    struct log_item *i = item_of(at);

    return i->marker ? NULL : (struct mesh_local *)(void *)i;
}

static void local_free(struct mesh *m, struct mesh_local *l)
{
    map64_remove(&m->locals, mesh_name_hash(m, 0, l->protocol, l->provider, l->addr, l->port));
    list_remove(&l->item.in_log);
    list_remove(&l->in_gone);
    ident_wipe(l->key, sizeof(l->key));
    free(l);
}

static struct mesh_local *local_get(struct mesh *m, const struct registration *r)
{
    uint64_t hash = mesh_name_hash(m, 0, r->protocol, r->provider, r->addr, r->port);
    struct mesh_local *l = map64_get(&m->locals, hash);

    if (l || r->state != REGISTRATION_PROVED || !r->proof)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    *l = (struct mesh_local){
        .protocol = r->protocol, .provider = r->provider, .addr = r->addr, .port = r->port, .gone = true
    };
    list_init(&l->item.in_log);
    list_init(&l->in_gone);
    if (map64_put(&m->locals, hash, l) < 0) {
        free(l);
        return NULL;
    }
    return l;
}

void log_take_news(struct mesh *m, instant now)
{
    const struct registration *r;

    while ((r = registry_pop_news(m->registry))) {
        bool here = r->state == REGISTRATION_PROVED && r->origin == 0 && r->proof;
        struct mesh_local *l = local_get(m, r);

        if (!l || (!here && l->gone))
            continue;
        l->item.version = ++m->version;
        if (here && (l->gone || memcmp(l->key, r->key, sizeof(l->key)) != 0)) {
            l->new_version = m->version;
            memcpy(l->key, r->key, sizeof(l->key));
            l->proof = *r->proof;
        }
        if (m->o.directory && l->gone == here &&
            directory_on_router(m->o.directory, l->protocol, l->provider, here, now) < 0)
            mesh_drop(m, MESH_DROP_FULL);
        l->gone = !here;
        l->weight = r->weight;
        l->load = r->load;
        l->rtt_us = r->rtt_us;
        list_remove(&l->item.in_log);
        list_append(&m->log, &l->item.in_log);
        list_remove(&l->in_gone);
        if (l->gone)
            list_append(&m->gone, &l->in_gone);
    }
}

void log_begin(struct mesh *m, struct peer *p)
{
    struct log_item *marks[] = { &p->sent, &p->acked };

    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        list_remove(&marks[i]->in_log);
        marks[i]->marker = true;
        marks[i]->version = 0;
        list_prepend(&m->log, &marks[i]->in_log);
    }
    p->inflight_count = 0;
}

void log_end(struct peer *p)
{
    list_remove(&p->sent.in_log);
    list_remove(&p->acked.in_log);
}

void log_free(struct mesh *m)
{
    for (struct list *at = m->log.next, *next; at != &m->log; at = next) {
        struct mesh_local *l = local_of(at);

        next = at->next;
        if (l)
            local_free(m, l);
    }
    map64_deinit(&m->locals);
}

static struct mesh_item item_to(const struct peer *p, const struct mesh_local *l)
{
    struct mesh_item i = { .what = l->gone                            ? MESH_GONE
                                   : l->new_version > p->sent.version ? MESH_NEW
                                                                      : MESH_CHANGED,
                           .protocol = l->protocol,
                           .provider = l->provider,
                           .addr = l->addr,
                           .port = l->port,
                           .weight = l->weight,
                           .load = l->load,
                           .rtt_us = l->rtt_us };

    if (i.what == MESH_NEW) {
        dmux_vouching_key(l->key, p->gateway, i.vouch);
        i.proof = l->proof;
    }
    return i;
}

/* The first item behind `at` that is no mark; the list's head: there is none. */
static struct list *next_local(struct mesh *m, struct list *at)
{
    for (at = at->next; at != &m->log && item_of(at)->marker; at = at->next)
        ;
    return at;
}

size_t log_output(struct mesh *m, struct peer *p, uint8_t text[MESH_TEXT_MAX], instant now)
{
    uint8_t items[ITEMS_ROOM];
    struct writer w = writer_init(items, sizeof(items));
    struct mesh_message news = { .kind = MESH_NEWS, .from = p->sent.version, .rest = items };
    struct list *at, *last = NULL;
    uint64_t version = p->sent.version;

    if (p->inflight_count > 0 && now >= p->sent_at + MAX(RETELL_MIN, (span)p->rtt_us * 4)) {
        list_remove(&p->sent.in_log);
        list_prepend(&p->acked.in_log, &p->sent.in_log); /* right behind it */
        news.from = version = p->sent.version = p->acked.version;
        p->inflight_count = 0;
    }
    if (p->inflight_count == MESH_WINDOW)
        return 0;
    for (at = next_local(m, &p->sent.in_log); at != &m->log && writer_left(&w) >= MESH_ITEM_MAX;
         at = next_local(m, at)) {
        struct mesh_item i = item_to(p, local_of(at));

        mesh_put_item(&w, &i);
        ident_wipe(i.vouch, sizeof(i.vouch));
        version = local_of(at)->item.version;
        last = at;
        m->stats.news_out++;
    }
    if (!last)
        return 0;
    list_remove(&p->sent.in_log);
    list_prepend(last, &p->sent.in_log);
    news.version = p->sent.version = version;
    news.rest_len = writer_len(&w);
    if (p->inflight_count == 0)
        p->sent_at = now;
    p->inflight[p->inflight_count++] = version;
    return mesh_write(&news, text, MESH_TEXT_MAX);
}

void log_forget(struct mesh *m)
{
    uint64_t heard = UINT64_MAX;

    if (list_empty(&m->gone))
        return;
    for (size_t i = 0; i < m->peers_count; i++) {
        if (m->peers[i]->up)
            heard = MIN(heard, m->peers[i]->acked.version);
    }
    while (!list_empty(&m->gone) && LIST_FIRST(&m->gone, struct mesh_local, in_gone)->item.version <= heard)
        local_free(m, LIST_FIRST(&m->gone, struct mesh_local, in_gone));
}

void log_heard(struct mesh *m, struct peer *p, uint64_t version)
{
    struct list *at = &p->acked.in_log, *last = NULL;
    unsigned n = 0;

    if (version <= p->acked.version || version > p->sent.version)
        return;
    for (at = next_local(m, at); at != &m->log && item_of(at)->version <= version; at = next_local(m, at))
        last = at;
    if (last) {
        list_remove(&p->acked.in_log);
        list_prepend(last, &p->acked.in_log);
    }
    p->acked.version = version;
    while (n < p->inflight_count && p->inflight[n] <= version)
        n++;
    memmove(p->inflight, p->inflight + n, (p->inflight_count - n) * sizeof(p->inflight[0]));
    p->inflight_count -= n;
    p->sent_at = p->heard; /* the time of the rest begins anew */
    log_forget(m);
}

instant log_next_expiry(const struct mesh *m, const struct peer *p)
{
    const struct list *at = p->sent.in_log.next;

    while (at != &m->log && CONTAINER_OF(at, const struct log_item, in_log)->marker)
        at = at->next;
    if (at != &m->log && p->inflight_count < MESH_WINDOW)
        return 0;
    return p->inflight_count > 0 ? p->sent_at + MAX(RETELL_MIN, (span)p->rtt_us * 4) : INSTANT_NEVER;
}
