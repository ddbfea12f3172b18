/* sim/link.h - one direction of a link: rate, delay, jitter, loss, queue; no clock, no packets' bytes.
 *
 * The same model runs in virtual time (the simulator) and in real time (the emulator of lab/). Whoever drives it passes
 * `now`, which never goes back; the model decides each packet's fate and the time of its delivery. Packets are opaque
 * pointers that stay the caller's: a packet belongs to the link from a LINK_QUEUED push until link_pop returns it.
 *
 * Order of a packet's life: down, MTU, blackhole, queue limit (all at push), random and bursty loss (drawn at push, but
 * a lost packet still takes its place in the queue and its time on the wire), serialisation, delay and jitter,
 * delivery. Each impairment draws from a stream of its own, so that switching one on does not change another's draws.
 */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "base/rng.h"

#define LINK_TRACE_MTU 1500         /* bytes an opportunity of a trace carries (Mahimahi) */
#define LINK_TRACE_MAX (1u << 22)   /* opportunities */
#define LINK_PATH_MAX 256           /* a trace file's name and its NUL */
#define LINK_PACKET_MAX 65535       /* bytes */
#define LINK_RATE_MAX 1000000000000 /* bit/s */
#define LINK_DELAY_MAX (3600 * SEC)
#define LINK_ERROR_MAX 256  /* an error text and its NUL */
#define LINK_PARAMS_MAX 768 /* a formatted parameter text and its NUL */

/* Opportunities to deliver LINK_TRACE_MTU bytes, ms from the start, non-decreasing; loops after the last. */
struct link_trace {
    uint32_t *at_ms;
    size_t count;
};

enum link_dist { LINK_DIST_NORMAL = 0, LINK_DIST_UNIFORM };

/* All zero: a perfect wire. Probabilities are 0..1. */
struct link_params {
    uint64_t rate_bps;              /* IP bits per second; 0: unlimited */
    const struct link_trace *trace; /* replaces rate_bps when set; outlives its use; owned by the caller */
    char trace_path[LINK_PATH_MAX]; /* where link_params_parse was told to look; the caller loads it */
    span delay;                     /* one way */
    span jitter;                    /* standard deviation (normal) or greatest deviation (uniform) */
    enum link_dist dist;
    bool reorder; /* jitter may change the order */
    double loss;
    double ge_p, ge_r, ge_loss_good,
        ge_loss_bad; /* Gilbert-Elliott: P(good to bad), P(bad to good); off when ge_p is 0 */
    double dup, corrupt;
    uint64_t queue_bytes; /* 0: queue_time */
    span queue_time;      /* at the rate (a trace's mean); both 0: 100 ms, at least 64 KiB */
    uint32_t mtu;         /* bytes; 0: none */
    bool down;            /* carrier lost: all that is queued or in flight is lost too */
    bool blackhole;       /* swallows what is pushed; what is in flight arrives */
};

enum link_verdict {
    LINK_QUEUED = 0, /* the link holds the packet; the others leave it with the caller */
    LINK_DROP_DOWN,
    LINK_DROP_MTU,
    LINK_DROP_BLACKHOLE,
    LINK_DROP_QUEUE, /* over the limit */
    LINK_DROP_SLOTS, /* more packets than link_init allowed */
    LINK_DROP_LOSS,
    LINK_DROP_BURST, /* Gilbert-Elliott */
    LINK_VERDICT_COUNT
};

struct link_counters {
    uint64_t in_pkts, in_bytes;
    uint64_t delivered_pkts, delivered_bytes; /* without duplicates */
    uint64_t duplicated, corrupted, reordered;
    uint64_t dropped[LINK_VERDICT_COUNT];
    uint64_t queue_max_bytes;
};

struct link_out {
    void *pkt;
    uint32_t len;
    instant due;      /* when it was to leave; <= now */
    unsigned copies;  /* deliver so many; 0: lost with the carrier, free it */
    int64_t flip_bit; /* flip this bit of the packet's len bytes before delivery; -1: none */
};

struct link_slot;
struct link_flight;

