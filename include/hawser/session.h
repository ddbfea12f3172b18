/* hawser/session.h - sessions over every way that two hosts have to each other.
 *
 * A session is a stream of bytes each way between two programs, each named by its key, and beside it messages, each
 * with what it asks for: an order, a lifetime, a priority. It opens a path over every uplink of this host to every
 * address that is given of the other, uses all of them at once, and goes on while any of them works, or comes back
 * within the session's timeout. All that is sent is sealed, unless a program takes plain connections, too (HWS_PLAIN,
 * or a call without a key).
 *
 * Calls return 0 or a number of bytes, or a negative errno; hws_strerror names the ones with a meaning of their own. No
 * call starts a thread (but for HWS_THREAD), and nothing happens between calls: a program that waits elsewhere polls
 * hws_session_fd for reading and calls hws_session_process when it is readable (it also becomes so when a timer of the
 * session has run out). A session may be used by one thread at a time. After fork it is the parent's: calls of the
 * child give -ECHILD, and closing frees its copy and tells nobody. A call with one of the last 64 sessions that were
 * closed gives -EBADF.
 *
 *   listener                                      client
 *   hws_session_socket(&o, &l)                    hws_session_socket(&o, &s)
 *   hws_session_bind(l, NULL, 5201)               hws_session_connect(s, key, addresses, count)
 *   hws_session_listen(l)                         hws_session_write(s, ...)
 *   hws_session_accept(l, &s)                     hws_session_read(s, ...)
 *   hws_session_read(s, ...)                      hws_session_close(s)
 */
#ifndef HAWSER_SESSION_H
#define HAWSER_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HWS_KEY_SIZE 89 /* characters of a key as text, secret or public, and the NUL */

struct hws_session;

enum hws_flags {
    HWS_NONBLOCK = 1,  /* calls that would wait return -EAGAIN */
    HWS_UNORDERED = 2, /* this end reads bytes as they come, with their place (hws_session_read_at) */
    /* A listener accepts plain TCP connections on the port of the same number, too, and as HWS_HELLO. A client that was
     * given a key finds out whether it is there (hws_session_connect). */
    HWS_PLAIN = 4,
    /* A thread of the library's own does what hws_session_process does, when it is due: for programs that are long busy
     * elsewhere. Calls from several threads of the program are taken one after the other then; hws_session_fd is
     * readable when the thread has done something, until hws_session_process. Not with HWS_PLAIN, over SCTP, or without
     * a key. */
    HWS_THREAD = 16,
    HWS_HELLO = 8, /* a listener tells its key to whoever asks its UDP port (doc/protocol.md, HELLO) */
};

/* What a session wants of its paths (Habib, Christin, Chuang: Taking advantage of multihoming with session layer
 * striping). */
enum hws_objective { HWS_NONE, HWS_THROUGHPUT, HWS_LATENCY, HWS_JITTER, HWS_LOSS };

/* What a session takes where its paths meet others' traffic in one bottleneck; of what this end sends. */
enum hws_fairness {
    HWS_FAIR_INDEPENDENT, /* each path as much as a flow of its own: all together the most */
    HWS_FAIR_COUPLED,     /* all paths together as much as one flow on the best of them */
    HWS_FAIR_AUTO,        /* paths that share a bottleneck together as much as one flow, others as flows of their own */
};

/* The congestion control of a path. */
enum hws_congestion {
    HWS_CC_BBR,       /* a model of rate and round trip: short queues, and random losses do not matter */
    HWS_CC_CUBIC,     /* as most TCP senders: fills queues, shares with them as they do */
    HWS_CC_OLIA,      /* couples; alone it is Reno. Paths that are coupled have it unless the option says LIA */
    HWS_CC_LIA,       /* RFC 6356; likewise */
    HWS_CC_TRANSPORT, /* told of paths that are not over UDP: their transport has its own. Not to be asked for */
};

/* What carries a path. All that is sent is sealed over each. */
enum hws_transport {
    HWS_UDP,
    HWS_TCP,   /* the kernel's */
    HWS_MPTCP, /* the kernel's; plain TCP if the other end does not know it */
    HWS_SCTP,  /* over UDP; sessions over it are for one thread of a process */
};

/* Words as in RFC 9622 section 6.2; what they mean of transports: */
enum hws_preference {
    HWS_NO_PREFERENCE,
    HWS_REQUIRE,  /* these, and no others; the call fails where one is not to be had */
    HWS_PREFER,   /* these, a path over each */
    HWS_AVOID,    /* its paths carry nothing while another works */
    HWS_PROHIBIT, /* never */
};

