/* sys/redis_decode.c - see redis_decode.h.
 *
 * Sources: Redis Cluster specification, "Key distribution model", "MOVED redirection", "ASK redirection" and appendix A
 * (CRC-16: polynomial 0x1021, from 0, most significant bit first); the commands CLUSTER SLOTS, HMGET, XRANGE. */
#include "sys/redis_decode.h"

#include "sys/bindstore_engine.h"

#include <errno.h>
#include <stdio.h>

#define CURSOR_MAX (1ull << 53) /* what Lua counts without loss */

static redisReplyObjectFunctions bounded;
static void *(*create_array)(const redisReadTask *, int);

static void *create_bounded(const redisReadTask *task, int elements)
{
    return elements < 0 || (unsigned)elements > REDIS_ARRAY_MAX ? NULL : create_array(task, elements);
}

static void make_bounded(void)
{
    redisReader *r = redisReaderCreate();

    if (!r)
        abort(); /* at the start of the first connection */
    bounded = *r->fn;
    create_array = bounded.createArray;
    bounded.createArray = create_bounded;
    redisReaderFree(r);
}

void redis_bound(redisReader *r)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_bounded);
    r->fn = &bounded;
}

static uint16_t crc16(const uint8_t *p, size_t len)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (uint16_t)(p[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

unsigned redis_slot(const char *key, size_t len)
{
    const char *from = memchr(key, '{', len), *to;

    if (from) {
        from++;
        to = memchr(from, '}', len - (size_t)(from - key));
        if (to && to > from) {
            len = (size_t)(to - from);
            key = from;
        }
    }
    return crc16((const uint8_t *)key, len) % REDIS_SLOTS;
}

static bool is_text(const redisReply *r)
{
    return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) && r->str;
}

/* Digits of text. */
static bool digits(const char *p, size_t len, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;

    if (len == 0 || len > 20)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned d = (unsigned char)p[i] - (unsigned)'0';

        if (d > 9 || n > (UINT64_MAX - d) / 10)
            return false;
        n = n * 10 + d;
    }
    if (n > max || (len > 1 && p[0] == '0'))
        return false;
    *ret = n;
    return true;
}

bool redis_number(const redisReply *r, uint64_t max, uint64_t *ret)
{
    if (!r)
        return false;
    if (r->type == REDIS_REPLY_INTEGER) {
        if (r->integer < 0 || (uint64_t)r->integer > max)
            return false;
        *ret = (uint64_t)r->integer;
        return true;
    }
    return is_text(r) && digits(r->str, r->len, max, ret);
}

static bool hex(const char *p, size_t len, uint8_t *out)
{
    for (size_t i = 0; i < len; i++) {
        char c = p[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (v < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

static bool seq_of(const redisReply *r, uint64_t *ret)
{
    uint8_t bytes[8];

    if (!is_text(r) || r->len != REDIS_SEQ_LEN || !hex(r->str, REDIS_SEQ_LEN, bytes))
        return false;
    *ret = get_be64(bytes);
    return true;
}

/* --- the cluster --- */

static bool set_node(const char *host, size_t len, uint64_t port, const struct redis_node *asked,
                     struct redis_node *ret)
{
    if (len >= REDIS_HOST_MAX || port == 0 || port > UINT16_MAX || memchr(host, '\0', len))
        return false;
    *ret = *asked;
    if (len > 0 && !(len == 1 && host[0] == '?')) {
        memcpy(ret->host, host, len);
        ret->host[len] = '\0';
    }
    ret->port = (uint16_t)port;
    return true;
}

static unsigned node_index(struct redis_map *m, const struct redis_node *node)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->nodes[i].port == node->port && strcmp(m->nodes[i].host, node->host) == 0)
            return i;
    if (m->count == REDIS_NODES_MAX)
        return REDIS_NO_NODE;
    m->nodes[m->count] = *node;
    return m->count++;
}

/* A range: first slot, last slot, its master, its replicas. */
static int decode_range(const redisReply *r, const struct redis_node *asked, struct redis_map *m)
{
    const redisReply *master;
    struct redis_node node;
    uint64_t first, last, port;
    unsigned index;

    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements < 3 ||
        !redis_number(r->element[0], REDIS_SLOTS - 1, &first) || !redis_number(r->element[1], REDIS_SLOTS - 1, &last) ||
        first > last)
        return -EPROTO;
    master = r->element[2];
    if (!master || master->type != REDIS_REPLY_ARRAY || master->elements < 2 || !master->element[0] ||
        !redis_number(master->element[1], UINT16_MAX, &port))
        return -EPROTO;
    if (!(master->element[0]->type == REDIS_REPLY_NIL
              ? set_node("", 0, port, asked, &node)
              : is_text(master->element[0]) &&
                    set_node(master->element[0]->str, master->element[0]->len, port, asked, &node)))
        return -EPROTO;
    index = node_index(m, &node);
    if (index == REDIS_NO_NODE)
        return -EPROTO;
    memset(m->of_slot + first, (int)index, last - first + 1);
    return 0;
}

int redis_map_decode(const redisReply *reply, const struct redis_node *asked, struct redis_map *ret)
{
    struct redis_map m;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > REDIS_SLOTS)
        return -EPROTO;
    m.count = 0;
    memset(m.of_slot, REDIS_NO_NODE, sizeof(m.of_slot));
    for (size_t i = 0; i < reply->elements; i++) {
        int r = decode_range(reply->element[i], asked, &m);

        if (r < 0)
            return r;
    }
    *ret = m;
    return 0;
}

