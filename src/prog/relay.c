/* prog/relay.c - see relay.h.
 *
 * Theory of operation. Nothing is read that cannot be passed on: from the descriptor when the session has room, from
 * the session when all that came of it before is written. So either end's window holds back the other.
 *
 * Of a carried connection one byte that was passed on already stays unread (prog/run_words.h): what is new is looked at
 * (MSG_PEEK) behind it, and so many bytes are taken as were passed on. Its descriptor is therefore always readable, and
 * must be watched by edges.
 *
 * When the program has closed, what the other end still sends is dropped, and after a minute, or once something comes
 * that should have been read, the session is reset, as TCP would.
 *
 * Limits: 64 KiB in memory a relay; 1 MiB a turn. */
#include "prog/relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "prog/run_words.h"

#define BUFFER 65536
#define ROUNDS 16            /* buffers a turn and direction */
#define GONE_WAIT (60 * SEC) /* tcp_fin_timeout */

struct relay {
    struct relay_options o;
    bool up, in_ended, out_ended, gone;
    bool full; /* what comes from the descriptor waits for room in the session */
    int error;
    instant gone_until;
    uint64_t in_bytes, out_bytes;
    size_t from, to; /* of `out` */
    uint8_t out[BUFFER];
};

/* Shared by all: what is looked at is not kept. */
static uint8_t scratch[BUFFER + 1];

int relay_new(const struct relay_options *o, struct relay **ret)
{
    const struct linger reset = { .l_onoff = 1 };
    struct relay *r = calloc(1, sizeof(*r));

    if (!r) {
        hws_session_close(o->session);
        close(o->fd);
        if (o->waits >= 0)
            close(o->waits);
        return -ENOMEM;
    }
    r->o = *o;
    r->gone_until = INSTANT_NEVER;
    if (!o->carried) /* so that it is reset if the pump dies */
        (void)setsockopt(o->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    *ret = r;
    return 0;
}

void relay_free(struct relay *r)
{
    if (!r)
        return;
    hws_session_close(r->o.session);
    if (r->o.fd >= 0)
        close(r->o.fd);
    if (r->o.waits >= 0)
        close(r->o.waits);
    free(r);
}

static void tell(struct relay *r, int error)
{
    const struct run_answer a = { .error = error };

    if (r->o.waits < 0)
        return;
    (void)send(r->o.waits, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL);
    close(r->o.waits);
    r->o.waits = -1;
}

static enum relay_result fail(struct relay *r, int error)
{
    r->error = error;
    tell(r, error);
    return RELAY_OVER;
}

static bool is_later(ssize_t n)
{
    return n == -EAGAIN || n == -EINTR;
}

/* Takes bytes that were passed on. */
static void take(const struct relay *r, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(r->o.fd, scratch, MIN(len, sizeof(scratch)), MSG_DONTWAIT);

        if (n <= 0)
            return; /* the other end is gone, which poll tells */
        len -= (size_t)n;
    }
}

/* What is new, or -errno; 0: the end. */
static ssize_t look(struct relay *r, uint8_t **ret)
{
    struct pollfd f = { .fd = r->o.fd, .events = POLLIN | POLLRDHUP };
    ssize_t n;

    if (!r->o.carried) {
        n = recv(r->o.fd, scratch, BUFFER, MSG_PEEK | MSG_DONTWAIT);
        *ret = scratch;
        return n < 0 ? -errno : n;
    }
    /* The state first: what was written before the end is there then. */
    (void)poll(&f, 1, 0);
    n = recv(r->o.fd, scratch, sizeof(scratch), MSG_PEEK | MSG_DONTWAIT);
    *ret = scratch + 1;
    if (n < 0)
        return -errno;
    return n > 1 ? n - 1 : f.revents & (POLLRDHUP | POLLHUP) ? 0 : -EAGAIN;
}

/* From the descriptor to the session. RELAY_OVER: it was reset by either. */
static enum relay_result pump_in(struct relay *r)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t *bytes;
        ssize_t n;

        r->full = !r->in_ended && !(hws_session_events(r->o.session) & HWS_WRITABLE);
        if (r->in_ended || r->full)
            return RELAY_IDLE;
        n = look(r, &bytes);
        if (is_later(n))
            return RELAY_IDLE;
        if (n < 0)
            return fail(r, (int)-n);
        if (n == 0) {
            r->in_ended = true;
            n = hws_session_finish(r->o.session);
            return n < 0 ? fail(r, (int)-n) : RELAY_IDLE;
        }
        n = hws_session_write(r->o.session, bytes, (size_t)n);
        r->full = is_later(n);
        if (r->full)
            return RELAY_IDLE;
        if (n < 0)
            return fail(r, (int)-n);
        r->out_bytes += (uint64_t)n;
        take(r, (size_t)n);
    }
    return RELAY_MORE;
}

