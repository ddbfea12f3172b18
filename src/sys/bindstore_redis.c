/* sys/bindstore_redis.c - the engine `redis` of bindstore.h: rows and logs in a Redis Cluster, and the thread that
 * writes.
 *
 * Theory of operation. The rows of a shard have a hash tag in common, so they are in one slot, as are the shard's log
 * (a stream) and the cursor of its newest entry: `{NAME.SHARD}b:TAG:KIND:CLASS`, `{NAME.SHARD}log`, `{NAME.SHARD}c`. A
 * script compares the sequence, writes the row (HSET: s, e, b), says when Redis is to drop it (PEXPIREAT, the end of
 * the lease and keep_s more, a backstop) and adds to the log (XADD), so that rows and log are never apart. A cursor is
 * microseconds of the master's clock, and always above the one before it.
 *
 * One thread has a connection to each master. It sorts the changes that wait into calls of one shard each, sends them
 * without waiting for replies, and counts results until a batch has all. What is moved, asked elsewhere, not possible
 * now, or was under way on a connection that broke is sent again until its time is over: whatever a change finds, doing
 * it twice is doing it once (bindstore.c). Nodes that do not answer are dialled again after BACKOFF_MS, doubled up to
 * BACKOFF_MAX_MS. The map of slots is asked for anew whenever it may be wrong.
 *
 * A replica that takes over lacks what its master had not sent it yet. So a shard is behind (BINDSTORE_BEHIND) when it
 * is reached first, when it comes to another node, and when its node says another replication id than before, which is
 * what Redis changes when a node is started or takes over.
 *
 * Limits: CALL_MAX changes a call, UNDER_WAY_MAX under way; REDIS_NODES_MAX masters; no TLS, no password: the cluster
 * is reached through a network of its own, or through stunnel. What comes back is not believed: whoever reads it
 * verifies the records. A name of a host is looked up by the thread, which waits for that. Sources: Redis Cluster
 * specification; hiredis.h; Lua 5.1 manual (numbers are doubles: sequences are compared in halves). */
#include "sys/bindstore_redis.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CALL_MAX 16u          /* chosen: changes of a call of the script; a master is kept for some 200 us */
#define UNDER_WAY_MAX 8192u   /* chosen: changes that are sent or wait for a node */
#define BACKOFF_MS 50         /* chosen */
#define BACKOFF_MAX_MS 2000   /* chosen: a cluster fails over in some seconds */
#define DIAL_TIMEOUT_MS 2000  /* chosen */
#define MAP_EVERY_MS 100      /* chosen: while it may be wrong */
#define UNREAD_MAX (1u << 20) /* chosen: bytes of a reply that is not whole; maps of large clusters are 200 KB */
#define AGAIN_MS 20           /* chosen: what is not possible now */

/* ARGV: ms to keep a row after its lease, entries of the log; then for each key from the third on: what (of enum
 * bindstore_op), sequence, end of lease, bytes. Returns for each: outcome (-1: damaged), sequence, cursor. */
