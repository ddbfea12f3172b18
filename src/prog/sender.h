/* prog/sender.h - what `hawser send` says: files one after the other over a session that does not block. */
#pragma once

#include "base/instant.h"
#include "prog/frames.h"
#include "prog/outgoing.h"

enum sender_outcome {
    SENDER_PENDING,
    SENDER_SENT,
    SENDER_SAME, /* the receiver had it */
    SENDER_FAILED,
};

struct sender_file {
    const char *path, *name; /* name: the last part of path */
    enum sender_outcome outcome;
    uint64_t size;
    uint64_t had;  /* bytes that the receiver had of it */
    uint64_t done; /* bytes that it has, those included */
    char error[FILES_TEXT_MAX + 64];
};

struct sender {
    struct frames *frames;     /* not ours */
    struct sender_file *files; /* not ours */
    size_t count, current;
    bool replace; /* other files of these names */
    int state;
    instant since; /* the state */
    unsigned tries;
    enum sender_outcome verdict; /* of the present file, which the receiver has not heard yet */
    const char *reason;
    struct outgoing file;
    struct files_have have;
};

enum { SENDER_WAITS, SENDER_HAS_MORE, SENDER_ENDED };

void sender_init(struct sender *s, struct frames *f, struct sender_file *files, size_t count, bool replace);
void sender_deinit(struct sender *s);
/* As much as can be done now: SENDER_WAITS for the session or for sender_next_expiry; SENDER_HAS_MORE: come again soon;
 * SENDER_ENDED: every file has its outcome, and the receiver has heard the end. Negative: the session is over. */
MUST_CHECK int sender_work(struct sender *s, instant now);
instant sender_next_expiry(const struct sender *s);
/* The receiver has not said a word yet. */
bool sender_is_unheard(const struct sender *s);
/* The session is over, or the user wants no more: what has no outcome has failed, for this reason. */
void sender_give_up(struct sender *s, const char *why);