/* What is delivered, the stream or messages (hws_session_send). */
enum hws_semantics { HWS_UNORDERED_LOSSY, HWS_UNORDERED_LOSSLESS, HWS_ORDERED_LOSSY, HWS_ORDERED_LOSSLESS };

/* How several paths are used (RFC 9622, section 6.2.14). */
enum hws_multipath {
    HWS_AGGREGATE,   /* all of them, as objectives and scheduler say */
    HWS_INTERACTIVE, /* that of the least delay, and others when it cannot keep up: the objective latency */
    HWS_HANDOVER,    /* one, and another when it fails: the scheduler handover */
};

/* All zero is good. `size` is sizeof(struct hws_options): the structure grows at its end. */
struct hws_options {
    size_t size;
    uint32_t flags;         /* enum hws_flags */
    const char *secret;     /* key as `hawser keygen` makes it; NULL: one for this session alone */
    uint32_t send_bytes;    /* kept until they have arrived; 0: 8 MiB */
    uint32_t receive_bytes; /* kept until they are read; 0: 8 MiB */
    uint32_t timeout_ms;    /* how long a session lives without any path, at least 15 s; 0: 600 s */
    uint32_t linger_ms;     /* how long a blocking close waits until all has arrived; 0: 10 s */
    /* Of what this end sends. Each objective, the most important first, leaves of the paths those that are as good as
     * the best within its tolerance; the others help when these cannot keep up. None: all paths, for throughput. */
    uint8_t objectives[4];         /* enum hws_objective, then HWS_NONE */
    uint32_t latency_tolerance_us; /* 0: 5 ms */
    uint32_t jitter_tolerance_us;  /* 0: 5 ms */
    double loss_tolerance;         /* share of what is sent; 0: .005 */
    const char *scheduler;         /* NULL: earliest; or minrtt, ecf, blest, drr, jitter, redundant: hws_session(3) */
    uint32_t fairness;             /* enum hws_fairness */
    uint32_t congestion;           /* enum hws_congestion, of paths that are not coupled */
    /* Of programs that have one key, which this is: a session with the same key and number takes the place of the
     * former, as when a program was started again. 0: one of its own. */
    uint64_t instance;
    /* The terms, which both ends tell each other: a listener refuses who requires what it prohibits, prohibits what it
     * requires, or has no transport in common (-HWS_EREFUSED). To prefer and to avoid changes nothing yet but for
     * `transports` and `encryption`, which cannot be prohibited. */
    uint8_t semantics[4]; /* enum hws_preference, for each enum hws_semantics */
    /* The same for each enum hws_transport. Nothing said: UDP, and TCP where that does not pass; a listener takes both
     * on its port, TCP if nobody else has that there. Over TCP a listener speaks first, and a client sends nothing to
     * who is not the one that it calls. */
    uint8_t transports[8];
    uint8_t peer_objectives[4]; /* HWS_PROHIBIT: this end does not send by that objective, if the peer asks for it; for
                                 * throughput, latency, jitter, loss. A peer asks by its `objectives`; an end that has
                                 * none sends by those */
    uint8_t peer_fairness[3];   /* HWS_PROHIBIT: the peer is not to send so; for each enum hws_fairness */
    uint8_t multipath;          /* enum hws_multipath */
    /* HWS_AVOID: what is written and sent is not encrypted, only authenticated, if the other end's options say so too;
     * else it is. hws_session_statistics tells. HWS_REQUIRE, HWS_PREFER and nothing: it is. */
    uint8_t encryption;
};

#define HWS_EREFUSED 1024 /* beyond all numbers of errno */

/* 0, -EINVAL (an option), -EBADMSG (the secret is none), -ENOMEM or another errno. */
int hws_session_socket(const struct hws_options *o, struct hws_session **ret);
/* A listener's port, of each transport that it takes (with HWS_PLAIN: its TCP is that of plain clients), and its
 * address (NULL: all, of both families). 0, -EINVAL (the session is in use), -EAFNOSUPPORT. */
int hws_session_bind(struct hws_session *s, const struct sockaddr *address, uint16_t port);
/* 0, -EINVAL (the session is in use, or has no port; no transport is left), -EADDRINUSE, -EACCES, -EPROTONOSUPPORT (a
 * transport that is required and that this host does not have). */
int hws_session_listen(struct hws_session *s);
/* The next session that a peer has opened. 0, -EAGAIN, -EINVAL (not a listener). It lives on when the listener is
 * closed. */
