/* tunnel/tcp.h - one end of a TCP connection without sockets: packets in and out, bytes in and out.
 *
 * For whoever ends an application's connection itself (a performance-enhancing proxy, RFC 3135). On the passive side
 * the application's own kernel, or a client of a LAN behind this host, talks through the TUN device to the address of
 * some server, and this end answers in that server's name. On the active side this end is the client, and talks to the
 * server in that one's place.
 *
 *   SYN --> tcp_end_new: HELD. Nothing is answered until the owner knows whether the server takes the connection:
 *           tcp_end_accept: SYN-ACK, and the connection comes to be
 *           tcp_end_refuse: RST, or an ICMP error that says why
 *   SYN <-- tcp_end_connect: SYN_SENT, until the server answers (ESTABLISHED), or it refuses, ICMP says that the SYN
 *           does not get there, or a minute is over (CLOSED, tcp_end_error). Bytes that are written meanwhile wait
 *   then    tcp_end_write, finish; read, at_end; abort
 *   closed  tcp_end_free; what the peer still sends belongs to nobody: tcp_reset_make
 *
 * The owner keeps a table of ends by addresses and ports, gives each packet to tcp_end_input, and after every call but
 * the cheap questions takes out tcp_end_output until it says no; it calls tcp_end_on_expiry at tcp_end_next_expiry, and
 * then takes out again. There are no events: after tcp_end_input and tcp_end_on_expiry ask state, readable, room. What
 * is not read fills the window and stops the peer; what the peer does not take fills the ring, and tcp_end_room is 0.
 *
 * RFC 9293, 7323 (scaling, timestamps, PAWS), 2018 and 2883 (SACK), 6298, 5681, 8985 (RACK-TLP), 5961 (blind attacks),
 * 6528 (initial sequence number); of an end that connects 9438 (CUBIC), 9406 (HyStart++) and 3522 (Eifel). No ECN is
 * offered, no data sent with a SYN or taken from one, and urgent data is data like any other. Two ends that open to
 * each other at once (RFC 9293 3.5) do not meet: a server does not open.
 *
 * Pure: no clock, no socket. An instant never goes back. Memory: 5 KiB, half of one more of an end
 * that connects, two rings up to the stated sizes, which go when nothing is kept, and the ranges (at most 32 KiB). */
#pragma once

#include "base/instant.h"
#include "base/slice.h"
#include "tunnel/merge.h"

#define TCP_END_BUFFER_MIN 65536u
#define TCP_END_BUFFER_DEFAULT (1u << 20) /* chosen: 4 Gbit/s for 2 ms, a wake-up of a busy host */
#define TCP_END_BUFFER_MAX (64u << 20)
#define TCP_END_MTU_DEFAULT 1500
#define TCP_END_KEEPALIVE_DEFAULT (7200 * SEC) /* RFC 9293 3.8.4 */

struct tcp_end;
struct reader;
struct writer;

enum tcp_end_state {
    TCP_END_HELD,         /* a SYN came, and nothing was answered */
    TCP_END_SYN_SENT,     /* tcp_end_connect; the peer has not answered */
    TCP_END_SYN_RECEIVED, /* accepted; the peer has not confirmed */
    TCP_END_ESTABLISHED,
    TCP_END_FIN_WAIT_1,
    TCP_END_FIN_WAIT_2,
    TCP_END_CLOSE_WAIT,
    TCP_END_CLOSING,
    TCP_END_LAST_ACK,
    TCP_END_TIME_WAIT, /* both directions ended; it may be freed at once, at the price of tcp.c's TIME_WAIT */
    TCP_END_CLOSED,    /* take out what tcp_end_output still has, read what is there, free it */
    TCP_END_STATES
};

enum tcp_refusal {
    TCP_REFUSED,            /* RST: the peer sees ECONNREFUSED */
    TCP_REFUSED_NET,        /* no route to there */
    TCP_REFUSED_HOST,       /* no such host, or it does not answer */
    TCP_REFUSED_PROHIBITED, /* not allowed */
    TCP_REFUSAL_COUNT
};

struct tcp_end_options {
    size_t send_bytes, receive_bytes; /* at most that much is kept; rounded down to a power of two; 0: the default */
    uint16_t mtu;                     /* bytes: of the device, 0: 1500; what we announce and send fits it */
    bool offload;                     /* the device takes super-packets and completes checksums */
    span keepalive;  /* silence before the first probe, 0: 2 hours; INSTANT_NEVER: no probes. Nine, 75 s apart */
    uint8_t key[16]; /* random, one for all connections and secret: initial numbers and timestamps come from it */
};

