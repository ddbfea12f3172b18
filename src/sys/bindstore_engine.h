/* sys/bindstore_engine.h - what an engine of sys/bindstore.h is made of, and what all of them share: the queue between
 * the loop and the engine's thread, and what a change makes of a row. */
#pragma once

#include "sys/bindstore.h"

#include <pthread.h>

/* A batch on its way: one allocation, with the bytes of its rows. */
struct bindstore_batch {
    struct bindstore_batch *next;
    uint64_t token;
    size_t count;
    enum bindstore_event_type type;
    unsigned shard; /* BINDSTORE_BEHIND */
    size_t left;    /* the engine's: changes without a result */
    struct bindstore_result *results;
    struct bindstore_change changes[]; /* their bytes are behind the results */
};

struct bindstore_list {
    struct bindstore_batch *head, **tail;
};

struct bindstore_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake;                 /* of an engine's thread that waits for work */
    int wake_fd;                         /* the same for one that polls; -1: wake is used. The engine's */
    int done_fd;                         /* eventfd */
    struct bindstore_list waiting, done; /* under lock, with what follows */
    size_t held;                         /* changes submitted and not popped */
    bool closing, failed;
    bool running; /* the engine's thread: begin to end */
    pthread_t thread;
    struct bindstore_batch *told; /* the loop's: what pop gave last */
};

struct bindstore_engine {
    const char *name; /* before the colon */
    unsigned shards;
    /* place: behind the colon. Fills *ret, of which the first member is a struct bindstore with its queue. */
    int (*open)(const char *place, const struct bindstore_options *options, struct bindstore **ret, char *err,
                size_t err_size);
    void (*close)(struct bindstore *s);
    unsigned (*shard_of)(const struct tag *subject);
    int (*reader_new)(struct bindstore *s, struct bindstore_reader **ret);
    void (*reader_free)(struct bindstore_reader *r);
    int (*get)(struct bindstore_reader *r, const struct tag *subject, uint8_t kind, uint8_t answer,
               struct bindstore_row *ret);
    int (*scan)(struct bindstore_reader *r, unsigned shard, const struct tag_prefix *prefix, bindstore_row_fn *fn,
                void *ctx, uint64_t *ret_cursor);
    int (*changes)(struct bindstore_reader *r, unsigned shard, uint64_t since, size_t max, bindstore_logged_fn *fn,
                   void *ctx, uint64_t *ret_cursor);
};

extern const struct bindstore_engine bindstore_lmdb, bindstore_redis;

/* Embedded at the start of an engine's own. */
struct bindstore {
    const struct bindstore_engine *engine;
    struct bindstore_queue queue;
};

struct bindstore_reader {
    struct bindstore *store;
    char err[256];
};

/* Writes err (may be NULL with size 0) and returns r. */
int bindstore_say(int r, char *err, size_t err_size, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* --- the queue --- */

/* 0 or -errno. */
MUST_CHECK int bindstore_queue_init(struct bindstore_queue *q);
/* Frees what was not popped. */
void bindstore_queue_deinit(struct bindstore_queue *q);
/* The engine's thread: waits for work if `wait`, and takes batches of at most BINDSTORE_GROUP_MAX changes, or one.
 * False: there is none, and if it waited, there will be none any more. */
bool bindstore_queue_take(struct bindstore_queue *q, bool wait, struct bindstore_list *ret);
/* Gives batches back with their results. */
void bindstore_queue_done(struct bindstore_queue *q, struct bindstore_list *done);
/* The engine's thread: nothing more is taken. */
void bindstore_queue_fail(struct bindstore_queue *q);
/* The engine's thread begins. 0 or -errno, said in err as bindstore_say does, of place. */
MUST_CHECK int bindstore_queue_begin(struct bindstore_queue *q, void *(*run)(void *), void *arg, const char *place,
                                     char *err, size_t err_size);
/* No more comes: returns when the engine's thread, if there is one, has done what is there. */
void bindstore_queue_end(struct bindstore_queue *q);

void bindstore_list_init(struct bindstore_list *l);
void bindstore_list_add(struct bindstore_list *l, struct bindstore_batch *b);

/* --- rows --- */

/* True if a row that is stored or was read is one: its limits. */
bool bindstore_row_valid(const struct bindstore_row *row);
/* What `c` makes of `have` (NULL: there is no such row). BINDSTORE_STORED: *ret is the row as it is to be, or with
 * FORGET gone, and *ret_logged says whether that belongs in the log; BINDSTORE_SAME, with *ret_logged false: *ret
 * differs from have in the end of the lease at most. Other outcomes leave the row. *ret points to the bytes of c or of
 * have. */
enum bindstore_outcome bindstore_merge(const struct bindstore_row *have, const struct bindstore_change *c,
                                       struct bindstore_row *ret, bool *ret_logged);