int hws_session_accept(struct hws_session *s, struct hws_session **ret);
/* key: the peer's public one. addresses: where it may be, with ports; 1 to 8 of them. Waits until the session is up
 * unless it does not block: then hws_session_events tells, and -ETIMEDOUT comes of reading after 30 s. 0, -EINVAL,
 * -EBADMSG (the key is none), -ETIMEDOUT (10 s), -HWS_EREFUSED (hws_session_refusal).
 *
 * key NULL: whatever is there. The UDP port is asked, over every uplink, whether a session listens, and of which key;
 * when nobody has answered after 250 ms (or the host says that the port is closed) a plain TCP connection is begun
 * beside, and what is there first is what the program gets. Nothing of the program is sent before. What is known of a
 * peer from before in this process is not asked again: no time is lost then. hws_session_events tells which it is:
 * HWS_IS_PLAIN, or HWS_UNAUTHENTICATED: sealed, but to a key that nobody vouches for. Errors are those of connect(2),
 * too: -ECONNREFUSED and others; without blocking they come of reading and writing.
 *
 * A key, and HWS_PLAIN: that key and no other, and nothing plain: -EKEYREJECTED, within 1 s, when another key answers,
 * or none does.
 */
int hws_session_connect(struct hws_session *s, const char *key, const struct sockaddr *const *addresses, size_t count);

/* At least one byte, or waits: so many were taken. -EPIPE after hws_session_finish; -ECONNRESET: the peer ended the
 * session or lost its state; -ETIMEDOUT: no path for too long; -EPROTO: the peer broke the rules; -ENOTCONN; -EAGAIN;
 * -HWS_EREFUSED; -EOPNOTSUPP: the peer prohibits ordered, lossless delivery.
 */
ssize_t hws_session_write(struct hws_session *s, const void *data, size_t len);
/* At least one byte, or waits; 0: the peer has finished. Errors as for hws_session_write. */
ssize_t hws_session_read(struct hws_session *s, void *data, size_t len);
/* The same, and the place in the stream of the first byte. */
ssize_t hws_session_read_at(struct hws_session *s, void *data, size_t len, uint64_t *ret_place);

enum hws_message_flags {
    HWS_MESSAGE_UNORDERED = 1,  /* may overtake others and be overtaken */
    HWS_MESSAGE_UNRELIABLE = 2, /* what is lost of it is not sent again, and all of it is dropped */
};

#define HWS_MESSAGE_MAX (1u << 20)

/* All zero: ordered, lossless. Words as in RFC 9622 section 9.1.3. An ordered message without a lifetime that is late
 * behind one with it is passed over when that one's time is over: mark it unordered where both are sent. */
struct hws_message {
    uint32_t flags;       /* enum hws_message_flags */
    int32_t priority;     /* -128 to 127: lower ones go first */
    uint32_t lifetime_ms; /* from when it was taken until it is received; then it is dropped; 0: for ever; to 60,000 */
};

/* A message: it arrives whole, or not at all. m: of m_size bytes; NULL: all zero. Ordered messages keep their order
 * among themselves; the stream of bytes is apart from them. 0; -EMSGSIZE: beyond HWS_MESSAGE_MAX; -EINVAL;
 * -EOPNOTSUPP: the peer prohibits such delivery; -EPIPE, -EAGAIN and the others as of hws_session_write. */
int hws_session_send(struct hws_session *s, const void *data, size_t len, const struct hws_message *m, size_t m_size);

struct hws_received {
    uint64_t number; /* of the other end's messages, from 0, in the order in which they were sent */
    size_t len;
    uint32_t flags;
    int32_t left_ms; /* of its lifetime; negative: it came late; INT32_MAX: it has none */
};

/* The next message: its length. What was sent before and is not there yet is waited for until the lifetime of this one
 * ends; what was dropped is not. ret (of ret_size bytes) may be NULL. -EMSGSIZE: ret->len is beyond len, and it stays.
 * -ENODATA: the other end has finished, and nothing more will come; the others as of hws_session_read. */
ssize_t hws_session_receive(struct hws_session *s, void *data, size_t len, struct hws_received *ret, size_t ret_size);

/* Nothing more will be written or sent; reading goes on. 0 or -ENOTCONN. */
int hws_session_finish(struct hws_session *s);
/* Ends the session and frees it, whatever is returned. A blocking session that was not finished is, and waits until all
 * has arrived: -ETIMEDOUT if it did not within linger_ms, -ECONNRESET if the peer closed before. One that does not
 * block drops what has not arrived: finish it, and wait for HWS_FLUSHED. Accepts NULL. */
