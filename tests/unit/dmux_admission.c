/* Unit tests of src/dmux/admission and applicant: a door and those who come to it, with nothing between them. Whole
 * clients, gateways and routers: tests/sim/dmux_admission.c. */
#include "base/rng.h"
#include "dmux/admission.h"
#include "dmux/applicant.h"
#include "dmux/limits.h"
#include "tests/unit/test.h"

#include <stdio.h>

#define PROTOCOL DMUX_IPV6
#define PROVIDER 100

static struct prng prng;
static struct rng rng;
static struct identity provider;
static struct identity ids[3];
static struct peer_key keys[3];
static struct admission_options options;
static struct admission *door;
static instant now;

static int begin(void **state)
{
    prng_init(&prng, 1);
    rng = prng_rng(&prng);
    now = 1000 * SEC;
    if (identity_generate(&provider, &rng) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (identity_generate(&ids[i], &rng) < 0)
            return -1;
        identity_peer_key(&ids[i], 3, &keys[i]);
    }
    options = (struct admission_options){
        .identity = &provider, .members = keys, .members_count = 2, .lifetime_s = 600, .clients_max = 65536
    };
    door = admission_new(&options, PROTOCOL, PROVIDER, &rng);
    return door ? 0 : -1;
}

static int end(void **state)
{
    admission_free(door);
    return 0;
}

static struct client_id client(uint32_t addr, uint16_t port)
{
    return (struct client_id){ .addr = addr, .port = port };
}

static void door_again(void)
{
    admission_free(door);
    door = admission_new(&options, PROTOCOL, PROVIDER, &rng);
    assert_non_null(door);
}

static struct admission_stats stats(void)
{
    struct admission_stats s;

    admission_stats_get(door, &s);
    return s;
}

/* An ADMIT of ids[who] from there, by the nonce of a DEMAND that the door has just given to `asked`. */
static size_t admit_make(unsigned who, const struct client_id *from, const struct client_id *asked, uint8_t *out)
{
    static struct credential c;
    uint8_t demand[WORD_DEMAND_LEN];
    struct applicant *a;
    size_t len;

    c = (struct credential){ .provider = PROVIDER, .identity = ids[who] };
    identity_peer_key(&provider, 3, &c.to);
    a = applicant_new(&c, 1, PROTOCOL, &rng);
    assert_non_null(a);
    applicant_begin(a, from, now);
    assert_int_equal(admission_demand(door, asked, 100, now, demand), WORD_DEMAND_LEN);
    applicant_on_word(a, PROVIDER, demand, sizeof(demand), now);
    len = applicant_output(a, out, now);
    assert_int_equal(out[0], WORD_ADMIT);
    applicant_free(a);
    return len;
}

/* Which word answers it; 0: none. No answer is longer. */
static unsigned give(const struct client_id *from, const uint8_t *data, size_t len)
{
    uint8_t out[WORD_VERDICT_LEN];
    size_t n = admission_on_word(door, from, data, len, 0, now, out);

    assert_true(n <= len);
    return n > 0 ? out[0] : 0;
}

static bool let_in(unsigned who, uint32_t addr, uint16_t port)
{
    const struct client_id c = client(addr, port);
    uint8_t admit[WORD_ADMIT_MAX];
    size_t len;

    now += 20 * MSEC; /* below what a network may ask for */
    len = admit_make(who, &c, &c, admit);
    assert_int_equal(give(&c, admit, len), WORD_VERDICT);
    return admission_holds(door, &c, now);
}

/* Any byte of an ADMIT that is another one, and any length that is, lets nobody in, and one of the nonce costs no key.
 */
