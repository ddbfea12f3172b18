/* path/cc.h - congestion control as a table: what a control is told of a path, and what it says.
 *
 * A control keeps its state in memory that the path gives it. It is told what each acknowledgement brought, and says
 * how much may be in flight and how fast it is to leave. A new one is a file with a struct cc_ops of its name, and an
 * entry in CC_TABLE. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "path/rate.h"

/* The first is the default. */
#define CC_TABLE(X) X(BBR, bbr) X(CUBIC, cubic) X(OLIA, olia) X(LIA, lia)

#define CC_ENUM(NAME, name) CC_##NAME,
enum cc { CC_TABLE(CC_ENUM) CC_COUNT, CC_KERNEL = CC_COUNT }; /* that one is not chosen: the transport has its own */
#undef CC_ENUM

#define CC_KNOWN_LIFE (60 * SEC) /* chosen: a rate that was not tried for so long after the beginning is forgotten */

/* What a control begins with. */
struct cc_start {
    size_t record_bytes; /* of a full record: the congestion unit */
    span initial_rtt;    /* until one is measured */
    /* What others found the path to carry, 0: nothing. A control may come up to half of it in its first round trip, no
     * more may be in flight than that brings, and what it measures itself is all that counts after it (Careful Resume,
     * draft-ietf-tsvwg-careful-resume). */
    uint64_t known_bps;
    /* of the control before this one, which the path is not to notice: */
    uint64_t window_bytes; /* 0: there was none */
    uint64_t rate_bps;     /* 0: not measured */
    bool sought;           /* it looked for the path's rate still */
};

/* Of the paths that are to take together what one flow takes, this one among them: windows in bytes, round trips in
 * seconds. */
struct cc_coupling {
    unsigned paths; /* 0: it is alone */
    double rate;    /* the sum of window / round trip */
    double peak;    /* the largest window / round trip^2 */
    double shift; /* from paths whose window is too large for what they are to better ones: OLIA's alpha of this one */
};

/* What a path says of itself for that. */
struct cc_share {
    double window_bytes, rtt;
    double unharmed_bytes; /* acknowledged between its latest two cuts or since, whichever is more */
};

/* What one acknowledgement brought, and what was found lost since the one before. */
struct cc_ack {
    struct rate_sample sample;
    uint64_t acked_bytes, lost_bytes;
    unsigned lost_pkts;
    instant sent_at, lost_at; /* when the newest of these left; of the acknowledged, of the lost */
    bool persistent;          /* all was lost for so long that congestion is persistent (RFC 9002 7.6) */
    uint64_t spurious_bytes;  /* of the acknowledged: had been reported as lost */
    uint64_t inflight_bytes;  /* after it */
    uint64_t rounds;          /* round trips that have ended */
    bool round_ended;         /* by this one */
    bool lone;                /* nothing else was in flight when the record of rtt left */
    bool silent;              /* the path was not active: what it lost need not have met congestion */
    span rtt;                 /* this acknowledgement's sample less its delay, 0: none */
    const struct cc_coupling *coupling;
    span srtt, min_rtt; /* 0: none */
    instant min_rtt_at;
};

enum cc_verdict {
    CC_NOTHING,
    CC_MIN_RIGHT,   /* the path was drained: the minimum round trip that is known is right */
    CC_MIN_OUTDATED /* drained, it stayed longer than that: *ret_min_rtt is the new minimum */
};

struct cc_speed {
    uint64_t pacing_bps, window_bytes; /* never 0 */
    bool holding_back;                 /* the window is small on purpose: what is delivered says nothing of the path */
};

struct cc_info {
    uint64_t rate_bps;       /* of the path, as far as it is known; 0: not yet */
    bool sought;             /* it is being looked for */
    uint64_t unharmed_bytes; /* as cc_share; of controls that are coupled */
};

/* What a transport that governs itself says (struct path_transport), and what is in flight of the path. */
struct cc_transport {
    uint64_t room_bytes, inflight_bytes;
    uint64_t rate_bps; /* 0: not known */
    bool rate_is_lower_bound;
};

struct cc_ops {
    const char *name;
    size_t state_bytes;
    bool coupled; /* it heeds cc_ack.coupling */
    void (*init)(void *state, const struct cc_start *start, instant now);
    enum cc_verdict (*on_ack)(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt);
    /* srtt, min_rtt: 0 before the first sample. */
    struct cc_speed (*speed)(const void *state, span srtt, span min_rtt);
    struct cc_info (*info)(const void *state);
    void (*on_transport)(void *state, const struct cc_transport *t); /* of CC_KERNEL alone */
};

const struct cc_ops *cc_get(enum cc kind);
/* The largest state_bytes. */
size_t cc_state_bytes(void);
