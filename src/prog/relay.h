/* prog/relay.h - bytes between a descriptor of this host and a session, both ways, for `hawser run`.
 *
 * The descriptor is the pump's end of a carried connection (prog/run_words.h) or a TCP connection to a server of this
 * host. What an end says is told to the other as it was said: an end of one direction, the end of both, a reset. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "hawser/session.h"

struct relay;

struct relay_options {
    struct hws_session *session; /* non-blocking; the relay owns it, also on failure */
    int fd;                      /* likewise */
    bool carried;                /* the descriptor is a carried connection's, */
    uint32_t junk;               /* stuffed with so many bytes; else it is a TCP connection that may be under way */
    int waits;                   /* the program's question, which waits for its second answer, or -1; owned */
    uint64_t serial;             /* of a carried connection */
};

/* 0 or -ENOMEM. */
MUST_CHECK int relay_new(const struct relay_options *o, struct relay **ret);
/* Accepts NULL. What is not over is reset. */
void relay_free(struct relay *r);

enum relay_result {
    RELAY_IDLE, /* until a descriptor of it is ready */
    RELAY_MORE, /* there is more to do: others first */
    RELAY_OVER, /* free it */
};
/* Does what can be done. The session was processed. */
enum relay_result relay_turn(struct relay *r, instant now);
/* Without a descriptor that is ready: there is something to do, since another session of the same listener was
 * processed, and this one with it. */
bool relay_wants(const struct relay *r);
/* When the relay is to be asked though nothing has happened. */
instant relay_next_expiry(const struct relay *r);

struct hws_session *relay_session(const struct relay *r);
uint64_t relay_serial(const struct relay *r);
bool relay_is_up(const struct relay *r);               /* it has been connected */
int relay_error(const struct relay *r);                /* errno: why it never was, or how it ended; 0 */
uint64_t relay_bytes(const struct relay *r, bool out); /* out: of this host */