static bool begins(const redisReply *r, const char *word)
{
    size_t len = strlen(word);

    return r->len >= len && memcmp(r->str, word, len) == 0 && (r->len == len || r->str[len] == ' ');
}

/* `MOVED slot host:port`; the host may have colons of its own. */
static bool decode_redirect(const redisReply *r, const struct redis_node *asked, unsigned *ret_slot,
                            struct redis_node *ret_node)
{
    const char *end = r->str + r->len, *slot, *host, *colon;
    uint64_t n, port;

    slot = memchr(r->str, ' ', r->len);
    if (!slot)
        return false;
    slot++;
    host = memchr(slot, ' ', (size_t)(end - slot));
    if (!host || !digits(slot, (size_t)(host - slot), REDIS_SLOTS - 1, &n))
        return false;
    host++;
    colon = memrchr(host, ':', (size_t)(end - host));
    if (!colon || !digits(colon + 1, (size_t)(end - colon - 1), UINT16_MAX, &port) ||
        !set_node(host, (size_t)(colon - host), port, asked, ret_node))
        return false;
    *ret_slot = (unsigned)n;
    return true;
}

enum redis_advice redis_advice(const redisReply *error, const struct redis_node *asked, unsigned *ret_slot,
                               struct redis_node *ret_node)
{
    static const char *const later[] = { "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN",
                                         "READONLY", "NOREPLICAS",  "BUSY",    "UNBLOCKED" };

    if (error->type != REDIS_REPLY_ERROR || !error->str)
        return REDIS_REFUSED;
    if (begins(error, "MOVED") || begins(error, "ASK")) {
        if (!decode_redirect(error, asked, ret_slot, ret_node))
            return REDIS_REFUSED;
        return begins(error, "ASK") ? REDIS_ASK : REDIS_MOVED;
    }
    if (begins(error, "NOSCRIPT"))
        return REDIS_NO_SCRIPT;
    if (begins(error, "OOM") || begins(error, "MISCONF"))
        return REDIS_FULL;
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (begins(error, later[i]))
            return REDIS_LATER;
    return REDIS_REFUSED;
}

/* --- rows --- */

int redis_row_key(const char *name, const struct bindstore_row *row, unsigned shard, char out[REDIS_KEY_MAX])
{
    char text[33];

    for (int i = 0; i < 16; i++)
        snprintf(text + (size_t)i * 2, 3, "%02x", row->subject.bytes[i]);
    return snprintf(out, REDIS_KEY_MAX, "{%.32s.%u}b:%s:%u:%u", name, shard, text, row->kind, row->answer);
}

