/* dmux/federation_wants.c - what clients want of another realm, until its nearest border is told (WANT).
 *
 * Theory of operation. A border by managers looks for what it is told, for a minute, and has DIRECTORY_WANTS_NETWORK
 * places for what it has found nowhere, of this gateway in all. So what no border has is the clients' own making until
 * it is found: of each network of theirs WANTS_NETWORK are told, and of all no more than the border has places. When
 * those are taken, the network with most of them gives way to one with fewer. What a border has is told as often as
 * clients say that they use it, each WANT_AGAIN at most.
 *
 * Limits: WANTS_MAX of a realm; beyond it the one that was told longest ago makes room, of those that are there if any
 * is. */
#include "dmux/federation_internal.h"

#define WANTED_FOR (60 * SEC) /* as a border's, after the last time that it was told */
#define WANT_AGAIN (5 * SEC)  /* chosen: clients that are served ask each few seconds */
#define WANTS_NETWORK 8       /* chosen: an eighth of what a border looks for */

static bool is_there(const struct realm *r, uint16_t protocol, uint32_t provider)
{
    const struct service *s = map64_get(&r->services, service_key(protocol, provider));

    return s && s->state == SERVICE_PROVED;
}

static void forget(struct realm *r, size_t i)
{
    r->wants_due -= r->wants[i].due;
    r->wants[i] = r->wants[--r->wants_count];
}

static void forget_ended(struct realm *r, instant now)
{
    for (size_t i = 0; i < r->wants_count;) {
        if (r->wants[i].until <= now)
            forget(r, i);
        else
            i++;
    }
}

/* Of what is there, or is not; of one network or of all: the one that was told longest ago, or WANTS_MAX. */
static size_t oldest(const struct realm *r, bool there, const uint32_t *network)
{
    size_t found = WANTS_MAX;

    for (size_t i = 0; i < r->wants_count; i++) {
        const struct want *w = &r->wants[i];

        if (is_there(r, w->protocol, w->provider) == there && (!network || w->network == *network) &&
            (found == WANTS_MAX || w->next < r->wants[found].next))
            found = i;
    }
    return found;
}

static size_t count_of(const uint32_t *networks, size_t count, uint32_t network)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += networks[i] == network;
    return n;
}

/* May this network have one more told of that nobody has? */
static bool may_look(struct realm *r, uint32_t network)
{
    uint32_t seekers[WANTS_MAX], greedy = network;
    size_t all = 0, mine, most;

    for (size_t i = 0; i < r->wants_count; i++) {
        if (!is_there(r, r->wants[i].protocol, r->wants[i].provider))
            seekers[all++] = r->wants[i].network;
    }
    mine = most = count_of(seekers, all, network);
    if (mine >= WANTS_NETWORK || all < DIRECTORY_WANTS_NETWORK)
        return mine < WANTS_NETWORK;
    for (size_t i = 0; i < all; i++) {
        size_t n = count_of(seekers, all, seekers[i]);

        if (n > most) {
            most = n;
            greedy = seekers[i];
        }
    }
    if (most == mine)
        return false;
    forget(r, oldest(r, false, &greedy));
    return true;
}

static void make_room(struct realm *r)
{
    size_t i;

    if (r->wants_count < WANTS_MAX)
        return;
    i = oldest(r, true, NULL);
    forget(r, i < WANTS_MAX ? i : oldest(r, false, NULL));
}

void wants_add(struct realm *r, uint16_t protocol, uint32_t provider, uint32_t network, instant now)
{
    struct want *w = r->wants, *end = r->wants + r->wants_count;

    while (w < end && (w->protocol != protocol || w->provider != provider))
        w++;
    if (w == end) {
        forget_ended(r, now);
        if (!is_there(r, protocol, provider) && !may_look(r, network)) {
            r->drops[FEDERATION_DROP_FULL]++;
            return;
        }
        make_room(r);
        w = &r->wants[r->wants_count++];
        *w = (struct want){ .protocol = protocol, .provider = provider, .network = network };
    }
    w->until = now + WANTED_FOR;
    if (now < w->next)
        return;
    w->next = now + WANT_AGAIN;
    r->wants_due += !w->due;
    w->due = true;
}

bool wants_pop(struct realm *r, struct federation_message *ret)
{
    for (size_t i = 0; i < r->wants_count && r->wants_due > 0; i++) {
        struct want *w = &r->wants[i];

        if (!w->due)
            continue;
        w->due = false;
        r->wants_due--;
        *ret = (struct federation_message){ .kind = FEDERATION_WANT, .protocol = w->protocol, .provider = w->provider };
        return true;
    }
    return false;
}
