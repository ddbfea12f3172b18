/* mapping/log_follower.h - who follows the log of a realm (ident/entry.h) that another of its managers has.
 *
 * A machine without IO. It asks for the entries behind those that are here, is told of new ones, and gives its owner
 * one after the other, each of which holds the digest of the one before it. The owner looks at signatures and keeps
 * them; what is kept is all the state there is, so that it goes on from there after any end.
 *
 * A gap. As long as an entry is known to be missing, or nobody has said for LOG_FOLLOWER_BEHIND_MAX that none is,
 * nobody here can say of a key that it was not revoked (log_follower_has_gap).
 *
 * What is here and is not what the other has is never mended: a log of which there are two is a fault of those who keep
 * it (a copy that was written to, or a backup that was put back). It is told by name, and nothing is asked until the
 * association stands anew. */
#pragma once

#include "base/instant.h"
#include "mapping/message.h"

#define LOG_FOLLOWER_REQUEST_MAX 32         /* bytes */
#define LOG_FOLLOWER_CHECK (60 * SEC)       /* chosen: who is told nothing asks at such intervals */
#define LOG_FOLLOWER_RETRY (1 * SEC)        /* chosen: after a failure */
#define LOG_FOLLOWER_BEHIND_MAX (300 * SEC) /* chosen: as long as MANAGER_BEHIND_MAX */
#define LOG_FOLLOWER_ENTRY_MAX (16u << 20)  /* bytes: of a frame of sys/journal.h */

enum log_fault {
    LOG_SOUND,
    LOG_AHEAD,  /* here are entries that the other does not have */
    LOG_FORKED, /* the other has another entry where one is here */
    LOG_BROKEN, /* what came is no entry, or not the next one */
    LOG_FAULT_COUNT,
};

struct log_follower {
    uint64_t index;                   /* entries that are here */
    uint8_t before[ENTRY_DIGEST_LEN]; /* of the last of them */
    uint64_t there;                   /* entries that the other has, as far as it said */
    enum log_fault fault;
    bool asking, again; /* again: ask once more when that is answered */
    instant asked, next;
    uint64_t asked_index; /* what was asked for: an answer to anything else than what is wanted now is let go */
    size_t asked_part;
    instant as_of; /* all that the other had then is here; INSTANT_NEVER: not yet */
    /* Entries that came and are not popped yet, in the owner's bytes; `cut`: the one item is a piece. */
    struct mapping_list items;
    uint64_t items_at; /* index of the first */
    bool cut;
    /* What came of the entry that is too long for one answer; owned. */
    uint8_t *part;
    size_t part_len, part_room;
    uint64_t taken;
};

/* index entries are here; before: the digest of the last, not looked at without one. */
void log_follower_init(struct log_follower *f, uint64_t index, const uint8_t before[ENTRY_DIGEST_LEN], instant now);
void log_follower_deinit(struct log_follower *f);
/* What is here now, whatever was given out: after a failure to keep it, or when others have written it. */
void log_follower_set(struct log_follower *f, uint64_t index, const uint8_t before[ENTRY_DIGEST_LEN]);
/* What to ask now, into out of LOG_FOLLOWER_REQUEST_MAX bytes. Its length; 0: nothing now. */
size_t log_follower_output(struct log_follower *f, instant now, uint8_t *out);
/* To what was asked. Then call log_follower_pop until it says false; the bytes must stay till then. */
void log_follower_on_answer(struct log_follower *f, const uint8_t *bytes, size_t len, instant now);
void log_follower_on_failed(struct log_follower *f, instant now);
/* The association stands anew. */
void log_follower_on_up(struct log_follower *f, instant now);
/* A GROWN by the manager that is followed. Then pop, likewise. */
void log_follower_on_grown(struct log_follower *f, const struct mapping_request *r, instant now);
/* The next entry; its bytes stay until the next call of another function than this. False: none is left. */
bool log_follower_pop(struct log_follower *f, instant now, struct slice *ret);
/* The entries that were popped could not be kept: after log_follower_set, asks for them again a while later. */
void log_follower_put_off(struct log_follower *f, instant now);
/* The owner found that they are not the realm's. */
void log_follower_refuse(struct log_follower *f);
bool log_follower_has_gap(const struct log_follower *f, instant now);
/* When it has something to ask. */
instant log_follower_next_expiry(const struct log_follower *f);
/* "ahead". */
const char *log_fault_name(enum log_fault fault);