static const char script[] =
    "local function above(a, b)\n"
    "  local x, y = tonumber(a:sub(1, 8), 16), tonumber(b:sub(1, 8), 16)\n"
    "  if x ~= y then return x > y end\n"
    "  return tonumber(a:sub(9), 16) > tonumber(b:sub(9), 16)\n"
    "end\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local old = redis.call('GET', KEYS[2]) or '0'\n"
    "local last, keep, tag, out = tonumber(old), tonumber(ARGV[1]), KEYS[2]:len(), {}\n"
    "for i = 3, #KEYS do\n"
    "  local key, a = KEYS[i], i * 4 - 9\n"
    "  local op, seq, expires, bytes = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]\n"
    "  local row = redis.call('HMGET', key, 's', 'e')\n"
    "  local have, ends = row[1], row[2]\n"
    "  local body = have == seq and op ~= '3' and redis.call('HGET', key, 'b')\n"
    "  local outcome, log, stands, cursor = 0, false, have or '0000000000000000', '0'\n"
    "  local later = tonumber(ends or '0')\n"
    "  if (have and not have:match('^%x+$')) or (have and #have ~= 16) or not later then\n"
    "    outcome = -1\n"
    "    stands = '0000000000000000'\n"
    "  elseif op == '1' then\n"
    "    if not have or above(seq, have) then\n"
    "      if bytes ~= '' then redis.call('HSET', key, 's', seq, 'e', expires, 'b', bytes)\n"
    "      else redis.call('HSET', key, 's', seq, 'e', expires) redis.call('HDEL', key, 'b') end\n"
    "      log, stands, later = true, seq, tonumber(expires)\n"
    "    elseif have ~= seq then outcome = 2\n"
    "    elseif bytes == '' then\n"
    "      if body then redis.call('HDEL', key, 'b') log = true else outcome = 1 end\n"
    "    elseif bytes ~= body then outcome = 2\n"
    "    else\n"
    "      outcome = 1\n"
    "      if tonumber(expires) > later then\n"
    "        later = tonumber(expires)\n"
    "        redis.call('HSET', key, 'e', expires)\n"
    "      end\n"
    "    end\n"
    "  elseif op == '2' then\n"
    "    if not have or (have == seq and not body) then outcome = 3\n"
    "    elseif have ~= seq then outcome = 2\n"
    "    elseif tonumber(expires) <= later then outcome = 1\n"
    "    else\n"
    "      later = tonumber(expires)\n"
    "      redis.call('HSET', key, 'e', expires)\n"
    "    end\n"
    "  elseif not have then outcome = 3\n"
    "  elseif above(have, seq) then outcome = 2\n"
    "  else\n"
    "    redis.call('DEL', key)\n"
    "    log, stands = true, '0000000000000000'\n"
    "  end\n"
    "  if op ~= '3' and (outcome == 0 or outcome == 1) then\n"
    "    redis.call('PEXPIREAT', key, string.format('%.0f', math.max(later, math.floor(now / 1000)) + keep))\n"
    "  end\n"
    "  if log then\n"
    "    local before = string.format('%.0f', last)\n"
    "    last = math.max(last + 1, now)\n"
    "    cursor = string.format('%.0f', last)\n"
    "    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], cursor .. '-1', 'k', key:sub(tag), 's', seq, 'w', "
    "op,\n"
    "      'p', before)\n"
    "  end\n"
    "  out[#out + 1] = outcome\n"
    "  out[#out + 1] = stands\n"
    "  out[#out + 1] = cursor\n"
    "end\n"
    "if last > tonumber(old) then redis.call('SET', KEYS[2], string.format('%.0f', last)) end\n"
    "return out\n";

/* What is under way: a call of the script, or a question of the thread's own. */
enum sent_type { SENT_CALL, SENT_ASKING, SENT_SLOTS, SENT_LOAD, SENT_INFO };

struct call {
    struct call *next;
    enum sent_type type;
    unsigned shard;
    unsigned count;
    struct {
        struct bindstore_batch *batch;
        uint32_t index; /* of the batch's changes */
    } of[CALL_MAX];
    int64_t deadline_ms, not_before_ms;
};

struct calls {
    struct call *head, **tail;
};

struct link {
    struct redis_node node; /* port 0: free */
    redisContext *c;        /* NULL: down */
    bool connected;         /* it may be written to */
    bool up;                /* its first reply came */
    struct calls sent;      /* in their order */
    int64_t dial_ms, backoff_ms;
    int64_t since_ms; /* when something came last, or began to be waited for */
    char replid[41];  /* "" unknown */
};

struct redis_writer {
    struct redis_map map;
    bool has_map;
    int64_t map_ms; /* when to ask for it next; INT64_MAX: it is good */
    struct link links[REDIS_NODES_MAX];
    uint8_t of_shard[BINDSTORE_SHARDS_MAX]; /* into links, or REDIS_NO_NODE */
    struct calls waiting;
    size_t under_way; /* changes of calls */
    char sha[41];
    struct bindstore_list done;
    int wake_fd;
};

static struct redis_store *store_of(struct bindstore *s)
{
    return CONTAINER_OF(s, struct redis_store, base);
}

