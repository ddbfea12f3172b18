/* sys/bindstore_redis.h - what writer and readers of the redis engine share. */
#pragma once

#include "sys/bindstore_engine.h"
#include "sys/redis_decode.h"

#define REDIS_SEEDS_MAX 16u
#define REDIS_TIMEOUT_MS 5000u /* by default */
#define REDIS_KEEP_S 604800u   /* by default: BINDINGS_LEASE_MAX_S, mapping/bindings.h */

struct redis_store {
    struct bindstore base;
    char name[33];
    struct redis_node seeds[REDIS_SEEDS_MAX];
    unsigned seeds_count;
    uint32_t timeout_ms, keep_s, log_max; /* log_max: of a shard */
    unsigned slot[BINDSTORE_SHARDS_MAX];  /* of each shard */
    struct redis_writer *writer;
};

/* Milliseconds of a clock that only goes on. */
int64_t redis_now_ms(void);
/* The map, asked of any node of seeds that answers in time. 0; -ECONNREFUSED, and *ret_why says of the last one. */
MUST_CHECK int redis_map_ask(const struct redis_store *s, struct redis_map *ret, char *err, size_t err_size);

/* Readers, bindstore_redis_read.c: rows of the engine's table. */
int redis_reader_new(struct bindstore *s, struct bindstore_reader **ret);
void redis_reader_free(struct bindstore_reader *r);
int redis_get(struct bindstore_reader *r, const struct tag *subject, uint8_t kind, uint8_t answer,
              struct bindstore_row *ret);
int redis_scan(struct bindstore_reader *r, unsigned shard, const struct tag_prefix *prefix, bindstore_row_fn *fn,
               void *ctx, uint64_t *ret_cursor);
int redis_changes(struct bindstore_reader *r, unsigned shard, uint64_t since, size_t max, bindstore_logged_fn *fn,
                  void *ctx, uint64_t *ret_cursor);
unsigned redis_shard_of(const struct tag *subject);
