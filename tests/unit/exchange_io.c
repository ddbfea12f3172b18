/* Unit tests of src/sys/exchange_io and of udp_send_many: two ends over loopback. */
#include "sys/exchange_io.h"
#include "sys/clock.h"
#include "tests/unit/test.h"

#include <poll.h>

#define PATIENCE (20 * SEC) /* what has not come by then will not come */

struct party {
    struct identity id;
    struct exchange_io io;
    unsigned requests, answers, failed;
    size_t answer_len;
    bool answer_right;
};

static struct party asks, answers;
static uint8_t said[EXCHANGE_MESSAGE_MAX];

static void on_event(void *ctx, const struct exchange_event *ev)
{
    struct party *p = ctx;

    if (ev->type == EXCHANGE_REQUEST) {
        p->requests++;
        assert_int_equal(exchange_io_answer(&p->io, &ev->asked, said, get_be32(ev->data), clock_now()), 0);
    } else if (ev->type == EXCHANGE_ANSWER) {
        p->answers++;
        p->answer_len = ev->len;
        p->answer_right = memcmp(ev->data, said, ev->len) == 0;
    }
    p->failed += ev->type == EXCHANGE_FAILED;
}

static void open_party(struct party *p, bool is_answering, struct addr local)
{
    const struct udp_options u = { .family = local.family, .local = local };
    struct exchange_options o = { .self = &p->id,
                                  .rng = sys_rng(),
                                  .suites = suite_supported(),
                                  .answers = is_answering,
                                  .peers_max = 8,
                                  .requests_max = 128,
                                  .joins_max = 8 };

    memset(p, 0, sizeof(*p));
    assert_int_equal(identity_generate(&p->id, &o.rng), 0);
    exchange_io_init(&p->io, exchange_new(&o, clock_now()), on_event, p);
    assert_non_null(p->io.x);
    assert_int_equal(exchange_io_open(&p->io, 1, &u), 0);
}

static void close_party(struct party *p)
{
    struct exchange *x = p->io.x;

    exchange_io_deinit(&p->io);
    exchange_free(x);
}

static void turn(struct party *p)
{
    if (exchange_next_expiry(p->io.x) <= clock_now())
        exchange_on_expiry(p->io.x, clock_now());
    exchange_io_turn(&p->io, clock_now());
    while (exchange_io_read(&p->io, 1, clock_now()) > 0)
        continue;
}

static void run_until(const unsigned *what, unsigned is)
{
    instant until = clock_now() + PATIENCE;

    while (*what < is && clock_now() < until) {
        struct pollfd p[2] = { { .fd = udp_fd(asks.io.sockets[0]), .events = POLLIN },
                               { .fd = udp_fd(answers.io.sockets[0]), .events = POLLIN } };

        turn(&asks);
        turn(&answers);
        if (*what < is)
            poll(p, 2, 10);
    }
    assert_int_equal(*what, is);
}

static uint64_t call(struct addr to)
{
    struct exchange_call c = { .ways_count = 2 };
    uint64_t peer = 0;

    identity_peer_key(&answers.id, suite_supported(), &c.key);
    c.ways[0] = (struct locator_pair){ .link = 1, .remote = { to, 1 } }; /* nobody is there */
    c.ways[1] = (struct locator_pair){ .link = 1, .remote = { to, udp_local_port(answers.io.sockets[0]) } };
    assert_int_equal(exchange_peer_call(asks.io.x, &c, clock_now(), &peer), 0);
    return peer;
}

static void ask(uint64_t peer, uint32_t len)
{
    uint8_t data[4];
    uint64_t request;

    put_be32(data, len);
    assert_int_equal(exchange_request(asks.io.x, peer, data, sizeof(data), NULL, clock_now(), &request), 0);
}

static void over(struct addr loopback, struct addr bound)
{
    uint64_t peer;

    for (size_t i = 0; i < sizeof(said); i++)
        said[i] = (uint8_t)(i * 13 + (i >> 8));
    open_party(&asks, false, (struct addr){ .family = loopback.family });
    open_party(&answers, true, bound);
    peer = call(loopback);
    ask(peer, 300);
    run_until(&asks.answers, 1);
    assert_int_equal(asks.answer_len, 300);
    assert_true(asks.answer_right);
    ask(peer, EXCHANGE_MESSAGE_MAX);
    run_until(&asks.answers, 2);
    assert_int_equal(asks.answer_len, EXCHANGE_MESSAGE_MAX);
    assert_true(asks.answer_right);
    for (int i = 0; i < 100; i++) /* more than a batch */
        ask(peer, 1100);
    run_until(&asks.answers, 102);
    assert_true(asks.answer_right);
    assert_int_equal(asks.failed, 0);
    close_party(&asks);
    close_party(&answers);
}

static void test_v4(void **state)
{
    over(addr_v4(0x7f000001), (struct addr){ .family = ADDR_V4 });
    over(addr_v4(0x7f000002), addr_v4(0x7f000002));
}

static void test_v6(void **state)
{
    const struct addr loopback = { ADDR_V6, { [15] = 1 } };
    const struct udp_options u = { .family = ADDR_V6, .local = loopback };
    struct udp *probe;

    if (udp_open(&u, &probe) < 0)
        skip(); /* no IPv6 here */
    udp_free(probe);
    over(loopback, (struct addr){ .family = ADDR_V6 });
    over(loopback, loopback);
}

/* One that cannot go does not keep the others from going. */
static void test_send_many(void **state)
{
    const struct udp_options o = { .family = ADDR_V4, .local = addr_v4(0x7f000001), .many = true };
    static uint8_t data[70000];
    struct udp_tx tx[5];
    struct udp_rx rx[UDP_MANY_MAX];
    instant until = clock_now() + PATIENCE;
    struct udp *u;
    int n = 0, r;

    assert_int_equal(udp_open(&o, &u), 0);
    for (size_t i = 0; i < ARRAY_LEN(tx); i++)
        tx[i] = (struct udp_tx){ .data = data, .len = 10 + i, .to = { o.local, udp_local_port(u) } };
    tx[0].to.port = 0;
    tx[2].len = sizeof(data);
    tx[3].to.addr = (struct addr){ 0 };
    assert_int_equal(udp_send_many(u, tx, ARRAY_LEN(tx)), ARRAY_LEN(tx));
    while (n < 2 && clock_now() < until) {
        struct pollfd p = { .fd = udp_fd(u), .events = POLLIN };

        poll(&p, 1, 100);
        r = udp_recv(u, rx + n, UDP_MANY_MAX - (size_t)n);
        assert_true(r >= 0);
        n += r;
    }
    assert_int_equal(n, 2);
    assert_int_equal(rx[0].len, 11);
    assert_int_equal(rx[1].len, 14);
    udp_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),
        cmocka_unit_test(test_v6),
        cmocka_unit_test(test_send_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
