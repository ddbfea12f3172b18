/* api/handle.h - what stands behind a struct hws_session. */
#pragma once

#include "api/choice.h"
#include "api/engine.h"
#include "api/plain.h"
#include "hawser/session.h"

#define PUBLIC __attribute__((visibility("default")))

enum kind {
    KIND_NEW,
    KIND_ASKING, /* a client: a session or a plain connection, who knows (api/plain.h) */
    KIND_CLIENT,
    KIND_LISTENER,
    KIND_ACCEPTED,
    KIND_PLAIN, /* a plain connection, of either side */
    KIND_CLOSED,
};

struct hws_session {
    enum kind kind;
    pid_t owner; /* the process that made it */
    uint32_t flags, linger_ms;
    struct engine_options o;
    struct identity identity;
    struct engine *engine; /* NULL before connect or listen, and of a plain connection */
    struct plain *plain;   /* NULL: it was never in question what it is */
    int plain_listens[2];  /* a listener with HWS_PLAIN: sockets, or -1 */
    int error;             /* KIND_ASKING: nobody is there */
    unsigned peer;
    bool finished;
    struct addr local;
    uint16_t port;
    const char *refusal;
    uint8_t transports[TRANSPORT_COUNT]; /* enum preference */
    bool hasty;
};

/* A handle whose session is over: nothing of it is left but that. */
void handle_bury(struct hws_session *s);
/* 0, also of NULL; -EBADF: it is closed; -ECHILD: it is another process's. */
int handle_usable(const struct hws_session *s);

struct engine *handle_hold(const struct hws_session *s);
void handle_let_go(struct engine **e);
/* Until the end of the call; of no effect without a helper thread. */
#define HOLD(s) struct engine *held __attribute__((cleanup(handle_let_go), unused)) = handle_hold(s)

/* NULL: there is none, yet or ever. */
struct delivery *handle_delivery(const struct hws_session *s);
/* True: *ret is what a call gives that needs a session of paths, since there is none, yet or ever. */
bool handle_is_no_session(struct hws_session *s, int *ret);
/* Something was written to the stream or read from it: what follows is sent. */
void handle_wake(struct hws_session *s);
/* Words, or NULL: a client's peer refused it. */
const char *handle_refusal(const struct hws_session *s);

/* options.c: of NULL, an earlier program's or a later one's. False: one of them is wrong. */
MUST_CHECK bool options_read(const struct hws_options *given, struct hws_options *ret);
struct engine_options options_of_engine(const struct hws_options *o);
