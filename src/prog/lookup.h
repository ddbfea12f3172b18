/* prog/lookup.h - what a program asks realm managers, and tells them, on a loop: mapping/resolver.h and
 * mapping/holder.h, by session/exchange.h. Questions go by sockets of its own, one a family, which say nothing of where
 * this machine is; what a host says of itself goes by the sockets of its links, as its sessions do. */
#pragma once

#include "mapping/holder.h"
#include "mapping/resolver.h"
#include "session/exchange.h"

#include <uv.h>

#define LOOKUP_ERR 192
#define LOOKUP_HOLDERS_MAX 8

struct lookup;

struct lookup_options {
    const char *root; /* file: the record of the root; NULL: for lookup_hold alone, nothing is asked */
    struct slice root_record, chain_records; /* in place of either file; not kept */
    const char
        *chain; /* file: the records from the root to who asks; NULL: managers know the key, or it is a stranger */
    const struct identity *self;                     /* NULL: a key that is made for this. Copied */
    struct endpoint managers[RESOLVER_MANAGERS_MAX]; /* of the root */
    size_t managers_count;
    uint8_t class_max;
    uint32_t questions_max;
    uint32_t mark; /* of the sockets, so that they leave beside a tunnel; 0: none */
};

/* What came of a question; the result stays until it returns. */
typedef void lookup_done_fn(void *context, const struct resolver_result *result);
/* A step of one that is traced. */
typedef void lookup_step_fn(void *context, const struct resolver_step *step);

/* What a host adds: sockets of its links, which its sessions have too, and ears. */
struct lookup_host {
    void *ctx;
    /* A datagram by the socket of at->link. */
    void (*send)(void *ctx, const struct locator_pair *at, const uint8_t *data, size_t len);
    /* A manager sees that link at another place than before; ADDR_NONE: at none. */
    void (*seen)(void *ctx, uint32_t link, const struct endpoint *place);
    /* A manager at which something is held says that who has that tag is about to call us, from these places, or else
     * by that relay. */
    void (*called)(void *ctx, const struct tag *caller, const struct endpoint *places, size_t count,
                   const struct mapping_relay *relay);
};

/* 0, or -errno and err, which names the file. */
MUST_CHECK int lookup_new(uv_loop_t *loop, const struct lookup_options *o, struct lookup **ret, char err[LOOKUP_ERR]);
/* done is called once, from the loop or from inside this call; step may be NULL. 0, or as resolver_ask. */
MUST_CHECK int lookup_ask(struct lookup *l, const struct resolver_question *q, lookup_done_fn *done,
                          lookup_step_fn *step, void *context);
/* What is known of it is wrong, as it seems: resolver_on_stale. */
void lookup_on_stale(struct lookup *l, const struct tag *subject);
/* What the holder says is said at the manager with that key, by one of those ways, until lookup_unhold or lookup_close;
 * at most EXCHANGE_WAYS_MAX, tried in their order. A way's link is one of the host's, or 0: a socket of the lookup's
 * own. The holder stays its owner's, who calls lookup_wake after changing it. 0; -ENOSPC: LOOKUP_HOLDERS_MAX are there;
 * -EINVAL: no way; -ENOMEM. */
MUST_CHECK int lookup_hold(struct lookup *l, struct holder *h, const uint8_t ed25519[IDENT_KEY_LEN],
                           const struct locator_pair *ways, size_t count);
/* The host's links are others: these are the ways from now on. 0; -ENOENT: it is not held; -EINVAL: no way. */
MUST_CHECK int lookup_hold_by(struct lookup *l, const struct holder *h, const struct locator_pair *ways, size_t count);
/* What came of lookup_tell; NULL: nobody answered. The bytes stay until it returns. */
typedef void lookup_told_fn(void *context, const uint8_t *answer, size_t len);
/* Sends a request to one of the managers with that key: for owners of many bindings. It is the same one, of count of at
 * least 1, until that does not answer; then it is the next. told is called once, from the loop, unless that is closed
 * before. 0; -ENOSPC: too many are under way; -errno. */
MUST_CHECK int lookup_tell(struct lookup *l, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *managers,
                           size_t count, const uint8_t *bytes, size_t len, lookup_told_fn *told, void *context);
void lookup_unhold(struct lookup *l, const struct holder *h);
void lookup_wake(struct lookup *l);
/* Before the three below; copied. */
void lookup_set_host(struct lookup *l, const struct lookup_host *h);
/* Asks that manager where it sees the link, from now on; count 0: no more. 0, or as sights_set (prog/sights.h). */
int lookup_see(struct lookup *l, uint32_t link, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *at,
               size_t count);
/* Asks so at once, unless it was asked just now: datagrams of the host's find no way any more. */
void lookup_look(struct lookup *l);
/* What came from a manager to a socket of the host's; changed in place. segment 0: one datagram, else of that length.
 */
void lookup_input(struct lookup *l, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment);
/* This machine's addresses are others: what is not answered yet is asked again at once. */
void lookup_on_network(struct lookup *l);
/* The name of the root. */
const char *lookup_root(const struct lookup *l);
/* No question is told of any more. The loop must run on until all is closed. Accepts NULL. */
void lookup_close(struct lookup *l);
