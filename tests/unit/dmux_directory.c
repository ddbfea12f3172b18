/* Unit tests of src/dmux/directory without a world around it: what it wants, asks and leaves, whatever it is told. */
#include "dmux/directory_internal.h"
#include "tests/unit/test.h"

#include <errno.h>

#define PROTOCOL 6
#define CLIENT(network) ((uint32_t)(network) << 8 | 7)

static struct directory *d;
static instant now;
static struct prng prng;
static unsigned asked, anew, links, unlinks; /* events so far */
static bool silent;                          /* nobody answers, ever */

static int set_up(void **state)
{
    struct directory_options o = { .self = { .gateway = 1, .at = { addr_v4(0x0a000001), 1 } }, .boot_epoch = 5 };

    prng_init(&prng, 1);
    o.rng = prng_rng(&prng);
    coord_init(&o.self.place);
    now = 1000 * SEC;
    asked = anew = links = unlinks = 0;
    silent = false;
    d = directory_new(&o, now);
    assert_non_null(d);
    directory_set_place(d, &o.self.place, now);
    return 0;
}

static int tear_down(void **state)
{
    directory_free(d);
    return 0;
}

static struct directory_entry entry(uint32_t gateway)
{
    struct directory_entry e = { .gateway = gateway, .at = { addr_v4(0x0a000000 + gateway), 1 } };

    coord_init(&e.place);
    return e;
}

/* A binding of these. */
static struct slice binding(const struct directory_entry *entries, size_t count)
{
    static const uint8_t seed[IDENT_KEY_LEN] = { 1 };
    static uint8_t bytes[RECORD_BYTES_MAX];
    struct record r = {
        .type = RECORD_BINDING, .kind = KIND_SERVICE_ROUTER, .answer = CLASS_FULL, .lease_s = 300, .seq = 1
    };
    uint8_t key[IDENT_KEY_LEN];
    size_t len = 0;

    assert_int_equal(ed25519_public(seed, key), 0);
    assert_int_equal(tag_make(key, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &r.issuer), 0);
    assert_int_equal(tag_of_label(&r.issuer, "x", 1, &r.subject), 0);
    r.targets_count = (uint8_t)count;
    r.details_len = (uint16_t)directory_entries_write(entries, count, r.targets, r.details);
    assert_int_equal(record_encode(&r, seed, bytes, sizeof(bytes), &len), 0);
    return (struct slice){ bytes, len };
}

/* Managers answer all the while: with this, or that there is none, or not at all. */
static void run(span time, enum resolver_outcome outcome, struct slice record)
{
    static uint8_t out[HOLDER_REQUEST_MAX];
    struct directory_event ev;
    instant end = now + time;

    for (; now < end; now = MIN(end, MAX(now + MSEC, directory_next_expiry(d)))) {
        directory_on_expiry(d, now);
        while (directory_pop_event(d, &ev, out, now)) {
            asked += ev.type == DIRECTORY_ASK;
            anew += ev.type == DIRECTORY_ASK && ev.anew;
            links += ev.type == DIRECTORY_LINK;
            unlinks += ev.type == DIRECTORY_UNLINK;
            if (ev.type == DIRECTORY_ASK && !silent)
                directory_on_found(d, ev.id, outcome, record, now);
            else if (ev.type == DIRECTORY_TELL && !silent)
                directory_on_told(d, ev.id, NULL, 0, now);
        }
    }
}

static void wants(uint32_t provider, uint32_t network, int expected)
{
    assert_int_equal(directory_want(d, PROTOCOL, provider, CLIENT(network), now), expected);
}

static struct directory_stats stats(void)
{
    struct directory_stats s;

    directory_stats_get(d, &s);
    return s;
}

