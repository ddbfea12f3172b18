/* sys/bindstore.h - stores behind the table of bindings: soft state that outlives its process, and a log of its
 * changes.
 *
 * A row is what mapping/bindings.h has of a subject, a kind and an answer class: a sequence, the end of the lease, and
 * the signed record, which the store neither reads nor verifies. A store takes a change only if it is newer than what
 * it has, so changes may come twice and in any order: the same rows come of it.
 *
 * Two kinds of calls. Those of `struct bindstore` never wait for a disk or a network: changes are submitted, and told
 * as done later, when a descriptor becomes readable. They belong to one thread, which is the one of a loop. Those of
 * `struct bindstore_reader` wait: they belong to any other thread, a reader to one thread at a time, any number of
 * readers beside each other and beside the store. Before the loop runs, its own thread may use a reader.
 *
 * Engines (a file and a row in one table each):
 *
 *   lmdb:PATH                       a file of this machine; done means durable: it survives kill -9 and a power cut
 *   redis:HOST:PORT[,HOST:PORT...]  a Redis Cluster; done means that a master has it in memory. A master that dies may
 *                                   take the newest changes with it, which BINDSTORE_BEHIND tells. Whoever
 *                                   reads it back verifies the records. Opening it makes the process ignore SIGPIPE
 *
 * The log. Every change of a row but a refresh is in the log of its shard, under a cursor that rises. Each entry names
 * the cursor before it, so that a reader knows of a gap. Of the log only the newest `log_max` entries are kept: who
 * comes with an older cursor is told -ESTALE, and takes a snapshot, which says from where its tail goes on. */
#pragma once

#include "ident/tag.h"

#define BINDSTORE_BYTES_MAX 4096u         /* of a record: RECORD_BYTES_MAX, ident/record.h */
#define BINDSTORE_GROUP_MAX 256u          /* changes of one commit: what waits when it begins; one batch may be more */
#define BINDSTORE_QUEUE_MAX 65536u        /* chosen: changes submitted and not popped; 20 MB of common ones */
#define BINDSTORE_LOG_MAX 1000000u        /* chosen: entries that are kept: 100 s at 10,000 changes a second */
#define BINDSTORE_READERS_MAX 64u         /* chosen */
#define BINDSTORE_SHARDS_MAX 64u          /* chosen: 20 masters get 3 each */
#define BINDSTORE_EXPIRES_MAX (1ll << 50) /* ms since 1970: what is later is a mistake in units */

struct bindstore;
struct bindstore_reader;

struct bindstore_row {
    struct tag subject;
    uint8_t kind;   /* enum record_kind */
    uint8_t answer; /* enum record_class */
    uint64_t seq;
    int64_t expires_ms;   /* end of the lease: milliseconds since 1970 by the wall clock, 0..BINDSTORE_EXPIRES_MAX */
    const uint8_t *bytes; /* the record; NULL: the lease is over, the sequence is kept */
    uint16_t len;         /* 1..BINDSTORE_BYTES_MAX; 0 with NULL */
};

enum bindstore_op {
    /* The row, if its sequence is above that of the store. Under the same sequence: no bytes end the lease, the same
     * bytes move the end of the lease to the later one (SAME), others are OLDER. So a row of the table may be put again
     * at any time, which mends a store that lost it. */
    BINDSTORE_PUT = 1,
    /* The end of the lease to row.expires_ms, if that is later, under just this sequence. Not logged. */
    BINDSTORE_REFRESH,
    /* The row and its sequence go, if that is at most row.seq. Logged without bytes. */
    BINDSTORE_FORGET,
};

struct bindstore_change {
    enum bindstore_op op;
    struct bindstore_row row; /* REFRESH and FORGET: without bytes */
};

enum bindstore_outcome {
    BINDSTORE_STORED = 0,
    BINDSTORE_SAME,   /* it was so already */
    BINDSTORE_OLDER,  /* not taken: the store has ret.seq, of another record */
    BINDSTORE_ABSENT, /* REFRESH, FORGET: there is no such row; REFRESH: or its lease is over */
};

/* What became of one change. redis: what was tried twice, since a node went away, may be told as SAME or ABSENT,
 * without a cursor, though it was this change that did it. */
struct bindstore_result {
    int outcome;  /* enum bindstore_outcome; -ENOSPC: disk or memory of the store is full, nothing was lost, try later;
                     -EIO: the disk failed, the store takes nothing more until it is opened anew; -EBADMSG: the row that
                     was there is damaged; -ETIMEDOUT: no master answered, it may have been taken or not: try again */
    uint64_t seq; /* of the row as it is now; 0 if there is none */
    uint64_t cursor; /* of its entry in the log; 0: nothing was logged */
};

enum bindstore_event_type {
    BINDSTORE_DONE,   /* a batch: token, results, count */
    BINDSTORE_BEHIND, /* shard may have lost changes that were told as done: put all rows of that shard again
                         (bindstore_shard_of); also once for each shard when a cluster is reached first. Never of lmdb
                       */
};

struct bindstore_event {
    enum bindstore_event_type type;
    uint64_t token;
    const struct bindstore_result *results; /* count of them, in the order of the batch; until the next call of pop */
    size_t count;
    unsigned shard;
};

