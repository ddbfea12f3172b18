/* sys/bindstore.c - see bindstore.h: the engines' table, the queue to their threads, and what a change makes of a row.
 *
 * Theory of operation. A batch is copied into one allocation and hangs in the queue until the engine's thread takes it,
 * which takes all that wait, up to a group: while one commit is under way the next group gathers, so the disk's own
 * speed says how large groups are, and nothing ever waits for a timer. Done batches hang in a second list until they
 * are popped; an eventfd says that there are any.
 *
 * What stands in a row only rises: first the sequence, then whether its lease was ended, then the end of the lease. So
 * changes that come twice or in another order make the same rows, and an engine may try again what it does not know the
 * fate of. Only BINDSTORE_FORGET goes back; who forgets a subject does not listen to it any more.
 *
 * Limits: those of the header. Sources: eventfd(2). */
#include "sys/bindstore_engine.h"
#include "sys/thread.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct bindstore_engine *const engines[] = { &bindstore_lmdb, &bindstore_redis };

int bindstore_say(int r, char *err, size_t err_size, const char *fmt, ...)
{
    va_list args;

    if (err && err_size > 0) {
        va_start(args, fmt);
        vsnprintf(err, err_size, fmt, args);
        va_end(args);
    }
    return r;
}

/* --- the queue --- */

void bindstore_list_init(struct bindstore_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

void bindstore_list_add(struct bindstore_list *l, struct bindstore_batch *b)
{
    b->next = NULL;
    *l->tail = b;
    l->tail = &b->next;
}

static struct bindstore_batch *list_take(struct bindstore_list *l)
{
    struct bindstore_batch *b = l->head;

    if (b) {
        l->head = b->next;
        if (!l->head)
            l->tail = &l->head;
    }
    return b;
}

int bindstore_queue_init(struct bindstore_queue *q)
{
    int r;

    bindstore_list_init(&q->waiting);
    bindstore_list_init(&q->done);
    q->wake_fd = -1;
    q->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->done_fd < 0)
        return -errno;
    r = pthread_mutex_init(&q->lock, NULL);
    if (r == 0) {
        r = pthread_cond_init(&q->wake, NULL);
        if (r != 0)
            pthread_mutex_destroy(&q->lock);
    }
    if (r != 0) {
        close(q->done_fd);
        return -r;
    }
    return 0;
}

void bindstore_queue_deinit(struct bindstore_queue *q)
{
    struct bindstore_batch *b;

    while ((b = list_take(&q->waiting)) || (b = list_take(&q->done)))
        free(b);
    free(q->told);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    close(q->done_fd);
}

/* With the lock held. */
static void wake(struct bindstore_queue *q)
{
    if (q->wake_fd < 0)
        pthread_cond_signal(&q->wake);
    else
        (void)!eventfd_write(q->wake_fd, 1); /* full: it is awake */
}

bool bindstore_queue_take(struct bindstore_queue *q, bool wait, struct bindstore_list *ret)
{
    size_t count = 0;

    bindstore_list_init(ret);
    pthread_mutex_lock(&q->lock);
    while (wait && !q->waiting.head && !q->closing)
        pthread_cond_wait(&q->wake, &q->lock);
    while (q->waiting.head && (count == 0 || count + q->waiting.head->count <= BINDSTORE_GROUP_MAX)) {
        count += q->waiting.head->count;
        bindstore_list_add(ret, list_take(&q->waiting));
    }
    pthread_mutex_unlock(&q->lock);
    return count > 0;
}

void bindstore_queue_done(struct bindstore_queue *q, struct bindstore_list *done)
{
    struct bindstore_batch *b;

    pthread_mutex_lock(&q->lock);
    while ((b = list_take(done)))
        bindstore_list_add(&q->done, b);
    (void)!eventfd_write(q->done_fd, 1); /* full: it is readable */
    pthread_mutex_unlock(&q->lock);
}

void bindstore_queue_fail(struct bindstore_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->failed = true;
    pthread_mutex_unlock(&q->lock);
}

int bindstore_queue_begin(struct bindstore_queue *q, void *(*run)(void *), void *arg, const char *place, char *err,
                          size_t err_size)
{
    int r = thread_begin(&q->thread, run, arg);

    q->running = r == 0;
    return r == 0 ? 0 : bindstore_say(r, err, err_size, "%s: cannot start a thread: %s", place, strerror(-r));
}

