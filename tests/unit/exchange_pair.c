/* See exchange_pair.h. */
#include "tests/unit/exchange_pair.h"
#include "tests/unit/test.h"

struct pair_told got;
struct pair_wire wire;
struct xworld w;
struct xend *server, *client;
uint64_t peer;

uint8_t pair_pattern(size_t i, uint8_t salt)
{
    return (uint8_t)(i * 7 + (i >> 8) + salt);
}

static void on_event(struct xend *e, const struct exchange_event *ev)
{
    uint8_t said[EXCHANGE_MESSAGE_MAX];

    got.at = w.now;
    switch (ev->type) {
    case EXCHANGE_REQUEST:
        got.requests++;
        got.request_len = ev->len;
        memcpy(got.request, ev->data, ev->len);
        got.peer = ev->peer;
        got.asked = ev->asked;
        for (size_t i = 0; i < got.say; i++)
            said[i] = pair_pattern(i, got.salt);
        if (!got.mute)
            assert_int_equal(exchange_answer(e->x, &ev->asked, said, got.say, w.now), 0);
        break;
    case EXCHANGE_ANSWER:
        got.answers++;
        got.answer_len = ev->len;
        memcpy(got.answer, ev->data, ev->len);
        break;
    case EXCHANGE_FAILED:
        got.failed++;
        got.fault = ev->fault;
        break;
    case EXCHANGE_UP:
        got.up[e->index]++;
        if (e == server)
            got.peer = ev->peer;
        break;
    case EXCHANGE_DOWN:
        got.down++;
        got.fault = ev->fault;
        break;
    case EXCHANGE_GONE:
        got.gone++;
        break;
    }
}

bool pair_tap(struct xworld *world, unsigned from, const struct endpoint *src, const struct endpoint *dst,
              uint8_t *data, size_t len)
{
    (void)world;
    wire.count[data[0]]++;
    if (wire.times < ARRAY_LEN(wire.at))
        wire.at[wire.times++] = w.now;
    if (endpoint_equal(dst, &wire.watch)) {
        wire.to_watched += len;
        wire.len_max = MAX(wire.len_max, len);
    }
    if (endpoint_equal(src, &wire.watch))
        wire.from_watched += len;
    if (wire.drop_type == data[0] && wire.drop_from == from) {
        wire.passed++;
        if (wire.drop_nth == 0 || wire.passed == wire.drop_nth) {
            wire.lost++;
            return false;
        }
    }
    return true;
}

void pair_open(uint32_t peers_max)
{
    const struct exchange_options asks = { .peers_max = 8, .requests_max = 8, .joins_max = 4 };
    const struct exchange_options answers = {
        .answers = true, .answers_hello = true, .peers_max = peers_max, .requests_max = 8, .joins_max = 4
    };

    memset(&got, 0, sizeof(got));
    memset(&wire, 0, sizeof(wire));
    got.say = 100;
    xworld_init(&w, 1);
    w.on_event = on_event;
    w.tap = pair_tap;
    server = xworld_add(&w, &answers);
    client = xworld_add(&w, &asks);
}

uint64_t pair_call(struct xend *from, const struct exchange_call *c)
{
    uint64_t p = 0;

    assert_int_equal(exchange_peer_call(from->x, c, w.now, &p), 0);
    assert_true(p != 0);
    xend_turn(from);
    return p;
}

void pair_begin(void)
{
    struct exchange_call c;

    pair_open(8);
    c = xend_call(server, 0);
    peer = pair_call(client, &c);
}

uint64_t pair_ask(struct xend *from, uint64_t whom, size_t len)
{
    uint8_t data[EXCHANGE_MESSAGE_MAX];
    uint64_t request = 0;

    for (size_t i = 0; i < len; i++)
        data[i] = pair_pattern(i, 99);
    assert_int_equal(exchange_request(from->x, whom, data, len, NULL, w.now, &request), 0);
    xend_turn(from);
    return request;
}

void pair_run(span t)
{
    xworld_run_until(&w, w.now + t);
}

void pair_end(void)
{
    xworld_deinit(&w);
}

uint64_t pair_drops(const struct xend *e, enum exchange_drop d)
{
    struct exchange_stats s;

    exchange_stats_get(e->x, &s);
    return s.drops[d];
}
