/* path/pmtu.h - how large a packet one path carries: DPLPMTUD (RFC 8899).
 *
 * All sizes are bytes of the outer IP packet, headers included. The owner sends a probe of pmtu_next_probe bytes,
 * without delay for congestion and never twice, and tells what was acknowledged and what was lost: of probes and of
 * data alike. What the search believes is pmtu_get. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define PMTU_BASE 1280             /* outer: what IPv6 asks of every link (RFC 8200 5); a payload of about 1,200 */
#define PMTU_MIN 576               /* outer: what every IPv4 host takes (RFC 1122 3.3.3); nothing below is tried */
#define PMTU_RAISE_MIN (10 * SEC)  /* chosen: a search that congestion misled is soon made good */
#define PMTU_RAISE_MAX (600 * SEC) /* RFC 8899 5.1.1 PMTU_RAISE_TIMER; reached by doubling */
#define PMTU_MAX_PROBES 3          /* RFC 8899 5.1.2 MAX_PROBES */
#define PMTU_GRAIN 8               /* chosen: the search ends this near; the next packet would gain less than 1 % */
#define PMTU_HINT_EVERY (1 * SEC)  /* chosen: a forged ICMP message costs one search a second at most */
#define PMTU_ROUND_MAX 16          /* sizes in one round */

enum pmtu_state {
    PMTU_NEW,       /* nothing is known: the largest size is taken for granted until the first rounds are over */
    PMTU_SEARCHING, /* what is believed was acknowledged; larger sizes are being tried */
    PMTU_COMPLETE,
    PMTU_DOUBTED, /* large packets are lost: is what is believed still true? */
    PMTU_ERROR,   /* less than PMTU_BASE passes; searching as above */
    PMTU_STATE_COUNT,
};

struct pmtu {
    enum pmtu_state state;
    uint16_t max;       /* the owner sends nothing larger */
    uint16_t current;   /* believed */
    uint16_t confirmed; /* the largest acknowledged since the search began, 0: none */
    uint16_t failed;    /* the smallest that failed */
    uint16_t hint;      /* claimed by ICMP, 0: none: a size to be tried */
    /* the round: probes sent back to back, largest first */
    uint16_t sizes[PMTU_ROUND_MAX];
    unsigned count, sent;
    bool ladder;          /* the table's sizes; else one size between confirmed and failed */
    uint64_t first, last; /* counters of its probes */
    instant sent_at, heard_at;
    unsigned tries; /* rounds of these sizes that are over */
    unsigned voids; /* rounds in a row of which nothing at all came back */
    bool probed;    /* one of its probes came back */
    instant raise_at, hint_at, doubt_at, wait_until;
    span raise_after;
    /* losses that a smaller limit would explain, since a record as large as any of them came through */
    unsigned lost_pkts;
    uint16_t lost_max, seen_max; /* the largest lost; the largest acknowledged of those sent after the first loss */
    uint64_t lost_first;
    instant lost_at;
    /* the largest record acknowledged lately, since what is believed was lowered, and the newest of that size */
    uint16_t good_bytes;
    uint64_t good_counter;
    /* the same of the newest acknowledgement */
    uint16_t last_bytes;
    uint64_t last_counter;
};

/* max: PMTU_BASE..65535. */
void pmtu_init(struct pmtu *m, uint16_t max, instant now);
/* Another route, perhaps: what is believed is tried again. */
void pmtu_restart(struct pmtu *m, instant now);
uint16_t pmtu_get(const struct pmtu *m);
/* Bytes of the probe to be sent now; 0: none. */
uint16_t pmtu_next_probe(const struct pmtu *m, instant now);
/* That probe was sent as record `counter`. */
void pmtu_on_probe(struct pmtu *m, uint64_t counter, instant now);
/* The largest record of those newly acknowledged, the newest of them, and whether a probe is among them. */
void pmtu_on_acked(struct pmtu *m, uint16_t bytes, uint64_t counter, uint64_t newest, bool probe, instant now);
/* Of records that are no probes, those larger than pmtu_doubtful and not than pmtu_get: how many were lost, the largest
 * and the newest. */
void pmtu_on_lost(struct pmtu *m, unsigned pkts, uint16_t max_bytes, uint64_t newest, instant now);
uint16_t pmtu_doubtful(const struct pmtu *m);
/* Somebody says that `bytes` is the limit (0: less than what was sent). Only makes what is believed be tried. */
void pmtu_on_hint(struct pmtu *m, uint16_t bytes, instant now);
/* timeout: until a probe is overdue; srtt: 0 before the first sample. INSTANT_NEVER: nothing to wait for. */
instant pmtu_expiry(const struct pmtu *m, span timeout, span srtt);
void pmtu_on_expiry(struct pmtu *m, span timeout, span srtt, instant now);
