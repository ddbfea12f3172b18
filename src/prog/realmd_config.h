/* prog/realmd_config.h - the configuration file of hawser-realmd.
 *
 * INI as in hawser.conf: [Realm], and [Store], [Parent], [Follow], [Dns] and [Relay] where they are wanted. Unknown
 * keys and sections are errors; an error is a line `FILE:LINE: found ..., expected ...`. */
#pragma once

#include "base/addr.h"
#include "base/text.h"
#include "ident/keys.h"
#include "ident/name.h"

#include <limits.h>

#define REALMD_LISTEN_MAX 4 /* chosen: two families, twice */
#define REALMD_ADDRESSES_MAX 8
#define REALMD_PORT 51823
#define REALMD_INTERVAL_MAX_S 120 /* chosen: two of them, and what is known is not yet too old (MANAGER_BEHIND_MAX) */
#define REALMD_DNS_ADDRESSES_MAX 4
#define REALMD_DNS_PORT 53
#define REALMD_RELAY_PORT 51820 /* of agents */
#define REALMD_CONTROL_MAX 108  /* of a socket's name, with its NUL */

struct ini_schema;

enum realmd_follow { REALMD_PUSH, REALMD_PULL, REALMD_CACHE };

struct realmd_config {
    char directory[PATH_MAX]; /* the realm's folder */
    struct endpoint listen[REALMD_LISTEN_MAX];
    size_t listen_count;
    char control[REALMD_CONTROL_MAX];
    char http[REALMD_CONTROL_MAX];                               /* empty: none */
    uint32_t names, bindings, guests, subscriptions, log, peers; /* at most */
    uint32_t capacity;                                           /* lookups/s; 0: no bound */
    char store[PATH_MAX + 16];                                   /* as bindstore_open wants it; empty: none */
    struct endpoint parents[REALMD_ADDRESSES_MAX];               /* managers of the realm above */
    size_t parents_count;
    struct endpoint announce[REALMD_ADDRESSES_MAX]; /* where this realm's managers are, as the realm above is told */
    size_t announce_count;
    struct endpoint followed[REALMD_ADDRESSES_MAX]; /* managers of this realm, of which one is followed; 0: none */
    size_t followed_count;
    uint8_t follow_mode;        /* enum realmd_follow: is told, asks at intervals, asks for what it is asked for */
    uint32_t follow_interval_s; /* of REALMD_PULL */
    struct endpoint dns_listen[REALMD_LISTEN_MAX];
    size_t dns_listen_count;
    char dns_server[NAME_SIZE]; /* its name, as a name of a realm is written */
    struct addr dns_addresses[REALMD_DNS_ADDRESSES_MAX];
    size_t dns_addresses_count;
    struct endpoint relay;     /* an agent that relays between hosts; ADDR_NONE: none */
    struct peer_key relay_key; /* its */
};

/* 0 with *ret, or -EINVAL with lines in errors; -ENOMEM; -errno when the file cannot be read, which is a line too. */
int realmd_config_load(const char *path, struct text *errors, struct realmd_config *ret);
/* The same of text. */
int realmd_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                        struct realmd_config *ret);

/* What may stand in a file. */
extern const struct ini_schema realmd_config_schema;
