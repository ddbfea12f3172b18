/* session/reseq.h - putting striped flows back in order, each on its own.
 *
 * Every data record carries a session sequence number, and the distance to the previous record of its flow, so the
 * receiver of a flow knows exactly which sequence it is missing. A record waits for its predecessor until
 *   - it comes,
 *   - or every path that the flow may be using has already delivered a later sequence: then it is lost, not late
 *     (which does not count for paths whose sender will send again what was lost, and in time),
 *   - or the deadline that the owner gives: how far apart the paths are, and how long sending again takes.
 *
 * The deadline is from 5 to 200 ms: a thin path's queue comes on top of its delay, and a flow that waits for longer has
 * its sender try again anyway (Linux's TCP_RTO_MIN is 200 ms).
 *
 * One flow never waits for another. A record that comes after its successor was released is passed on at once (late is
 * better than lost); duplicates are not seen here: the session removed them. The first record of a flow, and the first
 * after a second without any, waits for nothing. `now` never goes back from call to call. */
#pragma once

#include "base/instant.h"
#include "base/pbuf.h"

#define RESEQ_FLOWS 1024   /* as FLOWQ_FLOWS: the label is the index */
#define RESEQ_PATH_SLOTS 8 /* path id modulo 8 */
#define RESEQ_WAIT_MIN (5 * MSEC)
#define RESEQ_WAIT_MAX (200 * MSEC)

/* Every record counts once in in_order, late or held; each held one once more when it is released. */
struct reseq_stats {
    uint64_t in_order;
    uint64_t held;
    uint64_t released_gap;      /* its predecessor was delivered */
    uint64_t released_lost;     /* no path can bring its predecessor any more, or a later record need not wait */
    uint64_t released_deadline; /* it, or a record behind it, has waited long enough */
    uint64_t released_full;     /* too many were held */
    uint64_t late;              /* came after its successor was delivered */
};

struct reseq;

/* held_max: packets held over all flows; above it the oldest gap is given up. NULL when out of memory. */
struct reseq *reseq_new(size_t held_max);
/* Accepts NULL. Gives up the references of what it holds. */
void reseq_free(struct reseq *r);
/* Fewer than reseq_new was told, or as many again; what is held already stays until the next record is. */
void reseq_set_held_max(struct reseq *r, size_t held_max);
/* Clamped; RESEQ_WAIT_MAX until set. Also for the records that wait already. */
void reseq_set_wait(struct reseq *r, span wait);
/* What was lost on these slots, a bit each, is sent again within the wait: none until set. When it changes, call
 * reseq_pop afterwards. */
void reseq_set_resent(struct reseq *r, uint8_t slots);
/* A record of any kind with session sequence seq arrived on a path slot (sequences already extended to 64 bits). A slot
 * that was gone is in use again. */
void reseq_on_path(struct reseq *r, unsigned slot, uint64_t seq);
/* Takes the reference to b. prev: sequence of the previous record of this flow, or UINT64_MAX when it need not wait.
 * paths: bit mask of the slots that the flow may have used for what comes before; 0: nothing can come any more. Call
 * reseq_on_path first, then pop. */
void reseq_push(struct reseq *r, uint16_t flow, uint64_t seq, uint64_t prev, uint8_t paths, struct pbuf *b,
                instant now);
/* True when the record may pass at once without being stored (in order and nothing of its flow held, or late): the
 * state is then already moved on. False as well while reseq_pop has something to give. Saves the copy on the common
 * way; when false, go on with reseq_push. */
bool reseq_pass(struct reseq *r, uint16_t flow, uint64_t seq, uint64_t prev, uint8_t paths, instant now);
/* The next packet to deliver, with its reference; NULL when none is ready. In order within each flow. */
struct pbuf *reseq_pop(struct reseq *r, instant now);
/* When to call reseq_pop: 0 when a packet is ready, INSTANT_NEVER when nothing is held. O(1). */
instant reseq_next_expiry(const struct reseq *r);
/* A path went down: it delivers nothing more, so nobody waits for it. Call reseq_pop afterwards. */
void reseq_path_gone(struct reseq *r, unsigned slot);
struct reseq_stats reseq_stats(const struct reseq *r);