int hws_session_close(struct hws_session *s);

enum hws_events {
    HWS_READABLE = 1,  /* bytes, an end or an error; a listener: a session to accept */
    HWS_WRITABLE = 2,  /* room for a quarter of what is kept, or an error */
    HWS_CONNECTED = 4, /* it has been up */
    HWS_FLUSHED = 8,   /* all that was written or sent has arrived or was dropped, and the end if it was said */
    HWS_ENDED = 16,    /* nothing will come and nothing can be sent */
    HWS_MESSAGE = 32,  /* a message, the end or an error */
    HWS_SENDABLE = 64, /* room for messages of a quarter of what is kept, or an error */
    /* The session is a plain TCP connection: nothing is sealed; calls about messages, probes, keys and links give
     * -EOPNOTSUPP; HWS_FLUSHED counts from the other host's kernel; one that is closed unfinished is reset. */
    HWS_IS_PLAIN = 128,
    /* The peer said itself that the key is its own: right unless somebody was in between when it was asked first. */
    HWS_UNAUTHENTICATED = 256,
    /* Beside HWS_IS_PLAIN: this process has had a session with that peer within the last day. It may have stopped
     * taking them, or somebody on the way drops what asks for it. A program to which that matters pins the key. */
    HWS_FELL_BACK = 512,
};

/* What is so now: enum hws_events. */
unsigned hws_session_events(struct hws_session *s);
/* Poll it for reading. Sessions of one listener have the same, but for plain connections: each has its own. */
int hws_session_fd(const struct hws_session *s);
/* Reads what has come and sends what is due; does not wait. 0 or -errno: the session is of no more use. */
int hws_session_process(struct hws_session *s);
/* Milliseconds until hws_session_process has something to do, rounded up; -1: only when the descriptor is readable. */
int hws_session_timeout(const struct hws_session *s);

enum hws_path_state { HWS_PATH_PROBING, HWS_PATH_ACTIVE, HWS_PATH_SUSPECTED, HWS_PATH_DOWN };

struct hws_path {
    char link[16]; /* the uplink's name, of the side that opened the path */
    struct sockaddr_storage remote;
    enum hws_path_state state;
    uint32_t rtt_us, jitter_us; /* 0: not measured yet */
    uint64_t rate_bps;          /* measured, for sending */
    double loss;                /* share */
    uint64_t sent_bytes, received_bytes;
    enum hws_congestion congestion;
    uint32_t group;        /* paths of one group share a bottleneck for what is sent; 0: none is known */
    uint32_t probe_rtt_us; /* of the newest probe that was answered, less what the peer waited */
    uint64_t probes_sent, probes_answered; /* hws_session_probe */
    uint32_t plain;                        /* 1: the plain TCP connection that is all of the session */
    uint32_t transport;                    /* enum hws_transport */
    /* What this end's records would be carried at when the path was idle last: measured by short trains of records, at
     * most 180 kB in a minute, and less and less often; at least 94 Mbit/s is all they tell. Of a client's paths over
     * UDP. 0: not measured */
    uint64_t idle_rate_bps;
    uint64_t idle_probe_bytes; /* sent for that, of sent_bytes */
};

/* The paths of a session, at most max of them into ret (of size bytes each: sizeof(struct hws_path)). How many. */
size_t hws_session_paths(struct hws_session *s, struct hws_path *ret, size_t size, size_t max);

/* A client: a further address of the peer, with its port; a path is opened to it over every uplink. A listener, or a
 * session that it accepted: a further address of the listener, which all its peers are told inside their sessions, and
 * to which they open paths: so that who is behind a NAT need not be reached. At most 8. 0, -EINVAL, -EAFNOSUPPORT,
 * -ENOSPC, -ENOTCONN, -EOPNOTSUPP (a plain connection). */
int hws_session_add_address(struct hws_session *s, const struct sockaddr *address);
/* It is none any more, and its paths go. 0; -ENOENT: it was not added or connected to; -EBUSY: it is a client's last;
 * the others as above. */
int hws_session_remove_address(struct hws_session *s, const struct sockaddr *address);

