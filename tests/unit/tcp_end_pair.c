/* Unit tests of src/tunnel/tcp: its two sides against each other, over a way that loses.
 *
 *     writes, reads <--> active end --- 15 ms, loss ---> passive end <--> writes, reads
 *                                  <-------------------
 */
#include "base/rng.h"
#include "tests/unit/tcp_client.h"

static const struct endpoint ours[] = { { { ADDR_V4, { 198, 51, 100, 2 } }, 443 },
                                        { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 2 } }, 443 } };
static const struct endpoint theirs[] = { { { ADDR_V4, { 192, 0, 2, 1 } }, 40000 },
                                          { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 40000 } };

#define PAIR_BYTES 200000u /* each way */
#define PAIR_WAY (15 * MSEC)
#define PAIR_PACKETS 4096

struct flying {
    instant at;
    size_t to, len;
    struct offload offload;
    uint8_t *data;
};

struct pair {
    struct tcp_end *e[2]; /* the active one first */
    struct tcp_end_options o;
    instant now;
    struct prng prng;
    unsigned lose_first; /* packets, of both directions together */
    unsigned lose_one_of;
    struct flying flying[PAIR_PACKETS]; /* in the order of time */
    size_t first, count;
    uint32_t written[2], read[2], packets;
};

static uint8_t pair_byte(size_t from, uint32_t i)
{
    return pattern[i] ^ (from ? 0x5a : 0);
}

static void pair_output(struct pair *p, size_t from)
{
    struct merged m;

    while (p->e[from] && tcp_end_output(p->e[from], &m, p->now)) {
        struct flying *f;

        p->packets++;
        if (p->packets <= p->lose_first || (p->lose_one_of && prng_below(&p->prng, p->lose_one_of) == 0))
            continue;
        assert_true(p->count < PAIR_PACKETS);
        f = &p->flying[(p->first + p->count++) % PAIR_PACKETS];
        *f = (struct flying){ p->now + PAIR_WAY, !from, m.len, m.offload, malloc(m.len) };
        assert_non_null(f->data);
        slices_gather(m.slices, m.count, f->data, m.len);
        if (m.offload.flags == 0)
            judge_packet(f->data, m.len);
    }
}

static void pair_input(struct pair *p)
{
    struct flying *f = &p->flying[p->first];
    struct packet_info info;

    p->first = (p->first + 1) % PAIR_PACKETS;
    p->count--;
    assert_int_equal(packet_parse(f->data, f->len, &info), 0);
    if (!p->e[f->to]) {
        assert_int_equal(tcp_end_new(&p->o, f->data, &info, p->now, &p->e[f->to]), 0);
        tcp_end_accept(p->e[f->to], p->now);
    } else {
        assert_true(tcp_end_matches(p->e[f->to], &info));
        assert_int_equal(tcp_end_input(p->e[f->to], f->data, &info, &f->offload, p->now), TCP_END_TAKEN);
    }
    free(f->data);
}

/* Writes and reads what goes; what is read is what was written there. */
static void pair_applications(struct pair *p, size_t side)
{
    uint8_t buf[5000];
    int64_t n;

    if (!p->e[side] || tcp_end_state(p->e[side]) == TCP_END_CLOSED)
        return;
    while (p->written[side] < PAIR_BYTES) {
        size_t len = MIN(sizeof(buf), PAIR_BYTES - p->written[side]);

        for (uint32_t i = 0; i < len; i++)
            buf[i] = pair_byte(side, p->written[side] + i);
        n = tcp_end_write(p->e[side], buf, len);
        assert_true(n >= 0);
        if (n == 0)
            break;
        p->written[side] += (uint32_t)n;
        if (p->written[side] == PAIR_BYTES)
            tcp_end_finish(p->e[side]);
    }
    while ((n = tcp_end_read(p->e[side], buf, sizeof(buf))) > 0)
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(buf[i], pair_byte(!side, p->read[side]++));
    assert_int_equal(n, 0);
}

static bool pair_runs(const struct pair *p)
{
    for (size_t i = 0; i < 2; i++)
        if (!p->e[i] || (tcp_end_state(p->e[i]) != TCP_END_CLOSED && tcp_end_state(p->e[i]) != TCP_END_TIME_WAIT))
            return true;
    return false;
}

static void pair_run(struct pair *p, bool v6, span limit)
{
    assert_int_equal(tcp_end_connect(&p->o, &ours[v6], &theirs[v6], p->now, &p->e[0]), 0);
    while (pair_runs(p)) {
        instant next = INSTANT_NEVER;

        for (size_t i = 0; i < 2; i++) {
            pair_applications(p, i);
            pair_output(p, i);
            if (p->e[i])
                next = instant_min(next, tcp_end_next_expiry(p->e[i]));
        }
        if (p->count > 0)
            next = instant_min(next, p->flying[p->first].at);
        assert_true(next - START < limit);
        p->now = MAX(p->now, next);
        while (p->count > 0 && p->flying[p->first].at <= p->now)
            pair_input(p);
        for (size_t i = 0; i < 2; i++)
            if (p->e[i] && tcp_end_next_expiry(p->e[i]) <= p->now)
                tcp_end_on_expiry(p->e[i], p->now);
    }
}

static void test_pair(void **state)
{
    static const struct {
        bool v6, offload;
        unsigned lose_first, lose_one_of;
        span limit;
    } cases[] = {
        { false, false, 0, 0, 2 * SEC }, /* ten segments, then twice that with each 30 ms: half a second at most */
        { true, true, 0, 0, 2 * SEC },    { false, false, 1, 0, 4 * SEC }, /* the SYN; then SYNs and SYN-ACKs */
        { true, false, 4, 0, 20 * SEC },  { false, false, 0, 50, 30 * SEC },
        { false, true, 0, 50, 30 * SEC }, { true, false, 0, 10, 120 * SEC },
    };

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 253);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct pair *p = calloc(1, sizeof(*p));

            assert_non_null(p);
            p->now = START;
            p->o = (struct tcp_end_options){ .offload = cases[c].offload, .send_bytes = 65536 };
            p->lose_first = cases[c].lose_first;
            p->lose_one_of = cases[c].lose_one_of;
            prng_init(&p->prng, seed);
            pair_run(p, cases[c].v6, cases[c].limit);
            for (size_t i = 0; i < 2; i++) {
                struct tcp_end_info info;

                tcp_end_info(p->e[i], &info);
                assert_int_equal(p->read[i], PAIR_BYTES);
                assert_true(tcp_end_at_end(p->e[i]));
                assert_int_equal(tcp_end_error(p->e[i]), 0);
                assert_true(info.sack && info.timestamps);
                if (!cases[c].lose_one_of)
                    assert_int_equal(info.resent_bytes, 0);
                tcp_end_free(p->e[i]);
            }
            for (; p->count > 0; p->count--, p->first = (p->first + 1) % PAIR_PACKETS)
                free(p->flying[p->first].data);
            free(p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
