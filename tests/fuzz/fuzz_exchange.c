/* Fuzz target of session/exchange: a script of what a peer with good keys says, and what comes from anywhere, to an end
 * that both answers and asks. Each step is a byte that says what happens:
 *
 *   0  a sealed text from the caller:  u8 address | u16 length | text
 *   1  a sealed text from the called:  the same
 *   2  a datagram as it is:            u8 address | u16 length | bytes
 *   3  time passes:                    u8, in units of 25 ms
 *   4  a request to the called:        u16 length
 *   5  a request to the caller:        the same
 *   6  the last request is taken back
 *   7  the last sealed datagram once more, from an u8 address
 *   8  the answer to the last question, once more:  u16 length
 *
 * A text whose id is 0 gets that of the last request. Addresses 0..3; the peers are at 0. After each step: nothing is
 * sent to an address at which the caller has not proven to be that is longer than what came from there; each request
 * ends once, and all have ended at the end; memory stays within what the options allow. */
#include "ident/schedule.h"
#include "session/exchange_internal.h"
#include "wire/cursor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADDRESSES 4
#define REQUESTS 8
#define JOINS 4
#define LENGTH_MAX 6000 /* of what this end says: some parts, for speed */

static struct identity self, other;
static struct prng prng;

struct side {
    struct assoc *a;
    uint64_t number;
    struct aead *seal;
    uint64_t cid, counter;
};

struct run {
    struct exchange *x;
    struct side side[2]; /* the caller, the called */
    instant now;
    size_t in[ADDRESSES], out[ADDRESSES];
    unsigned accepted, ended;
    uint64_t last_request;
    struct exchange_asked asked;
    bool was_asked;
    uint8_t last[EXCHANGE_DATAGRAM_MAX + 64];
    size_t last_len;
    uint32_t last_host;
};

static void must(int r)
{
    assert(r >= 0);
}

static struct locator_pair from(uint32_t host, uint8_t address)
{
    return (struct locator_pair){ .link = 1, .remote = { addr_v4(host | address % ADDRESSES), 4000 } };
}

#define CALLER 0x0a000000u
#define CALLED 0x0b000000u

/* As a handshake leaves it. */
static void side_make(struct run *r, unsigned i, bool called)
{
    const uint8_t master[32] = { (uint8_t)(i + 1) };
    struct side *s = &r->side[i];
    uint8_t key[32], direction = called ? SCHEDULE_TO_INITIATOR : SCHEDULE_TO_RESPONDER;
    struct exchange_call c = { .ways_count = 1, .ways = { from(CALLED, 0) } };

    if (called) {
        identity_peer_key(&other, SUITES_KNOWN, &c.key);
        must(exchange_peer_call(r->x, &c, r->now, &s->number));
        s->a = assoc_get(r->x, s->number);
    } else {
        s->a = assoc_new(r->x, r->now);
        assert(s->a);
        s->number = s->a->number;
    }
    s->a->at = from(called ? CALLED : CALLER, 0);
    s->a->proven = true;
    s->a->cur = keys_new(s->a, master, SUITE_CHACHA20_POLY1305, called, r->now);
    assert(s->a->cur);
    schedule_path_key(master, EXCHANGE_PATH_ID, direction, key);
    s->cid = schedule_cid(master, EXCHANGE_PATH_ID, direction);
    s->seal = aead_new(SUITE_CHACHA20_POLY1305, key);
    assert(s->seal);
}

static void begin(struct run *r)
{
    struct exchange_options o = { .self = &self,
                                  .answers = true,
                                  .answers_hello = true,
                                  .peers_max = 16,
                                  .requests_max = REQUESTS,
                                  .joins_max = JOINS };

    memset(r, 0, sizeof(*r));
    prng_init(&prng, 1);
    o.rng = prng_rng(&prng);
    o.suites = SUITES_KNOWN;
    if (!self.ed25519[0] && !self.ed25519[1]) {
        must(identity_generate(&self, &o.rng));
        must(identity_generate(&other, &o.rng));
    }
    r->now = 1000 * SEC;
    r->x = exchange_new(&o, r->now);
    assert(r->x);
    side_make(r, 0, false);
    side_make(r, 1, true);
}

