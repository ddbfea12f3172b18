/* path/rtt.c - see rtt.h. The minimum is kept per second for 10 s, so that it is exact to a second without a list of
 * samples. With no sample for longer than that it stays: no evidence, no change. Source: RFC 9002 5.1-5.3. */
#include "path/rtt.h"

void rtt_init(struct rtt *r, span initial)
{
    *r = (struct rtt){ .initial = initial > 0 ? initial : RTT_INITIAL, .newest_second = -1 };
}

static void min_update(struct rtt *r, span sample, instant now)
{
    int64_t second = now / SEC;
    span *b;

    if (second > r->newest_second) {
        int64_t first = MAX(r->newest_second + 1, second - RTT_MIN_BUCKETS + 1);

        for (int64_t s = MAX(first, 0); s <= second; s++)
            r->bucket[s % RTT_MIN_BUCKETS] = 0;
        r->newest_second = second;
    }
    b = &r->bucket[r->newest_second % RTT_MIN_BUCKETS];
    if (*b == 0 || sample < *b)
        *b = sample;
    r->min_rtt = sample;
    for (unsigned i = 0; i < RTT_MIN_BUCKETS; i++)
        if (r->bucket[i] > 0)
            r->min_rtt = MIN(r->min_rtt, r->bucket[i]);
    /* Within 1/32 counts as matched: chosen, so that jitter does not force a drain of the path. */
    if (r->min_ref == 0 || sample <= r->min_ref + r->min_ref / 32)
        r->min_at = now;
    if (r->min_ref == 0 || sample < r->min_ref)
        r->min_ref = sample;
}

void rtt_on_sample(struct rtt *r, span sample, span ack_delay, span ack_delay_max, instant now)
{
    span adjusted, error;

    sample = MAX(sample, USEC);
    ack_delay = CLAMP(ack_delay, 0, ack_delay_max);
    r->latest = sample;
    min_update(r, sample, now);
    if (!r->sampled) {
        r->sampled = true;
        r->srtt = sample;
        r->rttvar = r->deviation = sample / 2;
        r->round_at = now;
        return;
    }
    adjusted = sample >= r->min_rtt + ack_delay ? sample - ack_delay : sample;
    error = r->srtt > adjusted ? r->srtt - adjusted : adjusted - r->srtt;
    r->deviation = (3 * r->deviation + error) / 4;
    r->deviation_max = MAX(r->deviation_max, r->deviation);
    r->rttvar = MAX(r->rttvar, r->deviation_max);
    r->srtt = (7 * r->srtt + adjusted) / 8;
    if (now - r->round_at >= r->srtt) {
        r->rttvar -= (r->rttvar - r->deviation_max) / 4;
        r->deviation_max = 0;
        r->round_at = now;
    }
}

void rtt_set_min(struct rtt *r, span min_rtt, instant now)
{
    memset(r->bucket, 0, sizeof(r->bucket));
    r->newest_second = -1;
    r->min_rtt = r->min_ref = 0;
    min_update(r, MAX(min_rtt, USEC), now);
}

void rtt_on_told(struct rtt *r, span srtt, span rttvar, span min_rtt, instant now)
{
    r->sampled = true;
    r->latest = r->srtt = MAX(srtt, USEC);
    r->rttvar = r->deviation = r->deviation_max = rttvar;
    r->round_at = now;
    rtt_set_min(r, min_rtt > 0 ? min_rtt : srtt, now);
}

void rtt_settle_min(struct rtt *r, instant now)
{
    r->min_ref = r->min_rtt;
    r->min_at = now;
}

span rtt_get(const struct rtt *r)
{
    return r->sampled ? r->srtt : r->initial;
}

span rtt_timeout(const struct rtt *r, span floor)
{
    /* RFC 9002 5.3: before a sample rttvar is half of the initial round trip. */
    span t = r->sampled ? r->srtt + 4 * r->rttvar : 3 * r->initial;

    return MAX(t, floor);
}
