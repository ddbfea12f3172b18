/* path/rate.h - delivery rate: how fast the peer receives what is sent, and its maximum over 10 round trips.
 *
 * draft-cheng-iccrg-delivery-rate-estimation, with one change: the time between two acknowledgements is taken on the
 * receiver's clock, which every acknowledgement carries, so that acknowledgements delayed or bunched on their way back
 * do not matter. The receiver's clock is used for differences only. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define RATE_ROUNDS 10 /* BBR's bandwidth filter: 10 round trips */

/* The state of delivery when a record was sent; kept with the record. */
struct rate_mark {
    uint64_t delivered;
    instant delivered_at, first_sent_at;
    uint32_t rx_at_us;
    bool rx_known, app_limited, idle; /* idle: nothing else was in flight */
};

struct rate {
    uint64_t delivered; /* bytes */
    instant delivered_at, first_sent_at;
    uint32_t rx_at_us; /* receiver's clock at the newest delivery */
    bool rx_known;
    uint64_t app_limited_until; /* delivered bytes; 0: not limited */
};

struct rate_sample {
    uint64_t bps; /* 0: no valid sample */
    uint64_t prior_delivered;
    uint64_t flight_bytes; /* delivered from when its record left until it came: what was in flight, and itself */
    bool app_limited;
};

void rate_init(struct rate *r, instant now);
/* A record is about to be sent; idle: nothing is in flight. */
void rate_on_sent(struct rate *r, bool idle, instant now, struct rate_mark *ret);
/* The owner has nothing more to send while inflight_bytes are out. */
void rate_on_app_limited(struct rate *r, uint64_t inflight_bytes);
/* acked_bytes were newly acknowledged, the newest of them sent at sent_at with mark m. rx_us: when the receiver had
 * them, NULL if not known. min_rtt: shorter intervals are no sample (the draft, 3.3). */
void rate_on_acked(struct rate *r, uint64_t acked_bytes, const struct rate_mark *m, instant sent_at,
                   const uint32_t *rx_us, span min_rtt, instant now, struct rate_sample *ret);

/* Largest sample of the last RATE_ROUNDS round trips that had one that counts. */
struct rate_max {
    uint64_t round[RATE_ROUNDS];
    unsigned at;
    bool measured; /* the current round has a sample */
    uint64_t bps;
};

void rate_max_init(struct rate_max *m);
/* An application-limited sample counts only when it is larger than what is known. True if it counted. */
bool rate_max_add(struct rate_max *m, uint64_t bps, bool app_limited);
void rate_max_next_round(struct rate_max *m);
/* Forgets all but bps. */
void rate_max_set(struct rate_max *m, uint64_t bps);

/* Bytes over a sliding second. */
#define RATE_METER_BUCKETS 8
struct rate_meter {
    uint64_t bytes[RATE_METER_BUCKETS];
    int64_t newest; /* 125-ms interval number */
};

void rate_meter_add(struct rate_meter *m, uint64_t bytes, instant now);
uint64_t rate_meter_bps(const struct rate_meter *m, instant now);