/* An end for a SYN that packet_parse took. 0; -EPROTO: not a SYN that begins a connection (other flags, broken options,
 * a fragment); -ENOMEM. The checksum is not looked at: see tcp_checksum_right. */
MUST_CHECK int tcp_end_new(const struct tcp_end_options *o, const uint8_t *pkt, const struct packet_info *info,
                           instant now, struct tcp_end **ret);
/* An end that opens a connection from local (our side) to peer; its SYN is in tcp_end_output. 0; -EINVAL: the families
 * differ, an address is not that of one host, or a port is 0; -ENOMEM. */
MUST_CHECK int tcp_end_connect(const struct tcp_end_options *o, const struct endpoint *local,
                               const struct endpoint *peer, instant now, struct tcp_end **ret);
/* Accepts NULL. */
void tcp_end_free(struct tcp_end *e);
/* Is the packet of this connection, from the peer? */
bool tcp_end_matches(const struct tcp_end *e, const struct packet_info *info);

/* Both: once, while it is HELD; later nothing happens (the peer may have taken its SYN back). src: whose word an ICMP
 * error is, of the packet's family; NULL: the server's. TCP_REFUSED takes none. */
void tcp_end_accept(struct tcp_end *e, instant now);
void tcp_end_refuse(struct tcp_end *e, enum tcp_refusal why, const struct addr *src);

/* --- packets --- */

enum tcp_end_outcome {
    TCP_END_TAKEN = 0,   /* whatever it was */
    TCP_END_REOPENED = 1 /* TIME_WAIT or CLOSED, and a new connection of the same ports begins: free this end and give
                            the packet to tcp_end_new. Never of an end that connected: its peer is a server */
};

/* A packet, or a super-packet, that matches. offload as with segment_init, NULL: a plain one; a checksum that nobody
 * vouches for is verified. Nothing that comes in is an error of this function: it is dropped and counted. */
enum tcp_end_outcome tcp_end_input(struct tcp_end *e, const uint8_t *pkt, const struct packet_info *info,
                                   const struct offload *offload, instant now);
/* The next packet for the device, as merge_pop gives them: true, and valid until the next call with this end. It counts
 * as sent: if the device does not take it, that is a loss. */
bool tcp_end_output(struct tcp_end *e, struct merged *ret, instant now);
instant tcp_end_next_expiry(const struct tcp_end *e);
void tcp_end_on_expiry(struct tcp_end *e, instant now);
/* ICMP said that a packet of ours with this sequence number was too big: what is in flight is sent again in smaller
 * pieces. A number that is not in flight, and an mtu that is not smaller, say nothing (RFC 5927). */
void tcp_end_on_too_big(struct tcp_end *e, uint32_t seq, uint16_t mtu);
/* ICMP said why a packet of ours with this sequence number did not arrive. If it was our SYN, and unanswered, the end
 * is CLOSED: -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH or -EACCES. Else it says nothing: a way that was there may come
 * back, and the connection ends by its own timers (RFC 1122 4.2.3.9, 5461, 5927). */
void tcp_end_on_unreachable(struct tcp_end *e, uint32_t seq, enum tcp_refusal why);

/* --- bytes --- */

/* Copies as much as fits: that many bytes; 0: full. Also before the connection is there. -EPIPE after tcp_end_finish;
 * -ENOMEM; the error that ended it. */
int64_t tcp_end_write(struct tcp_end *e, const uint8_t *data, size_t len);
/* Bytes that tcp_end_write would take now. */
size_t tcp_end_room(const struct tcp_end *e);
/* Nothing more will be written: FIN after the last byte. The other direction goes on. */
void tcp_end_finish(struct tcp_end *e);
/* The peer has acknowledged everything that was written, and the end if it was said. */
bool tcp_end_flushed(const struct tcp_end *e);

/* Bytes into buf. 0: none now, or the end (tcp_end_at_end). What ended it, when all has been read that came before. */
int64_t tcp_end_read(struct tcp_end *e, uint8_t *buf, size_t max);
/* The same without a copy: what stands next in one piece (len 0: see tcp_end_read), until the next tcp_end_input; then
 * how much of it was used. */
