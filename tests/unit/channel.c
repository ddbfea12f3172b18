/* Unit tests of src/session/channel.c: how channels begin and end, what they are called, and peers that lie. What is
 * expected is what session/channel.h and doc/protocol.md ("Channels") say. */
#include "tests/unit/channel_world.h"

#include <errno.h>

#define CYCLE (60 * SEC)
#define IDS 65535u

static const uint8_t bytes[RECORD_MAX];

static void assert_none(struct world *w)
{
    for (unsigned end = 0; end < 2; end++)
        assert_int_equal(session_channels_count(w->ends[end].session), 0);
}

static void free_both(struct world *w, struct world_channel *p)
{
    channel_free(p->c[0]);
    channel_free(p->c[1]);
    world_pass(w, 20 * MSEC);
}

/* --- open, accept, refuse --- */

static void test_open_and_accept(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;
    const struct channel_open *q[2];

    world_ask(w, &p);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_ASKED);
    assert_int_equal(channel_write(p.c[0], bytes, 1), 0);
    world_pass(w, 10 * MSEC);
    world_take(w, &p);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_ASKED);
    assert_int_equal(channel_state(p.c[1]), CHANNEL_OFFERED);
    assert_int_equal(channel_write(p.c[1], bytes, 1), 0);
    for (unsigned i = 0; i < 2; i++)
        q[i] = channel_request(p.c[i]);
    assert_int_equal(q[0]->channel, q[1]->channel);
    assert_int_not_equal(q[0]->channel, 0);
    assert_true(endpoint_equal(&q[0]->from, &q[1]->from) && endpoint_equal(&q[0]->to, &q[1]->to));
    assert_int_equal(p.pops[0], 0);
    channel_accept(p.c[1]);
    assert_int_equal(channel_state(p.c[1]), CHANNEL_OPEN);
    world_serve(w, 1);
    assert_int_equal(p.pops[1], 1); /* there is room for what it wanted to write */
    /* The acceptor may write before its answer arrives. */
    assert_int_equal(world_write(p.c[1], 0, 5000), 5000);
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_OPEN);
    assert_int_equal(channel_refused(p.c[0]), CHANNEL_ACCEPTED);
    assert_true(p.pops[0] > 0); /* to write, and to read */
    assert_int_equal(world_read(p.c[0], 0), 5000);
    assert_int_equal(world_write(p.c[0], 0, 3000), 3000);
    assert_false(channel_flushed(p.c[0]));
    world_pass(w, 100 * MSEC);
    assert_true(channel_flushed(p.c[0]) && channel_flushed(p.c[1]));
    assert_int_equal(world_read(p.c[1], 0), 3000);
    assert_false(channel_at_end(p.c[0]) || channel_at_end(p.c[1]));
    free_both(w, &p);
    assert_none(w);
    world_close(w);
}

/* Bytes overtake the answer: they are read, and more of them comes afterwards. */
static void test_bytes_before_the_answer(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_offered(w, &p);
    channel_accept(p.c[1]);
    w->links[0][0].loses = true;
    world_pass(w, 1);
    w->links[0][0].loses = false;
    assert_int_equal(world_write(p.c[1], 0, DELIVERY_WINDOW_INITIAL), DELIVERY_WINDOW_INITIAL);
    for (uint64_t sum = 0; sum < DELIVERY_WINDOW_INITIAL; world_pass(w, 1 * MSEC)) {
        assert_int_equal(channel_state(p.c[0]), CHANNEL_ASKED);
        sum += world_read(p.c[0], sum);
    }
    world_pass(w, 2 * SEC);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_OPEN);
    assert_int_equal(world_write(p.c[1], DELIVERY_WINDOW_INITIAL, 1000), 1000);
    world_pass(w, 1 * SEC);
    assert_int_equal(world_read(p.c[0], DELIVERY_WINDOW_INITIAL), 1000);
    free_both(w, &p);
    world_close(w);
}