struct link_dir {
    struct link_params params;
    struct link_counters counters;
    int64_t now_ns;
    /* Waiting for or in serialisation: a ring. The head's work is in bit x ns: len * 8 * 10^9. */
    struct link_slot *ring;
    size_t ring_head, ring_count, slots_max;
    uint64_t queued_bytes;
    uint64_t head_work,
        carry; /* carry: fraction of a nanosecond, in 1/rate, by which the head started after start_ns */
    int64_t start_ns;
    /* The trace: time of its present round's zero, next opportunity. */
    int64_t round_ns;
    size_t opportunity;
    /* On the wire: a heap by due time, then order of arrival. */
    struct link_flight *heap;
    size_t heap_count;
    int64_t last_due_ns;
    uint64_t sequence, delivered_sequence;
    bool bad; /* Gilbert-Elliott state */
    struct prng loss_prng, burst_prng, jitter_prng, dup_prng, corrupt_prng;
};

/* max_packets: held at once, queued and in flight. Starts as a perfect wire. 0 or -ENOMEM. */
MUST_CHECK int link_init(struct link_dir *l, size_t max_packets, uint64_t seed);
/* The caller has popped and freed what it wants back; held packets are forgotten. */
void link_deinit(struct link_dir *l);
/* New parameters from now on: what is being serialised goes on at the new rate, what waits keeps its place even above a
 * smaller limit, and what is in flight keeps its delivery time. A new trace starts at its beginning. */
void link_configure(struct link_dir *l, const struct link_params *params, instant now);
/* len: IP bytes, 1..LINK_PACKET_MAX. */
enum link_verdict link_push(struct link_dir *l, void *pkt, uint32_t len, instant now);
/* 1 and *ret_out when a packet is due, 0 otherwise. */
int link_pop(struct link_dir *l, instant now, struct link_out *ret_out);
/* When to call link_pop next; INSTANT_NEVER when nothing is held. It may give nothing then: call again. */
instant link_next_expiry(const struct link_dir *l);
/* Any held packet, without regard to time or counters, or NULL: to free them before link_deinit. */
void *link_drain(struct link_dir *l);
/* Bytes waiting for or in serialisation at the last call. */
static inline uint64_t link_queued_bytes(const struct link_dir *l)
{
    return l->queued_bytes;
}

const char *link_verdict_name(enum link_verdict v);
/* 8 bits of a byte, times the opportunities, over the trace's length. */
uint64_t link_trace_mean_bps(const struct link_trace *t);

/* Reads blank-separated key=value pairs into *p; keys that are not named keep their value, so that one text sets up a
 * link and another changes it.
 *
 *   rate=14.67mbit     bit, kbit, mbit, gbit (powers of 1000); `unlimited`; ends a trace
 *   trace=FILE         a Mahimahi trace; the caller loads p->trace_path (link_trace_load) into p->trace; ends a rate
 *   delay=15ms jitter=3ms    us, ms, s; a unit is needed except for 0
 *   dist=normal|uniform  reorder=0|1
 *   loss=0.5% dup=0.1% corrupt=0.01%    the sign is needed except for 0
 *   ge=P,R[,GOOD[,BAD]]      fractions or percent; GOOD 0 and BAD 1 when left out; `ge=0` ends it
 *   queue=65536|64k|2m|50ms|default     k and m are powers of 1024
 *   mtu=1500 (0: none)  down=0|1  blackhole=0|1
 *
 * 0, or -EINVAL with *p unchanged and the fault in err: what was found and what was expected. */
int link_params_parse(const char *text, struct link_params *p, char err[LINK_ERROR_MAX]);
/* The parameters as a text that link_params_parse takes; returns buf. */
char *link_params_format(const struct link_params *p, char buf[LINK_PARAMS_MAX]);

/* A trace from its text: one number a line, `#` comments and empty lines allowed. 0, -ENOMEM or -EINVAL with err. */
int link_trace_parse(const char *text, size_t len, struct link_trace *ret, char err[LINK_ERROR_MAX]);
/* The same from a file. Also the error of open or read. */
int link_trace_load(const char *path, struct link_trace *ret, char err[LINK_ERROR_MAX]);
void link_trace_deinit(struct link_trace *t);
