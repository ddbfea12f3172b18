/* session/exchange.h - what control planes speak in: sealed messages between two identities, requests and answers.
 *
 * The handshake is that of sessions (session/handshake.h), so are its defence (session/guard.h), its keys and its
 * records. There are no paths, no streams and no congestion control: a datagram in, a datagram out. A machine without
 * IO; one serves one program, which is asked (responder), asks (initiator), or both.
 *
 * Peers. An association is what two ends keep of each other: keys, and where the other is. The end that called it keeps
 * its keys fresh; both may ask in it, so that a manager can notify who is behind a NAT. A call that one end makes and a
 * call that the other makes are two associations, which know nothing of each other. A peer is named by a number that is
 * never given to another; 0 is none.
 *
 * Requests. Who asks keeps the request until it is answered, and sends it again: after EXCHANGE_FIRST_TRY (or longer,
 * by the round trip, up to EXCHANGE_FIRST_TRY_MAX) and then at double spans, EXCHANGE_TRIES times, over the peer's ways
 * in turn. Each request that was accepted ends in exactly one EXCHANGE_ANSWER or EXCHANGE_FAILED, unless
 * exchange_cancel takes it back. Who answers keeps nothing: it may be asked the same twice, so a request must mean the
 * same twice. A request may be answered later, and from anywhere in the program (struct exchange_asked). What needs no
 * answer is answered by nothing at all: 0 bytes.
 *
 * Length. A message has 1 to EXCHANGE_MESSAGE_MAX bytes, an answer 0 to so many. What does not fit one datagram goes in
 * parts. Who asks again says which parts of the answer it has, and if the answer is still the same, only the others are
 * sent. Parts of requests are joined at the end that is asked, at most `joins_max` messages at a time.
 *
 * Where an answer goes. To the endpoint from which the peer's requests come, once it is proven: something that was sent
 * there came back. The handshake proves the one that it went to. A request from another gets a challenge, no longer
 * than any request, and is sent again with what the challenge says. So nobody has an answer sent to where he is not. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "ident/keys.h"
#include "session/session.h"
#include "wire/exchange.h"

#define EXCHANGE_WAYS_MAX 8             /* chosen: 4 managers' addresses over 2 uplinks */
#define EXCHANGE_TRIES 4                /* chosen: with the first timer, 3.75 s */
#define EXCHANGE_FIRST_TRY (250 * MSEC) /* chosen: as of an INIT */
#define EXCHANGE_FIRST_TRY_MAX                                                                                         \
    (2 * SEC) /* chosen: a satellite's round trip thrice; who answers late keeps nobody longer */
#define EXCHANGE_REKEY_AFTER (900 * SEC)       /* chosen: 100,000 peers then cost 3 % of a core */
#define EXCHANGE_REJECT_AFTER (3600 * SEC)     /* older keys open and seal nothing */
#define EXCHANGE_OUTPUT_MAX 256                /* datagrams that wait for exchange_output */
#define EXCHANGE_PEERS_MAX ((uint32_t)1 << 20) /* the most that peers_max can be */
#define EXCHANGE_WAITING_MAX 16                /* chosen: requests that wait to be popped; 8 to 32 cost the same */

struct exchange;

struct exchange_options {
    const struct identity *self; /* must outlive it */
    struct rng rng;              /* cryptographic, but in simulations */
    uint8_t suites;              /* set of SUITE_BIT */
    uint8_t handshakes_percent;  /* of a core, that handshakes of others may take; 0: 10, as of a node */
    bool answers;                /* takes calls, of whoever knows the key; else only what it has called talks to it */
    bool answers_hello;          /* tells its key to who knows only its address (wire/hello.h) */
    uint32_t peers_max;          /* 1..EXCHANGE_PEERS_MAX: associations */
    uint32_t requests_max;       /* own requests under way */
    uint32_t joins_max; /* messages in parts of which some have come; each has up to EXCHANGE_MESSAGE_MAX bytes */
};

/* Whom to call. */
struct exchange_call {
    struct peer_key key; /* x25519 all zero: not known, is asked for by HELLO; only `ed25519` is believed then */
    struct locator_pair ways[EXCHANGE_WAYS_MAX]; /* tried in this order; the local address may be ADDR_NONE */
    size_t ways_count;                           /* at least 1 */
    span keep; /* the association is held up, and looked after at such intervals: EXCHANGE_UP and EXCHANGE_DOWN tell of
                * it, and the peer can always ask. 0: only while there are requests. At least 1 s. */
};