static void test_refused(void **state)
{
    struct world *w = world_open(1);

    for (enum channel_refusal why = CHANNEL_REFUSED; why < CHANNEL_REFUSAL_COUNT; why++) {
        struct world_channel p;

        world_offered(w, &p);
        channel_refuse(p.c[1], why);
        assert_int_equal(channel_state(p.c[1]), CHANNEL_ENDED);
        channel_free(p.c[1]); /* the answer is due still */
        assert_int_equal(session_channels_count(w->ends[1].session), 1);
        world_pass(w, 10 * MSEC);
        assert_int_equal(session_channels_count(w->ends[1].session), 0);
        assert_int_equal(channel_state(p.c[0]), CHANNEL_ENDED);
        assert_int_equal(channel_refused(p.c[0]), why);
        assert_int_equal(channel_error(p.c[0]), -ECONNREFUSED);
        assert_int_equal(channel_write(p.c[0], bytes, 1), -ECONNREFUSED);
        assert_int_equal(p.pops[0], 1);
        channel_free(p.c[0]);
        assert_none(w);
    }
    world_close(w);
}

/* A reason that a newer peer may have, and answers that answer nothing. */
static void test_odd_answers(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;
    uint8_t msg[4] = { MESSAGE_CHANNEL_ANSWER };

    world_ask(w, &p);
    world_pass(w, 10 * MSEC);
    put_be16(msg + 1, (uint16_t)(channel_request(p.c[0])->channel + 1));
    world_say(w, 1, msg, sizeof(msg));
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_ASKED);
    put_be16(msg + 1, channel_request(p.c[0])->channel);
    msg[3] = 99;
    world_say(w, 1, msg, sizeof(msg));
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_refused(p.c[0]), CHANNEL_REFUSED);
    msg[3] = CHANNEL_ACCEPTED;
    world_say(w, 1, msg, sizeof(msg));
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_ENDED);
    channel_free(p.c[0]);
    world_close(w);
}

/* --- the end --- */

static void finish(struct world *w, struct world_channel *p, unsigned first)
{
    assert_int_equal(world_write(p->c[first], 0, 1000), 1000);
    channel_finish(p->c[first]);
    channel_finish(p->c[first]);
    assert_int_equal(channel_write(p->c[first], bytes, 1), -EPIPE);
    world_pass(w, 100 * MSEC);
    assert_true(channel_flushed(p->c[first]));
    assert_false(channel_at_end(p->c[!first]));
    assert_int_equal(world_read(p->c[!first], 0), 1000);
    assert_true(channel_at_end(p->c[!first]));
    /* The other way goes on. */
    assert_int_equal(world_write(p->c[!first], 0, 50000), 50000);
    world_pass(w, 100 * MSEC);
    assert_int_equal(world_read(p->c[first], 0), 50000);
    assert_false(channel_at_end(p->c[first]));
    channel_finish(p->c[!first]);
    world_pass(w, 100 * MSEC);
    assert_true(channel_at_end(p->c[first]) && channel_flushed(p->c[!first]));
    assert_int_equal(channel_error(p->c[0]), 0);
    assert_int_equal(channel_error(p->c[1]), 0);
}

static void test_finish(void **state)
{
    struct world *w = world_open(1);

    for (unsigned first = 0; first < 2; first++) {
        struct world_channel p;

        world_channel(w, &p);
        finish(w, &p, first);
        /* It is over: nobody is told anything more. */
        channel_free(p.c[first]);
        world_pass(w, 100 * MSEC);
        assert_int_equal(channel_error(p.c[!first]), 0);
        channel_free(p.c[!first]);
        assert_none(w);
    }
    world_close(w);
}