struct slice tcp_end_peek(const struct tcp_end *e);
void tcp_end_consume(struct tcp_end *e, size_t len);
/* tcp_end_read would give bytes, the end, or an error. */
bool tcp_end_readable(const struct tcp_end *e);
bool tcp_end_at_end(const struct tcp_end *e);

/* Breaks it off: RST, once, and it is CLOSED with ECONNABORTED. A HELD one is refused, one in TIME_WAIT only closed;
 * one in SYN_SENT has nothing to take back, and is closed with ECONNABORTED without a packet. */
void tcp_end_abort(struct tcp_end *e);

enum tcp_end_state tcp_end_state(const struct tcp_end *e);
/* 0, also when both directions ended well; -ECONNRESET, -ETIMEDOUT (nothing acknowledged for two minutes, a handshake
 * for one, or no answer to keepalives), -ECONNABORTED, -ECONNREFUSED (by tcp_end_refuse, or by the peer's RST in
 * SYN_SENT), and those of tcp_end_on_unreachable. */
int tcp_end_error(const struct tcp_end *e);
const char *tcp_end_state_name(enum tcp_end_state s);

struct tcp_end_info {
    struct endpoint local, peer;     /* local: our side, so the server in whose name we answer, or the client */
    span srtt, rttvar, rto, min_rtt; /* min_rtt INT64_MAX: never measured */
    uint64_t cwnd, ssthresh, peer_window;
    uint64_t in_flight;                      /* neither acknowledged in any way nor taken for lost */
    uint64_t written, acked, received, read; /* bytes of data; received: without a hole */
    uint64_t packets_in, packets_out;        /* as TUN counts them: a super-packet is one */
    uint64_t resent_packets, resent_bytes, timeouts, probes;
    uint64_t dropped;    /* broken, outside the window, refused by PAWS or RFC 5961 */
    uint16_t mss;        /* bytes of data in a full segment of ours */
    const char *control; /* of congestion: "cubic" of an end that connected, else "reno" */
    bool sack, timestamps;
    size_t holes;                    /* pieces that wait for an earlier one */
    size_t buffered_tx, buffered_rx; /* bytes of memory of the rings */
};
void tcp_end_info(const struct tcp_end *e, struct tcp_end_info *ret);

/* --- to a successor --- */

/* It is there, or over without an error: tcp_end_save may be called. */
bool tcp_end_may_save(const struct tcp_end *e);
/* All that whoever goes on with it needs. Nothing may go in or out after it. */
void tcp_end_save(const struct tcp_end *e, struct writer *w);
/* The end that was saved, on the same clock; `key` counts for nothing, the sizes are those of then. 0; -EPROTO: no end
 * can be so; -ENOMEM. */
MUST_CHECK int tcp_end_restore(const struct tcp_end_options *o, struct reader *r, instant now, struct tcp_end **ret);

/* --- what ICMP says of our packets --- */

struct tcp_icmp {
    struct endpoint local, peer; /* the quoted packet's source and destination, as in struct tcp_end_info */
    uint32_t seq;                /* its number */
    bool too_big;                /* for tcp_end_on_too_big; else for tcp_end_on_unreachable */
    uint16_t mtu;                /* if too_big: bytes; of IPv6 1280 or more, of IPv4 as it was said (0: not at all) */
    enum tcp_refusal why;        /* else */
};

/* True: the packet is a destination unreachable of ICMPv4, or a destination unreachable or packet too big of ICMPv6,
 * about a TCP packet of whom it is sent to. Its checksum is right, and ret is written. Whether there is such a
 * connection, and the number is one of its, is for the owner and the functions above to say. */
bool tcp_icmp_parse(const uint8_t *pkt, const struct packet_info *info, struct tcp_icmp *ret);

/* --- packets of no connection --- */

/* True if the transport checksum of this TCP packet is right, or vouched for by offload (may be NULL). */
bool tcp_checksum_right(const uint8_t *pkt, const struct packet_info *info, const struct offload *offload);
/* The RST that answers a segment of no connection (RFC 9293 3.10.7.1), its checksums complete, into out. The length; 0:
 * none is due; -ENOSPC (TCP_RESET_MAX is enough). The rate is the caller's to limit. */
#define TCP_RESET_MAX 60
int tcp_reset_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info);