static void calls_init(struct calls *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void calls_add(struct calls *q, struct call *c)
{
    c->next = NULL;
    *q->tail = c;
    q->tail = &c->next;
}

static struct call *calls_take(struct calls *q)
{
    struct call *c = q->head;

    if (c) {
        q->head = c->next;
        if (!q->head)
            q->tail = &q->head;
    }
    return c;
}

unsigned redis_shard_of(const struct tag *subject)
{
    return redis_slot((const char *)subject->bytes, sizeof(subject->bytes)) % BINDSTORE_SHARDS_MAX;
}

/* --- batches and calls --- */

static const struct bindstore_change *change_at(const struct call *c, unsigned i)
{
    return &c->of[i].batch->changes[c->of[i].index];
}

/* Results are there, or an error for all changes of a call. */
static void call_done(struct redis_writer *w, struct call *c, const struct bindstore_result *results, int error)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct bindstore_batch *b = c->of[i].batch;

        b->results[c->of[i].index] = results ? results[i] : (struct bindstore_result){ .outcome = error };
        if (--b->left == 0)
            bindstore_list_add(&w->done, b);
    }
    w->under_way -= c->count;
    free(c);
}

static void call_again(struct redis_writer *w, struct call *c, int64_t not_before_ms)
{
    c->not_before_ms = not_before_ms;
    calls_add(&w->waiting, c);
}

/* A shard may have lost what was told as done. */
static void tell_behind(struct redis_writer *w, unsigned shard)
{
    struct bindstore_batch *b = calloc(1, sizeof(*b));

    if (!b)
        abort(); /* not to tell it would be to lose changes */
    b->type = BINDSTORE_BEHIND;
    b->shard = shard;
    bindstore_list_add(&w->done, b);
}

/* Puts the changes of a batch into calls: open ones, which have room and are not sent yet. */
static void cut_batch(struct redis_store *s, struct redis_writer *w, struct bindstore_batch *b,
                      struct call *open[BINDSTORE_SHARDS_MAX], int64_t now_ms)
{
    size_t failed = 0;

    for (size_t i = 0; i < b->count; i++) {
        unsigned shard = redis_shard_of(&b->changes[i].row.subject);
        struct call *c = open[shard];

        if (!c) {
            c = calloc(1, sizeof(*c));
            if (!c) {
                b->results[i].outcome = -ENOSPC;
                failed++;
                continue;
            }
            c->shard = shard;
            c->deadline_ms = now_ms + s->timeout_ms;
            calls_add(&w->waiting, c);
            open[shard] = c;
        }
        c->of[c->count].batch = b;
        c->of[c->count++].index = (uint32_t)i;
        if (c->count == CALL_MAX)
            open[shard] = NULL;
    }
    w->under_way += b->count - failed;
    b->left -= failed;
    if (b->left == 0)
        bindstore_list_add(&w->done, b);
}

/* --- links --- */

static void link_drop(struct redis_writer *w, struct link *l, int64_t now_ms)
{
    struct call *c;

    redisFree(l->c);
    l->c = NULL;
    l->up = l->connected = false;
    l->backoff_ms = CLAMP(l->backoff_ms * 2, BACKOFF_MS, BACKOFF_MAX_MS);
    l->dial_ms = now_ms + l->backoff_ms;
    while ((c = calls_take(&l->sent))) {
        if (c->type == SENT_CALL)
            call_again(w, c, 0);
        else
            free(c);
    }
    w->map_ms = MIN(w->map_ms, now_ms);
}

/* c is the next one that l is to answer. */
static void link_sent(struct link *l, struct call *c, int64_t now_ms)
{
    if (!l->sent.head)
        l->since_ms = now_ms;
    calls_add(&l->sent, c);
}

/* A question of the thread's own, which l is asked. */
static void link_ask(struct redis_writer *w, struct link *l, enum sent_type type, int64_t now_ms)
{
    struct call *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return;
    c->type = type;
    link_sent(l, c, now_ms);
    r = type == SENT_ASKING  ? redisAppendCommand(l->c, "ASKING")
        : type == SENT_SLOTS ? redisAppendCommand(l->c, "CLUSTER SLOTS")
        : type == SENT_LOAD  ? redisAppendCommand(l->c, "SCRIPT LOAD %b", script, sizeof(script) - 1)
                             : redisAppendCommand(l->c, "INFO replication");
    if (r != REDIS_OK)
        link_drop(w, l, now_ms);
}