bool redis_row_key_decode(const char *key, size_t len, struct bindstore_row *ret)
{
    struct bindstore_row row = { 0 };
    const char *colon;
    uint64_t kind, answer;

    if (len < 2 + 32 + 4 || memcmp(key, "b:", 2) != 0 || !hex(key + 2, 32, row.subject.bytes) || key[34] != ':')
        return false;
    colon = memchr(key + 35, ':', len - 35);
    if (!colon || !digits(key + 35, (size_t)(colon - key - 35), UINT8_MAX, &kind) ||
        !digits(colon + 1, len - (size_t)(colon + 1 - key), UINT8_MAX, &answer))
        return false;
    row.kind = (uint8_t)kind;
    row.answer = (uint8_t)answer;
    *ret = row;
    return true;
}

int redis_row_decode(const redisReply *reply, const struct bindstore_row *of, struct bindstore_row *ret,
                     const char **ret_why)
{
    struct bindstore_row row = { .subject = of->subject, .kind = of->kind, .answer = of->answer };
    const redisReply *seq, *expires, *bytes;
    uint64_t n;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || !reply->element[0] || !reply->element[1] ||
        !reply->element[2]) {
        *ret_why = "expected three fields";
        return -EBADMSG;
    }
    seq = reply->element[0];
    expires = reply->element[1];
    bytes = reply->element[2];
    if (seq->type == REDIS_REPLY_NIL && expires->type == REDIS_REPLY_NIL && bytes->type == REDIS_REPLY_NIL)
        return -ENOENT;
    if (!seq_of(seq, &row.seq)) {
        *ret_why = "field s: expected a sequence of 16 hex digits";
        return -EBADMSG;
    }
    if (!redis_number(expires, BINDSTORE_EXPIRES_MAX, &n)) {
        *ret_why = "field e: expected the end of a lease in milliseconds";
        return -EBADMSG;
    }
    row.expires_ms = (int64_t)n;
    if (bytes->type != REDIS_REPLY_NIL) {
        if (!is_text(bytes) || bytes->len == 0 || bytes->len > BINDSTORE_BYTES_MAX) {
            *ret_why = "field b: expected 1 to 4096 bytes";
            return -EBADMSG;
        }
        row.bytes = (const uint8_t *)bytes->str;
        row.len = (uint16_t)bytes->len;
    }
    *ret = row;
    return 0;
}

int redis_logged_decode(const redisReply *entry, struct bindstore_logged *ret)
{
    static const char *const names[] = { "k", "s", "w", "p" };
    struct bindstore_logged c = { 0 };
    const redisReply *id, *fields, *value[4];
    uint64_t what;

    if (!entry || entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
        return -EBADMSG;
    id = entry->element[0];
    fields = entry->element[1];
    if (!is_text(id) || id->len < 3 || memcmp(id->str + id->len - 2, "-1", 2) != 0 ||
        !digits(id->str, id->len - 2, CURSOR_MAX, &c.cursor))
        return -EBADMSG;
    if (!fields || fields->type != REDIS_REPLY_ARRAY || fields->elements != 8)
        return -EBADMSG;
    for (size_t i = 0; i < 4; i++) {
        const redisReply *name = fields->element[2 * i];

        value[i] = fields->element[2 * i + 1];
        if (!is_text(name) || name->len != 1 || name->str[0] != names[i][0] || !is_text(value[i]))
            return -EBADMSG;
    }
    if (!redis_row_key_decode(value[0]->str, value[0]->len, &c.row) || !seq_of(value[1], &c.row.seq) ||
        !redis_number(value[2], BINDSTORE_FORGET, &what) || what == 0 ||
        !redis_number(value[3], CURSOR_MAX, &c.before) || c.before >= c.cursor)
        return -EBADMSG;
    c.forgotten = what == BINDSTORE_FORGET;
    *ret = c;
    return 0;
}

int redis_results_decode(const redisReply *reply, size_t count, struct bindstore_result *ret)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 * count)
        return -EPROTO;
    for (size_t i = 0; i < count; i++) {
        const redisReply *outcome = reply->element[3 * i];
        struct bindstore_result r = { 0 };

        if (!outcome || outcome->type != REDIS_REPLY_INTEGER || outcome->integer < -1 ||
            outcome->integer > BINDSTORE_ABSENT || !seq_of(reply->element[3 * i + 1], &r.seq) ||
            !redis_number(reply->element[3 * i + 2], CURSOR_MAX, &r.cursor))
            return -EPROTO;
        r.outcome = outcome->integer < 0 ? -EBADMSG : (int)outcome->integer;
        ret[i] = r;
    }
    return 0;
}
