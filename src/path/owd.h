/* path/owd.h - one-way delay and jitter of what arrives, from the sender's 16-bit timestamps of 64 us.
 *
 * The delay is the receiver's clock less the sender's, modulo 2^22 us (4.19 s), taken around 0: [-2^21, 2^21). Its
 * offset is the difference of two clocks, the same for all paths of two hosts, so differences between paths are
 * differences of delay; take them through owd_wrap, which is right across the wrap too. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define OWD_MODULUS ((span)1 << 22)

struct owd {
    bool sampled;
    span newest;        /* unwrapped to be continuous */
    int64_t smooth_x8;  /* continuous as newest, times 8 */
    int64_t jitter_x16; /* RFC 3550 A.8 */
    span peak[2];       /* highest of this half second and of the one before, continuous as newest */
    instant peak_at;    /* when this half second began */
};

void owd_on_sample(struct owd *o, uint16_t ts64, instant now);
/* Smoothed over about 8 records, in [-2^21, 2^21); 0 before the first sample. */
span owd_get(const struct owd *o);
/* The highest of the last half to whole second, wrapped as owd_get. */
span owd_peak(const struct owd *o, instant now);
span owd_jitter(const struct owd *o);
/* Into [-2^21, 2^21). */
static inline span owd_wrap(span d)
{
    return ((d + OWD_MODULUS / 2) & (OWD_MODULUS - 1)) - OWD_MODULUS / 2;
}
