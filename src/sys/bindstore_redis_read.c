/* sys/bindstore_redis_read.c - readers of the redis engine: connections of their own, which wait.
 *
 * Theory of operation. A reader asks the node that has the shard's slot, follows MOVED and ASK, and asks for the map
 * anew when a node does not answer, until its time is over. A log entry names the one before it: a reader's cursor is
 * good if the first entry behind it names it, or if it is the newest. So a log that was trimmed, or that lost entries
 * with its master and went on otherwise, is never taken for the one that the cursor was of.
 *
 * A scan takes the shard's cursor first and then its rows, which may be newer. While an operator moves a slot from one
 * master to another its keys are in two places, and a scan has those of one: rows are missing then, none is wrong.
 *
 * Limits: BINDSTORE_READERS_MAX does not apply; a connection to each master for each reader. Sources: Redis Cluster
 * specification; commands CLUSTER GETKEYSINSLOT, XRANGE, HMGET. */
#include "sys/bindstore_redis.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#define PIPELINE 128u        /* chosen: rows that are asked for at a time */
#define AGAIN_MS 50          /* chosen: before a node is asked again that said "later" */
#define SEED_TIMEOUT_MS 1000 /* chosen: of one node, when there may be others */

struct redis_reader {
    struct bindstore_reader base;
    struct redis_map map;
    bool has_map;
    struct {
        struct redis_node node;
        redisContext *c;
    } links[REDIS_NODES_MAX];
    unsigned links_count;
    uint8_t bytes[BINDSTORE_BYTES_MAX];
};

static struct redis_reader *reader_of(struct bindstore_reader *r)
{
    return CONTAINER_OF(r, struct redis_reader, base);
}

static const struct redis_store *store_of(const struct redis_reader *r)
{
    return CONTAINER_OF(r->base.store, struct redis_store, base);
}

int64_t redis_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static redisContext *dial(const struct redis_node *node, uint32_t timeout_ms)
{
    const struct timeval t = { .tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000 };
    redisContext *c = redisConnectWithTimeout(node->host, node->port, t);

    if (c && (c->err || redisSetTimeout(c, t) != REDIS_OK)) {
        redisFree(c);
        return NULL;
    }
    if (c)
        redis_bound(c->reader);
    return c;
}

static void cleanup_reply(redisReply **r)
{
    if (*r)
        freeReplyObject(*r);
}

int redis_map_ask(const struct redis_store *s, struct redis_map *ret, char *err, size_t err_size)
{
    for (unsigned i = 0; i < s->seeds_count; i++) {
        const struct redis_node *node = &s->seeds[i];
        redisContext *c = dial(node, MIN(s->timeout_ms, SEED_TIMEOUT_MS));
        CLEANUP(cleanup_reply) redisReply *reply = c ? redisCommand(c, "CLUSTER SLOTS") : NULL;

        if (c)
            redisFree(c);
        if (reply && reply->type == REDIS_REPLY_ARRAY && redis_map_decode(reply, node, ret) == 0 && ret->count > 0)
            return 0;
        bindstore_say(-ECONNREFUSED, err, err_size, "%s port %u: expected a node of a Redis Cluster, found %s",
                      node->host, node->port,
                      !reply                             ? "no answer"
                      : reply->type == REDIS_REPLY_ERROR ? reply->str
                      : reply->elements == 0             ? "one without slots"
                                                         : "another answer");
    }
    return -ECONNREFUSED;
}

int redis_reader_new(struct bindstore *s, struct bindstore_reader **ret)
{
    struct redis_reader *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->base.store = s;
    *ret = &r->base;
    return 0;
}

static void drop_link(struct redis_reader *r, unsigned i)
{
    redisFree(r->links[i].c);
    r->links[i] = r->links[--r->links_count];
}

void redis_reader_free(struct bindstore_reader *base)
{
    struct redis_reader *r = reader_of(base);

    while (r->links_count > 0)
        drop_link(r, 0);
    free(r);
}