/* Zero is the default of each. */
struct bindstore_options {
    /* lmdb: of the file, and 4 MiB more for what ends and forgets rows; so much address space is kept free. 0: 16 GiB.
     * A file that is larger by itself is opened all the same. */
    uint64_t bytes_max;
    uint32_t log_max;    /* entries of the log of a shard; 0: BINDSTORE_LOG_MAX, in all */
    uint32_t timeout_ms; /* redis: how long a change is tried, and a reader waits; 0: 5000 */
    uint32_t keep_s;     /* redis: what is left of a row is dropped so long after its lease; 0: 604800, a week */
    /* redis: begins all keys, for several managers on one cluster: 1..32 of a-z 0-9 . -; NULL: hawser. */
    const char *name;
};

/* Opens, and makes it where it is not there. 0; -EINVAL: where or options, with what is wrong; -EBUSY: another process
 * has it; -EBADMSG: damaged, or not a store of ours; -ENOTSUP: of a version that is not known; -ECONNREFUSED: no node
 * of the cluster answers, or it is no cluster; -ENOSPC; -ENOMEM; -errno. On failure err (may be NULL with size 0) names
 * the file or node, the place in it, what was found and what was expected. Waits: call it before the loop runs. options
 * may be NULL. */
MUST_CHECK int bindstore_open(const char *where, const struct bindstore_options *options, struct bindstore **ret,
                              char *err, size_t err_size);
/* Waits until everything that was submitted is done or failed; whoever wants to know, pops before. Readers are closed
 * before. Accepts NULL. */
void bindstore_close(struct bindstore *s);

/* --- the loop's thread; none of these waits --- */

/* Takes a batch of 1..BINDSTORE_QUEUE_MAX changes, of which it makes a copy. lmdb: all of a batch is stored or nothing.
 * 0; -EAGAIN: the queue is full, pop first; -EINVAL: a change that is none; -EIO: see bindstore_result; -ENOMEM. After
 * a failure nothing was taken. Each batch that was taken has its BINDSTORE_DONE. */
MUST_CHECK int bindstore_submit(struct bindstore *s, const struct bindstore_change *changes, size_t count,
                                uint64_t token);
/* How many changes bindstore_submit takes now before it says -EAGAIN. */
size_t bindstore_room(struct bindstore *s);
/* Readable while bindstore_pop has something. The store's. */
int bindstore_fd(const struct bindstore *s);
bool bindstore_pop(struct bindstore *s, struct bindstore_event *ret);
/* Shards, each with a log of its own: lmdb 1, redis BINDSTORE_SHARDS_MAX. */
unsigned bindstore_shards(const struct bindstore *s);
unsigned bindstore_shard_of(const struct bindstore *s, const struct tag *subject);

/* --- readers; these wait --- */

/* 0; -ENOSPC: BINDSTORE_READERS_MAX; -ENOMEM. The store outlives it. */
MUST_CHECK int bindstore_reader_new(struct bindstore *s, struct bindstore_reader **ret);
/* Accepts NULL. */
void bindstore_reader_free(struct bindstore_reader *r);
/* What the last call that failed found: names place, found, expected. Until the next call. */
const char *bindstore_reader_error(const struct bindstore_reader *r);

/* Of each row or change; what it points to is there until it returns. Not 0 ends the call, which returns that. */
typedef int bindstore_row_fn(void *ctx, const struct bindstore_row *row);

/* 0 and *ret, whose bytes stay until the reader's next call; -ENOENT; -EBADMSG; -EIO; -ETIMEDOUT. */
MUST_CHECK int bindstore_get(struct bindstore_reader *r, const struct tag *subject, uint8_t kind, uint8_t answer,
                             struct bindstore_row *ret);
/* All rows of a shard whose subjects are in prefix (NULL: all), leases that are over included; lmdb: in the order of
 * subject, kind, class. *ret_cursor (may be NULL) is where bindstore_changes goes on: no row is older than it. 0;
 * -EBADMSG; -EIO; -ETIMEDOUT; what fn returned. */
MUST_CHECK int bindstore_scan(struct bindstore_reader *r, unsigned shard, const struct tag_prefix *prefix,
                              bindstore_row_fn *fn, void *ctx, uint64_t *ret_cursor);
/* bindstore_scan of all shards: what a manager does at its start. */
MUST_CHECK int bindstore_load(struct bindstore_reader *r, bindstore_row_fn *fn, void *ctx);

struct bindstore_logged {
    uint64_t cursor, before;  /* before: the cursor of the entry before it */
    bool forgotten;           /* the row went */
    struct bindstore_row row; /* seq as logged. bytes are of the row as it is now, if it still has this sequence */
};

typedef int bindstore_logged_fn(void *ctx, const struct bindstore_logged *change);

/* At most max changes after cursor `since` (0: from the beginning of time), the oldest first. *ret_cursor is that of
 * the last one that fn was given, or `since`. 0: all there are; 1: there are more; -ESTALE: the log does not go back
 * that far, or is another one than that cursor was of: take a snapshot; -EBADMSG; -EIO; -ETIMEDOUT; what fn returned,
 * if negative. */
MUST_CHECK int bindstore_changes(struct bindstore_reader *r, unsigned shard, uint64_t since, size_t max,
                                 bindstore_logged_fn *fn, void *ctx, uint64_t *ret_cursor);
