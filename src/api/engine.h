/* api/engine.h - what turns the wheels of a session: a node, its sockets, the links of this host, and a timer.
 *
 * One engine serves a client's session, or a listener and all that it accepted. It has one descriptor, an epoll of its
 * own, and does its work in engine_process. */
#pragma once

#include "node/node.h"
#include "session/discovery.h"

struct engine;

/* Which transports: a bit each of enum transport. */
struct engine_transports {
    uint8_t required; /* this host must have them */
    uint8_t asked;    /* a listener cannot do without them; required ones among them */
    uint8_t used;     /* a path over each, by each uplink to each endpoint; a listener takes them */
    uint8_t spares;   /* likewise, for when no other path works */
    bool tcp_instead; /* TCP where UDP does not pass; a listener takes it */
};
/* All of them. */
uint8_t engine_transports_allowed(const struct engine_transports *t);

struct engine_options {
    const struct identity *self; /* copied */
    bool listens;
    struct delivery_options delivery;
    struct session_preferences preferences;
    span wait;
    bool answers_hello; /* a listener: tells its key to who asks */
    struct fairness_options fairness;
    struct terms terms;
    uint64_t instance; /* 0: drawn */
    bool clear;        /* as session_options.clear */
    struct engine_transports transports;
};

/* With a helper thread the functions below are called between engine_lock and engine_unlock, which do nothing without.
 * The thread does what engine_process does when that is due. 0 or -errno. */
MUST_CHECK int engine_start_thread(struct engine *e);
/* Accept NULL. */
void engine_lock(struct engine *e);
void engine_unlock(struct engine *e);
/* What the thread came to: 0 or -errno. What made engine_fd readable is forgotten. True if there is a thread. */
bool engine_heed_thread(struct engine *e, int *ret_error);

/* 0 or -errno. The caller has one reference. */
MUST_CHECK int engine_new(const struct engine_options *o, struct engine **ret);
struct engine *engine_ref(struct engine *e);
/* Accepts NULL. Unlocks. In a child after fork there is no thread to end. */
void engine_unref(struct engine *e);
void engine_unref_forked(struct engine *e);
/* A listener's sockets, on this address (ADDR_NONE: all). 0 or -errno. */
MUST_CHECK int engine_listen(struct engine *e, const struct addr *local, uint16_t port);
/* A client's way to these endpoints: every uplink, or the whole host if none leads there. 0 or -errno. */
MUST_CHECK int engine_open(struct engine *e, const struct endpoint *at, size_t count);
/* Over that, calls who has this key, and nobody else any more. 0 or -errno. */
MUST_CHECK int engine_call(struct engine *e, const struct peer_key *peer, const struct endpoint *at, size_t count);
/* A client's: a further endpoint of the peer, or one that is none any more. A listener's: where else it may be reached.
 * 0, -ENOSPC, -ENOENT, -EBUSY (the last one) or -errno. */
MUST_CHECK int engine_address(struct engine *e, unsigned peer, const struct endpoint *at, bool there);
/* Over that, asks who is there. 0 or -ENOMEM. */
MUST_CHECK int engine_ask(struct engine *e, const struct endpoint *at, size_t count);
/* How far that is; NULL: it never asked. */
const struct discovery *engine_discovery(const struct engine *e);
/* A listener's: the descriptor becomes readable for this one, too, as long as it is. 0 or -errno. */
MUST_CHECK int engine_watch(struct engine *e, int fd);

/* A client's: what the uplink of that name is for, now and whenever it comes. 0, or -ENOSPC: that of 8 others was said.
 */
MUST_CHECK int engine_set_tier(struct engine *e, const char *link, enum link_tier tier);
/* What happened to a path of this peer's session, or to its keys, when it did. */
struct engine_event {
    struct node_event node; /* NODE_PATH_STATE, NODE_PATH_MOVED, NODE_PEER_REKEYED, NODE_PEER_DOWN or NODE_FALLBACK */
    struct session_path_info path; /* of the first two; of NODE_FALLBACK only `link` */
};
/* True and the oldest of this peer. At most 64 wait, of all peers; the oldest goes when there are more. */
bool engine_pop_event(struct engine *e, unsigned peer, struct engine_event *ret);

struct node *engine_node(struct engine *e);
/* With a thread: readable when it has done something since engine_heed_thread. */
int engine_fd(const struct engine *e);
/* Reads what has come, does what is due, sends. 0 or -errno. */
int engine_process(struct engine *e);
/* Something was done to the node: sends what follows from it. */
void engine_flush(struct engine *e);
/* When engine_process is due, by clock_now; INSTANT_NEVER. */
instant engine_next_expiry(const struct engine *e);
/* Waits for the descriptor, `limit` at most, and processes. 0, -ETIMEDOUT, or -errno. */
int engine_wait(struct engine *e, instant limit);
/* A peer whose session came up and that nobody has taken yet: its index, or -1. */
int engine_pop_arrival(struct engine *e);
/* Nobody accepts any more: those who wait are turned away, and so is whoever calls. */
void engine_stop_listening(struct engine *e);
/* The session of such a peer is over. */
void engine_give_back(struct engine *e, unsigned peer);
/* Between calls of a program that may be busy with its own: as engine_process, but at most each millisecond. */
int engine_tick(struct engine *e);
bool engine_has_arrival(const struct engine *e);
/* Since the engine was made, of any peer. */
bool engine_has_been_up(const struct engine *e);
/* A client's: a path to that address works. */
bool engine_works_with(const struct engine *e, const struct addr *remote);