static void test_each_byte(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t admit[WORD_ADMIT_MAX];
    size_t len = admit_make(0, &c, &c, admit);
    struct admission_stats s;

    assert_int_equal(len, 118);
    for (size_t i = 0; i < len; i++) {
        now += 20 * MSEC;
        admit[i] ^= 0x40;
        assert_int_not_equal(give(&c, admit, len), WORD_VERDICT);
        admit[i] ^= 0x40;
        assert_false(admission_holds(door, &c, now));
    }
    s = stats();
    assert_int_equal(s.malformed, 2);
    assert_int_equal(s.stale, WORD_NONCE_LEN);
    assert_int_equal(s.unreadable, len - 2 - WORD_NONCE_LEN);
    for (size_t i = 0; i < len; i++)
        assert_int_not_equal(give(&c, admit, i), WORD_VERDICT);
    assert_int_equal(stats().unreadable, s.unreadable);
    assert_int_equal(give(&c, admit, len), WORD_VERDICT);
    assert_true(admission_holds(door, &c, now));
}

/* What the handshake is bound to: the address that it is said for is the one that it comes from. */
static void test_bound(void **state)
{
    const struct client_id here = client(0xc6336407, 4000), port = client(0xc6336407, 4001),
                           addr = client(0xc6336408, 4000);
    uint8_t admit[WORD_ADMIT_MAX];
    struct admission *other = admission_new(&options, DMUX_IPV4, PROVIDER, &rng);
    size_t len = admit_make(0, &here, &here, admit);
    uint8_t out[WORD_VERDICT_LEN];

    /* the nonce is another address's, protocol's or process's */
    assert_int_equal(give(&port, admit, len), WORD_DEMAND);
    assert_int_equal(give(&addr, admit, len), WORD_DEMAND);
    assert_int_equal(stats().stale, 2);
    assert_non_null(other);
    assert_int_equal(admission_on_word(other, &here, admit, len, 0, now, out), WORD_DEMAND_LEN);
    admission_free(other);
    /* the nonce is right, and the client believes to be elsewhere */
    len = admit_make(0, &port, &here, admit);
    assert_int_equal(give(&here, admit, len), WORD_DEMAND);
    assert_int_equal(stats().unreadable, 1);
    /* too old */
    len = admit_make(0, &here, &here, admit);
    now += ADMISSION_NONCE_LIFE + SEC;
    assert_int_equal(give(&here, admit, len), WORD_DEMAND);
    assert_int_equal(stats().stale, 3);
    assert_int_equal(stats().clients, 0);
}

static void test_expires(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);

    assert_true(let_in(0, c.addr, c.port));
    assert_true(admission_holds(door, &c, now + 600 * SEC - 1));
    assert_false(admission_holds(door, &c, now + 600 * SEC));
    assert_false(let_in(2, c.addr + 1, 1)); /* not listed */
    assert_int_equal(stats().verdicts[WORD_REFUSED_UNKNOWN], 1);
    now += 601 * SEC;
    assert_true(let_in(0, c.addr + 2, 1)); /* makes room */
    assert_int_equal(stats().clients, 1);
}

/* A key has 8 places: its ninth takes that of its first. Nobody else loses one. */
static void test_key_share(void **state)
{
    const struct client_id first = client(0x0a000100, 1), others = client(0xc6336407, 4000);

    assert_true(let_in(1, others.addr, others.port));
    for (uint32_t i = 0; i < ADMISSION_KEY_MAX; i++)
        assert_true(let_in(0, 0x0a000100 + (i << 8), 1));
    assert_true(admission_holds(door, &first, now));
    assert_true(let_in(0, 0x0b000000, 1));
    assert_false(admission_holds(door, &first, now));
    assert_true(admission_holds(door, &others, now));
    assert_int_equal(stats().clients, 1 + ADMISSION_KEY_MAX);
    /* full: a new key is refused; a key of 8 places may move one of them */
    options.clients_max = ADMISSION_KEY_MAX;
    door_again();
    for (uint32_t i = 0; i < ADMISSION_KEY_MAX; i++)
        assert_true(let_in(0, 0x0a000100 + (i << 8), 1));
    assert_false(let_in(1, others.addr, others.port));
    assert_int_equal(stats().verdicts[WORD_REFUSED_FULL], 1);
    assert_true(let_in(0, 0x0b000000, 1));
    assert_true(let_in(0, 0x0b000000, 1)); /* again */
    assert_int_equal(stats().clients, ADMISSION_KEY_MAX);
    /* who comes again is the newest: another goes before it */
    door_again();
    for (uint32_t i = 0; i < ADMISSION_KEY_MAX; i++)
        assert_true(let_in(0, 0x0a000100 + (i << 8), 1));
    assert_true(let_in(0, first.addr, first.port));
    assert_true(let_in(0, 0x0b000000, 1));
    assert_true(admission_holds(door, &first, now));
    assert_int_equal(stats().clients, ADMISSION_KEY_MAX);
}