/* The connection to a node, or NULL. */
static redisContext *link_to(struct redis_reader *r, const struct redis_node *node)
{
    redisContext *c;

    for (unsigned i = 0; i < r->links_count; i++) {
        if (r->links[i].node.port != node->port || strcmp(r->links[i].node.host, node->host) != 0)
            continue;
        if (!r->links[i].c->err)
            return r->links[i].c;
        drop_link(r, i);
        break;
    }
    c = dial(node, MIN(store_of(r)->timeout_ms, SEED_TIMEOUT_MS));
    if (!c)
        return NULL;
    if (r->links_count == REDIS_NODES_MAX)
        drop_link(r, 0);
    r->links[r->links_count].node = *node;
    r->links[r->links_count++].c = c;
    return c;
}

/* The master of a shard, asked for if it is not known. */
static const struct redis_node *master_of(struct redis_reader *r, unsigned shard)
{
    const struct redis_store *s = store_of(r);
    uint8_t i;

    if (!r->has_map && redis_map_ask(s, &r->map, NULL, 0) < 0)
        return NULL;
    r->has_map = true;
    i = r->map.of_slot[s->slot[shard]];
    return i == REDIS_NO_NODE ? NULL : &r->map.nodes[i];
}

struct command {
    int argc;
    const char *argv[8];
    size_t len[8];
};

static void add(struct command *c, const char *arg)
{
    c->argv[c->argc] = arg;
    c->len[c->argc++] = strlen(arg);
}

/* One try of a command: its reply, or NULL with *ret_wait: how long before the next one. */
static redisReply *try_once(struct redis_reader *r, unsigned shard, const struct command *cmd,
                            struct redis_node *asking, int *ret_wait)
{
    const struct redis_node *master = asking->port ? asking : master_of(r, shard);
    struct redis_node node, to;
    redisContext *c;
    redisReply *reply;
    bool ask = asking->port != 0;
    unsigned slot;

