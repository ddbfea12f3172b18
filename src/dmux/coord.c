/* dmux/coord.c - see coord.h. The algorithm is figure 3 of the paper; its constants are those of section 5.1.
 *
 * Theory of operation. A coordinate is a point, and a height above it: the way from the gateway to the core, which all
 * of its ways share. The distance of two is that of their points and both heights. Each round trip that is measured
 * moves one end by a part of the difference, along the line between the two: its point by the part that the points have
 * of the distance, its height by the rest. Who is less sure moves by more. */
#include "dmux/coord.h"

#include <errno.h>
#include <math.h>

#define MOVES .25         /* cc: of the way to where the sample would have it */
#define TOGETHER_US 1000. /* chosen: nearer than this, two points are one: they come apart as such, not by heights */
#define LEARNS .25        /* ce: of the error of the sample */

void coord_init(struct coord *c)
{
    *c = (struct coord){ .height_us = COORD_HEIGHT_MIN_US, .error = 1 };
}

bool coord_sound(const struct coord *c)
{
    /* What is not a number is in no range. */
    for (size_t i = 0; i < COORD_DIMENSIONS; i++) {
        if (!(fabs(c->at_us[i]) <= COORD_REACH_US))
            return false;
    }
    return c->height_us >= COORD_HEIGHT_MIN_US && c->height_us <= COORD_REACH_US && c->error >= 0 &&
           c->error <= COORD_ERROR_MAX;
}

struct mesh_coord coord_told(const struct coord *c)
{
    struct mesh_coord m = { .height_us = (uint32_t)c->height_us, .error_permille = (uint16_t)(c->error * 1000 + .5) };

    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        m.at_us[i] = (int32_t)c->at_us[i];
    return m;
}

int coord_heard(const struct mesh_coord *m, struct coord *ret)
{
    struct coord c = { .height_us = m->height_us, .error = m->error_permille / 1000. };

    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        c.at_us[i] = m->at_us[i];
    if (!coord_sound(&c))
        return -EINVAL;
    *ret = c;
    return 0;
}

static double plain_distance(const struct coord *a, const struct coord *b)
{
    double sum = 0;

    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        sum += (a->at_us[i] - b->at_us[i]) * (a->at_us[i] - b->at_us[i]);
    return sqrt(sum);
}

uint32_t coord_estimate_us(const struct coord *a, const struct coord *b)
{
    return (uint32_t)MAX(plain_distance(a, b) + a->height_us + b->height_us, 1.);
}

/* Away from the other, of length 1; if both are at one place, anywhere. */
static void direction(const struct coord *c, const struct coord *peer, const struct rng *rng,
                      double ret[COORD_DIMENSIONS])
{
    double length = plain_distance(c, peer);

    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        ret[i] = c->at_us[i] - peer->at_us[i];
    if (length < 1) {
        length = 0;
        for (size_t i = 0; i < COORD_DIMENSIONS; i++) {
            ret[i] = (double)(rng_u64(rng) >> 11) / (double)(1ULL << 52) - 1;
            length += ret[i] * ret[i];
        }
        length = MAX(sqrt(length), 1e-9);
    }
    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        ret[i] /= length;
}

static double within(double v, double low, double high)
{
    return MIN(MAX(v, low), high);
}

int coord_on_sample(struct coord *c, const struct coord *peer, uint32_t rtt_us, const struct rng *rng)
{
    double away[COORD_DIMENSIONS], distance, plain, part, weight, step, farthest, sample_error;

    if (rtt_us == 0 || rtt_us > COORD_RTT_MAX_US)
        return -ERANGE;
    if (!coord_sound(peer))
        return -EINVAL;
    plain = plain_distance(c, peer);
    distance = plain + c->height_us + peer->height_us;
    weight = c->error / (c->error + MAX(peer->error, COORD_ERROR_MIN));
    sample_error = MIN(fabs(distance - rtt_us) / rtt_us, COORD_ERROR_MAX);
    /* Who is sure is not thrown about by one that is not believable. */
    farthest = COORD_STEP_MAX_US * MIN(c->error, 1.);
    step = within(MOVES * weight * (rtt_us - distance), -farthest, farthest);
    direction(c, peer, rng, away);
    /* The unit vector of a height vector is each part by the whole: what is near moves its height, what is far its
     * place. Two at one place come apart by their places alone: else all that there is to know goes into heights at the
     * beginning, and comes out of them slowly. */
    part = plain < TOGETHER_US && step > 0 ? 1 : plain / distance;
    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        c->at_us[i] = within(c->at_us[i] + step * part * away[i], -COORD_REACH_US, COORD_REACH_US);
    c->height_us = within(c->height_us + step * (1 - part), COORD_HEIGHT_MIN_US, COORD_REACH_US);
    c->error =
        within(sample_error * LEARNS * weight + c->error * (1 - LEARNS * weight), COORD_ERROR_MIN, COORD_ERROR_MAX);
    return 0;
}