static void link_dial(struct redis_writer *w, struct link *l, int64_t now_ms)
{
    l->c = redisConnectNonBlock(l->node.host, l->node.port);
    l->since_ms = now_ms;
    if (!l->c)
        return;
    if (l->c->err) {
        link_drop(w, l, now_ms);
        return;
    }
    redis_bound(l->c->reader);
    link_ask(w, l, SENT_INFO, now_ms);
    if (l->c)
        link_ask(w, l, SENT_LOAD, now_ms);
}

/* The link to a node, which may be down. NULL: there is no room. */
static struct link *link_of(struct redis_writer *w, const struct redis_node *node)
{
    struct link *room = NULL;

    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        struct link *l = &w->links[i];

        if (l->node.port == node->port && strcmp(l->node.host, node->host) == 0)
            return l;
        if (!room && l->node.port == 0)
            room = l;
    }
    if (room) {
        *room = (struct link){ .node = *node };
        calls_init(&room->sent);
    }
    return room;
}

/* Links that no shard has any more. */
static void links_tidy(struct redis_writer *w, int64_t now_ms)
{
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        struct link *l = &w->links[i];
        bool used = false;

        for (unsigned j = 0; j < BINDSTORE_SHARDS_MAX; j++)
            used |= w->of_shard[j] == i;
        if (used || l->node.port == 0 || l->sent.head)
            continue;
        if (l->c)
            link_drop(w, l, now_ms);
        l->node.port = 0;
    }
}

static void map_take(struct redis_store *s, struct redis_writer *w, const struct redis_map *map)
{
    bool good = true;

    w->map = *map;
    w->has_map = true;
    for (unsigned shard = 0; shard < BINDSTORE_SHARDS_MAX; shard++) {
        uint8_t i = map->of_slot[s->slot[shard]];
        struct link *l = i == REDIS_NO_NODE ? NULL : link_of(w, &map->nodes[i]);
        uint8_t to = l ? (uint8_t)(l - w->links) : REDIS_NO_NODE;

        if (!l || !l->up)
            good = false;
        if (to == w->of_shard[shard] || !l)
            continue;
        w->of_shard[shard] = to;
        tell_behind(w, shard);
    }
    w->map_ms = good ? INT64_MAX : redis_now_ms() + MAP_EVERY_MS;
}

/* Asks who has which slot: a link that is up, or the seeds, one after the other. */
static void map_renew(struct redis_store *s, struct redis_writer *w, int64_t now_ms)
{
    unsigned first = (unsigned)((uint64_t)now_ms / MAP_EVERY_MS), links = REDIS_NODES_MAX;

    w->map_ms = now_ms + MAP_EVERY_MS;
    for (unsigned n = 0; n < links; n++) {
        struct link *l = &w->links[(first + n) % links];

        if (l->node.port && l->c && l->up) {
            link_ask(w, l, SENT_SLOTS, now_ms);
            return;
        }
    }
    for (unsigned n = 0; n < s->seeds_count; n++) {
        struct link *l = link_of(w, &s->seeds[(first + n) % s->seeds_count]);

        if (l && !l->c && now_ms >= l->dial_ms)
            link_dial(w, l, now_ms);
    }
}

/* --- calls of the script --- */

