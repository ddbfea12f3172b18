/* wire/frame.h - frames inside a control record.
 *
 * Each frame is u8 type | u16 length | body. Types below 0x40 must be understood or the record is refused; types from
 * 0x40 on are skipped when unknown, so that a newer peer may add them. */
#pragma once

#include "base/addr.h"
#include "wire/ack.h"
#include "wire/cursor.h"
#include "wire/header.h"

enum frame_type {
    FRAME_PADDING = 0,    /* any bytes */
    FRAME_ACK = 1,        /* wire/ack.h */
    FRAME_PING = 2,       /* empty: asks for an acknowledgement */
    FRAME_CONFIRM = 3,    /* empty: the initiator has the keys */
    FRAME_PATH_OPEN = 4,  /* struct path_open */
    FRAME_CHALLENGE = 5,  /* 8 random bytes */
    FRAME_RESPONSE = 6,   /* the 8 bytes back */
    FRAME_STREAM = 7,     /* a piece of the control stream, session/stream.h */
    FRAME_STREAM_ACK = 8, /* u32 next expected */
    FRAME_CLOSE = 9,      /* u8 reason: the session ends */
    FRAME_SKIPPABLE = 0x40,
    FRAME_RESET_TOKEN =
        0x40,             /* u56 connection id in 8 bytes | 16-byte token that a peer without keys would answer with */
    FRAME_REKEY = 0x41,   /* empty: the side that begins no handshakes says that its keys are near their limit */
    FRAME_SUMMARY = 0x42, /* struct path_summary */
};

#define FRAME_HEADER_LEN 3
#define LINK_NAME_MAX 15

/* Sent by the side that opens a path, on that path, until it is answered; again when tier or weight change. */
struct path_open {
    uint8_t slot;  /* 0..7: the sender's number in `paths` masks */
    uint8_t tier;  /* enum link_tier */
    uint8_t flags; /* PATH_FLAG_* */
    uint16_t weight;
    uint16_t revision; /* of what is said here; the newest wins */
    char link[LINK_NAME_MAX + 1];
};

#define PATH_FLAG_LEAVING 1 /* send nothing new on it: a planned handover */
#define PATH_FLAG_DOWN 2    /* its link has gone: what is in flight on it is lost */
#define PATH_FLAG_METERED 4 /* bytes cost there: nothing goes twice for fear that it is lost */

enum link_tier { TIER_PRIMARY, TIER_SECONDARY, TIER_BACKUP, TIER_NEVER, TIER_COUNT };

#define SUMMARY_LEN 20
#define SUMMARY_ONE 16384            /* of its shares */
#define SUMMARY_VAR_MAX (1u << 21)   /* half of this: */
#define SUMMARY_TIME_WRAP (1u << 22) /* what a time of 16 bits of 64 us spans */

/* What the receiver of a path has measured of the delays and losses there (path/sbd.h). */
struct path_summary {
    uint32_t path_id;
    uint16_t number;     /* of the interval, the same on all paths, wraps: the newer wins */
    int16_t skew;        /* -SUMMARY_ONE..SUMMARY_ONE */
    uint16_t freq, loss; /* 0..SUMMARY_ONE */
    uint32_t var_us;     /* mean absolute deviation, at most SUMMARY_VAR_MAX */
    uint32_t mean_us;    /* of the interval, with an offset that all paths share: below SUMMARY_TIME_WRAP */
};

struct frame {
    uint8_t type;
    uint16_t len;
    const uint8_t *body;
};

/* The next frame, or false at the end or on a bad length (then r->failed). */
bool frame_next(struct reader *r, struct frame *ret);
/* Begins a frame; frame_end fills in its length. */
uint8_t *frame_begin(struct writer *w, enum frame_type type);
void frame_end(struct writer *w, uint8_t *mark);

void path_open_write(struct writer *w, const struct path_open *p);
/* Fails the cursor on slot > 7, an unknown tier, weight 0, or a name that is not 1..15 printable characters. */
void path_open_read(struct reader *r, struct path_open *ret);
void path_summary_write(struct writer *w, const struct path_summary *s);
/* Fails the cursor on what is out of its range. */
void path_summary_read(struct reader *r, struct path_summary *ret);

/* u8 family 4|6 | 4 or 16 bytes | u16 port. */
void endpoint_write(struct writer *w, const struct endpoint *e);
void endpoint_read(struct reader *r, struct endpoint *ret);
/* u8 family | u8 length in bits | 4 or 16 bytes. */
void prefix_write(struct writer *w, const struct prefix *p);
void prefix_read(struct reader *r, struct prefix *ret);

const char *link_tier_name(enum link_tier t);