static void turn(struct run *r)
{
    struct exchange_event ev;
    struct exchange_stats s;
    struct exchange_tx tx;
    unsigned sum = 0;

    while (exchange_pop_event(r->x, &ev)) {
        for (size_t i = 0; i < ev.len; i++)
            sum += ev.data[i];
        if (ev.type == EXCHANGE_REQUEST) {
            assert(ev.len > 0 && ev.len <= EXCHANGE_MESSAGE_MAX);
            r->asked = ev.asked;
            r->was_asked = true;
            (void)!exchange_answer(r->x, &ev.asked, ev.data, ev.len, r->now);
        }
        r->ended += ev.type == EXCHANGE_ANSWER || ev.type == EXCHANGE_FAILED;
    }
    assert(sum <= 255 * EXCHANGE_MESSAGE_MAX && r->ended <= r->accepted);
    while (exchange_output(r->x, &tx, 1, r->now) == 1) {
        uint32_t to = get_be32(tx.at.remote.addr.bytes);

        assert(tx.len <= EXCHANGE_DATAGRAM_MAX);
        if ((to & ~3u) == CALLER)
            r->out[to & 3] += tx.len;
    }
    /* The text cannot know a token, which is a hash under a key of the run's: address 0 stays the proven one. */
    for (unsigned i = 1; i < ADDRESSES; i++)
        assert(r->out[i] <= r->in[i]);
    exchange_stats_get(r->x, &s);
    assert(s.requests_open <= REQUESTS && s.joins <= JOINS);
    assert(s.memory <= (1 << 20) + (JOINS + REQUESTS) * (EXCHANGE_MESSAGE_MAX + 4096) + 16 * 8192);
}

static void input(struct run *r, uint32_t host, uint8_t address, uint8_t *data, size_t len)
{
    struct locator_pair at = from(host, address);

    if (host == CALLER)
        r->in[address % ADDRESSES] += len;
    exchange_input(r->x, &at, data, len, r->now);
    turn(r);
}

static void step_sealed(struct run *r, struct reader *in, unsigned side)
{
    uint8_t address = read_u8(in);
    size_t len = read_u16(in);
    const uint8_t *text;
    struct side *s = &r->side[side];
    uint8_t copy[sizeof(r->last)], mine[EXCHANGE_TEXT_MAX + 16];

    len = MIN(len % (EXCHANGE_TEXT_MAX + 16), reader_left(in));
    text = read_bytes(in, len);
    if (!text)
        return;
    memcpy(mine, text, len);
    if (len >= 8 && get_be32(mine + 4) == 0)
        put_be32(mine + 4, (uint32_t)r->last_request);
    sealed_header_put(r->last, s->cid, s->counter);
    must(aead_seal(s->seal, s->counter++, r->last, SEALED_HEADER_LEN, mine, len, r->last + SEALED_HEADER_LEN));
    r->last_len = SEALED_HEADER_LEN + len + SEALED_TAG_LEN;
    r->last_host = side ? CALLED : CALLER;
    memcpy(copy, r->last, r->last_len);
    input(r, r->last_host, address, copy, r->last_len);
}

static void step_again(struct run *r, uint8_t address)
{
    uint8_t copy[sizeof(r->last)];

    if (r->last_len == 0)
        return;
    memcpy(copy, r->last, r->last_len);
    r->was_asked = false;
    input(r, r->last_host, address, copy, r->last_len);
    assert(!r->was_asked); /* nothing is accepted twice */
}

static void step_raw(struct run *r, struct reader *in)
{
    uint8_t address = read_u8(in), copy[2048];
    size_t len = MIN(read_u16(in) % sizeof(copy), reader_left(in));
    const uint8_t *bytes = read_bytes(in, len);

    if (!bytes)
        return;
    memcpy(copy, bytes, len);
    input(r, CALLER, address, copy, len);
}

static void step_request(struct run *r, struct reader *in, unsigned side)
{
    static const uint8_t zeros[EXCHANGE_MESSAGE_MAX];

    if (exchange_request(r->x, r->side[side].number, zeros, read_u16(in) % LENGTH_MAX, NULL, r->now,
                         &r->last_request) == 0)
        r->accepted++;
    turn(r);
}

static void pass(struct run *r, span t)
{
    r->now += t;
    exchange_on_expiry(r->x, r->now);
    turn(r);
}

static void step(struct run *r, struct reader *in)
{
    static const uint8_t zeros[EXCHANGE_MESSAGE_MAX];
    struct exchange_stats before, after;

    switch (read_u8(in) % 9) {
    case 0:
        step_sealed(r, in, 0);
        break;
    case 1:
        step_sealed(r, in, 1);
        break;
    case 2:
        step_raw(r, in);
        break;
    case 3:
        pass(r, read_u8(in) * 25 * MSEC);
        break;
    case 4:
        step_request(r, in, 1);
        break;
    case 5:
        step_request(r, in, 0);
        break;
    case 6:
        exchange_stats_get(r->x, &before);
        exchange_cancel(r->x, r->last_request);
        exchange_stats_get(r->x, &after);
        r->ended += before.requests_open - after.requests_open;
        break;
    case 7:
        step_again(r, read_u8(in));
        break;
    default:
        if (r->asked.peer)
            (void)!exchange_answer(r->x, &r->asked, zeros, read_u16(in) % LENGTH_MAX, r->now);
        turn(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_init(data, size);
    static struct run r;

    begin(&r);
    while (reader_left(&in) > 0 && !in.failed)
        step(&r, &in);
    /* A sending that counts ends within 16 s, and there are four; what brings parts is over. */
    for (unsigned i = 0; i < 200; i++)
        pass(&r, 1 * SEC);
    assert(r.ended == r.accepted);
    aead_free(r.side[0].seal);
    aead_free(r.side[1].seal);
    exchange_free(r.x);
    return 0;
}