/* Sends a call to l, whole or by the script's name. */
static void call_send(struct redis_store *s, struct redis_writer *w, struct link *l, struct call *c, bool whole,
                      int64_t now_ms)
{
    const char *argv[3 + 2 + CALL_MAX + 2 + 4 * CALL_MAX];
    size_t len[ARRAY_LEN(argv)];
    char keys[2 + CALL_MAX][REDIS_KEY_MAX], seqs[CALL_MAX][REDIS_SEQ_LEN + 1], ends[CALL_MAX][24], numkeys[8], keep[24],
        log_max[12];
    static const char *const ops[] = { "", "1", "2", "3" };
    int n = 0;

    argv[n++] = whole ? "EVAL" : "EVALSHA";
    argv[n++] = whole ? script : w->sha;
    snprintf(numkeys, sizeof(numkeys), "%u", c->count + 2);
    argv[n++] = numkeys;
    snprintf(keys[0], REDIS_KEY_MAX, "{%s.%u}log", s->name, c->shard);
    snprintf(keys[1], REDIS_KEY_MAX, "{%s.%u}c", s->name, c->shard);
    for (unsigned i = 0; i < c->count; i++)
        redis_row_key(s->name, &change_at(c, i)->row, c->shard, keys[2 + i]);
    for (unsigned i = 0; i < c->count + 2; i++)
        argv[n++] = keys[i];
    snprintf(keep, sizeof(keep), "%" PRIu64, (uint64_t)s->keep_s * 1000);
    argv[n++] = keep;
    snprintf(log_max, sizeof(log_max), "%" PRIu32, s->log_max);
    argv[n++] = log_max;
    for (int i = 0; i < n; i++)
        len[i] = strlen(argv[i]);
    for (unsigned i = 0; i < c->count; i++) {
        const struct bindstore_change *change = change_at(c, i);

        snprintf(seqs[i], sizeof(seqs[i]), "%016" PRIx64, change->row.seq);
        snprintf(ends[i], sizeof(ends[i]), "%" PRId64, change->row.expires_ms);
        len[n] = 1;
        argv[n++] = ops[change->op];
        len[n] = REDIS_SEQ_LEN;
        argv[n++] = seqs[i];
        len[n] = strlen(ends[i]);
        argv[n++] = ends[i];
        len[n] = change->row.len;
        argv[n++] = change->row.bytes ? (const char *)change->row.bytes : "";
    }
    c->type = SENT_CALL;
    link_sent(l, c, now_ms);
    if (redisAppendCommandArgv(l->c, n, argv, len) != REDIS_OK)
        link_drop(w, l, now_ms);
}

/* Sends what waits and may go now; what is too late is told so. */
static void calls_dispatch(struct redis_store *s, struct redis_writer *w, int64_t now_ms)
{
    struct calls waiting = w->waiting;
    struct call *c;

    if (!waiting.head)
        return;
    calls_init(&w->waiting);
    while ((c = calls_take(&waiting))) {
        struct link *l = w->of_shard[c->shard] == REDIS_NO_NODE ? NULL : &w->links[w->of_shard[c->shard]];

        if (now_ms >= c->deadline_ms)
            call_done(w, c, NULL, -ETIMEDOUT);
        else if (!l || !l->up || now_ms < c->not_before_ms)
            calls_add(&w->waiting, c);
        else
            call_send(s, w, l, c, w->sha[0] == '\0', now_ms);
    }
}

static void on_call_error(struct redis_store *s, struct redis_writer *w, struct link *l, struct call *c,
                          const redisReply *reply, int64_t now_ms)
{
    struct redis_node node;
    struct link *to;
    unsigned slot;

    switch (redis_advice(reply, &l->node, &slot, &node)) {
    case REDIS_MOVED:
    case REDIS_LATER:
        w->map_ms = MIN(w->map_ms, now_ms);
        call_again(w, c, now_ms + AGAIN_MS);
        break;
    case REDIS_ASK:
        to = link_of(w, &node);
        if (to && !to->c && now_ms >= to->dial_ms)
            link_dial(w, to, now_ms);
        if (!to || !to->up) {
            call_again(w, c, now_ms + AGAIN_MS);
            break;
        }
        link_ask(w, to, SENT_ASKING, now_ms);
        if (to->c)
            call_send(s, w, to, c, true, now_ms);
        else
            call_again(w, c, now_ms + AGAIN_MS);
        break;
    case REDIS_NO_SCRIPT:
        call_send(s, w, l, c, true, now_ms);
        break;
    case REDIS_FULL:
        call_done(w, c, NULL, -ENOSPC);
        break;
    case REDIS_REFUSED:
    default:
        call_done(w, c, NULL, -EBADMSG);
        break;
    }
}