/* A port of a NAT that is another host's now. */
static void test_other_key_same_place(void **state)
{
    assert_true(let_in(0, 0xc6336407, 4000));
    assert_true(let_in(1, 0xc6336407, 4000));
    assert_int_equal(stats().clients, 1);
    for (uint32_t i = 1; i <= ADMISSION_KEY_MAX; i++)
        assert_true(let_in(0, 0xc6336407 + i, 4000));
    assert_int_equal(stats().clients, 1 + ADMISSION_KEY_MAX);
}

/* A /24 has 1,024 places of 65,536, and each key of it 8: as many keys as fill it, and one more. */
static void test_network_share(void **state)
{
    enum { KEYS = ADMISSION_NETWORK_MAX / ADMISSION_KEY_MAX };
    static struct peer_key many[KEYS + 1];
    static struct identity last;
    struct identity id;

    options.members = many;
    options.members_count = KEYS + 1;
    for (unsigned k = 0; k <= KEYS; k++) {
        assert_int_equal(identity_generate(k < KEYS ? &id : &last, &rng), 0);
        identity_peer_key(k < KEYS ? &id : &last, 3, &many[k]);
        if (k == 0)
            door_again();
        for (unsigned i = 0; k < KEYS && i < ADMISSION_KEY_MAX; i++) {
            ids[0] = id;
            assert_true(let_in(0, 0xc6336400, (uint16_t)(1 + k * ADMISSION_KEY_MAX + i)));
        }
    }
    ids[0] = last;
    assert_false(let_in(0, 0xc63364ff, 1));
    assert_int_equal(stats().verdicts[WORD_REFUSED_NETWORK], 1);
    assert_true(let_in(0, 0xc63365ff, 1)); /* the next network */
    assert_int_equal(stats().clients, ADMISSION_NETWORK_MAX + 1);
}

/* Floods within a second: of ADMITs with nonces that are none, each costs a mac; of such that hold, 100 of a network
 * cost keys; what is answered is bounded. */
static void test_floods(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t admit[WORD_ADMIT_MAX], demand[WORD_DEMAND_LEN];
    size_t len = admit_make(2, &c, &c, admit);
    struct admission_stats s;
    unsigned answers = 0;

    admit[WORD_HEADER_LEN + 7] ^= 1;
    for (unsigned i = 0; i < 10000; i++)
        answers += give(&c, admit, len) != 0;
    s = stats();
    assert_int_equal(s.stale, 10000);
    assert_int_equal(s.unreadable + s.verdicts[WORD_REFUSED_UNKNOWN], 0);
    assert_in_range(answers, LIMITS_UNVERIFIED_PPS - 1, LIMITS_UNVERIFIED_PPS);
    admit[WORD_HEADER_LEN + 7] ^= 1;
    for (unsigned i = 0; i < 10000; i++)
        give(&c, admit, len);
    s = stats();
    assert_int_equal(s.verdicts[WORD_REFUSED_UNKNOWN], LIMITS_SHOWN_PPS);
    /* of packets, from many networks: 20,000 answers for all */
    now += 10 * SEC;
    answers = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        const struct client_id other = client(0x0b000000 + (i << 8), 9);

        answers += admission_demand(door, &other, 48, now, demand) > 0;
    }
    assert_int_equal(answers, LIMITS_UNVERIFIED_ALL_PPS);
    /* nobody is answered by more than he sent */
    now += 10 * SEC;
    assert_int_equal(admission_demand(door, &c, WORD_DEMAND_LEN - 1, now, demand), 0);
    assert_int_equal(admission_demand(door, &c, WORD_DEMAND_LEN, now, demand), WORD_DEMAND_LEN);
}

