/* libhawser over this host's loopback: both ends in one process. */
#include "tests/api/pair.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

static void test_both_ways(void **state)
{
    struct pair p = connect_pair();
    struct hws_path path;

    exchange(&p, 20000000);
    assert_int_equal(hws_session_paths(p.client, &path, sizeof(path), 1), 1);
    assert_int_equal(path.state, HWS_PATH_ACTIVE);
    assert_true(path.sent_bytes > 20000000 && path.received_bytes > 20000000);
    /* A program of the first version, whose structure ended earlier. */
    path.group = 12345;
    assert_int_equal(hws_session_paths(p.client, &path, offsetof(struct hws_path, group), 1), 1);
    assert_int_equal(path.group, 12345);
    assert_int_equal(hws_session_write(p.client, "x", 1), -EPIPE);
    close_pair(&p);
}

/* Messages each way beside the stream; then the end. */
static void test_messages(void **state)
{
    static const size_t sizes[] = { 0, 1, 1400, 65536, HWS_MESSAGE_MAX, 5 };
    static uint8_t buf[HWS_MESSAGE_MAX];
    const struct hws_message timed = { .lifetime_ms = 60000 };
    struct pair p = connect_pair();
    struct hws_session *s[] = { p.client, p.server };
    struct hws_received m;
    size_t sent[2] = { 0 }, got[2] = { 0 };
    ssize_t n = 0;

    assert_int_equal(hws_session_receive(p.client, buf, sizeof(buf), &m, sizeof(m)), -EAGAIN);
    while (got[0] < 6 || got[1] < 6) {
        for (int i = 0; i < 2; i++) {
            if (sent[i] < 6) {
                for (size_t k = 0; k < sizes[sent[i]]; k++)
                    buf[k] = byte_at(k + sent[i]);
                assert_int_equal(hws_session_send(s[i], buf, sizes[sent[i]], i ? &timed : NULL, sizeof(timed)), 0);
                sent[i]++;
            }
            while ((n = hws_session_receive(s[i], buf, sizeof(buf), &m, sizeof(m))) >= 0) {
                assert_int_equal(m.number, got[i]);
                assert_int_equal(n, sizes[got[i]]);
                assert_true(i ? m.left_ms == INT32_MAX : m.left_ms <= 60000 && m.left_ms > 0);
                for (size_t k = 0; k < (size_t)n; k++)
                    assert_int_equal(buf[k], byte_at(k + got[i]));
                got[i]++;
            }
            assert_int_equal(n, -EAGAIN);
        }
        turn(&p);
    }
    assert_int_equal(hws_session_send(p.client, buf, 100, NULL, 0), 0);
    assert_int_equal(hws_session_finish(p.client), 0);
    assert_int_equal(hws_session_send(p.client, buf, 1, NULL, 0), -EPIPE);
    assert_int_equal(hws_session_write(p.client, buf, 1), -EPIPE);
    while (!(hws_session_events(p.server) & HWS_MESSAGE))
        turn(&p);
    assert_int_equal(hws_session_receive(p.server, buf, 10, &m, sizeof(m)), -EMSGSIZE);
    assert_int_equal(m.len, 100);
    assert_int_equal(hws_session_receive(p.server, buf, sizeof(buf), NULL, 0), 100);
    while ((n = hws_session_receive(p.server, buf, sizeof(buf), NULL, 0)) == -EAGAIN)
        turn(&p);
    assert_int_equal(n, -ENODATA);
    assert_int_equal(hws_session_read(p.server, buf, sizeof(buf)), 0);
    hws_session_close(p.client);
    p.client = p.server; /* which works on, and has been told the end */
    while (!(hws_session_events(p.server) & HWS_ENDED))
        turn(&p);
    assert_int_equal(hws_session_receive(p.server, buf, sizeof(buf), NULL, 0), -ENODATA);
    p.client = NULL;
    close_pair(&p);
}

