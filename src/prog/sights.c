/* prog/sights.c - see sights.h. Limits: 32 links; a manager that is silent three times in a row sees nothing. */
#include "prog/sights.h"

#include "mapping/message.h"

#include <errno.h>

#define FAILED_MAX 3           /* chosen: each was tried for seconds */
#define FAILED_AGAIN (2 * SEC) /* chosen */

static void show(struct sights *s, uint32_t link, const struct endpoint *place)
{
    if (endpoint_equal(&s->of[link].place, place))
        return;
    s->of[link].place = *place;
    s->seen(s->ctx, link, place);
}

int sights_set(struct sights *s, struct exchange *x, uint32_t link, const uint8_t ed25519[IDENT_KEY_LEN],
               const struct endpoint *at, size_t count, instant now)
{
    static const struct endpoint nowhere;
    struct exchange_call c = { .ways_count = 0 };
    struct sight *i;
    int r = 0;

    if (link == 0 || link > SIGHTS_MAX)
        return -EINVAL;
    i = &s->of[link];
    if (i->peer) {
        (void)!exchange_peer_set_owner(x, i->peer, NULL);
        exchange_peer_hang_up(x, i->peer, now);
    }
    i->peer = 0;
    i->asking = false;
    i->failed = 0;
    i->next = now;
    show(s, link, &nowhere);
    memcpy(c.key.ed25519, ed25519, sizeof(c.key.ed25519));
    for (size_t j = 0; j < count && c.ways_count < EXCHANGE_WAYS_MAX; j++)
        c.ways[c.ways_count++] = (struct locator_pair){ .link = link, .remote = at[j] };
    if (c.ways_count > 0)
        r = exchange_peer_call(x, &c, now, &i->peer);
    if (i->peer)
        (void)!exchange_peer_set_owner(x, i->peer, i);
    return r;
}

static void failed(struct sights *s, struct sight *i, instant now)
{
    static const struct endpoint nowhere;

    i->asking = false;
    i->next = now + FAILED_AGAIN;
    if (++i->failed >= FAILED_MAX)
        show(s, (uint32_t)(i - s->of), &nowhere);
}

void sights_hurry(struct sights *s, instant now)
{
    for (uint32_t link = 1; link <= SIGHTS_MAX; link++) {
        struct sight *i = &s->of[link];

        if (i->peer && !i->asking && i->failed == 0)
            i->next = instant_min(i->next, MAX(now, i->next - SIGHTS_AGAIN + SIGHTS_PACE));
    }
}

bool sights_ask(struct sights *s, struct exchange *x, instant now)
{
    const struct mapping_request r = { .type = MAPPING_WHERE };
    uint8_t bytes[16];
    struct writer w = writer_init(bytes, sizeof(bytes));
    bool any = false;

    mapping_request_write(&w, &r);
    for (uint32_t link = 1; link <= SIGHTS_MAX; link++) {
        struct sight *i = &s->of[link];
        uint64_t request;

        if (!i->peer || i->asking || now < i->next)
            continue;
        any = i->asking = true;
        if (exchange_request(x, i->peer, bytes, writer_len(&w), NULL, now, &request) < 0)
            failed(s, i, now);
    }
    return any;
}

bool sights_on_event(struct sights *s, const struct exchange_event *e, instant now)
{
    struct mapping_answer a;
    struct sight *i = NULL;

    for (uint32_t link = 1; link <= SIGHTS_MAX; link++)
        if (e->owner == &s->of[link])
            i = &s->of[link];
    if (!i)
        return false;
    if (e->type == EXCHANGE_FAILED) {
        failed(s, i, now);
    } else if (e->type == EXCHANGE_ANSWER) {
        if (mapping_answer_read(e->data, e->len, &a) < 0 || a.status != MAPPING_DONE) {
            failed(s, i, now); /* of another version, or busy */
            return true;
        }
        i->asking = false;
        i->failed = 0;
        i->next = now + SIGHTS_AGAIN;
        show(s, (uint32_t)(i - s->of), &a.place);
    }
    return true;
}

instant sights_next_expiry(const struct sights *s)
{
    instant next = INSTANT_NEVER;

    for (uint32_t link = 1; link <= SIGHTS_MAX; link++)
        if (s->of[link].peer && !s->of[link].asking)
            next = instant_min(next, s->of[link].next);
    return next;
}