/* Each byte of a VERDICT that is another one is none; the right one counts once. */
static void test_forged_verdict(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);
    static struct credential cred;
    uint8_t demand[WORD_DEMAND_LEN], admit[WORD_ADMIT_MAX], verdict[WORD_VERDICT_LEN];
    struct applicant_info info;
    struct applicant *a;
    size_t len;

    cred = (struct credential){ .provider = PROVIDER, .identity = ids[0] };
    identity_peer_key(&provider, 3, &cred.to);
    a = applicant_new(&cred, 1, PROTOCOL, &rng);
    assert_non_null(a);
    applicant_begin(a, &c, now);
    assert_true(admission_demand(door, &c, 100, now, demand) > 0);
    applicant_on_word(a, PROVIDER, demand, sizeof(demand), now);
    len = applicant_output(a, admit, now);
    assert_int_equal(admission_on_word(door, &c, admit, len, 0, now, verdict), sizeof(verdict));
    for (size_t i = 0; i < sizeof(verdict); i++) {
        verdict[i] ^= 1;
        applicant_on_word(a, PROVIDER, verdict, sizeof(verdict), now);
        verdict[i] ^= 1;
        applicant_on_word(a, PROVIDER, verdict, i, now);
    }
    applicant_on_word(a, PROVIDER + 1, verdict, sizeof(verdict), now);
    applicant_info_get(a, &info);
    assert_int_equal(info.state, APPLICANT_APPLYING);
    assert_int_equal(info.ignored, 2 * sizeof(verdict) + 1);
    applicant_on_word(a, PROVIDER, verdict, sizeof(verdict), now);
    applicant_info_get(a, &info);
    assert_int_equal(info.state, APPLICANT_ADMITTED);
    assert_int_equal(info.until, now + 600 * SEC);
    applicant_on_word(a, PROVIDER, verdict, sizeof(verdict), now);
    applicant_info_get(a, &info);
    assert_int_equal(info.admitted, 1);
    applicant_free(a);
}

/* What is held: 16 packets, in order, until it is known that they pass; then no more. */
static void test_held(void **state)
{
    static struct credential cred = { .provider = PROVIDER };
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t packet[PROTOCOL_PACKET_MAX] = { 0 }, out[PROTOCOL_PACKET_MAX];
    const uint8_t open[] = { WORD_OPEN, 0 };
    struct applicant_info info;
    struct applicant *a = applicant_new(&cred, 1, PROTOCOL, &rng);

    assert_non_null(a);
    assert_true(applicant_waits(a)); /* for an address, too */
    assert_int_equal(applicant_next_expiry(a), INSTANT_NEVER);
    applicant_begin(a, &c, now);
    for (uint8_t i = 0; i < APPLICANT_HELD_MAX + 1; i++) {
        assert_true(applicant_waits(a));
        packet[0] = i;
        applicant_hold(a, packet, 100u + i);
    }
    assert_int_equal(applicant_release(a, out), 0);
    assert_int_equal(applicant_output(a, out, now), WORD_DEMAND_LEN);
    applicant_on_word(a, PROVIDER, open, sizeof(open), now);
    assert_false(applicant_waits(a));
    assert_int_equal(applicant_next_expiry(a), 0); /* at once */
    for (uint8_t i = 0; i < APPLICANT_HELD_MAX; i++) {
        assert_int_equal(applicant_release(a, out), 100 + i);
        assert_int_equal(out[0], i);
    }
    assert_int_equal(applicant_release(a, out), 0);
    assert_int_equal(applicant_next_expiry(a), INSTANT_NEVER);
    applicant_info_get(a, &info);
    assert_int_equal(info.held, APPLICANT_HELD_MAX + 1);
    assert_int_equal(info.lost, 1);
    applicant_free(a);
}