static void test_bad_messages(void **state)
{
    static uint8_t buf[HWS_MESSAGE_MAX + 1];
    struct pair p = connect_pair();
    struct hws_message m = { .flags = 4 };

    assert_int_equal(hws_session_send(p.client, buf, sizeof(buf), NULL, 0), -EMSGSIZE);
    assert_int_equal(hws_session_send(p.client, buf, 1, &m, sizeof(m)), -EINVAL);
    m = (struct hws_message){ .priority = 128 };
    assert_int_equal(hws_session_send(p.client, buf, 1, &m, sizeof(m)), -EINVAL);
    m = (struct hws_message){ .lifetime_ms = 60001 };
    assert_int_equal(hws_session_send(p.client, buf, 1, &m, sizeof(m)), -EINVAL);
    m = (struct hws_message){ .lifetime_ms = 1 };
    assert_int_equal(hws_session_send(p.client, buf, 1, &m, sizeof(m) - 1), -EINVAL);
    assert_int_equal(hws_session_send(p.client, NULL, 1, NULL, 0), -EINVAL);
    for (int i = 0; i < 1000 && hws_session_send(p.client, buf, HWS_MESSAGE_MAX, NULL, 0) == 0; i++)
        ; /* until it is full */
    assert_int_equal(hws_session_send(p.client, buf, HWS_MESSAGE_MAX, NULL, 0), -EAGAIN);
    assert_false(hws_session_events(p.client) & HWS_SENDABLE);
    while (!(hws_session_events(p.client) & HWS_SENDABLE))
        turn(&p);
    close_pair(&p);
}

/* Each probe is a measurement of its own, of a path that carries nothing else. */
static void test_probe(void **state)
{
    struct pair p = connect_pair();
    struct hws_path path;

    for (uint64_t round = 1; round <= 3; round++) {
        assert_int_equal(hws_session_probe(p.client), 0);
        do {
            assert_int_equal(hws_session_paths(p.client, &path, sizeof(path), 1), 1);
            turn(&p);
        } while (path.probes_answered < round);
        assert_int_equal(path.probes_answered, round);
        assert_int_equal(path.probes_sent, round);
        assert_true(path.probe_rtt_us > 0);
    }
    assert_int_equal(hws_session_probe(p.listener), -ENOTCONN);
    assert_int_equal(hws_session_feedback(p.client, HWS_TOO_LATE), 0);
    assert_int_equal(hws_session_feedback(p.client, HWS_GOOD_ENOUGH | HWS_OF_WHAT_IS_SENT), 0);
    assert_int_equal(hws_session_feedback(p.listener, HWS_GOOD_ENOUGH), -ENOTCONN);
    close_pair(&p);
}