/* The peer hears of it when it may: a chunk before the answer would break the channel off. */
static void test_finish_before_the_answer(void **state)
{
    struct world *w = world_open(1);

    for (unsigned by = 0; by < 2; by++) {
        struct world_channel p;

        world_ask(w, &p);
        world_pass(w, by * 10 * MSEC);
        if (by == 1)
            world_take(w, &p);
        channel_finish(p.c[by]);
        world_pass(w, 10 * MSEC);
        if (by == 0)
            world_take(w, &p);
        assert_int_equal(channel_state(p.c[1]), CHANNEL_OFFERED);
        channel_accept(p.c[1]);
        world_pass(w, 100 * MSEC);
        assert_int_equal(channel_error(p.c[0]), 0);
        assert_int_equal(channel_error(p.c[1]), 0);
        assert_true(channel_at_end(p.c[!by]) && channel_flushed(p.c[by]));
        free_both(w, &p);
        assert_none(w);
    }
    world_close(w);
}

/* The peer has said its end, and waits for ours. */
static void test_free_before_the_own_end(void **state)
{
    struct world *w = world_open(1);

    for (unsigned first = 0; first < 2; first++) {
        struct world_channel p;

        world_channel(w, &p);
        assert_int_equal(world_write(p.c[!first], 0, 100), 100);
        channel_finish(p.c[first]);
        world_pass(w, 100 * MSEC);
        assert_true(channel_at_end(p.c[!first]) && channel_flushed(p.c[!first]));
        channel_free(p.c[!first]);
        world_pass(w, 100 * MSEC);
        assert_int_equal(channel_error(p.c[first]), -ECONNRESET);
        channel_free(p.c[first]);
        assert_none(w);
    }
    world_close(w);
}

/* --- reset --- */

static void test_reset_before_it_was_asked(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_ask(w, &p);
    channel_reset(p.c[0]);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_ENDED);
    assert_int_equal(channel_error(p.c[0]), -ECONNRESET);
    channel_free(p.c[0]);
    assert_none(w);
    world_pass(w, 100 * MSEC);
    assert_int_equal(w->ends[1].offered_count, 0);
    world_close(w);
}

static void test_reset_before_the_answer(void **state)
{
    struct world *w = world_open(1);

    for (unsigned by = 0; by < 2; by++) {
        struct world_channel p;

        world_offered(w, &p);
        channel_reset(p.c[by]);
        channel_free(p.c[by]);
        world_pass(w, 10 * MSEC);
        assert_int_equal(channel_state(p.c[!by]), CHANNEL_ENDED);
        assert_int_equal(channel_error(p.c[!by]), -ECONNRESET);
        assert_int_equal(channel_refused(p.c[!by]), CHANNEL_ACCEPTED);
        assert_int_equal(p.pops[!by], 1);
        channel_accept(p.c[!by]); /* too late: nothing comes of it */
        channel_free(p.c[!by]);
        world_pass(w, 10 * MSEC);
        assert_none(w);
    }
    world_close(w);
}

static void test_reset_when_open(void **state)
{
    struct world *w = world_open(1);

    for (unsigned by = 0; by < 2; by++) {
        struct world_channel p;

        world_channel(w, &p);
        assert_int_equal(world_write(p.c[by], 0, 1000), 1000);
        world_pass(w, 100 * MSEC);
        channel_reset(p.c[by]);
        assert_int_equal(channel_write(p.c[by], bytes, 1), -ECONNRESET);
        world_pass(w, 10 * MSEC);
        assert_int_equal(channel_error(p.c[!by]), -ECONNRESET);
        assert_int_equal(channel_write(p.c[!by], bytes, 1), -ECONNRESET);
        assert_int_equal(world_read(p.c[!by], 0), 1000); /* what came before is not lost */
        free_both(w, &p);
        assert_none(w);
    }
    world_close(w);
}

