/* lab/middlebox_tcp.h - what middleboxes of the Internet do to TCP, as a machine without IO: a packet in, packets out.
 *
 * IPv4 packets that hold a whole TCP segment with a right checksum are changed as the options say, with new checksums;
 * everything else comes out as it went in. Who sends a SYN first is a connection's client. One thread. */
#pragma once

#include "base/hash.h"
#include "base/instant.h"
#include "base/list.h"
#include "base/rng.h"
#include "tunnel/packet.h"

#define MIDDLEBOX_CONNS_MAX 4096          /* chosen: far above what a scenario opens */
#define MIDDLEBOX_IDLE_AFTER (120 * SEC)  /* chosen: hours in RFC 5382 5, minutes in the field */
#define MIDDLEBOX_CLOSED_AFTER (10 * SEC) /* chosen: a few retransmissions of the last FIN */
#define MIDDLEBOX_TEXT_MAX 64             /* bytes of either text of an edit */
#define MIDDLEBOX_MTU_MIN 576             /* bytes; RFC 791 3.1 */
#define MIDDLEBOX_AFTER_MAX (1024u << 20) /* bytes; half of what sequence numbers tell apart is 2 GiB */

struct middlebox_options {
    bool strip_options; /* every option but MSS becomes NOPs */
    bool strip_mptcp;   /* option kind 30 becomes NOPs */
    bool rewrite_seq;   /* the client's sequence numbers are moved by a random distance, one a connection */
    uint16_t recut;     /* payload bytes of a segment at most; 0: as they come */
    uint16_t mtu;       /* bytes; what an edit made larger than this is cut; at least MIDDLEBOX_MTU_MIN */
    /* The edit: once a connection, in what its client sends after that many bytes, `from` is replaced by `to`. */
    bool grow;
    uint32_t after;                                        /* bytes, at most MIDDLEBOX_AFTER_MAX */
    uint8_t from_len;                                      /* 0: `to` is inserted there */
    uint8_t to_len;                                        /* at least 1: what is nothing is not acknowledged */
    char from[MIDDLEBOX_TEXT_MAX], to[MIDDLEBOX_TEXT_MAX]; /* not terminated */
};

struct middlebox_counts {
    uint64_t connections;      /* whose SYN was seen and that found a place */
    uint64_t packets;          /* that went in */
    uint64_t options_stripped; /* options */
    uint64_t numbers_moved;    /* segments whose sequence number or acknowledgement was changed */
    uint64_t segments_recut;   /* segments that came out as several */
    uint64_t edits;            /* connections in which `from` was found */
    int64_t bytes_inserted;    /* by edits, each counted once; negative if `to` is shorter */
    uint64_t untracked;        /* segments of no known connection: options and lengths are changed all the same */
    uint64_t no_place;         /* SYNs that found the table full */
};

struct middlebox {
    struct middlebox_options options;
    struct middlebox_counts counts;
    struct rng rng;
    uint8_t key[16];
    struct map64 conns;       /* owns struct conn */
    struct list open, closed; /* of struct conn, the longest unused first */
    /* The packet that is being given out. */
    struct packet_info info;
    size_t len, at;  /* of the packet; payload bytes given out */
    size_t limit;    /* payload bytes of a piece; 0: it is given as it came */
    unsigned pieces; /* given out */
    bool waiting;
    uint8_t packet[PACKET_MAX + MIDDLEBOX_TEXT_MAX];
};

/* rng must outlive it. Nothing is allocated yet. */
void middlebox_init(struct middlebox *m, const struct middlebox_options *o, const struct rng *rng);
void middlebox_deinit(struct middlebox *m);
/* Takes a packet of 1 to PACKET_MAX bytes, once middlebox_pop has returned 0. */
void middlebox_push(struct middlebox *m, const uint8_t *packet, size_t len, instant now);
/* The next packet of the one that was taken last: its length, in out, of PACKET_MAX bytes; 0: there is none left. */
size_t middlebox_pop(struct middlebox *m, uint8_t *out);