static void on_call(struct redis_store *s, struct redis_writer *w, struct link *l, struct call *c,
                    const redisReply *reply, int64_t now_ms)
{
    struct bindstore_result results[CALL_MAX];

    if (reply->type == REDIS_REPLY_ERROR)
        on_call_error(s, w, l, c, reply, now_ms);
    else if (redis_results_decode(reply, c->count, results) < 0)
        call_done(w, c, NULL, -EBADMSG);
    else
        call_done(w, c, results, 0);
}

/* `master_replid:` and 40 hex digits, somewhere in INFO. */
static void on_info(struct redis_writer *w, struct link *l, const redisReply *reply)
{
    static const char key[] = "master_replid:";
    const char *at = reply->type == REDIS_REPLY_STRING ? memmem(reply->str, reply->len, key, sizeof(key) - 1) : NULL;
    char replid[41] = "";

    if (at && reply->len - (size_t)(at - reply->str) >= sizeof(key) - 1 + 40)
        memcpy(replid, at + sizeof(key) - 1, 40);
    if (l->replid[0] && strcmp(l->replid, replid) != 0) {
        for (unsigned shard = 0; shard < BINDSTORE_SHARDS_MAX; shard++)
            if (w->of_shard[shard] == (uint8_t)(l - w->links))
                tell_behind(w, shard);
    }
    memcpy(l->replid, replid, sizeof(replid));
    l->up = true;
    l->backoff_ms = 0;
}

static void on_reply(struct redis_store *s, struct redis_writer *w, struct link *l, const redisReply *reply,
                     int64_t now_ms)
{
    struct call *c = calls_take(&l->sent);
    struct redis_map *map;

    if (!c) {
        link_drop(w, l, now_ms); /* nobody asked */
        return;
    }
    switch (c->type) {
    case SENT_CALL:
        on_call(s, w, l, c, reply, now_ms);
        return;
    case SENT_SLOTS:
        map = malloc(sizeof(*map));
        if (map && redis_map_decode(reply, &l->node, map) == 0)
            map_take(s, w, map);
        free(map);
        break;
    case SENT_LOAD:
        if (reply->type == REDIS_REPLY_STRING && reply->len == 40)
            memcpy(w->sha, reply->str, 40);
        break;
    case SENT_INFO:
        on_info(w, l, reply);
        w->map_ms = MIN(w->map_ms, now_ms);
        break;
    case SENT_ASKING:
    default:
        break;
    }
    free(c);
}

static void link_read(struct redis_store *s, struct redis_writer *w, struct link *l, int64_t now_ms)
{
    void *reply = NULL;

    if (l->c->reader->len - l->c->reader->pos > UNREAD_MAX || redisBufferRead(l->c) != REDIS_OK) {
        link_drop(w, l, now_ms);
        return;
    }
    while (l->c) {
        if (redisGetReplyFromReader(l->c, &reply) != REDIS_OK) {
            link_drop(w, l, now_ms);
            return;
        }
        if (!reply)
            return;
        on_reply(s, w, l, reply, now_ms);
        freeReplyObject(reply);
    }
}

/* --- the thread --- */

/* Writes what is to be written; fills p, in the order of links. */
static void links_prepare(struct redis_store *s, struct redis_writer *w, struct pollfd p[REDIS_NODES_MAX],
                          int64_t now_ms)
{
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        struct link *l = &w->links[i];
        int written = 0;

        p[i] = (struct pollfd){ .fd = -1 };
        if (l->node.port == 0)
            continue;
        /* One that hangs is as one that is down. */
        if (l->c && l->sent.head && now_ms - l->since_ms > (l->up ? (int64_t)s->timeout_ms / 2 : DIAL_TIMEOUT_MS))
            link_drop(w, l, now_ms);
        if (!l->c && now_ms >= l->dial_ms)
            link_dial(w, l, now_ms);
        if (!l->c)
            continue;
        if (l->connected && redisBufferWrite(l->c, &written) != REDIS_OK) {
            link_drop(w, l, now_ms);
            continue;
        }
        p[i].fd = l->c->fd;
        p[i].events = written ? POLLIN : POLLIN | POLLOUT;
    }
}

