/* prog/receiver.h - what `hawser recv` says to one sender, over a session that does not block. */
#pragma once

#include "base/instant.h"
#include "prog/frames.h"
#include "prog/incoming.h"

enum receiver_event_type {
    RECEIVER_FILE,   /* a file is whole: name, bytes, had */
    RECEIVER_SAME,   /* it was there already */
    RECEIVER_FAILED, /* name, text */
    RECEIVER_BUSY,   /* name: another sender is at it */
};

struct receiver_event {
    enum receiver_event_type type;
    const char *name;   /* valid until the next call */
    const char *text;   /* likewise */
    uint64_t size, had; /* had: bytes that were there before */
};

struct receiver {
    struct frames frames; /* with the session, which is ours */
    int dir;              /* not ours */
    bool may_replace;     /* another file of the same name, if the sender says so */
    bool replace_all;     /* and if it does not */
    int state;
    struct incoming file;
    instant heard_at, got_at;
    unsigned offered, failed, done; /* files; done: received, or there already */
    bool abandoned, ended;
};

enum { RECEIVER_WAITS, RECEIVER_HAS_MORE, RECEIVER_EVENT, RECEIVER_ENDED };

/* Takes the session. NULL when out of memory. */
struct receiver *receiver_new(struct hws_session *s, int dir, bool may_replace, bool replace_all, instant now);
/* Closes the session. Accepts NULL. */
void receiver_free(struct receiver *r);
/* The peer may send nothing: says why, and ends. */
void receiver_turn_away(struct receiver *r, const char *why);
/* The sender is not there any more: the next receiver_work tells what that ends. */
void receiver_abandon(struct receiver *r);
/* As much as can be done now. RECEIVER_EVENT: *ret, and come again. RECEIVER_ENDED: free it. */
MUST_CHECK int receiver_work(struct receiver *r, instant now, struct receiver_event *ret);
instant receiver_next_expiry(const struct receiver *r);
/* The file that it has under way, or NULL. */
const char *receiver_file(const struct receiver *r);