/* What exchange_answer must be told of a request: a value that may be kept and copied. */
struct exchange_asked {
    uint64_t peer;
    uint64_t parts, digest; /* of the answer the asker has these already: a bit each, of an answer with this digest */
    uint32_t id;
    uint8_t try;
};

enum exchange_event_type {
    EXCHANGE_REQUEST, /* a peer asks: data, len, asked */
    EXCHANGE_ANSWER,  /* to a request of ours: data, len */
    EXCHANGE_FAILED,  /* a request of ours: fault */
    EXCHANGE_UP,      /* the association stands; of a call, each time that it stands anew: who was called may have
                       * forgotten all it was told */
    EXCHANGE_DOWN,    /* a call with `keep` is not answered any more; it goes on trying: fault */
    EXCHANGE_GONE,    /* a peer that called us and has an owner is no more: its number names nobody */
};

enum exchange_fault {
    EXCHANGE_FAULT_NONE,
    EXCHANGE_FAULT_NOBODY,  /* no way leads to the peer: no handshake came about */
    EXCHANGE_FAULT_SILENT,  /* the handshake did, or had, and the request was not answered */
    EXCHANGE_FAULT_KEY,     /* somebody is there, but has another key */
    EXCHANGE_FAULT_NO_PEER, /* the association has gone */
    EXCHANGE_FAULT_COUNT,
};
const char *exchange_fault_name(enum exchange_fault f);

struct exchange_event {
    enum exchange_event_type type;
    enum exchange_fault fault;
    uint64_t peer;
    void *owner;         /* as exchange_set_owner said */
    uint64_t request;    /* ANSWER, FAILED: which */
    void *context;       /* ANSWER, FAILED: as exchange_request was told */
    const uint8_t *data; /* until the next exchange_pop_event; it may stand in what exchange_input was given */
    size_t len;
    struct exchange_asked asked;
};

struct exchange_peer_info {
    struct peer_key key;    /* proven, once it is up */
    uint64_t instance;      /* of a key's calls, which; of who was called, which start of the program */
    bool called;            /* by us */
    bool up;                /* there are keys */
    struct locator_pair at; /* where it is */
    span rtt;               /* smoothed; 0: not measured yet */
};

/* One datagram to be sent. */
struct exchange_tx {
    const uint8_t *data; /* until the next call on the exchange */
    size_t len;
    struct locator_pair at;
};

enum exchange_drop {
    EXCHANGE_DROP_SHORT,     /* not a datagram of ours */
    EXCHANGE_DROP_VERSION,   /* another protocol version */
    EXCHANGE_DROP_MAC1,      /* a handshake for another key */
    EXCHANGE_DROP_COOKIE,    /* wrong or old */
    EXCHANGE_DROP_HANDSHAKE, /* Noise said no, or it was for a session */
    EXCHANGE_DROP_LOAD,      /* over the handshake budget */
    EXCHANGE_DROP_FULL,      /* no room for another peer */
    EXCHANGE_DROP_HELLO,     /* a HELLO, and we do not answer */
    EXCHANGE_DROP_UNKNOWN,   /* a record with a connection id of nobody here */
    EXCHANGE_DROP_REPLAY,    /* its counter was seen */
    EXCHANGE_DROP_FORGED,    /* it did not open, or its key is too old */
    EXCHANGE_DROP_MALFORMED, /* it opened, and is no message */
    EXCHANGE_DROP_UNPROVEN,  /* from an endpoint that is not proven: challenged */
    EXCHANGE_DROP_JOIN,      /* a part, and no room to join more, or it does not fit the others */
    EXCHANGE_DROP_LATE,      /* an answer to what is not asked any more */
    EXCHANGE_DROP_OUTPUT,    /* something small of ours, for which there was no room to wait */
    EXCHANGE_DROP_COUNT,
};
const char *exchange_drop_name(enum exchange_drop d);

struct exchange_stats {
    uint64_t drops[EXCHANGE_DROP_COUNT];
    uint64_t handshakes;        /* begun or answered: public-key work */
    uint64_t requests, answers; /* that came in and were accepted */
    uint64_t again;             /* requests of ours that were sent another time */
    uint64_t rx_datagrams, tx_datagrams, rx_bytes, tx_bytes;
    uint32_t peers, peers_up, requests_open, joins;
    size_t memory; /* bytes allocated now, without keys in use: 1 to 3 KB for each peer heard of in the last 30 s */
};

/* NULL when out of memory or for options that make no sense. */
struct exchange *exchange_new(const struct exchange_options *o, instant now);
/* Accepts NULL. Requests under way end without an event. */
void exchange_free(struct exchange *x);

