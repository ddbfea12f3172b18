/* session/channel_internal.h - what the files of channel.h share: channel.c, and channel_resume.c, by which channels
 * outlive the session's keys. */
#pragma once

#include "session/channel.h"
#include "session/internal.h"

enum due { DUE_OPEN = 1, DUE_ANSWER = 2, DUE_RESET = 4, DUE_LIMIT = 8 };

struct channel {
    struct channels *of;
    struct channel_open request;
    enum channel_state state;
    enum channel_refusal refusal; /* that was said, or is to be */
    struct delivery *d;
    void *owner;
    uint32_t birth; /* in the notes of its chunks: one of the same number, gone before it, had another */
    bool freed;     /* by its owner: goes when nothing is due */
    uint8_t class;  /* enum flow_class */
    uint8_t tos;
    uint16_t target;
    bool wants_room; /* the writer met a full channel, or (also in `starved`) a full session */
    uint8_t due;     /* enum due, a bit each */
    uint64_t limit;
    struct list active, touched, saying, starved;
    int32_t deficit;
    bool blocked;              /* delivery_is_blocked, as counted in `of` */
    uint64_t waiting, unacked; /* as counted in `of` */
    uint64_t widened_at;       /* bytes read when the window was doubled last */
    bool to_name, awaited;     /* channel_resume.c: to be said to the peer that we have it; the peer is yet to say so */
};

struct turns {
    struct list new_ones, old_ones;
    size_t count;
    int64_t owed; /* bytes; above 0: packets had more than their share */
};

struct channels {
    struct session *s;
    struct map64 by_id;
    uint16_t next_id;
    uint32_t next_birth;
    uint16_t *used;      /* the opener's: when each number was in use last (stamp_of); 0: never */
    instant now;         /* as we were told last */
    instant none_before; /* every number was in use, and none will be free before */
    struct turns turns[FLOW_CLASS_COUNT];
    struct list touched, saying;
    struct list starved;                /* who had no room because of CHANNELS_TX_MAX, the first to ask first */
    uint64_t waiting, unacked, windows; /* bytes, of all */
    size_t blocked;                     /* channels */
    uint16_t busy[CHANNELS_MAX];        /* the acceptor's: what is to be refused, and has no channel to say so */
    unsigned busy_head, busy_count;
    bool resuming; /* that all were named is to be said */
};

/* The session's, made if there are none. NULL: no memory. */
struct channels *channels_make(struct session *s, instant now);
/* One more of them; 0 or -ENOMEM. */
int channels_add(struct channels *cs, const struct channel_open *request, enum channel_state state,
                 struct channel **ret);
void channel_destroy(struct channel *c);
/* Does to each what the table of numbers has: fn may remove the one that it is given. */
void channels_each(struct channels *cs, void (*fn)(struct channel *, int), int arg);
void channel_touch(struct channel *c);
/* After whatever may give it something to send, or take that away. */
void channel_update(struct channel *c);
void channel_say(struct channel *c, enum due what);
/* What is due of it has no meaning any more. */
void channel_say_nothing(struct channel *c);
void channel_end_and_forget(struct channel *c, int error);