/* A router that knows no words: asked three times, a second apart, and then everything goes; again a minute later,
 * without holding anything. */
static void test_unanswered(void **state)
{
    static struct credential cred = { .provider = PROVIDER };
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t packet[40] = { 0 }, out[PROTOCOL_PACKET_MAX];
    struct applicant *a = applicant_new(&cred, 1, PROTOCOL, &rng);
    instant begun = now;

    assert_non_null(a);
    applicant_begin(a, &c, now);
    applicant_hold(a, packet, sizeof(packet));
    for (unsigned i = 0; i < APPLICANT_TRIES; i++) {
        now = applicant_next_expiry(a);
        assert_int_equal(now, begun + i * SEC);
        assert_int_equal(applicant_output(a, out, now), WORD_DEMAND_LEN);
        assert_int_equal(applicant_output(a, out, now), 0);
        assert_true(applicant_waits(a));
    }
    now = applicant_next_expiry(a);
    assert_int_equal(applicant_output(a, out, now), 0);
    assert_false(applicant_waits(a));
    assert_int_equal(applicant_release(a, out), sizeof(packet));
    assert_int_equal(applicant_next_expiry(a), begun + 3 * SEC + APPLICANT_LATER);
    now = applicant_next_expiry(a);
    assert_int_equal(applicant_output(a, out, now), WORD_DEMAND_LEN);
    assert_false(applicant_waits(a));
    applicant_free(a);
}

/* A client with the first key that the door has just asked for it. */
static struct applicant *demanded(const struct client_id *c)
{
    static struct credential cred;
    uint8_t demand[WORD_DEMAND_LEN];
    struct applicant *a;

    cred = (struct credential){ .provider = PROVIDER, .identity = ids[0] };
    identity_peer_key(&provider, 3, &cred.to);
    a = applicant_new(&cred, 1, PROTOCOL, &rng);
    assert_non_null(a);
    applicant_begin(a, c, now);
    assert_true(admission_demand(door, c, 100, now, demand) > 0);
    applicant_on_word(a, PROVIDER, demand, sizeof(demand), now);
    return a;
}

/* No verdict comes: three times the same ADMIT, then it is told, and tried again soon, at a time of its own. */
static void test_no_verdict(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t first[WORD_ADMIT_MAX], out[WORD_ADMIT_MAX];
    struct applicant_info info;
    struct applicant *a = demanded(&c);
    instant begun = now;
    size_t len;

    len = applicant_output(a, first, now);
    for (unsigned i = 1; i < APPLICANT_TRIES; i++) {
        now = applicant_next_expiry(a);
        assert_int_equal(now, begun + i * SEC);
        assert_int_equal(applicant_output(a, out, now), len);
        assert_memory_equal(out, first, len);
    }
    now = applicant_next_expiry(a);
    assert_int_equal(applicant_output(a, out, now), 0);
    applicant_info_get(a, &info);
    assert_int_equal(info.state, APPLICANT_REFUSED);
    assert_int_equal(info.refusal, APPLICANT_UNANSWERED);
    assert_in_range(applicant_next_expiry(a), now + APPLICANT_RETRY, now + APPLICANT_RETRY + APPLICANT_AGAIN);
    applicant_free(a);
}

/* A renewal without an answer ends nothing: who is let in stays so until its time is over, and asks again soon. */
static void test_renewal_is_not_answered(void **state)
{
    const struct client_id c = client(0xc6336407, 4000);
    uint8_t demand[WORD_DEMAND_LEN], admit[WORD_ADMIT_MAX], out[WORD_ADMIT_MAX];
    struct applicant_info info;
    struct applicant *a = demanded(&c);
    instant begun = now;
    size_t len;

    len = applicant_output(a, admit, now);
    len = admission_on_word(door, &c, admit, len, 0, now, out);
    applicant_on_word(a, PROVIDER, out, len, now);
    now = applicant_next_expiry(a); /* three quarters are over */
    assert_true(applicant_output(a, out, now) > 0);
    assert_true(admission_demand(door, &c, 100, now, demand) > 0);
    applicant_on_word(a, PROVIDER, demand, sizeof(demand), now);
    while (applicant_output(a, out, now) > 0)
        now = applicant_next_expiry(a);
    applicant_info_get(a, &info);
    assert_int_equal(info.state, APPLICANT_ADMITTED);
    assert_true(now < begun + 600 * SEC);
    assert_in_range(applicant_next_expiry(a), now + APPLICANT_RETRY, now + APPLICANT_RETRY + APPLICANT_AGAIN);
    applicant_free(a);
}