    *ret_wait = AGAIN_MS;
    if (!master)
        return NULL;
    node = *master;
    asking->port = 0;
    c = link_to(r, &node);
    if (c && ask) {
        reply = redisCommand(c, "ASKING");
        if (reply)
            freeReplyObject(reply);
    }
    reply = c && !c->err ? redisCommandArgv(c, cmd->argc, (const char **)(uintptr_t)cmd->argv, cmd->len) : NULL;
    if (!reply) {
        r->has_map = false;
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    switch (redis_advice(reply, &node, &slot, &to)) {
    case REDIS_MOVED:
        r->has_map = false;
        *ret_wait = 1;
        break;
    case REDIS_ASK:
        *asking = to;
        *ret_wait = 0;
        break;
    case REDIS_LATER:
        r->has_map = false;
        break;
    default:
        return reply;
    }
    freeReplyObject(reply);
    return NULL;
}

/* The reply to a command about a shard, which is no error; NULL and *ret_error: -ETIMEDOUT or -EIO. */
static redisReply *ask(struct redis_reader *r, unsigned shard, const struct command *cmd, int64_t until, int *ret_error)
{
    struct redis_node asking = { 0 };

    for (;;) {
        int wait;
        redisReply *reply = try_once(r, shard, cmd, &asking, &wait);

        if (reply && reply->type == REDIS_REPLY_ERROR) {
            *ret_error = bindstore_say(-EIO, r->base.err, sizeof(r->base.err), "shard %u: %s", shard, reply->str);
            freeReplyObject(reply);
            return NULL;
        }
        if (reply)
            return reply;
        if (redis_now_ms() >= until) {
            *ret_error = bindstore_say(-ETIMEDOUT, r->base.err, sizeof(r->base.err),
                                       "shard %u: no master answered in time", shard);
            return NULL;
        }
        poll(NULL, 0, wait);
    }
}

static int64_t until_of(const struct redis_reader *r)
{
    return redis_now_ms() + store_of(r)->timeout_ms;
}

static int bad_shard(struct redis_reader *r, unsigned shard)
{
    return bindstore_say(-EINVAL, r->base.err, sizeof(r->base.err), "shard: found %u, expected less than %u", shard,
                         BINDSTORE_SHARDS_MAX);
}

static int damaged(struct redis_reader *r, const char *key, const char *why)
{
    return bindstore_say(-EBADMSG, r->base.err, sizeof(r->base.err), "key %s: %s", key, why);
}

/* The newest cursor of a shard. */
static int ask_cursor(struct redis_reader *r, unsigned shard, int64_t until, uint64_t *ret)
{
    struct command cmd = { 0 };
    char key[REDIS_KEY_MAX];
    int e = 0;

    snprintf(key, sizeof(key), "{%s.%u}c", store_of(r)->name, shard);
    add(&cmd, "GET");
    add(&cmd, key);
    CLEANUP(cleanup_reply) redisReply *reply = ask(r, shard, &cmd, until, &e);

    if (!reply)
        return e;
    *ret = 0;
    if (reply->type != REDIS_REPLY_NIL && !redis_number(reply, 1ull << 53, ret))
        return damaged(r, key, "expected a cursor");
    return 0;
}

/* A row by its key. ret->bytes are of *ret_reply, which the caller frees. 0, -ENOENT or -errno. */
static int ask_row(struct redis_reader *r, unsigned shard, const struct bindstore_row *of, int64_t until,
                   redisReply **ret_reply, struct bindstore_row *ret)
{
    struct command cmd = { 0 };
    char key[REDIS_KEY_MAX];
    const char *why = NULL;
    int e = 0;

    redis_row_key(store_of(r)->name, of, shard, key);
    add(&cmd, "HMGET");
    add(&cmd, key);
    add(&cmd, "s");
    add(&cmd, "e");
    add(&cmd, "b");
    *ret_reply = ask(r, shard, &cmd, until, &e);
    if (!*ret_reply)
        return e;
    e = redis_row_decode(*ret_reply, of, ret, &why);
    return e == -EBADMSG ? damaged(r, key, why) : e;
}

int redis_get(struct bindstore_reader *base, const struct tag *subject, uint8_t kind, uint8_t answer,
              struct bindstore_row *ret)
{
    struct redis_reader *r = reader_of(base);
    struct bindstore_row of = { .subject = *subject, .kind = kind, .answer = answer }, row = { 0 };
    CLEANUP(cleanup_reply) redisReply *reply = NULL;
    int e = ask_row(r, redis_shard_of(subject), &of, until_of(r), &reply, &row);