static void links_serve(struct redis_store *s, struct redis_writer *w, const struct pollfd p[REDIS_NODES_MAX],
                        int64_t now_ms)
{
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        struct link *l = &w->links[i];
        int written;

        if (p[i].fd < 0 || !p[i].revents || !l->c || l->c->fd != p[i].fd)
            continue;
        if (p[i].revents & POLLOUT && !l->connected) {
            l->connected = true;
            if (redisBufferWrite(l->c, &written) != REDIS_OK) {
                link_drop(w, l, now_ms);
                continue;
            }
        }
        if (p[i].revents & (POLLIN | POLLERR | POLLHUP)) {
            l->since_ms = now_ms;
            link_read(s, w, l, now_ms);
        }
    }
}

static int wait_ms(const struct redis_writer *w, int64_t now_ms)
{
    int64_t next = w->map_ms;

    if (w->waiting.head)
        next = MIN(next, now_ms + AGAIN_MS);
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        const struct link *l = &w->links[i];

        if (l->node.port && !l->c)
            next = MIN(next, l->dial_ms);
        else if (l->node.port && l->sent.head)
            next = MIN(next, now_ms + 100);
    }
    return next == INT64_MAX ? -1 : (int)CLAMP(next - now_ms, 0, 1000);
}

/* Takes work as long as there is room for it. False: there will be none any more. */
static bool take_work(struct redis_store *s, struct redis_writer *w, int64_t now_ms)
{
    struct call *open[BINDSTORE_SHARDS_MAX] = { NULL };
    struct bindstore_list group;
    struct bindstore_batch *b, *next;
    bool more;

    while (w->under_way < UNDER_WAY_MAX && bindstore_queue_take(&s->base.queue, false, &group))
        for (b = group.head; b; b = next) {
            next = b->next;
            cut_batch(s, w, b, open, now_ms);
        }
    pthread_mutex_lock(&s->base.queue.lock);
    more = !s->base.queue.closing || s->base.queue.waiting.head || w->under_way > 0;
    pthread_mutex_unlock(&s->base.queue.lock);
    return more;
}

static void *write_main(void *arg)
{
    struct redis_store *s = arg;
    struct redis_writer *w = s->writer;
    struct pollfd p[REDIS_NODES_MAX + 1];
    eventfd_t ignored;

    for (;;) {
        int64_t now_ms = redis_now_ms();

        if (!take_work(s, w, now_ms))
            return NULL;
        if (now_ms >= w->map_ms) {
            links_tidy(w, now_ms);
            map_renew(s, w, now_ms);
        }
        calls_dispatch(s, w, now_ms);
        links_prepare(s, w, p, now_ms);
        if (w->done.head)
            bindstore_queue_done(&s->base.queue, &w->done);
        p[REDIS_NODES_MAX] = (struct pollfd){ .fd = w->under_way < UNDER_WAY_MAX ? w->wake_fd : -1, .events = POLLIN };
        if (poll(p, ARRAY_LEN(p), wait_ms(w, now_ms)) < 0)
            continue;
        if (p[REDIS_NODES_MAX].fd >= 0 && p[REDIS_NODES_MAX].revents)
            (void)!eventfd_read(w->wake_fd, &ignored);
        links_serve(s, w, p, redis_now_ms());
    }
}

/* --- opening --- */

static void redis_close(struct bindstore *base)
{
    struct redis_store *s = store_of(base);
    struct redis_writer *w = s->writer;

    bindstore_queue_end(&s->base.queue);
    if (w) {
        for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
            struct call *c;

            if (w->links[i].c)
                redisFree(w->links[i].c);
            while (w->links[i].node.port && (c = calls_take(&w->links[i].sent)))
                free(c);
        }
        for (struct bindstore_batch *b = w->done.head, *next; b; b = next) {
            next = b->next;
            free(b);
        }
        close(w->wake_fd);
    }
    bindstore_queue_deinit(&s->base.queue);
    free(w);
    free(s);
}

