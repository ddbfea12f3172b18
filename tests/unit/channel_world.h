/* tests/unit/channel_world.h - two sessions of packets back to back in virtual time, for tests of their channels.
 *
 *     ends[0], opener === LINKS links of a rate and a delay === ends[1], acceptor
 *
 * A link holds what does not get through at once, a datagram after another, and drops what would wait longer than
 * QUEUE. What an end does with its channels is the test's: `serve` is called after all that happened to an end, by
 * default world_serve. */
#pragma once

#include "base/hash.h"
#include "session/internal.h"
#include "tests/unit/test.h"

#define WORLD_LINKS 2
#define WORLD_START (1000 * SEC)

struct world_link {
    uint64_t rate_bps; /* 0: no limit */
    span delay;
    bool holds; /* what is on its way stays there */
    bool loses; /* what is sent now */
    instant free_at;
    struct list flight; /* of datagrams, the first to arrive first */
};

struct world_end {
    struct identity id;
    struct handshake_mask mask;
    struct prng prng;
    struct rng rng;
    struct pbuf_pool pool;
    struct map64 cids;
    struct session *session;
    struct channel *offered[CHANNELS_MAX + 1]; /* by the peer, as they came; for the test to take */
    size_t offered_count;
    unsigned pops;            /* of channels without an owner of the test's */
    uint64_t packet_bytes[4]; /* that arrived, by the first byte of a packet's payload */
};

struct world {
    instant now;
    struct world_end ends[2];
    struct world_link links[WORLD_LINKS][2]; /* [][i]: towards ends[i] */
    void (*serve)(struct world *w, unsigned end);
    void *ctx;
};

/* Sessions that are up, over this many links, without limits and 1 ms long. */
struct world *world_open(unsigned links);
void world_close(struct world *w);
void world_pass(struct world *w, span t);
/* What is on its way to this end is lost. */
void world_lose(struct world *w, unsigned end);
void world_hold(struct world *w, unsigned end, bool holds);
void world_rate(struct world *w, unsigned link, uint64_t bps);
/* A session that knows nothing of the one before. */
void world_restart(struct world *w, unsigned end);

/* As if this end's session had said it: a message in the control stream; the plain text of a data record by the path
 * in slot 0. */
void world_say(struct world *w, unsigned end, const uint8_t *msg, size_t len);
void world_send_chunk(struct world *w, unsigned end, const struct chunk_header *h, size_t len);
/* A packet of len bytes of flow `flow`, for the other end. */
void world_packet(struct world *w, unsigned end, uint8_t flow, size_t len, enum flow_class class, uint16_t target);

/* --- channels --- */

/* A channel, of which c[i] is that of ends[i], and how often it was popped. */
struct world_channel {
    struct channel *c[2];
    unsigned pops[2];
};

/* Counts what is popped where the owner of a channel points, and notes what the peer offers. */
void world_serve(struct world *w, unsigned end);
/* From the opener, and asked for: c[1] is NULL. */
void world_ask(struct world *w, struct world_channel *ret);
/* The next one that was offered to the acceptor, as c[1]. */
void world_take(struct world *w, struct world_channel *ret);
/* One of which the acceptor has said nothing yet. */
void world_offered(struct world *w, struct world_channel *ret);
/* One that is open. */
void world_channel(struct world *w, struct world_channel *ret);
/* A request that no other of 65,535 in a row is like. */
struct channel_open world_request(unsigned i);
uint8_t world_text(uint64_t at);
/* Writes what the channel takes of `len` bytes of world_text from place `at` on; as channel_write. */
int64_t world_write(struct channel *c, uint64_t at, uint64_t len);
/* Reads all there is, of which the first is at place `at`, and checks it; how much. */
uint64_t world_read(struct channel *c, uint64_t at);
