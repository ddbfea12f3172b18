/* sim/media.h - an application of a world: units at a steady pace from one end to another (session/adu.h), as a
 * camera's frames.
 *
 * Both ends have node_options.delivery. The reader takes whatever there is once each millisecond; content, order and
 * that no unit comes twice are checked. */
#pragma once

#include "session/adu.h"
#include "sim/world.h"

#define MEDIA_UNITS_MAX 8192

struct media_spec {
    struct adu_spec unit;
    span interval;
    size_t bytes;
    unsigned key_every; /* 0: never */
    size_t key_bytes;   /* of each such unit */
    unsigned count;     /* until so many were sent; 0: until stopped, at most MEDIA_UNITS_MAX */
};

struct media {
    struct world_source source;
    struct media_spec spec;
    struct world_end *from, *to;
    unsigned from_peer, to_peer;
    instant next_at;
    unsigned sent, refused; /* refused: adus_send had no room */
    unsigned read, late;    /* late: after its lifetime, if it has one */
    uint64_t next_number;   /* an ordered one is not below it */
    span delay_max, delay_sum, jitter_sum;
    span last_delay;
    instant sent_at[MEDIA_UNITS_MAX];
    bool seen[MEDIA_UNITS_MAX];
    int error;
};

/* Begins now; free it after the world has ended. Fails the world at a unit that is wrong. */
struct media *media_new(struct world_end *from, unsigned from_peer, struct world_end *to, unsigned to_peer,
                        const struct media_spec *spec);
void media_free(struct media *m);
/* No more is sent; what is on its way is still read. */
void media_stop(struct media *m);
/* Units that were sent and not read in time, of all. */
double media_bad(const struct media *m);