/* Lets both work for so long, ms. */
static void spend(struct pair *p, int ms)
{
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (end.tv_nsec / 1000000 + ms) / 1000;
    end.tv_nsec = (end.tv_nsec / 1000000 + ms) % 1000 * 1000000;
    do {
        turn(p);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

/* A path that is measured, and a link that is not to be used. */
static void test_events_and_links(void **state)
{
    struct pair p = connect_pair();
    struct hws_event ev = { 0 };
    struct hws_path path;

    do
        turn(&p);
    while (!hws_session_pop_event(p.client, &ev, sizeof(ev)) || ev.type != HWS_EVENT_PATH ||
           ev.state != HWS_PATH_ACTIVE);
    assert_int_equal(ev.old_state, HWS_PATH_PROBING);
    assert_string_equal(ev.link, "host");
    assert_true(ev.why && *ev.why);
    assert_int_equal(hws_session_use_link(p.client, "host", HWS_LINK_NEVER), 0);
    assert_int_equal(hws_session_use_link(p.client, "not there", HWS_LINK_BACKUP), 0);
    assert_int_equal(hws_session_write(p.client, "x", 1), 1);
    spend(&p, 300);
    assert_false(hws_session_events(p.server) & HWS_READABLE); /* it waits */
    assert_int_equal(hws_session_use_link(p.client, "host", HWS_LINK_BACKUP), 0);
    while (!(hws_session_events(p.server) & HWS_READABLE))
        turn(&p);
    assert_int_equal(hws_session_paths(p.client, &path, sizeof(path), 1), 1);
    assert_int_equal(hws_session_use_link(p.client, "a name that is too long", HWS_LINK_NEVER), -EINVAL);
    assert_int_equal(hws_session_use_link(p.client, "host", (enum hws_link_use)4), -EINVAL);
    assert_int_equal(hws_session_use_link(p.server, "host", HWS_LINK_NEVER), -ENOTCONN);
    for (int i = 0; i < 6; i++)
        assert_int_equal(hws_session_use_link(p.client, (char[]){ 'a', (char)('0' + i), '\0' }, HWS_LINK_NEVER), 0);
    assert_int_equal(hws_session_use_link(p.client, "ninth", HWS_LINK_NEVER), -ENOSPC);
    assert_int_equal(hws_session_pop_event(p.listener, &ev, sizeof(ev)), 0);
    close_pair(&p);
}

static void test_only_an_end(void **state)
{
    struct pair p = connect_pair();

    exchange(&p, 0);
    close_pair(&p);
}

static void test_the_peer_closes(void **state)
{
    struct pair p = connect_pair();
    char buf[10];
    ssize_t n;

    assert_int_equal(hws_session_write(p.server, "last", 4), 4);
    while (!(hws_session_events(p.server) & HWS_FLUSHED))
        turn(&p);
    hws_session_close(p.server);
    p.server = NULL;
    while ((n = hws_session_write(p.client, "x", 1)) == 1)
        turn(&p);
    assert_int_equal(n, -ECONNRESET);
    assert_int_equal(hws_session_read(p.client, buf, sizeof(buf)), 4); /* what came before */
    assert_int_equal(hws_session_read(p.client, buf, sizeof(buf)), -ECONNRESET);
    assert_true(hws_session_events(p.client) & HWS_ENDED);
    close_pair(&p);
}

/* The listener goes: what it accepted goes on, and nobody else gets an answer. */
static void test_the_listener_closes(void **state)
{
    struct pair p = connect_pair(), q = { 0 };

    q.client = call(p.listener, p.port, NULL);
    hws_session_close(p.listener);
    p.listener = q.listener = p.server; /* the same descriptor */
    exchange(&p, 1000000);
    spend(&q, 600); /* two INITs at least */
    assert_false(hws_session_events(q.client) & HWS_CONNECTED);
    hws_session_close(q.client);
    p.listener = NULL;
    close_pair(&p);
}

/* 64 random bytes as `hawser keygen` would write them: base64 (RFC 4648 section 4). */
static void make_secret(char ret[HWS_KEY_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[66] = { 0 };

    assert_int_equal(getrandom(bytes, 64, 0), 64);
    for (int i = 0; i < 22; i++) {
        uint32_t three = (uint32_t)bytes[3 * i] << 16 | (uint32_t)bytes[3 * i + 1] << 8 | bytes[3 * i + 2];

        for (int k = 0; k < 4; k++)
            ret[4 * i + k] = digits[three >> (18 - 6 * k) & 63];
    }
    memcpy(ret + 86, "==", 3);
}

/* One key, two programs: each has a session of its own, and one may end. */
static void test_one_key_twice(void **state)
{
    struct pair p = connect_pair(), q[2] = { { .listener = p.listener }, { .listener = p.listener } };
    char key[2][HWS_KEY_SIZE], secret[HWS_KEY_SIZE], buf[10];

    make_secret(secret);
    for (int i = 0; i < 2; i++) {
        q[i].client = call(p.listener, p.port, secret);
        while (!(hws_session_events(q[i].client) & HWS_CONNECTED))
            turn(&q[i]);
    }
    for (int i = 0; i < 2; i++) {
        while (hws_session_accept(p.listener, &q[i].server) == -EAGAIN)
            turn(&q[i]);
        assert_int_equal(hws_session_peer_key(q[i].server, key[i]), 0);
    }
    assert_string_equal(key[0], key[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hws_session_write(q[i].client, i ? "two" : "one", 3), 3);
        while (!(hws_session_events(q[i].server) & HWS_READABLE))
            turn(&q[i]);
        assert_int_equal(hws_session_read(q[i].server, buf, sizeof(buf)), 3);
        assert_memory_equal(buf, i ? "two" : "one", 3);
    }
    hws_session_close(q[0].client);
    hws_session_close(q[0].server);
    assert_int_equal(hws_session_write(q[1].server, "still", 5), 5);
    while (!(hws_session_events(q[1].client) & HWS_READABLE))
        turn(&q[1]);
    assert_int_equal(hws_session_read(q[1].client, buf, sizeof(buf)), 5);
    hws_session_close(q[1].client);
    hws_session_close(q[1].server);
    close_pair(&p);
}

/* A client with these options of a listener with those; it has been up, or it is over. */
static struct pair meet(const struct hws_options *of_listener, const struct hws_options *of_client)
{
    struct hws_options o = *of_listener;
    struct pair p = { 0 };

    o.size = sizeof(o);
    o.flags |= HWS_NONBLOCK;
    assert_int_equal(hws_session_socket(&o, &p.listener), 0);
    p.port = listen_somewhere(p.listener);
    o = *of_client;
    o.size = sizeof(o);
    o.flags |= HWS_NONBLOCK;
    p.client = call_by(p.listener, p.port, o);
    while (!(hws_session_events(p.client) & (HWS_CONNECTED | HWS_ENDED)))
        turn(&p);
    while (!(hws_session_events(p.client) & HWS_ENDED) && hws_session_accept(p.listener, &p.server) == -EAGAIN)
        turn(&p);
    return p;
}

static void test_refusal(void **state)
{
    static const struct {
        struct hws_options listener, client;
        const char *words;
    } c[] = {
        { { .semantics = { [HWS_ORDERED_LOSSY] = HWS_PROHIBIT } },
          { .semantics = { [HWS_ORDERED_LOSSY] = HWS_REQUIRE } },
          "it does not take ordered, lossy delivery" },
        { { .semantics = { [HWS_ORDERED_LOSSLESS] = HWS_REQUIRE } },
          { .semantics = { [HWS_ORDERED_LOSSLESS] = HWS_PROHIBIT } },
          "it requires ordered, lossless delivery" },
        { { .peer_objectives = { 0, HWS_PROHIBIT } },
          { .multipath = HWS_INTERACTIVE },
          "it does not send for latency" },
        { { .peer_fairness = { [HWS_FAIR_INDEPENDENT] = HWS_PROHIBIT } }, { 0 }, "it does not take independent paths" },
    };
    char buf[1];

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct pair p = meet(&c[i].listener, &c[i].client);

        assert_true(hws_session_events(p.client) & HWS_ENDED);
        assert_false(hws_session_events(p.client) & HWS_CONNECTED);
        assert_int_equal(hws_session_read(p.client, buf, 1), -HWS_EREFUSED);
        assert_int_equal(hws_session_write(p.client, buf, 1), -HWS_EREFUSED);
        assert_string_equal(hws_session_refusal(p.client), c[i].words);
        assert_int_equal(hws_session_accept(p.listener, &p.server), -EAGAIN);
        hws_session_close(p.client);
        hws_session_close(p.listener);
    }
}

/* What one of the ends prefers or prohibits, and the other does not require. */
static void test_terms_that_agree(void **state)
{
    const struct hws_options listener = { .semantics = { [HWS_ORDERED_LOSSY] = HWS_PROHIBIT },
                                          .transports = { [HWS_UDP] = HWS_PREFER, [HWS_TCP] = HWS_PROHIBIT } };
    const struct hws_options client = { .semantics = { [HWS_ORDERED_LOSSLESS] = HWS_REQUIRE },
                                        .multipath = HWS_HANDOVER };
    const struct hws_message timed = { .lifetime_ms = 1000 };
    struct hws_options bad = { .size = sizeof(bad), .transports = { [HWS_UDP] = HWS_PROHIBIT + 1 } };
    struct pair p = meet(&listener, &client);
    struct hws_session *s;

    assert_null(hws_session_refusal(p.client));
    assert_null(hws_session_refusal(p.server));
    assert_int_equal(hws_session_send(p.client, "x", 1, &timed, sizeof(timed)), -EOPNOTSUPP);
    assert_int_equal(hws_session_send(p.server, "x", 1, &timed, sizeof(timed)), 0);
    exchange(&p, 100000);
    close_pair(&p);
    assert_int_equal(hws_session_socket(&bad, &s), -EINVAL);
    bad = (struct hws_options){ .size = sizeof(bad), .flags = HWS_THREAD, .transports = { [HWS_SCTP] = HWS_PREFER } };
    assert_int_equal(hws_session_socket(&bad, &s), -EINVAL);
    bad = (struct hws_options){ .size = sizeof(bad), .multipath = HWS_HANDOVER, .scheduler = "drr" };
    assert_int_equal(hws_session_socket(&bad, &s), -EINVAL);
    bad = (struct hws_options){ .size = offsetof(struct hws_options, instance) }; /* an earlier program's */
    bad.multipath = HWS_HANDOVER + 1;
    assert_int_equal(hws_session_socket(&bad, &s), 0);
    hws_session_close(s);
}

/* Payload is in clear when both ends say so, and only then. */
static void test_encryption(void **state)
{
    const struct hws_options avoid = { .encryption = HWS_AVOID }, require = { .encryption = HWS_REQUIRE }, none = { 0 };
    const struct hws_message timed = { .lifetime_ms = 60000 };
    const struct {
        const struct hws_options *listener, *client;
        uint32_t is_clear;
    } c[] = { { &avoid, &avoid, 1 }, { &avoid, &none, 0 }, { &require, &avoid, 0 }, { &none, &none, 0 } };
    struct hws_options bad = { .size = sizeof(bad), .encryption = HWS_PROHIBIT };
    struct hws_session *s;
    char buf[3000];

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct pair p = meet(c[i].listener, c[i].client);
        struct hws_statistics t;

        assert_int_equal(hws_session_send(p.client, "0123456789", 10, &timed, sizeof(timed)), 0);
        exchange(&p, 1000000);
        assert_int_equal(hws_session_receive(p.server, buf, sizeof(buf), NULL, 0), 10);
        assert_memory_equal(buf, "0123456789", 10);
        for (int end = 0; end < 2; end++) {
            assert_int_equal(hws_session_statistics(end ? p.server : p.client, &t, sizeof(t)), 0);
            assert_int_equal(t.is_clear, c[i].is_clear);
            assert_int_equal(t.written_bytes, 1000000);
            assert_int_equal(t.acknowledged_bytes, 1000000);
            assert_int_equal(t.read_bytes, 1000000);
            assert_int_equal(end ? t.messages_received : t.messages_arrived, 1);
            assert_int_equal(t.queued_bytes, 0);
            assert_true(t.records_sent >= 1000000 / 1452 && t.records_received >= 1000000 / 1452);
            assert_int_equal(t.records_refused, 0);
        }
        close_pair(&p);
    }
    assert_int_equal(hws_session_socket(&bad, &s), -EINVAL);
}

/* A listener on all addresses of IPv4. */
static struct pair meet_anywhere(void)
{
    const struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    const struct sockaddr_in any = { .sin_family = AF_INET };
    struct pair p = { 0 };
    int r = -EADDRINUSE;

    assert_int_equal(hws_session_socket(&o, &p.listener), 0);
    for (p.port = (uint16_t)(20000 + getpid() % 20000); r == -EADDRINUSE; p.port++) {
        assert_int_equal(hws_session_bind(p.listener, (const struct sockaddr *)&any, p.port), 0);
        r = hws_session_listen(p.listener);
    }
    assert_int_equal(r, 0);
    p.port--;
    p.client = call(p.listener, p.port, NULL);
    while (hws_session_accept(p.listener, &p.server) == -EAGAIN)
        turn(&p);
    return p;
}

static size_t paths_to(struct hws_session *s, uint32_t address)
{
    struct hws_path paths[8];
    size_t n = 0, count = hws_session_paths(s, paths, sizeof(paths[0]), 8);

    for (size_t i = 0; i < count; i++)
        n += ((struct sockaddr_in *)&paths[i].remote)->sin_addr.s_addr == htonl(address) &&
             paths[i].state == HWS_PATH_ACTIVE;
    return n;
}

/* Paths that either side asks for: 127.0.0.0/8 is all this host. */
static void test_addresses(void **state)
{
    struct pair p = meet_anywhere();
    struct sockaddr_in at = loopback(p.port), of_listener = at;

    at.sin_addr.s_addr = htonl(0x7f000002);
    of_listener.sin_addr.s_addr = htonl(0x7f000003);
    assert_int_equal(hws_session_add_address(p.client, (struct sockaddr *)&at), 0);
    assert_int_equal(hws_session_add_address(p.server, (struct sockaddr *)&of_listener), 0);
    while (paths_to(p.client, 0x7f000001) != 1 || paths_to(p.client, 0x7f000002) != 1 ||
           paths_to(p.client, 0x7f000003) != 1)
        turn(&p);
    exchange(&p, 1000000);
    assert_int_equal(hws_session_remove_address(p.client, (struct sockaddr *)&at), 0);
    assert_int_equal(hws_session_remove_address(p.client, (struct sockaddr *)&at), -ENOENT);
    assert_int_equal(hws_session_remove_address(p.listener, (struct sockaddr *)&of_listener), 0);
    while (paths_to(p.client, 0x7f000002) + paths_to(p.client, 0x7f000003) > 0)
        turn(&p);
    at = loopback(p.port);
    assert_int_equal(hws_session_remove_address(p.client, (struct sockaddr *)&at), -EBUSY);
    at.sin_port = 0;
    assert_int_equal(hws_session_add_address(p.client, (struct sockaddr *)&at), -EINVAL);
    assert_int_equal(hws_session_add_address(p.client, NULL), -EINVAL);
    close_pair(&p);
}

/* A session that was closed is none any more. */
static void test_closed_twice(void **state)
{
    struct pair p = connect_pair();
    struct hws_session *gone[] = { p.client, p.server, p.listener };
    struct hws_statistics t;
    struct hws_session *s;
    struct hws_event ev;
    struct hws_path path;
    char buf[1];

    close_pair(&p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hws_session_close(gone[i]), -EBADF);
        assert_int_equal(hws_session_write(gone[i], "x", 1), -EBADF);
        assert_int_equal(hws_session_read(gone[i], buf, 1), -EBADF);
        assert_int_equal(hws_session_send(gone[i], "x", 1, NULL, 0), -EBADF);
        assert_int_equal(hws_session_receive(gone[i], buf, 1, NULL, 0), -EBADF);
        assert_int_equal(hws_session_finish(gone[i]), -EBADF);
        assert_int_equal(hws_session_accept(gone[i], &s), -EBADF);
        assert_int_equal(hws_session_listen(gone[i]), -EBADF);
        assert_int_equal(hws_session_process(gone[i]), -EBADF);
        assert_int_equal(hws_session_fd(gone[i]), -EBADF);
        assert_int_equal(hws_session_probe(gone[i]), -EBADF);
        assert_int_equal(hws_session_statistics(gone[i], &t, sizeof(t)), -EBADF);
        assert_int_equal(hws_session_timeout(gone[i]), -1);
        assert_int_equal(hws_session_events(gone[i]), 0);
        assert_int_equal(hws_session_paths(gone[i], &path, sizeof(path), 1), 0);
        assert_int_equal(hws_session_pop_event(gone[i], &ev, sizeof(ev)), 0);
    }
}