/* Words are due of channels whose owner has gone, and are said. */
static void test_free_while_words_are_due(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_offered(w, &p);
    channel_accept(p.c[1]);
    channel_free(p.c[1]); /* its answer and its end */
    assert_int_equal(session_channels_count(w->ends[1].session), 1);
    world_pass(w, 10 * MSEC);
    assert_int_equal(session_channels_count(w->ends[1].session), 0);
    assert_int_equal(channel_error(p.c[0]), -ECONNRESET);
    channel_free(p.c[0]);
    assert_none(w);

    world_channel(w, &p);
    assert_int_equal(world_write(p.c[0], 0, 50000), 50000);
    channel_free(p.c[0]);
    assert_int_equal(session_channels_count(w->ends[0].session), 1);
    world_pass(w, 100 * MSEC);
    assert_int_equal(session_channels_count(w->ends[0].session), 0);
    assert_int_equal(channel_error(p.c[1]), -ECONNRESET);
    channel_free(p.c[1]);
    assert_none(w);
    world_close(w);
}

static void test_session_begins_anew(void **state)
{
    struct world *w = world_open(1);
    struct world_channel open, asked;

    world_channel(w, &open);
    assert_int_equal(world_write(open.c[0], 0, 50000), 50000);
    world_ask(w, &asked);
    world_restart(w, 1);
    session_connect(w->ends[0].session, NULL, 0, w->now);
    world_pass(w, 1 * SEC);
    assert_true(session_has_channels(w->ends[0].session));
    assert_int_equal(channel_error(open.c[0]), -ECONNRESET);
    assert_int_equal(channel_error(asked.c[0]), -ECONNRESET);
    channel_free(open.c[0]);
    channel_free(asked.c[0]);
    world_pass(w, 1 * SEC);
    assert_none(w);
    world_channel(w, &open);
    free_both(w, &open);
    assert_none(w);
    world_close(w);
}

static void test_session_is_not_there(void **state)
{
    struct world *w = world_open(1);
    const struct channel_open q = world_request(0);
    struct channel *c;

    world_restart(w, 0);
    assert_false(session_has_channels(w->ends[0].session));
    assert_int_equal(session_channel_open(w->ends[0].session, &q.from, &q.to, w->now, &c), -ENOTCONN);
    world_close(w);
}

/* --- numbers --- */

static struct channel *open_one(struct world *w, int expected)
{
    const struct channel_open q = world_request(0);
    struct channel *c = NULL;

    assert_int_equal(session_channel_open(w->ends[0].session, &q.from, &q.to, w->now, &c), expected);
    return c;
}

static void test_numbers(void **state)
{
    static bool used[IDS + 1];
    struct world *w = world_open(1);
    struct channel *kept = open_one(w, 0);

    memset(used, 0, sizeof(used));
    used[channel_request(kept)->channel] = true;
    for (unsigned i = 1; i < IDS; i++) {
        struct channel *c = open_one(w, 0);
        uint16_t id = channel_request(c)->channel;

        assert_false(id == 0 || used[id]);
        used[id] = true;
        channel_free(c);
    }
    open_one(w, -ENOSPC);
    w->now += CYCLE - 1;
    open_one(w, -ENOSPC);
    w->now += 200 * MSEC; /* a tenth of a second more or less is no matter */
    for (unsigned i = 0; i < 2000; i++) {
        struct channel *c = open_one(w, 0);

        assert_int_not_equal(channel_request(c)->channel, channel_request(kept)->channel);
        channel_free(c);
    }
    channel_free(kept);
    world_close(w);
}

/* A channel that was there for long has just gone: its number waits for a minute, whatever came in between. */
static void test_number_of_a_long_one(void **state)
{
    struct world *w = world_open(1);
    struct channel *kept, *c;
    uint16_t id;

    channel_free(open_one(w, 0));
    channel_free(open_one(w, 0));
    kept = open_one(w, 0);
    id = channel_request(kept)->channel;
    for (unsigned i = 3; i < IDS; i++)
        channel_free(open_one(w, 0));
    w->now += CYCLE + SEC;
    channel_free(open_one(w, 0));
    channel_free(kept);
    for (unsigned i = 2; i < IDS; i++) {
        c = open_one(w, 0);
        assert_int_not_equal(channel_request(c)->channel, id);
        channel_free(c);
    }
    open_one(w, -ENOSPC);
    w->now += CYCLE + SEC;
    for (unsigned i = 0; i < IDS; i++) {
        c = open_one(w, 0);
        if (channel_request(c)->channel == id)
            break;
        channel_free(c);
    }
    assert_int_equal(channel_request(c)->channel, id);
    world_close(w);
}

