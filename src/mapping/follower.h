/* mapping/follower.h - who follows what a manager knows below a prefix: snapshot, changes, notices.
 *
 * A machine without IO, of one prefix at one manager, which keeps what it is told in a table of bindings. In one of two
 * modes, by how soon it must know:
 *
 *   mode   asks                                              is behind by at most, while it is answered
 *   push   subscribes, is told of changes; FOLLOWER_CHECK    what the subject's pace allows (mapping/manager.h)
 *   pull   for changes, at an interval                       the interval and a round trip
 *
 * Nothing older than what was known is taken, whatever a manager says that has forgotten; and what a whole snapshot
 * does not have is ended. While nobody answers, what is known stays, and follower_behind says how old it may be. Leases
 * are the manager's to end: a row is there until it says otherwise.
 *
 * Records are as the manager gave them. Who hands them on hands on their signatures, and whoever wants to believe them
 * verifies those. */
#pragma once

#include "mapping/bindings.h"
#include "mapping/message.h"

#define FOLLOWER_REQUEST_MAX 256  /* bytes */
#define FOLLOWER_LEASE_S 600u     /* chosen: of a subscription, which each check renews */
#define FOLLOWER_CHECK (60 * SEC) /* chosen: who is told nothing asks at such intervals */
#define FOLLOWER_RETRY (1 * SEC)  /* chosen: after a failure */

enum follower_mode { FOLLOWER_PUSH, FOLLOWER_PULL };

struct follower {
    struct bindings *bindings; /* the owner's */
    struct tag_prefix prefix;
    enum follower_mode mode;
    span pull;
    uint64_t epoch, at;   /* all changes are known up to here, but for what a snapshot still lacks; 0 0: nothing */
    uint32_t position;    /* in the snapshot under way; 0: none is */
    uint64_t snapshot_at; /* number at which it began */
    instant snapshot_began;
    bool asking, again;        /* again: ask once more when that is answered */
    instant asked, next;       /* when what is under way was asked; when to ask */
    instant as_of;             /* all that the manager knew then is known; INSTANT_NEVER: not yet */
    struct mapping_list items; /* that came and are not popped yet, in the owner's bytes */
    bool sweeping;             /* the snapshot is whole: what it did not have ends */
    uint32_t sweep_at;
    uint64_t taken, older, snapshots; /* counters */
};

/* What has changed in the table. */
struct follower_change {
    struct tag subject;
    uint8_t kind, answer;
    uint64_t seq;
    uint8_t pace;
};

/* pull: of FOLLOWER_PULL. */
void follower_init(struct follower *f, struct bindings *b, const struct tag_prefix *prefix, enum follower_mode mode,
                   span pull, instant now);
/* What to ask now, into out of FOLLOWER_REQUEST_MAX bytes. Its length; 0: nothing now. */
size_t follower_output(struct follower *f, instant now, uint8_t *out);
/* To what was asked. Then call follower_pop until it says false; the bytes must stay till then. */
void follower_on_answer(struct follower *f, const uint8_t *bytes, size_t len, instant now);
void follower_on_failed(struct follower *f, instant now);
/* The association stands anew: who is asked may have forgotten the subscription. */
void follower_on_up(struct follower *f, instant now);
/* A NOTIFY for this prefix by the manager that is followed: the answer into out of FOLLOWER_REQUEST_MAX bytes, and its
 * length. Then pop, likewise. */
size_t follower_on_notice(struct follower *f, const struct mapping_request *r, instant now, uint8_t *out);
/* Takes the next item into the table; true: that changed it. */
bool follower_pop(struct follower *f, instant now, struct follower_change *ret);
/* What is known may be older by this than what the manager knows; INSTANT_NEVER: it was never caught up. */
span follower_behind(const struct follower *f, instant now);
instant follower_next_expiry(const struct follower *f);
