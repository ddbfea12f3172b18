/* dmux/coord.h - where a gateway is among others, so that a round trip to one that was never asked can be estimated.
 *
 * Vivaldi (Dabek, Cox, Kaashoek and Morris, SIGCOMM 2004): springs between whoever measures each other, with the
 * adaptive timestep of section 3.5 and the height vectors of section 5.4. Pure: no clock and no IO.
 *
 * What another says of itself is not trusted: a coordinate that nobody can have and a round trip that no link has are
 * refused, and a sample moves its taker by COORD_STEP_MAX_US at most, and by less the surer it is. */
#pragma once

#include "base/base.h"
#include "base/rng.h"
#include "wire/mesh.h"

#define COORD_DIMENSIONS MESH_COORD_DIMENSIONS /* chosen: section 5.2: little is gained by more */
#define COORD_REACH_US 2000000.                /* chosen: of a component or a height; the Earth is 200 ms around */
#define COORD_HEIGHT_MIN_US 10.                /* chosen: section 5.4 wants it above 0 */
#define COORD_ERROR_MIN .02                    /* chosen: nobody is believed to be surer, so that nobody counts alone */
#define COORD_ERROR_MAX 1.5                    /* chosen */
#define COORD_RTT_MAX_US 3000000               /* a link that is silent for as long is down (dmux/mesh.h) */
#define COORD_STEP_MAX_US 25000.               /* chosen: from one end of the Earth to the other in a dozen samples */

struct coord {
    double at_us[COORD_DIMENSIONS];
    double height_us; /* the way to and from the core, which all of its ways share */
    double error;     /* relative, of its estimates; 1: nothing is known */
};

void coord_init(struct coord *c);
/* Can anybody be there? Everything is a number and in the bounds above. */
bool coord_sound(const struct coord *c);
/* What another is told of a sound one, and what it said: 0, or -EINVAL if nobody can be there. */
struct mesh_coord coord_told(const struct coord *c);
MUST_CHECK int coord_heard(const struct mesh_coord *m, struct coord *ret);
/* The round trip between two sound ones, us; at least 1. */
uint32_t coord_estimate_us(const struct coord *a, const struct coord *b);
/* The round trip to a peer that says to be there was measured: *c moves. rng is asked for a direction when both are at
 * one place. 0; -ERANGE: a round trip of 0 or more than COORD_RTT_MAX_US; -EINVAL: the peer's is not sound. *c is as it
 * was then. */
MUST_CHECK int coord_on_sample(struct coord *c, const struct coord *peer, uint32_t rtt_us, const struct rng *rng);