/* --- room --- */

static void test_room(void **state)
{
    static struct world_channel p[CHANNELS_MAX];
    struct world *w = world_open(1);

    for (unsigned i = 0; i < CHANNELS_MAX; i++)
        world_ask(w, &p[i]);
    open_one(w, -ENOSPC);
    world_pass(w, 100);
    world_say(w, 0, (const uint8_t[]){ MESSAGE_SKIPPABLE }, 1); /* there is room for others' words */
    world_pass(w, 5 * SEC);
    assert_int_equal(w->ends[1].offered_count, CHANNELS_MAX);
    for (unsigned i = 0; i < CHANNELS_MAX; i++) {
        world_take(w, &p[i]);
        channel_accept(p[i].c[1]);
    }
    world_pass(w, 5 * SEC);
    for (unsigned i = 0; i < CHANNELS_MAX; i++)
        assert_int_equal(channel_state(p[i].c[0]), CHANNEL_OPEN);
    channel_free(p[0].c[0]);
    world_pass(w, 1 * SEC);
    assert_int_equal(channel_error(p[0].c[1]), -ECONNRESET);
    open_one(w, 0); /* and the acceptor has none: the old one is not freed there */
    world_pass(w, 1 * SEC);
    world_close(w);
}

static void say_open(struct world *w, uint16_t id)
{
    struct channel_open q = world_request(id);
    uint8_t buf[64];
    struct writer r = writer_init(buf, sizeof(buf));

    q.channel = id;
    channel_open_write(&r, &q);
    world_say(w, 0, buf, writer_len(&r));
}

/* The acceptor has room for some of what it is asked for: each is answered, also if its control stream was full. */
static void check_room_of_the_acceptor(bool full)
{
    static struct world_channel p[20];
    struct session *s;
    struct world *w = world_open(1);
    unsigned busy = 0;

    for (unsigned i = 0; i < CHANNELS_MAX - 10; i++) { /* of which our own end knows nothing */
        say_open(w, (uint16_t)(50000 + i));
        if (i % 100 == 99)
            world_pass(w, 1 * SEC);
    }
    world_pass(w, 1 * SEC);
    assert_int_equal(session_channels_count(w->ends[1].session), CHANNELS_MAX - 10);
    s = w->ends[1].session;
    world_hold(w, 0, full);
    while (full && session_send_message(s, (const uint8_t[]){ MESSAGE_SKIPPABLE }, 1, w->now) == 0)
        ;
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        world_ask(w, &p[i]);
    world_pass(w, 50 * MSEC);
    assert_int_equal(session_channels_count(s), CHANNELS_MAX);
    world_hold(w, 0, false);
    world_pass(w, 5 * SEC);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        busy += channel_state(p[i].c[0]) == CHANNEL_ENDED && channel_refused(p[i].c[0]) == CHANNEL_REFUSED_BUSY;
    assert_int_equal(busy, ARRAY_LEN(p) - 10);
    world_close(w);
}

static void test_room_of_the_acceptor(void **state)
{
    check_room_of_the_acceptor(false);
    check_room_of_the_acceptor(true);
}

/* --- lies --- */

static void test_open_of_a_number_in_use(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_channel(w, &p);
    say_open(w, channel_request(p.c[0])->channel);
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_error(p.c[1]), -ECONNRESET);
    assert_int_equal(session_channels_count(w->ends[1].session), 1);
    assert_int_equal(channel_state(p.c[0]), CHANNEL_OPEN); /* it had its answer */
    free_both(w, &p);
    assert_none(w);
    world_close(w);
}

