/* prog/realmd_follow.c - another manager of the realm that is followed: what it knows is known here, and served.
 *
 * Theory of operation. The daemon calls the manager that is followed with the realm's own key, which both have. What it
 * says goes through a follower (mapping/follower.h) of all the realm's prefixes into the manager's table, and from
 * there to whom it may concern here: subscribers, and followers of this one. Each time that the association stands anew
 * the follower asks from where it is, since who is called may have been started again.
 *
 * Until all was read once, and when it was too long ago, lookups are put off and followers of this one too (mapping/
 * manager.h): a manager that knows nothing yet says to nobody that there is nothing.
 *
 * A manager that caches (realmd_cache.c) has the same association, and no follower.
 *
 * Hard state comes by the realm's folder, as everywhere; there it comes by its log (realmd_log.c). */
#include "prog/realmd.h"

#include "ident/suite.h"

#include <syslog.h>

#define DEPLOYMENT_BITS 42 /* of a tag: all tiers of a realm have them alike (doc/records.md) */
#define KEEP (5 * SEC)     /* chosen: so soon it is seen that the other was started anew; a small datagram each */

int follow_call(struct realmd *d, instant now)
{
    const struct chain_end *self = authority_self(manager_authority(d->manager));
    const struct tag_prefix all = tag_prefix_of(&self->tag, DEPLOYMENT_BITS);
    struct exchange_call c = { .keep = KEEP };
    int r;

    if (d->config.followed_count == 0)
        return 0;
    pass_lost(d);
    identity_peer_key(&d->id, suite_supported(), &c.key);
    realmd_ways(d, d->config.followed, d->config.followed_count, &c);
    r = exchange_peer_call(d->exchange, &c, now, &d->followed);
    if (r < 0) {
        realmd_say(LOG_ERR, "follow error=\"no socket of that family\"");
        return r;
    }
    log_follower_on_failed(&d->log, now); /* what was under way went with the former association */
    if (d->cache) {
        cache_lost(d, now);
        return 0;
    }
    if (!self->is_realm) /* the log comes first */
        return 0;
    if (!d->following) /* else: the realm's key is another, and what is known is known */
        follower_init(&d->follower, manager_bindings(d->manager), &all,
                      d->config.follow_mode == REALMD_PULL ? FOLLOWER_PULL : FOLLOWER_PUSH,
                      d->config.follow_interval_s * SEC, now);
    else
        follower_on_failed(&d->follower, now); /* what was under way went with the former key's exchange */
    d->following = true;
    return 0;
}

/* What has come, into the table. */
static void take(struct realmd *d, instant now)
{
    struct follower_change c;
    span behind;

    while (follower_pop(&d->follower, now, &c))
        manager_followed(d->manager, &c, now);
    behind = follower_behind(&d->follower, now);
    manager_set_behind(d->manager, behind);
    if (behind <= MANAGER_BEHIND_MAX && !d->follow_told) {
        realmd_say(LOG_NOTICE, "follow state=caught_up at=%llu", (unsigned long long)d->follower.at);
        d->follow_told = true;
    } else if (behind > MANAGER_BEHIND_MAX && d->follow_told) {
        realmd_say(LOG_WARNING, "follow state=behind since_s=%lld", (long long)(behind / SEC));
        d->follow_told = false;
    }
}

void follow_turn(struct realmd *d, instant now)
{
    uint8_t bytes[FOLLOWER_REQUEST_MAX];
    uint64_t request;
    size_t len;

    if (!d->following)
        return;
    take(d, now);
    len = follower_output(&d->follower, now, bytes);
    if (len > 0 && exchange_request(d->exchange, d->followed, bytes, len, &d->follower, now, &request) < 0)
        follower_on_failed(&d->follower, now);
}

void follow_on_result(struct realmd *d, const struct exchange_event *e, instant now)
{
    if (e->type == EXCHANGE_ANSWER)
        follower_on_answer(&d->follower, e->data, e->len, now);
    else
        follower_on_failed(&d->follower, now);
    take(d, now);
}

bool follow_on_request(struct realmd *d, const struct exchange_event *e, instant now)
{
    uint8_t answer[FOLLOWER_REQUEST_MAX];
    struct mapping_request r;
    size_t len;

    if (!d->following || e->peer != d->followed || mapping_request_read(e->data, e->len, &r) < 0)
        return false;
    if (r.type == MAPPING_CALL) {
        struct writer w = writer_init(answer, sizeof(answer));

        manager_called(d->manager, &r, true, now);
        mapping_answer_write(&w, &(struct mapping_answer){ .status = MAPPING_DONE });
        realmd_answer(d, &e->asked, answer, writer_len(&w), now);
        return true;
    }
    if (r.type != MAPPING_NOTIFY || r.prefix.len != d->follower.prefix.len ||
        !tag_prefix_covers(&r.prefix, &d->follower.prefix))
        return false;
    len = follower_on_notice(&d->follower, &r, now, answer);
    take(d, now);
    realmd_answer(d, &e->asked, answer, len, now);
    return true;
}

void follow_on_up(struct realmd *d, instant now)
{
    realmd_say(LOG_NOTICE, "follow state=up");
    log_follower_on_up(&d->log, now);
    if (d->cache)
        cache_on_up(d, true);
    else if (d->following)
        follower_on_up(&d->follower, now);
}

instant follow_next_expiry(const struct realmd *d)
{
    if (!d->following)
        return INSTANT_NEVER;
    /* and when what is known has become too old */
    return instant_min(follower_next_expiry(&d->follower),
                       d->follow_told ? d->follower.as_of + MANAGER_BEHIND_MAX + 1 : INSTANT_NEVER);
}

json_t *follow_json(const struct realmd *d, instant now)
{
    const struct follower *f = &d->follower;
    struct exchange_peer_info info;
    span behind;

    if (d->cache)
        return cache_json(d);
    if (!d->following)
        return json_null();
    behind = follower_behind(f, now);
    return json_pack(
        "{s:s, s:b, s:b, s:o, s:I, s:I, s:I, s:I}", "mode", f->mode == FOLLOWER_PULL ? "pull" : "push", "up",
        exchange_peer_info(d->exchange, d->followed, &info) == 0 && info.up, "caught_up", behind <= MANAGER_BEHIND_MAX,
        "behind_s", behind == INSTANT_NEVER ? json_null() : json_real((double)behind / 1e6), "at", (json_int_t)f->at,
        "taken", (json_int_t)f->taken, "older", (json_int_t)f->older, "snapshots", (json_int_t)f->snapshots);
}