void bindstore_queue_end(struct bindstore_queue *q)
{
    if (!q->running)
        return;
    pthread_mutex_lock(&q->lock);
    q->closing = true;
    wake(q);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
}

static bool change_valid(const struct bindstore_change *c)
{
    return bindstore_row_valid(&c->row) && c->op >= BINDSTORE_PUT && c->op <= BINDSTORE_FORGET &&
           (c->op == BINDSTORE_PUT || !c->row.bytes);
}

/* NULL when out of memory. */
static struct bindstore_batch *copy(const struct bindstore_change *changes, size_t count, uint64_t token)
{
    size_t head = sizeof(struct bindstore_batch) + count * (sizeof(*changes) + sizeof(struct bindstore_result));
    struct bindstore_batch *b;
    size_t len = 0;
    uint8_t *at;

    for (size_t i = 0; i < count; i++)
        len += changes[i].row.len;
    b = malloc(head + len);
    if (!b)
        return NULL;
    *b = (struct bindstore_batch){ .token = token, .count = count, .left = count, .type = BINDSTORE_DONE };
    memcpy(b->changes, changes, count * sizeof(*changes));
    b->results = (struct bindstore_result *)(void *)&b->changes[count];
    memset(b->results, 0, count * sizeof(*b->results));
    at = (uint8_t *)b + head;
    for (size_t i = 0; i < count; i++) {
        if (!changes[i].row.bytes)
            continue;
        memcpy(at, changes[i].row.bytes, changes[i].row.len);
        b->changes[i].row.bytes = at;
        at += changes[i].row.len;
    }
    return b;
}

int bindstore_submit(struct bindstore *s, const struct bindstore_change *changes, size_t count, uint64_t token)
{
    struct bindstore_queue *q = &s->queue;
    struct bindstore_batch *b;
    int r = 0;

    if (count == 0 || count > BINDSTORE_QUEUE_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!change_valid(&changes[i]))
            return -EINVAL;
    b = copy(changes, count, token);
    if (!b)
        return -ENOMEM;
    pthread_mutex_lock(&q->lock);
    if (q->failed)
        r = -EIO;
    else if (q->held + count > BINDSTORE_QUEUE_MAX)
        r = -EAGAIN;
    if (r == 0) {
        bool first = !q->waiting.head;

        q->held += count;
        bindstore_list_add(&q->waiting, b);
        if (first)
            wake(q);
        b = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    free(b);
    return r;
}

size_t bindstore_room(struct bindstore *s)
{
    size_t room;

    pthread_mutex_lock(&s->queue.lock);
    room = BINDSTORE_QUEUE_MAX - s->queue.held;
    pthread_mutex_unlock(&s->queue.lock);
    return room;
}

bool bindstore_pop(struct bindstore *s, struct bindstore_event *ret)
{
    struct bindstore_queue *q = &s->queue;
    struct bindstore_batch *b;
    eventfd_t ignored;

    free(q->told);
    pthread_mutex_lock(&q->lock);
    b = q->told = list_take(&q->done);
    if (b)
        q->held -= b->count;
    if (!q->done.head)
        (void)!eventfd_read(q->done_fd, &ignored);
    pthread_mutex_unlock(&q->lock);
    if (!b)
        return false;
    *ret = (struct bindstore_event){
        .type = b->type, .token = b->token, .results = b->results, .count = b->count, .shard = b->shard
    };
    return true;
}

int bindstore_fd(const struct bindstore *s)
{
    return s->queue.done_fd;
}

/* --- rows --- */

bool bindstore_row_valid(const struct bindstore_row *row)
{
    return row->expires_ms >= 0 && row->expires_ms <= BINDSTORE_EXPIRES_MAX && row->len <= BINDSTORE_BYTES_MAX &&
           (row->bytes != NULL) == (row->len > 0);
}

/* A row of the same sequence. */
static enum bindstore_outcome merge_same(const struct bindstore_row *have, const struct bindstore_row *row,
                                         struct bindstore_row *ret, bool *ret_logged)
{
    *ret = *have;
    if (!row->bytes) {
        if (!have->bytes)
            return BINDSTORE_SAME;
        ret->bytes = NULL;
        ret->len = 0;
        *ret_logged = true;
        return BINDSTORE_STORED;
    }
    if (!have->bytes || have->len != row->len || memcmp(have->bytes, row->bytes, row->len) != 0)
        return BINDSTORE_OLDER;
    ret->expires_ms = MAX(have->expires_ms, row->expires_ms);
    return BINDSTORE_SAME;
}

enum bindstore_outcome bindstore_merge(const struct bindstore_row *have, const struct bindstore_change *c,
                                       struct bindstore_row *ret, bool *ret_logged)
{
    *ret_logged = false;
    switch (c->op) {
    case BINDSTORE_PUT:
        if (have && have->seq == c->row.seq)
            return merge_same(have, &c->row, ret, ret_logged);
        if (have && have->seq > c->row.seq)
            return BINDSTORE_OLDER;
        *ret = c->row;
        *ret_logged = true;
        return BINDSTORE_STORED;
    case BINDSTORE_REFRESH:
        if (!have || (have->seq == c->row.seq && !have->bytes))
            return BINDSTORE_ABSENT;
        if (have->seq != c->row.seq)
            return BINDSTORE_OLDER;
        *ret = *have;
        ret->expires_ms = MAX(have->expires_ms, c->row.expires_ms);
        return ret->expires_ms == have->expires_ms ? BINDSTORE_SAME : BINDSTORE_STORED;
    case BINDSTORE_FORGET:
    default:
        if (!have)
            return BINDSTORE_ABSENT;
        if (have->seq > c->row.seq)
            return BINDSTORE_OLDER;
        *ret = c->row;
        *ret_logged = true;
        return BINDSTORE_STORED;
    }
}

/* --- what engines do --- */

int bindstore_open(const char *where, const struct bindstore_options *options, struct bindstore **ret, char *err,
                   size_t err_size)
{
    static const struct bindstore_options defaults;
    struct bindstore_options o = options ? *options : defaults;

    if (o.log_max == 0)
        o.log_max = BINDSTORE_LOG_MAX;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        size_t len = strlen(engines[i]->name);

        if (strncmp(where, engines[i]->name, len) == 0 && where[len] == ':' && where[len + 1])
            return engines[i]->open(where + len + 1, &o, ret, err, err_size);
    }
    return bindstore_say(-EINVAL, err, err_size, "%s: expected lmdb:PATH or redis:HOST:PORT", where);
}