/* Another of the same number, while chunks of the first are on their way, or lost: nothing of the one counts for the
 * other. Only the acceptor can be brought there, by a peer that does not wait as it should. */
static void check_same_number(bool lost)
{
    struct world *w = world_open(1);
    struct world_channel p;
    uint16_t id;

    world_channel(w, &p);
    id = channel_request(p.c[0])->channel;
    world_hold(w, 0, true);
    assert_int_equal(world_write(p.c[1], 0, 10000), 10000);
    world_pass(w, 5 * MSEC);
    channel_free(p.c[0]);
    world_pass(w, 5 * MSEC);
    assert_int_equal(channel_error(p.c[1]), -ECONNRESET);
    channel_free(p.c[1]);
    assert_none(w);
    say_open(w, id);
    world_pass(w, 5 * MSEC);
    world_take(w, &p);
    channel_accept(p.c[1]);
    if (lost)
        world_lose(w, 0);
    world_hold(w, 0, false);
    world_pass(w, 2 * SEC);
    assert_true(channel_flushed(p.c[1]));
    assert_int_equal(world_write(p.c[1], 0, 1000), 1000);
    assert_false(channel_flushed(p.c[1]));
    world_pass(w, 1 * SEC);
    assert_true(channel_flushed(p.c[1]));
    channel_free(p.c[1]);
    world_pass(w, 10 * MSEC);
    assert_none(w);
    world_close(w);
}

static void test_same_number_again(void **state)
{
    check_same_number(false);
    check_same_number(true);
}

/* Breaks off at the acceptor, who says so. */
static void check_broken_off(struct world *w, struct world_channel *p)
{
    world_pass(w, 20 * MSEC);
    assert_int_equal(channel_state(p->c[1]), CHANNEL_ENDED);
    assert_int_equal(channel_error(p->c[1]), -EPROTO);
    assert_true(p->pops[1] > 0);
    assert_int_equal(channel_error(p->c[0]), -ECONNRESET);
    free_both(w, p);
    assert_none(w);
    assert_true(session_is_up(w->ends[0].session) && session_is_up(w->ends[1].session));
}

static void test_beyond_the_limit(void **state)
{
    static const uint64_t places[] = { 65536 - 999, 65536, 1 << 20, DELIVERY_END_MAX };
    struct world *w = world_open(1);

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct world_channel p;

        world_channel(w, &p);
        world_send_chunk(
            w, 0, &(struct chunk_header){ .place = 65536 - 1000, .channel = channel_request(p.c[0])->channel }, 1000);
        world_pass(w, 20 * MSEC);
        assert_int_equal(channel_error(p.c[1]), 0);
        world_send_chunk(
            w, 0, &(struct chunk_header){ .place = places[i], .channel = channel_request(p.c[0])->channel }, 1000);
        check_broken_off(w, &p);
    }
    world_close(w);
}

static void test_beyond_the_end(void **state)
{
    static const struct {
        uint64_t place;
        bool last;
    } lies[] = { { 1900, false }, { 5000, false }, { 5000, true }, { 0, true } };
    struct world *w = world_open(1);

    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct world_channel p;
        uint16_t id;

        world_channel(w, &p);
        id = channel_request(p.c[0])->channel;
        world_send_chunk(w, 0, &(struct chunk_header){ .last = true, .place = 1000, .channel = id }, 1000);
        world_pass(w, 20 * MSEC);
        assert_int_equal(channel_error(p.c[1]), 0);
        world_send_chunk(w, 0, &(struct chunk_header){ .last = lies[i].last, .place = lies[i].place, .channel = id },
                         1000);
        check_broken_off(w, &p);
    }
    world_close(w);
}

static void test_chunk_before_the_answer(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_offered(w, &p);
    world_send_chunk(w, 0, &(struct chunk_header){ .channel = channel_request(p.c[0])->channel }, 100);
    check_broken_off(w, &p);
    world_close(w);
}

