/* node/knock.c - the way to a host behind a NAT is opened from inside (RFC 5128 section 3.3).
 *
 * Theory of operation. Most NATs and firewalls let a datagram in from where one has left for before. A host that hears
 * that somebody is about to call it sends a few bytes over each of its uplinks to each place where that one may be:
 * KNOCK, which says nothing, proves nothing and is answered by nobody. What opens the session are the caller's
 * handshakes, which meet the open way, or are sent again until they do.
 *
 * A NAT that maps each destination to a port of its own lets nobody in whom it has not shown that port. Its host can
 * only call back, and comes through where nothing is in the caller's way, or what lets everybody in. So the program is
 * told when a caller has not come.
 *
 * Who may make a host knock is for its program to say; what it costs is bounded here: 8 bytes a knock, no more than one
 * in KNOCK_PACE (RFC 8445 section 14.2 has 50 ms; the caller's first handshake is under way), each pair KNOCK_TIMES, at
 * the times at which the caller tries too, since a knock may be lost. */
#include "node/internal.h"

#define CALL_BACK (1500 * MSEC) /* chosen: the third of the caller's INITs, and a round trip */
#define KNOCK_PACE (20 * MSEC)
#define KNOCK_TIMES 3
#define KNOCK_AGAIN (400 * MSEC) /* chosen: between the second and the third INIT, and after the third */

static void expect(struct node *n, const struct addr *who, instant now)
{
    for (unsigned i = 0; i < n->expected_count; i++)
        if (addr_equal(&n->expected[i].who, who))
            return;
    if (n->expected_count == EXPECTED_MAX)
        return;
    n->expected[n->expected_count].who = *who;
    n->expected[n->expected_count++].until = now + CALL_BACK;
}

void knock_tick(struct node *n, instant now)
{
    for (unsigned i = 0; i < n->expected_count;) {
        struct addr who = n->expected[i].who;

        if (now < n->expected[i].until) {
            i++;
            continue;
        }
        n->expected[i] = n->expected[--n->expected_count];
        if (node_peer_at(n, &who) < 0)
            node_event(n, NODE_WANTED, NULL, 0, false, 0)->address = who;
    }
}

void node_expect(struct node *n, const struct addr *who, const struct endpoint *at, size_t count, instant now)
{
    expect(n, who, now);
    count = MIN(count, (size_t)NODE_ENDPOINTS_MAX);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < n->uplinks_count; j++) {
            const struct node_uplink *u = &n->uplinks[j];
            const struct locator_pair pair = { .link = u->link, .remote = at[i] };
            bool has = at[i].addr.family == ADDR_V6 ? u->has_v6 : u->has_v4, known = false;

            for (unsigned k = 0; k < n->knocks_count; k++)
                known |= locator_pair_same(&n->knocks[k].at, &pair);
            if (u->up && has && !known && n->knocks_count < KNOCKS_MAX)
                n->knocks[n->knocks_count++] = (struct knock){ .at = pair, .due = now, .left = KNOCK_TIMES };
        }
}

instant knock_next_expiry(const struct node *n)
{
    instant next = INSTANT_NEVER;

    for (unsigned i = 0; i < n->knocks_count; i++)
        next = instant_min(next, n->knocks[i].due);
    return next == INSTANT_NEVER ? next : MAX(next, n->knock_at);
}

void knock_on_expiry(struct node *n, instant now)
{
    static const uint8_t bytes[KNOCK_LEN] = { PACKET_KNOCK };
    unsigned first = 0;
    struct knock *k;

    if (n->knocks_count == 0 || now < knock_next_expiry(n))
        return;
    for (unsigned i = 1; i < n->knocks_count; i++)
        if (n->knocks[i].due < n->knocks[first].due)
            first = i;
    k = &n->knocks[first];
    defence_say(n, &k->at, bytes, sizeof(bytes));
    n->knock_at = now + KNOCK_PACE;
    k->due = now + KNOCK_AGAIN;
    if (--k->left == 0)
        *k = n->knocks[--n->knocks_count];
}