/* Of a session since it began. */
struct hws_statistics {
    uint64_t written_bytes, acknowledged_bytes, read_bytes; /* of the stream */
    uint64_t resent_bytes;                                  /* of the stream, sent again */
    uint64_t messages_sent, messages_arrived;               /* of this end; arrived: whole, and acknowledged */
    uint64_t messages_expired, messages_lost;               /* dropped by their lifetime; unreliable ones */
    uint64_t messages_received, messages_missed;            /* of the peer; missed: they will not come */
    uint64_t copied_bytes;                   /* of messages, by another path in case that one loses them */
    uint64_t records_sent, records_received; /* of data */
    uint64_t records_copied;                 /* of these sent, by more than one path on purpose */
    uint64_t records_lost;                   /* of those sent by the paths there are now */
    uint64_t records_refused;                /* received: forged, replayed or malformed */
    uint64_t queued_bytes;                   /* written and sent, and not acknowledged yet */
    uint64_t handshakes;
    uint32_t is_clear; /* 1: both ends avoid encryption, and what is written and sent is only authenticated */
    /* Over SCTP: records of messages that it gave up, since nobody needed them any more; and that it brings however
     * late, though they have a lifetime or are unreliable, since the peer's SCTP knows no other way, or has not said
     * yet that it does. */
    uint64_t records_abandoned, records_insisted;
};

/* ret: of size bytes. 0, -EINVAL, -ENOTCONN, -EOPNOTSUPP (a plain connection). */
int hws_session_statistics(struct hws_session *s, struct hws_statistics *ret, size_t size);

/* Measures every path now: each is sent a record that the peer answers at once. hws_path tells when it has: one probe
 * a path is waited for, the newest. Else an idle path is heard of every 5 s. 0 or -ENOTCONN. */
int hws_session_probe(struct hws_session *s);

/* What an application says of what it gets. */
enum hws_feedback {
    HWS_GOOD_ENOUGH,          /* again and again while it is: half a minute of it takes a step back */
    HWS_TOO_SLOW,             /* more paths, whatever the objectives are */
    HWS_TOO_LATE,             /* the paths of the least delay, then those of the least jitter, then the best alone */
    HWS_OF_WHAT_IS_SENT = 16, /* added to one of these: of what this end sends, and not of what it receives */
};

/* The application's own verdict, by which the end that sends chooses among its paths; the other end is told of what is
 * received here. A player says HWS_TOO_LATE for a frame that missed its time, or HWS_TOO_SLOW when its buffer falls, a
 * game HWS_TOO_LATE for an answer that came too late, a copier HWS_TOO_SLOW below the rate that it needs;
 * HWS_GOOD_ENOUGH else. As often as it likes: one step is taken in a second at most. 0, -EINVAL, -ENOTCONN. */
int hws_session_feedback(struct hws_session *s, uint32_t verdict);

enum hws_event_type {
    HWS_EVENT_PATH = 1,     /* a path changed its state */
    HWS_EVENT_REKEYED = 2,  /* new keys are in use */
    HWS_EVENT_MOVED = 3,    /* the peer has another address on a path, and has proved it */
    HWS_EVENT_FALLBACK = 4, /* a link's paths go over what `why` names from now on: "TCP" or "UDP" again */
    HWS_EVENT_ENDED = 5,    /* the session is over, for what `why` says */
};

struct hws_event {
    uint32_t type; /* enum hws_event_type; the rest is of paths, but for `why` */
    enum hws_path_state old_state, state;
    const char *why; /* words for the newest change, which live as long as the library */
    char link[16];
    struct sockaddr_storage remote;
};

/* 1 and the next thing that happened to the session, or 0: nothing more. ret: of size bytes. At most 64 are kept (of
 * all sessions of a listener), the newest: what is so now, hws_session_paths and hws_session_events tell. */
int hws_session_pop_event(struct hws_session *s, struct hws_event *ret, size_t size);

enum hws_link_use {
    HWS_LINK_PRIMARY,
    HWS_LINK_SECONDARY, /* when no primary one works */
    HWS_LINK_BACKUP,    /* when no other works */
    HWS_LINK_NEVER,
};

/* What a client's uplink of that name is for, from now on, whether it is there or not; all are primary. 0, -EINVAL,
 * -ENOTCONN (not a client that calls or called), -ENOSPC (8 names were said). */
int hws_session_use_link(struct hws_session *s, const char *link, enum hws_link_use use);

/* The public key of this end, or of the other: as text. 0 or -ENOTCONN. */
int hws_session_key(const struct hws_session *s, char ret[HWS_KEY_SIZE]);
int hws_session_peer_key(const struct hws_session *s, char ret[HWS_KEY_SIZE]);

/* After -HWS_EREFUSED: which term the peer refused, as words that live as long as the library; else NULL. */
const char *hws_session_refusal(const struct hws_session *s);

/* What a negative return value means here. Never NULL. */
const char *hws_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
