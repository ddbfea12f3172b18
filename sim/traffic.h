/* sim/traffic.h - inner traffic of a world: generators, sinks, and what they found.
 *
 * A steady flow sends numbered UDP packets at a constant rate; a window flow is a TCP sender and its receiver
 * (sim/tcp.h) with the congestion control and the loss detection that are asked for. Packets are valid IPv4 or IPv6
 * with right checksums. Every payload is a piece of one pseudo-random text that holds TRAFFIC_MARKER each 64 bytes, so
 * that whoever sees the marker outside sees plaintext, and no two packets in a row have the same content. */
#pragma once

#include "sim/tcp.h"
#include "sim/world.h"

#define TRAFFIC_MARKER UINT64_C(0x77a1e4d3b25c96f1)
#define TRAFFIC_FLOWS_MAX 1024
#define TRAFFIC_PORT 10000 /* both ports are this and the flow's number */
#define TRAFFIC_SEQS (1u << 16)
#define TRAFFIC_TEXT 4096
#define TRAFFIC_HEAD 24  /* marker, sequence, time */
#define TRAFFIC_MSS 1340 /* bytes: 1,400 less IPv6 and TCP headers */

struct traffic;

struct traffic_tcp {
    struct tcp_sender tx;
    struct tcp_receiver rx;
    bool stamped; /* segments carry timestamps */
};

struct traffic_flow {
    struct traffic *traffic;
    unsigned id;
    bool is_tcp, v6, stopped;
    struct world_end *from, *to;
    uint16_t len, len_spread; /* of the IP packet: len + seq % spread */
    int64_t interval_ns, next_ns;
    struct world_source source;
    uint64_t next_seq;
    /* the sink */
    uint64_t received, received_bytes, duplicates, reordered, highest;
    instant first_rx, last_rx, last_read;
    span gap_max;   /* between two arrivals, since the last traffic_gap_reset */
    span stall_max; /* window: between two arrivals that something could be read after, since then */
    span delay_max; /* one way, since then */
    span *delays;   /* steady: if somebody gives room for so many: one way, by number; 0: has not come */
    uint64_t delays_max;
    uint8_t *seen; /* a bit each of the last TRAFFIC_SEQS */
    struct traffic_tcp *tcp;
};

struct traffic {
    struct world *world;
    struct world_watch watch;
    struct traffic_flow *flows[TRAFFIC_FLOWS_MAX];
    size_t count;
    uint64_t bad; /* inner packets with a wrong content */
    uint8_t text[2 * TRAFFIC_TEXT];
    uint64_t sums[TRAFFIC_TEXT + 1]; /* of the 16-bit words before */
    void (*on_delivered)(void *ctx, struct traffic_flow *f, uint64_t seq);
    void *ctx;
};

struct traffic *traffic_new(struct world *w);
void traffic_free(struct traffic *t);
/* A constant rate of inner bits from one end to the other, beginning now. */
struct traffic_flow *traffic_steady(struct traffic *t, struct world_end *from, struct world_end *to, uint64_t bps,
                                    uint16_t len, bool v6);
/* A window flow of so many bytes (0: until stopped). options NULL: bare CUBIC with the threshold of three. */
struct traffic_flow *traffic_window(struct traffic *t, struct world_end *from, struct world_end *to, uint64_t bytes,
                                    const struct tcp_options *options);
void traffic_stop(struct traffic_flow *f);
void traffic_gap_reset(struct traffic_flow *f);
/* Silence until now counts too. */
span traffic_gap(const struct traffic_flow *f);
/* Window: the same of what was read, which is in order. */
span traffic_stall(const struct traffic_flow *f);
/* Steady: sent and not yet seen. */
uint64_t traffic_missing(const struct traffic_flow *f);
/* Inner payload bits a second from one figure of received_bytes to another. */
double traffic_bps(uint64_t bytes, span t);