/* A child may not speak for its parent, and what it closes stays open there. */
static void test_fork(void **state)
{
    struct pair p = connect_pair();
    char buf[1];
    int status;
    pid_t child = fork();

    if (child == 0) {
        bool ok = hws_session_write(p.client, "x", 1) == -ECHILD && hws_session_read(p.server, buf, 1) == -ECHILD &&
                  hws_session_process(p.listener) == -ECHILD && hws_session_finish(p.client) == -ECHILD &&
                  hws_session_accept(p.listener, &p.server) == -ECHILD && hws_session_events(p.client) == 0 &&
                  hws_session_close(p.client) == -ECHILD && hws_session_close(p.client) == -EBADF;

        _exit(ok ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    exchange(&p, 100000);
    close_pair(&p);
}

/* The peer ends it: what is left are errors, and an event that says why. */
static void test_after_the_end(void **state)
{
    struct pair p = connect_pair();
    struct hws_event ev = { 0 };
    char buf[1];

    hws_session_close(p.server);
    p.server = NULL;
    while (!(hws_session_events(p.client) & HWS_ENDED))
        turn(&p);
    assert_int_equal(hws_session_write(p.client, "x", 1), -ECONNRESET);
    assert_int_equal(hws_session_read(p.client, buf, 1), -ECONNRESET);
    assert_int_equal(hws_session_send(p.client, "x", 1, NULL, 0), -ECONNRESET);
    assert_int_equal(hws_session_finish(p.client), 0);
    while (ev.type != HWS_EVENT_ENDED)
        assert_int_equal(hws_session_pop_event(p.client, &ev, sizeof(ev)), 1);
    assert_string_equal(ev.why, "the peer ended the session, or began anew");
    close_pair(&p);
}

/* A helper thread answers for a program that does nothing: its peer's probes come back. */
static void test_helper_thread(void **state)
{
    const struct hws_options helped = { .flags = HWS_THREAD };
    struct pair p = meet(&(struct hws_options){ 0 }, &helped);
    struct hws_options bad = { .size = sizeof(bad), .flags = HWS_THREAD | HWS_PLAIN };
    struct pair server = { .listener = p.listener, .client = p.server }; /* those alone are driven */
    struct hws_session *s;
    struct hws_path path;
    char buf[10];

    for (uint64_t round = 1; round <= 5; round++) {
        assert_int_equal(hws_session_probe(p.server), 0);
        do {
            turn(&server);
            assert_int_equal(hws_session_paths(p.server, &path, sizeof(path), 1), 1);
        } while (path.probes_answered < round);
    }
    assert_int_equal(hws_session_timeout(p.client), -1);
    assert_int_equal(hws_session_write(p.server, "news", 4), 4);
    while (!(hws_session_events(p.client) & HWS_READABLE))
        turn(&server);
    assert_int_equal(hws_session_process(p.client), 0);
    assert_int_equal(hws_session_read(p.client, buf, sizeof(buf)), 4);
    exchange(&p, 3000000);
    close_pair(&p);
    assert_int_equal(hws_session_socket(&bad, &s), -EINVAL);
}

/* Both ends wait in their calls, and the threads do the work. */
static void test_blocking_with_threads(void **state)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_THREAD };
    const struct sockaddr *addresses[1];
    struct hws_session *l, *c, *a;
    static char out[300000], in[300000];
    char key[HWS_KEY_SIZE];
    struct sockaddr_in at;
    size_t got = 0;

    assert_int_equal(hws_session_socket(&o, &l), 0);
    at = loopback(listen_somewhere(l));
    addresses[0] = (struct sockaddr *)&at;
    assert_int_equal(hws_session_key(l, key), 0);
    assert_int_equal(hws_session_socket(&o, &c), 0);
    assert_int_equal(hws_session_connect(c, key, addresses, 1), 0);
    assert_int_equal(hws_session_accept(l, &a), 0);
    memset(out, 'x', sizeof(out));
    assert_int_equal(hws_session_write(c, out, sizeof(out)), sizeof(out));
    while (got < sizeof(in)) {
        ssize_t n = hws_session_read(a, in + got, sizeof(in) - got);

        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(hws_session_close(c), 0);
    assert_int_equal(hws_session_read(a, in, 1), 0);
    hws_session_close(a);
    hws_session_close(l);
}

/* A program that is started again says the same number as before: it takes the place of what it was. */
static void test_the_same_instance(void **state)
{
    char secret[HWS_KEY_SIZE], buf[10];
    struct hws_options o = { .secret = secret, .instance = 7 };
    struct pair p, q;

    make_secret(secret);
    p = meet(&(struct hws_options){ 0 }, &o);
    o.size = sizeof(o);
    o.flags = HWS_NONBLOCK;
    q = (struct pair){ .listener = p.listener, .client = call_by(p.listener, p.port, o) };
    while (hws_session_read(p.server, buf, sizeof(buf)) == -EAGAIN)
        turn(&q);
    assert_int_equal(hws_session_read(p.server, buf, sizeof(buf)), -ECONNRESET);
    hws_session_close(q.client);
    close_pair(&p);
}

/* Of what the listener sends: it was made with these options, the client was not. */
static void test_fairness(void **state)
{
    static const struct {
        uint32_t fairness, congestion;
        enum hws_congestion expected;
    } c[] = {
        { HWS_FAIR_INDEPENDENT, HWS_CC_CUBIC, HWS_CC_CUBIC }, { HWS_FAIR_INDEPENDENT, HWS_CC_OLIA, HWS_CC_OLIA },
        { HWS_FAIR_COUPLED, HWS_CC_BBR, HWS_CC_OLIA },        { HWS_FAIR_COUPLED, HWS_CC_CUBIC, HWS_CC_OLIA },
        { HWS_FAIR_COUPLED, HWS_CC_LIA, HWS_CC_LIA },         { HWS_FAIR_AUTO, HWS_CC_CUBIC, HWS_CC_CUBIC },
    };

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct pair p = connect_fairly(c[i].fairness, c[i].congestion);
        struct hws_path path;

        exchange(&p, 300000);
        assert_int_equal(hws_session_paths(p.server, &path, sizeof(path), 1), 1);
        assert_int_equal(path.congestion, c[i].expected);
        assert_int_equal(hws_session_paths(p.client, &path, sizeof(path), 1), 1);
        assert_int_equal(path.congestion, HWS_CC_BBR);
        close_pair(&p);
    }
}