static void test_chunk_of_no_channel(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;

    world_send_chunk(w, 0, &(struct chunk_header){ .channel = 77 }, 100); /* there never was one */
    world_pass(w, 10 * MSEC);
    world_channel(w, &p);
    world_send_chunk(w, 0, &(struct chunk_header){ .channel = 77 }, 100);
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_error(p.c[1]), 0);
    /* The stream of a session without packets: this one has none. */
    world_send_chunk(w, 0, &(struct chunk_header){ .channel = 0 }, 100);
    world_pass(w, 10 * MSEC);
    assert_int_equal(channel_error(p.c[1]), -EPROTO);
    assert_int_equal(channel_error(p.c[0]), -ECONNRESET);
    free_both(w, &p);
    world_close(w);
}

static void test_odd_messages(void **state)
{
    struct world *w = world_open(1);
    struct world_channel p;
    uint8_t msg[11] = { 0 };
    struct session_info before, after;
    unsigned bad = 0;

    world_channel(w, &p);
    session_info(w->ends[1].session, w->now, &before);
    for (uint8_t type = MESSAGE_CHANNEL_OPEN; type <= MESSAGE_CHANNEL_LIMIT; type++)
        for (size_t len = 1; len <= sizeof(msg); len++) {
            /* Right is a reset, and a limit. */
            bool right = (type == MESSAGE_CHANNEL_RESET && len == 3) || (type == MESSAGE_CHANNEL_LIMIT && len == 11);

            msg[0] = type;
            world_say(w, 0, msg, len);
            world_pass(w, 10 * MSEC);
            bad += !right;
        }
    session_info(w->ends[1].session, w->now, &after);
    assert_int_equal(after.drops[DROP_MALFORMED] - before.drops[DROP_MALFORMED], bad);
    msg[0] = MESSAGE_CHANNEL_LIMIT; /* beyond what a place can say */
    put_be16(msg + 1, channel_request(p.c[0])->channel);
    put_be64(msg + 3, UINT64_C(1) << 48);
    world_say(w, 0, msg, sizeof(msg));
    world_pass(w, 10 * MSEC);
    session_info(w->ends[1].session, w->now, &after);
    assert_int_equal(after.drops[DROP_MALFORMED] - before.drops[DROP_MALFORMED], bad + 1);
    assert_int_equal(channel_error(p.c[0]), 0);
    assert_int_equal(channel_error(p.c[1]), 0);
    say_open(w, 100); /* an opener is asked for nothing */
    say_open(w, 101);
    world_pass(w, 10 * MSEC);
    session_info(w->ends[0].session, w->now, &before);
    msg[0] = MESSAGE_CHANNEL_OPEN;
    world_say(w, 1, msg, sizeof(msg));
    world_pass(w, 10 * MSEC);
    session_info(w->ends[0].session, w->now, &after);
    assert_int_equal(after.drops[DROP_MALFORMED] - before.drops[DROP_MALFORMED], 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_and_accept),
        cmocka_unit_test(test_bytes_before_the_answer),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_odd_answers),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_finish_before_the_answer),
        cmocka_unit_test(test_free_before_the_own_end),
        cmocka_unit_test(test_reset_before_it_was_asked),
        cmocka_unit_test(test_reset_before_the_answer),
        cmocka_unit_test(test_reset_when_open),
        cmocka_unit_test(test_free_while_words_are_due),
        cmocka_unit_test(test_session_begins_anew),
        cmocka_unit_test(test_session_is_not_there),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_of_a_long_one),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_room_of_the_acceptor),
        cmocka_unit_test(test_open_of_a_number_in_use),
        cmocka_unit_test(test_same_number_again),
        cmocka_unit_test(test_beyond_the_limit),
        cmocka_unit_test(test_beyond_the_end),
        cmocka_unit_test(test_chunk_before_the_answer),
        cmocka_unit_test(test_chunk_of_no_channel),
        cmocka_unit_test(test_odd_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