/* `host:port,host:port`. 0 or -EINVAL. */
static int parse_seeds(struct redis_store *s, const char *place)
{
    while (*place) {
        struct redis_node *n = &s->seeds[s->seeds_count];
        size_t len = strcspn(place, ",");
        const char *colon = memrchr(place, ':', len);
        char *end;
        unsigned long port;

        if (s->seeds_count == REDIS_SEEDS_MAX || !colon || colon == place || (size_t)(colon - place) >= sizeof(n->host))
            return -EINVAL;
        memcpy(n->host, place, (size_t)(colon - place));
        port = strtoul(colon + 1, &end, 10);
        if (end != place + len || end == colon + 1 || port == 0 || port > UINT16_MAX)
            return -EINVAL;
        n->port = (uint16_t)port;
        s->seeds_count++;
        place += len + (place[len] == ',');
    }
    return s->seeds_count > 0 ? 0 : -EINVAL;
}

static int set_name(struct redis_store *s, const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= sizeof(s->name) || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
        return -EINVAL;
    memcpy(s->name, name, len);
    for (unsigned i = 0; i < BINDSTORE_SHARDS_MAX; i++) {
        char key[REDIS_KEY_MAX];
        int n = snprintf(key, sizeof(key), "{%s.%u}", s->name, i);

        s->slot[i] = redis_slot(key, (size_t)n);
    }
    return 0;
}

/* The writer, without its thread. 0 or -errno, said in err. */
static int writer_new(struct redis_store *s, const struct redis_map *map, const char *place, char *err, size_t err_size)
{
    struct redis_writer *w = calloc(1, sizeof(*w));

    if (w)
        w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!w || w->wake_fd < 0) {
        int r = -errno;

        free(w);
        return bindstore_say(r, err, err_size, "%s: cannot open: %s", place, strerror(-r));
    }
    s->writer = w;
    s->base.queue.wake_fd = w->wake_fd;
    calls_init(&w->waiting);
    bindstore_list_init(&w->done);
    memset(w->of_shard, REDIS_NO_NODE, sizeof(w->of_shard));
    map_take(s, w, map);
    return 0;
}

static int redis_open(const char *place, const struct bindstore_options *o, struct bindstore **ret, char *err,
                      size_t err_size)
{
    struct redis_store *s = calloc(1, sizeof(*s));
    struct redis_map *map = calloc(1, sizeof(*map));
    struct sigaction pipe;
    int r = s && map ? bindstore_queue_init(&s->base.queue) : -ENOMEM;

    if (r < 0) {
        free(s);
        free(map);
        return bindstore_say(r, err, err_size, "%s: cannot open: %s", place, strerror(-r));
    }
    /* hiredis writes to sockets that may be closed. */
    if (sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    s->base.engine = &bindstore_redis;
    s->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : REDIS_TIMEOUT_MS;
    s->keep_s = o->keep_s > 0 ? o->keep_s : REDIS_KEEP_S;
    s->log_max = MAX(o->log_max / BINDSTORE_SHARDS_MAX, 1);
    if (set_name(s, o->name ? o->name : "hawser") < 0)
        r = bindstore_say(-EINVAL, err, err_size, "name: found %s, expected 1 to 32 of a-z 0-9 . -",
                          o->name ? o->name : "");
    else if (parse_seeds(s, place) < 0)
        r = bindstore_say(-EINVAL, err, err_size, "%s: expected HOST:PORT, at most %u of them", place, REDIS_SEEDS_MAX);
    else
        r = redis_map_ask(s, map, err, err_size);
    if (r == 0)
        r = writer_new(s, map, place, err, err_size);
    if (r == 0)
        r = bindstore_queue_begin(&s->base.queue, write_main, s, place, err, err_size);
    free(map);
    if (r < 0) {
        redis_close(&s->base);
        return r;
    }
    *ret = &s->base;
    return 0;
}

const struct bindstore_engine bindstore_redis = {
    .name = "redis",
    .shards = BINDSTORE_SHARDS_MAX,
    .open = redis_open,
    .close = redis_close,
    .shard_of = redis_shard_of,
    .reader_new = redis_reader_new,
    .reader_free = redis_reader_free,
    .get = redis_get,
    .scan = redis_scan,
    .changes = redis_changes,
};