void bindstore_close(struct bindstore *s)
{
    if (s)
        s->engine->close(s);
}

unsigned bindstore_shards(const struct bindstore *s)
{
    return s->engine->shards;
}

unsigned bindstore_shard_of(const struct bindstore *s, const struct tag *subject)
{
    return s->engine->shard_of(subject);
}

int bindstore_reader_new(struct bindstore *s, struct bindstore_reader **ret)
{
    return s->engine->reader_new(s, ret);
}

void bindstore_reader_free(struct bindstore_reader *r)
{
    if (r)
        r->store->engine->reader_free(r);
}

const char *bindstore_reader_error(const struct bindstore_reader *r)
{
    return r->err;
}

int bindstore_get(struct bindstore_reader *r, const struct tag *subject, uint8_t kind, uint8_t answer,
                  struct bindstore_row *ret)
{
    return r->store->engine->get(r, subject, kind, answer, ret);
}

int bindstore_scan(struct bindstore_reader *r, unsigned shard, const struct tag_prefix *prefix, bindstore_row_fn *fn,
                   void *ctx, uint64_t *ret_cursor)
{
    return r->store->engine->scan(r, shard, prefix, fn, ctx, ret_cursor);
}

int bindstore_load(struct bindstore_reader *r, bindstore_row_fn *fn, void *ctx)
{
    for (unsigned shard = 0; shard < r->store->engine->shards; shard++) {
        int e = r->store->engine->scan(r, shard, NULL, fn, ctx, NULL);

        if (e != 0)
            return e;
    }
    return 0;
}

int bindstore_changes(struct bindstore_reader *r, unsigned shard, uint64_t since, size_t max, bindstore_logged_fn *fn,
                      void *ctx, uint64_t *ret_cursor)
{
    return r->store->engine->changes(r, shard, since, max, fn, ctx, ret_cursor);
}