/* --- peers --- */

/* A peer to ask; nothing is sent before there is a request, unless the call has `keep`. Who calls one key twice has two
 * peers. 0; -EINVAL; -ENOSPC: there are peers_max and none is idle; -ENOMEM. */
MUST_CHECK int exchange_peer_call(struct exchange *x, const struct exchange_call *c, instant now, uint64_t *ret_peer);
/* Other ways to a peer that was called. 0, -EINVAL, -ENOENT. */
MUST_CHECK int exchange_peer_set_ways(struct exchange *x, uint64_t peer, const struct locator_pair *ways, size_t count,
                                      instant now);
/* This host's addresses or routes are others now: what is not answered yet, handshakes and requests, may have been lost
 * with the old ones, so it is sent again at once, and has all its tries once more. */
void exchange_on_network(struct exchange *x, instant now);
/* Forgets a peer. Its requests end in EXCHANGE_FAILED, EXCHANGE_FAULT_NO_PEER. A number of nobody is ignored. */
void exchange_peer_hang_up(struct exchange *x, uint64_t peer, instant now);
/* Whose peer it is, of which events tell; one with an owner is not forgotten to make room for another, and when it is
 * lost for another reason (its keys are too old, nobody renewed them), EXCHANGE_GONE says so. NULL: nobody's.
 * 0 or -ENOENT. */
int exchange_peer_set_owner(struct exchange *x, uint64_t peer, void *owner);
/* 0 or -ENOENT. */
MUST_CHECK int exchange_peer_info(const struct exchange *x, uint64_t peer, struct exchange_peer_info *ret);

/* --- requests --- */

/* Asks; data is copied. context is the owner's, for the event. 0; -ENOENT: no such peer; -EMSGSIZE: 0 bytes or too
 * many; -ENOTCONN: a peer that called us and has no keys any more; -ENOSPC: requests_max are under way; -ENOMEM. */
MUST_CHECK int exchange_request(struct exchange *x, uint64_t peer, const void *data, size_t len, void *context,
                                instant now, uint64_t *ret_request);
/* No event will tell of it. One that is not under way is ignored. */
void exchange_cancel(struct exchange *x, uint64_t request);
/* Answers; data is the caller's again. 0; -EMSGSIZE; -ENOTCONN: the peer has gone, and asks again if it wants to know;
 * -EAGAIN: too much waits for exchange_output: empty that and answer again. Allocates nothing. */
MUST_CHECK int exchange_answer(struct exchange *x, const struct exchange_asked *asked, const void *data, size_t len,
                               instant now);

/* --- the doors --- */

/* One datagram that came, changed in place. Then pop events until there are none: an event's bytes may stand in it, so
 * it must be kept until exchange_pop_event says false. While exchange_takes_more, others may be put in before. */
void exchange_input(struct exchange *x, const struct locator_pair *at, uint8_t *data, size_t len, instant now);
/* Of a batch: a datagram that exchange_input will soon be given. Has the processor fetch what that will want, and
 * changes nothing. Twice: `step` 0, and 1 a few datagrams later. With many peers most of what a record costs is waiting
 * for memory. */
void exchange_foresee(const struct exchange *x, const uint8_t *data, size_t len, unsigned step);
/* Nothing is to be popped but requests, and there is room for another one beside them: at most EXCHANGE_WAITING_MAX,
 * all of which are popped before more are taken. */
bool exchange_takes_more(const struct exchange *x);
/* The requests that wait to be popped, in their order: for who wants to have fetched what all of them need. Owners are
 * not told here, and a peer may have gone meanwhile, whose request is then not popped. How many; *ret is valid until
 * one is popped. */
size_t exchange_waiting(const struct exchange *x, const struct exchange_event **ret);
/* The host or the network said that this way leads nowhere now. A hint: the next way is tried at once. */
void exchange_on_unreachable(struct exchange *x, const struct locator_pair *at, instant now);
/* Up to max datagrams that are to be sent, in order; how many. They are to be sent before the next call. 0: none. */
size_t exchange_output(struct exchange *x, struct exchange_tx *ret, size_t max, instant now);
/* What an association has become (UP, DOWN, GONE) comes before requests that wait, answers come after them. */
bool exchange_pop_event(struct exchange *x, struct exchange_event *ret);
instant exchange_next_expiry(const struct exchange *x);
/* Bounded work; exchange_output and exchange_pop_event may have something new. */
void exchange_on_expiry(struct exchange *x, instant now);

void exchange_stats_get(const struct exchange *x, struct exchange_stats *ret);