    if (e < 0)
        return e;
    if (row.bytes)
        row.bytes = memcpy(r->bytes, row.bytes, row.len);
    *ret = row;
    return 0;
}

/* Asks for many rows at once; each reply, or NULL where it is to be asked for by itself. */
static void ask_rows(struct redis_reader *r, unsigned shard, const struct bindstore_row *of, size_t count,
                     redisReply **ret)
{
    const struct redis_node *master = master_of(r, shard);
    redisContext *c = master ? link_to(r, master) : NULL;
    char key[REDIS_KEY_MAX];

    memset(ret, 0, count * sizeof(*ret));
    if (!c)
        return;
    for (size_t i = 0; i < count; i++) {
        redis_row_key(store_of(r)->name, &of[i], shard, key);
        redisAppendCommand(c, "HMGET %s s e b", key);
    }
    for (size_t i = 0; i < count; i++) {
        void *reply = NULL;

        if (redisGetReply(c, &reply) != REDIS_OK)
            return;
        ret[i] = reply;
        if (ret[i]->type == REDIS_REPLY_ERROR) {
            freeReplyObject(ret[i]);
            ret[i] = NULL;
        }
    }
}

/* What is done with each of many rows, which may be gone: row NULL. Not 0 ends it. */
typedef int each_fn(void *ctx, size_t i, const struct bindstore_row *row);

/* Reads count rows, at most PIPELINE. 0, -errno or what fn returned. */
static int each_row(struct redis_reader *r, unsigned shard, const struct bindstore_row *of, size_t count, int64_t until,
                    each_fn *fn, void *ctx)
{
    redisReply *replies[PIPELINE];
    int e = 0;

    ask_rows(r, shard, of, count, replies);
    for (size_t i = 0; i < count; i++) {
        struct bindstore_row row = { 0 };
        const char *why = NULL;

        if (e == 0) {
            int found = replies[i] ? redis_row_decode(replies[i], &of[i], &row, &why)
                                   : ask_row(r, shard, &of[i], until, &replies[i], &row);

            if (found == -EBADMSG && why) {
                char key[REDIS_KEY_MAX];

                redis_row_key(store_of(r)->name, &of[i], shard, key);
                damaged(r, key, why);
            }
            e = found == 0 || found == -ENOENT ? fn(ctx, i, found == 0 ? &row : NULL) : found;
        }
        if (replies[i])
            freeReplyObject(replies[i]);
    }
    return e;
}

struct scan {
    bindstore_row_fn *fn;
    void *ctx;
};

static int scan_one(void *ctx, size_t i, const struct bindstore_row *row)
{
    const struct scan *s = ctx;

    (void)i;
    return row ? s->fn(s->ctx, row) : 0; /* gone since */
}

/* The keys of a shard's slot. */
static redisReply *ask_keys(struct redis_reader *r, unsigned shard, int64_t until, int *ret_error)
{
    struct command count = { 0 }, keys = { 0 };
    char slot[12], number[24];
    redisReply *reply;
    uint64_t n;

    snprintf(slot, sizeof(slot), "%u", store_of(r)->slot[shard]);
    add(&count, "CLUSTER");
    add(&count, "COUNTKEYSINSLOT");
    add(&count, slot);
    reply = ask(r, shard, &count, until, ret_error);
    if (!reply)
        return NULL;
    n = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0 ? (uint64_t)reply->integer : 0;
    freeReplyObject(reply);
    n += 1024; /* those that come meanwhile */
    if (n > REDIS_ARRAY_MAX) {
        *ret_error =
            bindstore_say(-EFBIG, r->base.err, sizeof(r->base.err), "shard %u: %" PRIu64 " keys, expected at most %u",
                          shard, n - 1024, REDIS_ARRAY_MAX - 1024);
        return NULL;
    }
    snprintf(number, sizeof(number), "%" PRIu64, n);
    add(&keys, "CLUSTER");
    add(&keys, "GETKEYSINSLOT");
    add(&keys, slot);
    add(&keys, number);
    return ask(r, shard, &keys, until, ret_error);
}

int redis_scan(struct bindstore_reader *base, unsigned shard, const struct tag_prefix *prefix, bindstore_row_fn *fn,
               void *ctx, uint64_t *ret_cursor)
{
    struct redis_reader *r = reader_of(base);
    struct bindstore_row of[PIPELINE];
    struct scan scan = { fn, ctx };
    char begin[REDIS_KEY_MAX];
    uint64_t cursor = 0;
    size_t count = 0;
    int len, e;

    if (shard >= BINDSTORE_SHARDS_MAX)
        return bad_shard(r, shard);
    /* Of whom the map is old, the other calls are told MOVED; this one is not: it is asked for anew. */
    r->has_map = false;
    e = ask_cursor(r, shard, until_of(r), &cursor);
    if (e < 0)
        return e;
    CLEANUP(cleanup_reply) redisReply *keys = ask_keys(r, shard, until_of(r), &e);

    if (!keys)
        return e;
    if (keys->type != REDIS_REPLY_ARRAY)
        return damaged(r, "of a slot", "expected keys");
    len = snprintf(begin, sizeof(begin), "{%s.%u}", store_of(r)->name, shard);
    for (size_t i = 0; i <= keys->elements && e == 0; i++) {
        const redisReply *key = i < keys->elements ? keys->element[i] : NULL;

        if (count == PIPELINE || (!key && count > 0)) {
            e = each_row(r, shard, of, count, until_of(r), scan_one, &scan);
            count = 0;
        }
        if (!key || key->type != REDIS_REPLY_STRING || key->len <= (size_t)len ||
            memcmp(key->str, begin, (size_t)len) != 0 ||
            !redis_row_key_decode(key->str + len, key->len - (size_t)len, &of[count]))
            continue;
        if (!prefix || tag_prefix_contains(prefix, &of[count].subject))
            count++;
    }
    if (e == 0 && ret_cursor)
        *ret_cursor = cursor;
    return e;
}

struct tail {
    struct bindstore_logged logged[PIPELINE];
    bindstore_logged_fn *fn;
    void *ctx;
    uint64_t *ret_cursor;
};

static int tail_one(void *ctx, size_t i, const struct bindstore_row *row)
{
    struct tail *t = ctx;
    struct bindstore_logged *c = &t->logged[i];
    int e;

    if (row && !c->forgotten && row->seq == c->row.seq)
        c->row = *row;
    e = t->fn(t->ctx, c);
    if (e == 0)
        *t->ret_cursor = c->cursor;
    return e;
}

static int stale(struct redis_reader *r, unsigned shard, uint64_t since)
{
    return bindstore_say(-ESTALE, r->base.err, sizeof(r->base.err), "shard %u: cursor %" PRIu64 " is not of its log",
                         shard, since);
}

/* At most `most` entries behind since. Returns their number, or -errno. */
static int ask_log(struct redis_reader *r, unsigned shard, uint64_t since, size_t most, struct tail *t)
{
    struct command cmd = { 0 };
    char key[REDIS_KEY_MAX], from[32], number[24];
    int e = 0;

    snprintf(key, sizeof(key), "{%s.%u}log", store_of(r)->name, shard);
    snprintf(from, sizeof(from), "(%" PRIu64 "-1", since);
    snprintf(number, sizeof(number), "%zu", most);
    add(&cmd, "XRANGE");
    add(&cmd, key);
    add(&cmd, from);
    add(&cmd, "+");
    add(&cmd, "COUNT");
    add(&cmd, number);
    CLEANUP(cleanup_reply) redisReply *reply = ask(r, shard, &cmd, until_of(r), &e);

    if (!reply)
        return e;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > most)
        return damaged(r, key, "expected entries of a log");
    for (size_t i = 0; i < reply->elements; i++) {
        if (redis_logged_decode(reply->element[i], &t->logged[i]) < 0)
            return damaged(r, key, "an entry is not as expected");
        if (t->logged[i].before != (i == 0 ? since : t->logged[i - 1].cursor))
            return i == 0 ? stale(r, shard, since) : damaged(r, key, "the log has a gap");
    }
    return (int)reply->elements;
}

int redis_changes(struct bindstore_reader *base, unsigned shard, uint64_t since, size_t max, bindstore_logged_fn *fn,
                  void *ctx, uint64_t *ret_cursor)
{
    struct redis_reader *r = reader_of(base);
    struct tail t = { .fn = fn, .ctx = ctx, .ret_cursor = ret_cursor };
    struct bindstore_row of[PIPELINE];
    uint64_t last = 0;
    int e;

    *ret_cursor = since;
    if (shard >= BINDSTORE_SHARDS_MAX)
        return bad_shard(r, shard);
    e = ask_cursor(r, shard, until_of(r), &last);
    if (e < 0)
        return e;
    if (since > last)
        return stale(r, shard, since);
    while (max > 0 && *ret_cursor < last) {
        int n = ask_log(r, shard, *ret_cursor, MIN(max, PIPELINE), &t);

        if (n < 0)
            return n;
        if (n == 0)
            return stale(r, shard, *ret_cursor);
        for (int i = 0; i < n; i++)
            of[i] = t.logged[i].row;
        e = each_row(r, shard, of, (size_t)n, until_of(r), tail_one, &t);
        if (e != 0)
            return e;
        max -= (size_t)n;
    }
    return *ret_cursor < last;
}
