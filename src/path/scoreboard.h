/* path/scoreboard.h - what is known of paths, from whoever used them: for those that begin.
 *
 * A row is one way of leaving this host for another: an uplink in the network that it is attached to, a remote address,
 * a transport. Sessions tell what they measure of their paths, now and then and when they end; one that begins asks
 * (RFC 9040: temporal and ensemble sharing). What was learned last counts most, and what is old counts for nothing.
 *
 * Nothing here is believed for longer than it takes to measure: a round trip time is a first guess, a rate is what a
 * sender may come near to in its first round trip (path.h). What did not work is remembered, too. */
#pragma once

#include "base/addr.h"
#include "base/hash.h"
#include "base/instant.h"
#include "base/list.h"
#include "wire/frame.h"

#define SCOREBOARD_LIFE                                                                                                \
    (600 * SEC)                 /* RFC 9040 leaves it open; chosen: what a radio or a line carried ten minutes ago */
#define SCOREBOARD_TEXT_MAX 320 /* bytes: the longest row as text and its NUL */

struct scoreboard_key {
    char link[LINK_NAME_MAX + 1]; /* the uplink's name, as the side that opened the path calls it; "": none is known */
    uint32_t network;             /* digest of the uplink's addresses: elsewhere it is another way; 0: not known */
    struct addr remote;
    uint8_t transport; /* the owner's number */
};

/* What did not work there, the latest. */
enum scoreboard_trouble {
    TROUBLE_NONE,
    TROUBLE_SILENT,  /* nothing was ever answered */
    TROUBLE_BLOCKED, /* this transport was not answered where another was */
    TROUBLE_FAR,     /* too late beside others to be put in order with them */
    TROUBLE_LOSSY,   /* it cost the others more than it carried */
    TROUBLE_COUNT,
};
const char *scoreboard_trouble_name(enum scoreboard_trouble t);

/* What a path has measured when it tells; 0: not measured. */
struct scoreboard_report {
    span srtt, rttvar, min_rtt, rx_jitter;
    double loss;                /* share of what is sent */
    uint64_t tx_bps, rx_bps;    /* what it delivers and what arrives, of this path alone */
    bool tx_bps_is_lower_bound; /* it was never full, or its rate is still sought */
    bool carrying;              /* data moved since the last time: the rates are of now */
    bool ended;                 /* this was its last word */
    uint64_t who;               /* a number of the path's own among all that tell */
    uint8_t trouble;            /* enum scoreboard_trouble */
};

/* What is known. */
struct scoreboard_row {
    span srtt, rttvar, min_rtt, rx_jitter;
    double loss;
    uint64_t tx_bps, rx_bps; /* of all that use it together; 0: not known */
    bool tx_bps_is_lower_bound;
    uint8_t trouble;  /* enum scoreboard_trouble */
    uint32_t reports; /* of paths that carried data: how sure it is */
    unsigned users;   /* paths that carried data by it within the last two seconds and have not ended, at most 9 */
    span age, rate_age, trouble_age; /* of the newest report, rate, trouble; 0 where there is none */
    bool exact;                      /* of this very remote address, not of a neighbour's */
    bool told;                       /* it was told of here, not only learned from another board */
};

struct scoreboard;

/* rows: the most that are kept; the one that was told of longest ago goes. salt: random, since peers choose parts of
 * the keys. NULL when out of memory. */
struct scoreboard *scoreboard_new(size_t rows, uint64_t salt);
/* Accepts NULL. */
void scoreboard_free(struct scoreboard *b);

/* An all zero report, or one without a round trip and without trouble, is of no effect. No memory, no effect either. */
void scoreboard_tell(struct scoreboard *b, const struct scoreboard_key *k, const struct scoreboard_report *r,
                     instant now);
/* True and what is known of the path. Where nothing is known of the very address, the newest of the same uplink,
 * network, transport and neighbourhood (IPv4 /24, IPv6 /48: what a site is given, RFC 6177) tells of round trip and
 * trouble, and of half the rate. */
bool scoreboard_get(const struct scoreboard *b, const struct scoreboard_key *k, instant now,
                    struct scoreboard_row *ret);
/* What one session more may expect of the row's rate: its part, with those that use it now. 0: not known. */
uint64_t scoreboard_share_bps(const struct scoreboard_row *row);

/* All rows, newest first: `at` is 0 at first. False at the end. Rows must not be told of in between. */
bool scoreboard_next(const struct scoreboard *b, size_t *at, instant now, struct scoreboard_key *ret_key,
                     struct scoreboard_row *ret);
size_t scoreboard_count(const struct scoreboard *b);

/* Of one neighbourhood. */
bool scoreboard_is_near(const struct addr *a, const struct addr *b);

/* Takes a row of another board, of the same machine: as a report, unless what is known here is newer. */
void scoreboard_learn(struct scoreboard *b, const struct scoreboard_key *k, const struct scoreboard_row *row,
                      instant now);

/* One row as words: LINK NETWORK REMOTE TRANSPORT and a number for each field, decimal, spaces between. Returns buf. */
char *scoreboard_format(const struct scoreboard_key *k, const struct scoreboard_row *row,
                        char buf[SCOREBOARD_TEXT_MAX]);
/* 0, or -EBADMSG: not one row, a number too many or too few, or beyond what a path can have. */
int scoreboard_parse(const char *text, struct scoreboard_key *ret_key, struct scoreboard_row *ret);

struct text;
/* Adds whole rows, newest first and `;` between them, SCOREBOARD_ROWS_MAX and what there is room for at most: of the
 * neighbours of these addresses, or all if count is 0; `told`: those that it was told of alone. How many. */
#define SCOREBOARD_ROWS_MAX 32 /* chosen: eight paths and their neighbours */
size_t scoreboard_add_text(const struct scoreboard *b, struct text *t, const struct addr *remotes, size_t count,
                           bool told, instant now);
/* Learns every row of such a text; what is none is passed over. */
void scoreboard_learn_text(struct scoreboard *b, const char *text, instant now);