static bool has_gone(struct relay *r, instant now)
{
    struct pollfd f = { .fd = r->o.fd, .events = POLLIN };

    if (!r->gone && r->o.carried && r->in_ended && poll(&f, 1, 0) > 0 && f.revents & POLLHUP) {
        r->gone = true;
        r->gone_until = now + GONE_WAIT;
    }
    return r->gone;
}

static enum relay_result pump_out(struct relay *r, instant now)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        ssize_t n;

        while (r->from < r->to) {
            n = send(r->o.fd, r->out + r->from, r->to - r->from, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return RELAY_IDLE;
            if (n < 0)
                return fail(r, errno);
            r->from += (size_t)n;
        }
        if (r->out_ended)
            return RELAY_IDLE;
        n = hws_session_read(r->o.session, r->out, sizeof(r->out));
        if (is_later(n))
            return RELAY_IDLE;
        if (n < 0)
            return fail(r, (int)-n);
        r->from = 0;
        r->to = (size_t)n;
        r->in_bytes += (uint64_t)n;
        if (n == 0) {
            r->out_ended = true;
            (void)shutdown(r->o.fd, SHUT_WR);
        } else if (has_gone(r, now)) {
            return fail(r, EPIPE);
        }
    }
    return RELAY_MORE;
}

/* Both have ended in good order. */
static void end_well(struct relay *r)
{
    const struct linger stay = { 0 };

    if (r->o.carried)
        take(r, 1);
    else
        (void)setsockopt(r->o.fd, SOL_SOCKET, SO_LINGER, &stay, sizeof(stay));
}

/* Is the session there, and the server? RELAY_MORE: both are. */
static enum relay_result come_up(struct relay *r)
{
    struct pollfd f = { .fd = r->o.fd, .events = POLLOUT };
    unsigned events = hws_session_events(r->o.session);
    int error = 0;
    socklen_t len = sizeof(error);
    ssize_t n;

    if (events & HWS_ENDED && !(events & HWS_CONNECTED)) {
        n = hws_session_read(r->o.session, scratch, 1);
        return fail(r, n < 0 ? (int)-n : ECONNRESET);
    }
    if (!(events & HWS_CONNECTED))
        return RELAY_IDLE;
    if (!r->o.carried) {
        if (poll(&f, 1, 0) <= 0)
            return RELAY_IDLE;
        (void)getsockopt(r->o.fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0)
            return fail(r, error);
    } else {
        take(r, r->o.junk - 1);
    }
    r->up = true;
    tell(r, 0);
    return RELAY_MORE;
}

static bool is_finished(const struct relay *r)
{
    return r->in_ended && r->out_ended && r->from == r->to &&
           hws_session_events(r->o.session) & (HWS_FLUSHED | HWS_ENDED);
}

enum relay_result relay_turn(struct relay *r, instant now)
{
    enum relay_result in, out;

    if (!r->up) {
        in = come_up(r);
        if (in != RELAY_MORE)
            return in;
    }
    in = pump_in(r);
    if (in == RELAY_OVER)
        return in;
    out = pump_out(r, now);
    if (out == RELAY_OVER)
        return out;
    if (is_finished(r)) {
        end_well(r);
        return RELAY_OVER;
    }
    if (has_gone(r, now) && now >= r->gone_until)
        return fail(r, ETIMEDOUT);
    return in == RELAY_MORE || out == RELAY_MORE || relay_wants(r) ? RELAY_MORE : RELAY_IDLE;
}

bool relay_wants(const struct relay *r)
{
    unsigned events = hws_session_events(r->o.session);

    if (!r->up)
        return r->o.carried && events & (HWS_CONNECTED | HWS_ENDED);
    return (r->full && events & HWS_WRITABLE) || (r->from == r->to && !r->out_ended && events & HWS_READABLE) ||
           is_finished(r);
}

instant relay_next_expiry(const struct relay *r)
{
    return r->gone_until;
}

struct hws_session *relay_session(const struct relay *r)
{
    return r->o.session;
}

uint64_t relay_serial(const struct relay *r)
{
    return r->o.serial;
}

bool relay_is_up(const struct relay *r)
{
    return r->up;
}

int relay_error(const struct relay *r)
{
    return r->error;
}

uint64_t relay_bytes(const struct relay *r, bool out)
{
    return out ? r->out_bytes : r->in_bytes;
}