static void test_misuse(void **state)
{
    struct hws_options o = { .size = sizeof(o) };
    struct sockaddr_in at = loopback(1);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at };
    struct hws_session *s, *t;
    char key[HWS_KEY_SIZE], buf[1];

    assert_int_equal(hws_session_socket(NULL, NULL), -EINVAL);
    o.flags = 1u << 30;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.flags = HWS_NONBLOCK;
    o.fairness = HWS_FAIR_AUTO + 1;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.fairness = 0;
    o.congestion = HWS_CC_LIA + 1;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.congestion = 0;
    o.secret = "not a key";
    assert_int_equal(hws_session_socket(&o, &s), -EBADMSG);
    o.secret = NULL;
    o.size = 4;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.size = sizeof(o);
    o.scheduler = "none such";
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.scheduler = NULL;
    o.objectives[1] = HWS_LOSS + 1;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    assert_int_equal(hws_session_socket(NULL, &s), 0);
    assert_int_equal(hws_session_send(s, "x", 1, NULL, 0), -ENOTCONN);
    assert_int_equal(hws_session_receive(s, buf, 1, NULL, 0), -ENOTCONN);
    assert_int_equal(hws_session_write(s, "x", 1), -ENOTCONN);
    assert_int_equal(hws_session_read(s, buf, 1), -ENOTCONN);
    assert_int_equal(hws_session_finish(s), -ENOTCONN);
    assert_int_equal(hws_session_process(s), -ENOTCONN);
    assert_int_equal(hws_session_fd(s), -ENOTCONN);
    assert_int_equal(hws_session_timeout(s), -1);
    assert_int_equal(hws_session_events(s), 0);
    assert_int_equal(hws_session_probe(s), -ENOTCONN);
    assert_int_equal(hws_session_probe(NULL), -ENOTCONN);
    assert_int_equal(hws_session_feedback(s, HWS_TOO_LATE), -ENOTCONN);
    assert_int_equal(hws_session_feedback(s, 3), -EINVAL);
    assert_int_equal(hws_session_feedback(s, 32), -EINVAL);
    assert_int_equal(hws_session_feedback(NULL, HWS_TOO_LATE), -EINVAL);
    assert_int_equal(hws_session_accept(s, &t), -EINVAL);
    assert_int_equal(hws_session_connect(s, "no key", addresses, 1), -EBADMSG);
    assert_int_equal(hws_session_key(s, key), 0);
    assert_int_equal(hws_session_connect(s, key, addresses, 0), -EINVAL);
    assert_int_equal(hws_session_peer_key(s, key), -ENOTCONN);
    assert_int_equal(hws_session_close(s), 0);
    assert_int_equal(hws_session_close(NULL), 0);
    assert_int_equal(hws_session_write(NULL, "x", 1), -EINVAL);
    assert_int_equal(hws_session_send(NULL, "x", 1, NULL, 0), -EINVAL);
    assert_int_equal(hws_session_receive(NULL, buf, 1, NULL, 0), -EINVAL);
    assert_string_equal(hws_strerror(-EPIPE), "this end has finished");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_events_and_links),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_only_an_end),
        cmocka_unit_test(test_the_peer_closes),
        cmocka_unit_test(test_the_listener_closes),
        cmocka_unit_test(test_one_key_twice),
        cmocka_unit_test(test_the_same_instance),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_encryption),
        cmocka_unit_test(test_helper_thread),
        cmocka_unit_test(test_blocking_with_threads),
        cmocka_unit_test(test_closed_twice),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_after_the_end),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_terms_that_agree),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
