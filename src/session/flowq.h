/* session/flowq.h - packets waiting for a path: flow queueing with CoDel under two classes.
 *
 * Packets are not bound to a path when they arrive: they wait in the queue of their flow until a path may send, and
 * that path pulls the next packet of a flow that may use it. So the shares of unequal paths follow from what each
 * really carries. Flows take turns by deficit round robin, new flows first (RFC 8290); all interactive flows go before
 * all bulk ones; CoDel (RFC 8289) drops from standing queues before a packet gets a sequence number, so that a drop
 * here is no gap to the far end.
 *
 * The table has FLOWQ_FLOWS buckets indexed by hash; two flows in one bucket share a queue and a place on the wire. */
#pragma once

#include "base/instant.h"
#include "base/list.h"
#include "base/pbuf.h"

#define FLOWQ_FLOWS 1024
#define FLOWQ_RULES 257 /* steering rules and the default, as tunnel/steer.h */

enum flow_class { FLOW_INTERACTIVE, FLOW_BULK, FLOW_CLASS_COUNT };

/* The owner's part, from `hash` on, is neither read nor changed here; the rest is read-only for the owner. */
struct flow {
    struct list active;  /* in one of the rounds, or alone */
    struct list packets; /* struct pbuf, oldest first; pbuf.stamp is the time of arrival */
    size_t bytes, pkts;
    int32_t deficit;
    bool is_new;
    uint8_t class; /* enum flow_class, of the last push: the packets that wait move along */
    struct {
        instant first_above, drop_next;
        uint32_t count, last_count;
        bool dropping;
    } codel;
    uint16_t index; /* in the table, and the flow label on the wire */
    uint16_t steer; /* steering rule below FLOWQ_RULES, by flowq_steer */

    uint64_t hash;     /* of the flow that used the bucket last */
    uint8_t mode;      /* steering mode */
    uint8_t pinned;    /* path slot + 1, 0: none */
    uint32_t last_seq; /* newest session sequence of this flow */
    bool has_seq;
    uint8_t recent_paths, older_paths; /* slots used in this and the last span of paths_since, a bit each */
    uint64_t run_bytes;                /* of its run: packets of data without a pause of a second */
    instant run_until;                 /* its last one */
    instant paths_since;
};

struct flowq_options {
    size_t bytes_max; /* of all queued packets */
    size_t pkts_max;
    span target;      /* CoDel: 5 ms on one path; the owner adds the spread of the paths' delays */
    span interval;    /* CoDel: 100 ms */
    uint32_t quantum; /* bytes a turn, one full packet; at least 256 */
    /* Tells the packet's receiver of congestion instead of a drop (ECN), and true; false: it has to be dropped. NULL:
     * none can be told. */
    bool (*mark)(struct pbuf *b);
};

struct flowq_stats {
    uint64_t pushed, popped;                             /* an unpop takes one from popped */
    uint64_t dropped_codel, dropped_full, dropped_stale; /* stale: by flowq_keep_newest */
    uint64_t marked;
};

struct flowq;

/* NULL when out of memory. Hashes come from the owner, keyed. */
struct flowq *flowq_new(const struct flowq_options *o);
/* Accepts NULL. Gives up the references of the packets that wait. */
void flowq_free(struct flowq *q);
/* CoDel's: see flowq_options. */
void flowq_set_target(struct flowq *q, span target, span interval);
/* What the paths carry together has just become less. */
void flowq_on_fall(struct flowq *q, instant now);
/* The bucket of a hash; the owner compares and sets `hash` to see that another flow has taken it over. */
struct flow *flowq_flow(struct flowq *q, uint64_t hash);
/* The flow's rule; the packets that wait move along. */
void flowq_steer(struct flowq *q, struct flow *f, uint16_t steer);
/* Takes the caller's reference to b and sets b->stamp. When full, drops the oldest packet of the longest queue (in
 * bytes); that may be b. */
void flowq_push(struct flowq *q, struct flow *f, struct pbuf *b, enum flow_class c, instant now);
/* The next packet that `may` allows, with its reference, and its flow; NULL when there is none. `may` is asked about a
 * flow at most once a call and must not change the queue. CoDel drops happen here. */
struct pbuf *flowq_pop(struct flowq *q, enum flow_class c, bool (*may)(void *ctx, const struct flow *f), void *ctx,
                       instant now, struct flow **ret_flow);
/* Puts back, at the head, a packet just popped (the path could not send after all). */
void flowq_unpop(struct flowq *q, struct flow *f, struct pbuf *b);
bool flowq_empty(const struct flowq *q, enum flow_class c);
/* Flows that have packets. */
size_t flowq_flows(const struct flowq *q, enum flow_class c);
/* Flows whose runs have so many bytes and went on until then, or later. It looks at all FLOWQ_FLOWS. */
size_t flowq_runs(const struct flowq *q, uint64_t bytes, instant since);
size_t flowq_bytes(const struct flowq *q);
/* Of them, those of flows with this rule. */
size_t flowq_bytes_of(const struct flowq *q, uint16_t steer);
/* Nothing can be sent (no path): keep only the newest packet of each flow, so that it can be sent at once later. */
void flowq_keep_newest(struct flowq *q);
/* Calls visit for every flow that has packets; visit must not change the queue. */
void flowq_foreach(struct flowq *q, void (*visit)(void *ctx, struct flow *f), void *ctx);
struct flowq_stats flowq_stats(const struct flowq *q);