/* Whatever managers say or do not, a want ends with its clients, and its place is given back. */
static void test_want_ends(void **state)
{
    static const enum resolver_outcome outcomes[] = { RESOLVER_FAILED, RESOLVER_NONE };

    for (unsigned i = 0; i < 3; i++) {
        silent = i == 2;
        for (uint32_t n = 0; n < DIRECTORY_WANTS_MAX; n++)
            wants(1000 + n, 1 + n / DIRECTORY_WANTS_NETWORK, 0);
        run(50 * SEC, outcomes[i % 2], (struct slice){ 0 });
        assert_int_equal(stats().wanted, DIRECTORY_WANTS_MAX);
        run(200 * SEC, outcomes[i % 2], (struct slice){ 0 });
        assert_int_equal(stats().wanted, 0);
        assert_int_equal(stats().services, 0);
        assert_int_equal(d->networks.count, 0);
    }
    silent = false;
    asked = 0;
    wants(42, 1, 0);
    run(SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_in_range(asked, 3, CELLS_MAX); /* it is looked for at once */
}

/* Of one network so many are looked for that nobody has; of all together so many, and what nobody has gives way; and
 * all of that asks no more than so often. */
static void test_made_up(void **state)
{
    const struct directory_entry e = entry(9);
    struct directory_entry got;

    for (uint32_t i = 0; i < DIRECTORY_WANTS_NETWORK; i++)
        wants(1000 + i, 1, 0);
    wants(999, 1, -EDQUOT);
    wants(999, 2, 0);
    for (uint32_t i = DIRECTORY_WANTS_NETWORK; i < DIRECTORY_WANTS_MAX - 1; i++)
        wants(1000 + i, 2 + i / DIRECTORY_WANTS_NETWORK, 0);
    wants(998, 1000, -ENOSPC); /* all are being looked for */
    run(SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_in_range(asked, 3, ASKS_PER_SECOND + ASKS_BURST);
    for (unsigned i = 0; i < 10; i++) {
        for (uint32_t k = 0; k < DIRECTORY_WANTS_NETWORK; k++)
            wants(1000 + k, 1, 0);
        asked = 0;
        run(50 * SEC, RESOLVER_NONE, (struct slice){ 0 });
        assert_in_range(asked, 0, 50 * ASKS_PER_SECOND + ASKS_BURST);
    }
    /* Nobody has any of them: somebody who wants another gets a place, and is led to who has it. */
    for (unsigned k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < DIRECTORY_WANTS_MAX; i++)
            wants(1000 + i, 1 + i / DIRECTORY_WANTS_NETWORK, 0);
        run(50 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    }
    assert_int_equal(stats().none, DIRECTORY_WANTS_MAX);
    wants(7, 1000, 0);
    run(SEC, RESOLVER_FOUND, binding(&e, 1));
    assert_true(directory_nearest(d, PROTOCOL, 7, 0, &got));
    assert_int_equal(got.gateway, 9);
    assert_null(map64_get(&d->networks, 1000)); /* that is none of those which its network may make up */
}

/* What a router registers for here is not looked for any more, and takes no place. */
static void test_router_comes(void **state)
{
    for (uint32_t i = 0; i < DIRECTORY_WANTS_MAX; i++)
        wants(1000 + i, 1 + i / DIRECTORY_WANTS_NETWORK, 0);
    for (uint32_t i = 0; i < DIRECTORY_WANTS_MAX; i++)
        assert_int_equal(directory_on_router(d, PROTOCOL, 1000 + i, true, now), 0);
    assert_int_equal(stats().wanted, 0);
    wants(7, 1, 0);
    wants(1000, 1, 0);
    assert_int_equal(stats().wanted, 1);
}

/* A link that was wanted and falls silent is left, as one that does not come about and one that nobody needs. */
static void test_links_are_left(void **state)
{
    const struct directory_entry e = entry(9);

    directory_link(d, &e, LINKS_MAX, now);
    run(SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_int_equal(links, 1);
    directory_on_peer(d, &e, now);
    run(5 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    directory_on_peer_gone(d, 9, now);
    run(5 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_int_equal(unlinks, 1);
    assert_true(directory_suspects(d, 9, now));
    directory_link(d, &e, LINKS_MAX, now);
    run(30 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_int_equal(unlinks, 2);
    directory_link(d, &e, LINKS_MAX, now);
    directory_on_peer(d, &e, now);
    for (unsigned i = 0; i < 200; i++) { /* what is used by way of it, whoever wanted that */
        directory_keep(d, PROTOCOL, 42, 9, now);
        run(5 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    }
    assert_int_equal(unlinks, 2);
    run(500 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_true(links == 3 && unlinks == 3);
    assert_int_equal(d->linked, 0);
}

/* Where there is no room here, nothing is known of who is there; and searches leave some for owners. */
static void test_no_room(void **state)
{
    struct directory_entry e = entry(9);

    directory_link(d, &e, LINKS_MAX, now);
    run(SEC, RESOLVER_NONE, (struct slice){ 0 });
    directory_on_no_room(d, 9);
    run(60 * SEC, RESOLVER_NONE, (struct slice){ 0 });
    assert_false(directory_suspects(d, 9, now));
    assert_true(stats().peers == 0 && unlinks == 0 && d->linked == 0);
    for (uint32_t i = 0; i < 2 * LINKS_MAX; i++) {
        e = entry(100 + i);
        directory_link(d, &e, LINKS_WANT_MAX, now);
    }
    assert_int_equal(d->linked, LINKS_WANT_MAX);
    for (uint32_t i = 0; i < 2 * LINKS_MAX; i++) {
        e = entry(1000 + i);
        directory_link(d, &e, LINKS_MAX, now);
    }
    assert_int_equal(d->linked, LINKS_MAX);
}

/* When the one that is linked is lost, managers are asked, not what they said before. */
static void test_lost(void **state)
{
    const struct directory_entry e[2] = { entry(8), entry(9) };

    wants(42, 1, 0);
    run(SEC, RESOLVER_FOUND, binding(e, 2));
    assert_int_equal(anew, 0);
    directory_on_peer(d, &e[0], now);
    directory_on_serves(d, 8, PROTOCOL, 42, true, now);
    run(SEC, RESOLVER_FOUND, binding(e, 2));
    directory_on_peer_gone(d, 8, now);
    asked = 0;
    run(SEC, RESOLVER_FOUND, binding(e + 1, 1));
    assert_true(asked > 0 && anew == asked);
}

/* Who owns a binding has a timer, also when the last one came before anything was due. */
static void test_owner_has_a_timer(void **state)
{
    struct publication *p;

    assert_int_equal(directory_on_router(d, PROTOCOL, 42, true, now), 0);
    run(SEC, RESOLVER_NONE, (struct slice){ 0 });
    p = &directory_service(d, PROTOCOL, 42)->publications[0];
    assert_int_equal(p->state, PUBLICATION_OWNED);
    heap_set(&d->timers, &p->w.timer, now);
    directory_on_expiry(d, now);
    assert_true(p->w.timer.pos != 0 && p->w.timer.at > now);
}

/* A peer serves a protocol by anybody until the last of its providers is gone. */
static void test_services(void **state)
{
    const struct directory_entry e = entry(9);
    const struct peer_at *p;
    const uint32_t count = 131072;

    directory_on_peer(d, &e, now);
    p = directory_peer(d, 9);
    for (uint32_t i = 0; i < count; i++)
        directory_on_serves(d, 9, PROTOCOL, 2 + i, true, now);
    directory_on_serves(d, 9, PROTOCOL, 2, true, now); /* again */
    directory_on_serves(d, 9, PROTOCOL, 1, false, now);
    assert_true(peer_serves(p, PROTOCOL, 2) && peer_serves(p, PROTOCOL, 1 + count));
    assert_false(peer_serves(p, PROTOCOL, 2 + count) || peer_serves(p, PROTOCOL + 1, 1));
    for (uint32_t i = count; i-- > 0;) {
        assert_true(peer_serves(p, PROTOCOL, 1));
        directory_on_serves(d, 9, PROTOCOL, 2 + i, false, now);
        assert_false(peer_serves(p, PROTOCOL, 2 + i));
    }
    assert_false(peer_serves(p, PROTOCOL, 1));
    assert_int_equal(p->serves.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_want_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_made_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_router_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_are_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owner_has_a_timer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_services, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