/* A router has started anew, and 500 clients of one NAT come back at once: five times what their network may cost in a
 * second. All are in within half a minute, and the door has computed no more than it may. */
static void test_crowd(void **state)
{
    enum { CROWD = 500 };
    static struct credential creds[CROWD];
    static struct peer_key many[CROWD];
    static struct applicant *crowd[CROWD];
    instant begun = now;
    unsigned in = 0;

    options.members = many;
    options.members_count = CROWD;
    for (unsigned i = 0; i < CROWD; i++) {
        const struct client_id c = client(0xc6336407, (uint16_t)(1000 + i));

        creds[i].provider = PROVIDER;
        assert_int_equal(identity_generate(&creds[i].identity, &rng), 0);
        identity_peer_key(&provider, 3, &creds[i].to);
        identity_peer_key(&creds[i].identity, 3, &many[i]);
        crowd[i] = applicant_new(&creds[i], 1, PROTOCOL, &rng);
        assert_non_null(crowd[i]);
        applicant_begin(crowd[i], &c, now);
    }
    door_again();
    while (in < CROWD) {
        assert_true(now < begun + 30 * SEC);
        for (unsigned i = in = 0; i < CROWD; i++) {
            const struct client_id c = client(0xc6336407, (uint16_t)(1000 + i));
            uint8_t word[WORD_ADMIT_MAX], answer[WORD_VERDICT_LEN];
            struct applicant_info info;
            size_t len;

            while ((len = applicant_output(crowd[i], word, now)) > 0) {
                len = admission_on_word(door, &c, word, len, 0, now, answer);
                applicant_on_word(crowd[i], PROVIDER, answer, len, now);
            }
            /* what it sends meanwhile is answered, too */
            len = admission_holds(door, &c, now) ? 0 : admission_demand(door, &c, 100, now, answer);
            if (len > 0)
                applicant_on_word(crowd[i], PROVIDER, answer, len, now);
            applicant_info_get(crowd[i], &info);
            in += info.state == APPLICANT_ADMITTED;
        }
        now += 20 * MSEC;
    }
    assert_true(stats().verdicts[WORD_ADMITTED] <= (uint64_t)((now - begun) / SEC + 2) * LIMITS_SHOWN_PPS);
    for (unsigned i = 0; i < CROWD; i++)
        applicant_free(crowd[i]);
    printf("# %u clients of one network are in after %d ms\n", CROWD, (int)((now - begun) / MSEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_byte, begin, end),
        cmocka_unit_test_setup_teardown(test_bound, begin, end),
        cmocka_unit_test_setup_teardown(test_expires, begin, end),
        cmocka_unit_test_setup_teardown(test_key_share, begin, end),
        cmocka_unit_test_setup_teardown(test_other_key_same_place, begin, end),
        cmocka_unit_test_setup_teardown(test_network_share, begin, end),
        cmocka_unit_test_setup_teardown(test_floods, begin, end),
        cmocka_unit_test_setup_teardown(test_forged_verdict, begin, end),
        cmocka_unit_test_setup_teardown(test_held, begin, end),
        cmocka_unit_test_setup_teardown(test_unanswered, begin, end),
        cmocka_unit_test_setup_teardown(test_no_verdict, begin, end),
        cmocka_unit_test_setup_teardown(test_renewal_is_not_answered, begin, end),
        cmocka_unit_test_setup_teardown(test_crowd, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
