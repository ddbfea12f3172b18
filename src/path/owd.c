/* path/owd.c - see owd.h. A sample is unwrapped to be the nearest to the newest one, so delays may change by up to 2.1
 * s between records. Sources: RFC 3550 6.4.1, A.8 (jitter); smoothing 1/8 as RFC 9002's srtt. */
#include "path/owd.h"

#define PEAK_SPAN (500 * MSEC) /* chosen: a few round trips, so that a queue that comes and goes is remembered */

void owd_on_sample(struct owd *o, uint16_t ts64, instant now)
{
    span d = owd_wrap(now - ((span)ts64 << 6)), change;

    if (!o->sampled) {
        *o = (struct owd){ .sampled = true, .newest = d, .smooth_x8 = d * 8, .peak = { d, d }, .peak_at = now };
        return;
    }
    change = owd_wrap(d - o->newest);
    o->newest += change;
    o->jitter_x16 += (change < 0 ? -change : change) - ((o->jitter_x16 + 8) >> 4);
    o->smooth_x8 += o->newest - (o->smooth_x8 >> 3);
    if (now - o->peak_at >= PEAK_SPAN) {
        o->peak[1] = now - o->peak_at >= 2 * PEAK_SPAN ? o->newest : o->peak[0];
        o->peak[0] = o->newest;
        o->peak_at = now;
    }
    o->peak[0] = MAX(o->peak[0], o->newest);
}

span owd_get(const struct owd *o)
{
    return owd_wrap(o->smooth_x8 >> 3);
}

span owd_peak(const struct owd *o, instant now)
{
    return now - o->peak_at >= 2 * PEAK_SPAN ? owd_get(o) : owd_wrap(MAX(o->peak[0], o->peak[1]));
}

span owd_jitter(const struct owd *o)
{
    return o->jitter_x16 >> 4;
}
