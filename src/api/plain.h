/* api/plain.h - a plain TCP connection in the place of a session, and a client that finds out which of both it gets.
 *
 * A client knows an address and no key. It asks (session/discovery.h), and where nobody answers within DISCOVERY_WINDOW
 * it begins a TCP connection beside, to each address in turn; the first of both that is there wins, and the other is
 * dropped. Nothing of the application is sent before. Non-blocking: poll plain_fd for reading, then plain_process. */
#pragma once

#include "api/engine.h"
#include "hawser/session.h"

struct plain;

enum plain_state {
    PLAIN_ASKING,
    PLAIN_SESSION, /* the engine has a session: go on with that */
    PLAIN_TCP,     /* a plain connection */
};

struct plain_options {
    struct engine *engine; /* asks and calls; engine_open was called. NULL: the peer is known to be plain */
    struct endpoint at[NODE_ENDPOINTS_MAX];
    size_t count;
    const struct peer_key *key; /* called at once, or NULL */
    bool pinned;                /* nobody but that key, and nothing plain */
};

/* 0 or -errno. */
MUST_CHECK int plain_find(const struct plain_options *o, instant now, struct plain **ret);
/* Of a connected socket, which it owns then, also on failure. 0 or -errno. */
MUST_CHECK int plain_of(int fd, struct plain **ret);
/* Accepts NULL. A connection that was not finished is reset. */
void plain_free(struct plain *p);
int plain_fd(const struct plain *p);
/* The engine too is processed here while it asks. 0 or -errno: nobody is there (-ECONNREFUSED, ...), or another than
 * is pinned (-EKEYREJECTED). */
MUST_CHECK int plain_process(struct plain *p);
enum plain_state plain_state(const struct plain *p);
/* PLAIN_SESSION: was the key taken on trust? */
bool plain_is_unauthenticated(const struct plain *p);
/* INSTANT_NEVER: only the descriptor tells. The engine has its own. */
instant plain_next_expiry(const struct plain *p);

/* The following are of PLAIN_TCP, and as the calls of hawser/session.h that they serve. */
ssize_t plain_read(struct plain *p, void *data, size_t len, uint64_t *ret_place);
ssize_t plain_write(struct plain *p, const void *data, size_t len);
int plain_finish(struct plain *p);
unsigned plain_events(struct plain *p);
bool plain_flushed(const struct plain *p);
int plain_error(const struct plain *p);
void plain_path(const struct plain *p, struct hws_path *ret);
/* Waits for one of these events of poll(2), `limit` at most. 0, -ETIMEDOUT or -errno. */
MUST_CHECK int plain_wait(struct plain *p, short events, instant limit);

/* Listening sockets for one or both families on that address (ADDR_NONE: all), -1 where there is none. 0 or -errno. */
MUST_CHECK int plain_listen(const struct addr *local, uint16_t port, int ret_fds[2]);
/* The next connection, or -EAGAIN. */
MUST_CHECK int plain_accept(const int fds[2]);
bool plain_has_arrival(const int fds[2]);
