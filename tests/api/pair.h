/* tests/api/pair.h - a listener and a client over this host's loopback, in one process, which polls them as a program
 * would. */
#pragma once

#include "hawser/session.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

struct pair {
    struct hws_session *listener, *client, *server;
    uint16_t port;
};

static inline struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* Waits for either, as poll and timers allow, and lets both work. */
static inline void turn(struct pair *p)
{
    struct hws_session *s[] = { p->listener, p->client };
    struct pollfd fds[2];
    int ms = 1000;

    for (int i = 0; i < 2; i++) {
        int t = hws_session_timeout(s[i]);

        fds[i] = (struct pollfd){ .fd = hws_session_fd(s[i]), .events = POLLIN };
        if (t >= 0 && t < ms)
            ms = t;
    }
    poll(fds, 2, ms);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hws_session_process(s[i]), 0);
}

static inline uint16_t listen_somewhere(struct hws_session *l)
{
    struct sockaddr_in at = loopback(0);

    for (uint16_t port = 20000 + (uint16_t)(getpid() % 20000); port < 60000; port++) {
        int r;

        assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, port), 0);
        r = hws_session_listen(l);
        if (r == 0)
            return port;
        assert_int_equal(r, -EADDRINUSE);
    }
    fail_msg("no port is free");
    return 0;
}

/* A client of that listener, which begins to call. */
static inline struct hws_session *call_by(struct hws_session *listener, uint16_t port, struct hws_options o)
{
    struct sockaddr_in at = loopback(port);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at };
    char key[HWS_KEY_SIZE];
    struct hws_session *s;

    o.size = sizeof(o);
    o.flags |= HWS_NONBLOCK;
    assert_int_equal(hws_session_key(listener, key), 0);
    assert_int_equal(hws_session_socket(&o, &s), 0);
    assert_int_equal(hws_session_connect(s, key, addresses, 1), 0);
    return s;
}

static inline struct hws_session *call(struct hws_session *listener, uint16_t port, const char *secret)
{
    return call_by(listener, port, (struct hws_options){ .secret = secret });
}

static inline struct pair connect_by(struct hws_options o, struct hws_options client)
{
    char key[HWS_KEY_SIZE], other[HWS_KEY_SIZE];
    struct pair p = { 0 };

    o.size = sizeof(o);
    o.flags |= HWS_NONBLOCK;
    assert_int_equal(hws_session_socket(&o, &p.listener), 0);
    p.port = listen_somewhere(p.listener);
    assert_int_equal(hws_session_accept(p.listener, &p.server), -EAGAIN);
    p.client = call_by(p.listener, p.port, client);
    assert_int_equal(hws_session_key(p.listener, key), 0);
    for (int i = 0; i < 1000 && hws_session_accept(p.listener, &p.server) == -EAGAIN; i++)
        turn(&p);
    assert_non_null(p.server);
    while (!(hws_session_events(p.client) & HWS_CONNECTED))
        turn(&p);
    assert_int_equal(hws_session_peer_key(p.client, other), 0);
    assert_string_equal(other, key);
    assert_int_equal(hws_session_key(p.client, key), 0);
    assert_int_equal(hws_session_peer_key(p.server, other), 0);
    assert_string_equal(other, key);
    return p;
}

/* The listener's end sends by that fairness and congestion control. */
static inline struct pair connect_fairly(uint32_t fairness, uint32_t congestion)
{
    return connect_by((struct hws_options){ .fairness = fairness, .congestion = congestion },
                      (struct hws_options){ 0 });
}

static inline struct pair connect_pair(void)
{
    return connect_fairly(HWS_FAIR_INDEPENDENT, HWS_CC_BBR);
}

static inline void close_pair(struct pair *p)
{
    hws_session_close(p->client);
    hws_session_close(p->server);
    hws_session_close(p->listener);
}

static inline uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 9));
}

/* Sends total bytes each way at once, and reads both ends. */
static inline void exchange(struct pair *p, uint64_t total)
{
    struct hws_session *s[] = { p->client, p->server };
    static uint8_t buf[100000];
    uint64_t sent[2] = { 0 }, got[2] = { 0 };
    bool ended[2] = { false };

    while (!ended[0] || !ended[1]) {
        for (int i = 0; i < 2; i++) {
            ssize_t n = 1;

            while (sent[i] < total && n > 0) {
                size_t len = sizeof(buf) < total - sent[i] ? sizeof(buf) : (size_t)(total - sent[i]);

                for (size_t k = 0; k < len; k++)
                    buf[k] = byte_at(sent[i] + k);
                n = hws_session_write(s[i], buf, len);
                assert_true(n > 0 || n == -EAGAIN);
                sent[i] += n > 0 ? (uint64_t)n : 0;
            }
            if (sent[i] == total)
                assert_int_equal(hws_session_finish(s[i]), 0); /* saying it again changes nothing */
            while ((n = hws_session_read(s[i], buf, sizeof(buf))) > 0) {
                for (ssize_t k = 0; k < n; k++)
                    assert_int_equal(buf[k], byte_at(got[i] + (uint64_t)k));
                got[i] += (uint64_t)n;
            }
            assert_true(n == 0 || n == -EAGAIN);
            ended[i] |= n == 0;
        }
        turn(p);
    }
    assert_int_equal(got[0], total);
    assert_int_equal(got[1], total);
    while (!(hws_session_events(p->client) & HWS_ENDED) || !(hws_session_events(p->server) & HWS_ENDED))
        turn(p);
}
