/* Fuzz target of sys/redis_decode: the bytes are a reply as it comes from a socket; each decoder takes it as its own.
 * What is accepted is in range, and keys are the only encoding of what they say. */
#include "sys/redis_decode.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_key(const char *key, size_t len)
{
    struct bindstore_row row;
    char again[REDIS_KEY_MAX];

    redis_slot(key, len);
    if (!redis_row_key_decode(key, len, &row))
        return;
    assert(redis_row_key("x", &row, 0, again) == (int)len + 5);
    assert(memcmp(again + 5, key, len) == 0);
}

static void decode(const redisReply *reply)
{
    static const struct redis_node asked = { "host", 1 };
    static const struct bindstore_row of = { .kind = 1 };
    static struct redis_map map;
    struct bindstore_result results[2];
    struct bindstore_logged logged;
    struct bindstore_row row;
    struct redis_node node;
    const char *why;
    unsigned slot;

    if (redis_map_decode(reply, &asked, &map) == 0)
        for (unsigned i = 0; i < REDIS_SLOTS; i++)
            assert(map.of_slot[i] == REDIS_NO_NODE ||
                   (map.of_slot[i] < map.count && map.nodes[map.of_slot[i]].port > 0 &&
                    strlen(map.nodes[map.of_slot[i]].host) < REDIS_HOST_MAX));
    if (reply->type == REDIS_REPLY_ERROR) {
        enum redis_advice a = redis_advice(reply, &asked, &slot, &node);

        assert(a > REDIS_ASK || (slot < REDIS_SLOTS && node.port > 0 && strlen(node.host) < REDIS_HOST_MAX));
    }
    if (redis_row_decode(reply, &of, &row, &why) == 0)
        assert(row.len <= BINDSTORE_BYTES_MAX && (row.bytes != NULL) == (row.len > 0) && row.expires_ms >= 0 &&
               row.expires_ms <= BINDSTORE_EXPIRES_MAX);
    if (redis_logged_decode(reply, &logged) == 0)
        assert(logged.before < logged.cursor && !logged.row.bytes);
    for (size_t count = 1; count <= 2; count++)
        if (redis_results_decode(reply, count, results) == 0)
            assert(results[0].outcome <= BINDSTORE_ABSENT);
    if (reply->type == REDIS_REPLY_STRING)
        as_key(reply->str, reply->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *r = redisReaderCreate();
    void *reply;

    if (!r)
        return 0;
    redis_bound(r);
    if (redisReaderFeed(r, (const char *)data, size) != REDIS_OK) {
        redisReaderFree(r);
        return 0;
    }
    while (redisReaderGetReply(r, &reply) == REDIS_OK && reply) {
        decode(reply);
        freeReplyObject(reply);
    }
    redisReaderFree(r);
    return 0;
}
