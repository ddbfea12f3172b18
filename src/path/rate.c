/* path/rate.c - see rate.h. Limits: an interval of delivery holds at most 2^31 us on the receiver's clock; longer ones
 * use the sender's. Sources: draft-cheng-iccrg-delivery-rate-estimation 3.1-3.3; draft-cardwell-iccrg-bbr 4.1. */
#include "path/rate.h"

void rate_init(struct rate *r, instant now)
{
    /* Limited until something is delivered: the first records show the path's delay, not its rate. */
    *r = (struct rate){ .delivered_at = now, .first_sent_at = now, .app_limited_until = 1 };
}

void rate_on_sent(struct rate *r, bool idle, instant now, struct rate_mark *ret)
{
    if (idle) {
        r->first_sent_at = r->delivered_at = now;
        r->rx_known = false;
    }
    *ret = (struct rate_mark){
        .delivered = r->delivered,
        .delivered_at = r->delivered_at,
        .first_sent_at = r->first_sent_at,
        .rx_at_us = r->rx_at_us,
        .rx_known = r->rx_known,
        .app_limited = r->app_limited_until > 0,
        .idle = idle,
    };
}

void rate_on_app_limited(struct rate *r, uint64_t inflight_bytes)
{
    r->app_limited_until = MAX(r->delivered + inflight_bytes, 1u);
}

void rate_on_acked(struct rate *r, uint64_t acked_bytes, const struct rate_mark *m, instant sent_at,
                   const uint32_t *rx_us, span min_rtt, instant now, struct rate_sample *ret)
{
    span send_elapsed = sent_at - m->first_sent_at, ack_elapsed = now - m->delivered_at, elapsed;
    uint64_t bytes;

    r->delivered += acked_bytes;
    r->delivered_at = now;
    r->first_sent_at = sent_at;
    if (r->app_limited_until > 0 && r->delivered > r->app_limited_until)
        r->app_limited_until = 0;
    if (rx_us) {
        int32_t rx_elapsed = (int32_t)(*rx_us - m->rx_at_us);

        if (m->rx_known && rx_elapsed > 0 && ack_elapsed < INT32_MAX)
            ack_elapsed = rx_elapsed;
        r->rx_at_us = *rx_us;
        r->rx_known = true;
    }
    bytes = r->delivered - m->delivered;
    *ret =
        (struct rate_sample){ .prior_delivered = m->delivered, .flight_bytes = bytes, .app_limited = m->app_limited };
    elapsed = MAX(send_elapsed, ack_elapsed);
    if (elapsed <= 0 || elapsed < min_rtt || bytes > UINT64_MAX / (8 * SEC))
        return;
    ret->bps = bytes * 8 * (uint64_t)SEC / (uint64_t)elapsed;
}

void rate_max_init(struct rate_max *m)
{
    *m = (struct rate_max){ 0 };
}

bool rate_max_add(struct rate_max *m, uint64_t bps, bool app_limited)
{
    if (bps == 0 || (app_limited && bps <= m->bps))
        return false;
    m->measured = true;
    m->round[m->at] = MAX(m->round[m->at], bps);
    m->bps = MAX(m->bps, bps);
    return true;
}

void rate_max_next_round(struct rate_max *m)
{
    if (!m->measured) /* a round without evidence ages nothing */
        return;
    m->measured = false;
    m->at = (m->at + 1) % RATE_ROUNDS;
    m->round[m->at] = 0;
    m->bps = 0;
    for (unsigned i = 0; i < RATE_ROUNDS; i++)
        m->bps = MAX(m->bps, m->round[i]);
}

void rate_max_set(struct rate_max *m, uint64_t bps)
{
    rate_max_init(m);
    rate_max_add(m, bps, false);
}

#define METER_BUCKET (SEC / RATE_METER_BUCKETS)

void rate_meter_add(struct rate_meter *m, uint64_t bytes, instant now)
{
    int64_t n = now / METER_BUCKET;

    if (n > m->newest) {
        for (int64_t i = MAX(m->newest + 1, n - RATE_METER_BUCKETS + 1); i <= n; i++)
            m->bytes[(uint64_t)i % RATE_METER_BUCKETS] = 0;
        m->newest = n;
    }
    m->bytes[(uint64_t)m->newest % RATE_METER_BUCKETS] += bytes;
}

uint64_t rate_meter_bps(const struct rate_meter *m, instant now)
{
    int64_t n = MAX(now / METER_BUCKET, m->newest); /* who asks of the past gets the newest */
    uint64_t sum = 0;

    for (int64_t i = MAX(n - RATE_METER_BUCKETS + 1, 0); i <= m->newest; i++)
        sum += m->bytes[(uint64_t)i % RATE_METER_BUCKETS];
    /* The newest interval is not over: what is summed covers 7/8 s and its elapsed part. */
    return sum * 8 * (uint64_t)SEC / (uint64_t)(SEC - METER_BUCKET + now % METER_BUCKET + 1);
}
