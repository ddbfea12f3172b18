/* sys/redis_decode.h - what a Redis Cluster says, decoded: who has which slot, where to ask instead, rows and log.
 *
 * Nothing here does IO. A reply is what hiredis made of the bytes; any tree of any types may come. */
#pragma once

#include "sys/bindstore.h"

#include <hiredis/hiredis.h>

#define REDIS_SLOTS 16384u
#define REDIS_NODES_MAX 64u /* chosen: masters of a cluster that are known at a time */
#define REDIS_HOST_MAX 64u  /* an address, or a short name, with its NUL */
#define REDIS_NO_NODE 0xff
#define REDIS_ARRAY_MAX (1u << 20) /* chosen: elements of a reply: keys of a slot, 8 MB */

struct redis_node {
    char host[REDIS_HOST_MAX];
    uint16_t port;
};

struct redis_map {
    struct redis_node nodes[REDIS_NODES_MAX];
    unsigned count;
    uint8_t of_slot[REDIS_SLOTS]; /* into nodes, or REDIS_NO_NODE */
};

/* From now on r takes no array of more than REDIS_ARRAY_MAX elements: hiredis makes room for as many as are announced.
 */
void redis_bound(redisReader *r);

/* CRC-16/XMODEM of what is between the first braces of the key, or of all of it, modulo REDIS_SLOTS. */
unsigned redis_slot(const char *key, size_t len);

/* The reply to CLUSTER SLOTS; a node without a host is the one that was asked. 0 or -EPROTO. */
MUST_CHECK int redis_map_decode(const redisReply *reply, const struct redis_node *asked, struct redis_map *ret);

enum redis_advice {
    REDIS_MOVED,     /* the slot is at *ret_node, for good */
    REDIS_ASK,       /* this once, behind ASKING */
    REDIS_LATER,     /* it may be well soon */
    REDIS_NO_SCRIPT, /* send it whole */
    REDIS_FULL,      /* memory or disk */
    REDIS_REFUSED,   /* anything else */
};

/* What an error reply asks for. ret_slot and ret_node are set for MOVED and ASK only. */
enum redis_advice redis_advice(const redisReply *error, const struct redis_node *asked, unsigned *ret_slot,
                               struct redis_node *ret_node);

/* --- of sys/bindstore_redis.c --- */

#define REDIS_KEY_MAX 96 /* of a row, with its NUL */
#define REDIS_SEQ_LEN 16 /* hex */

/* Writes `{name.shard}b:TAG:KIND:CLASS`, the tag in hex; returns its length. */
int redis_row_key(const char *name, const struct bindstore_row *row, unsigned shard, char out[REDIS_KEY_MAX]);
/* The subject, kind and class of a key, behind its closing brace: `b:TAG:KIND:CLASS`. False: it is of no row. */
bool redis_row_key_decode(const char *key, size_t len, struct bindstore_row *ret);
/* The reply to HMGET key s e b, for the row of a key. 0; -ENOENT; -EBADMSG and *ret_why. ret->bytes are the reply's. */
MUST_CHECK int redis_row_decode(const redisReply *reply, const struct bindstore_row *of, struct bindstore_row *ret,
                                const char **ret_why);
/* One entry of the reply to XRANGE. 0 or -EBADMSG. */
MUST_CHECK int redis_logged_decode(const redisReply *entry, struct bindstore_logged *ret);
/* The reply of the script for count changes. 0 or -EPROTO. */
MUST_CHECK int redis_results_decode(const redisReply *reply, size_t count, struct bindstore_result *ret);
/* Digits of a number up to max. */
bool redis_number(const redisReply *r, uint64_t max, uint64_t *ret);
