/* prog/lookup.h - what a program asks realm managers, and tells them, on a loop: mapping/resolver.h and
 * mapping/holder.h, by session/exchange.h over sockets of its own. */
#pragma once

#include "mapping/holder.h"
#include "mapping/resolver.h"

#include <uv.h>

#define LOOKUP_ERR 192
#define LOOKUP_HOLDERS_MAX 8

struct lookup;

struct lookup_options {
    const char *root; /* file: the record of the root; NULL: for lookup_hold alone, nothing is asked */
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

/* 0, or -errno and err, which names the file. */
MUST_CHECK int lookup_new(uv_loop_t *loop, const struct lookup_options *o, struct lookup **ret, char err[LOOKUP_ERR]);
/* done is called once, from the loop or from inside this call; step may be NULL. 0, or as resolver_ask. */
MUST_CHECK int lookup_ask(struct lookup *l, const struct resolver_question *q, lookup_done_fn *done,
                          lookup_step_fn *step, void *context);
/* What the holder says is said at the manager with that key, at one of those endpoints, until lookup_unhold or
 * lookup_close. The holder stays its owner's, who calls lookup_wake after changing it. 0; -ENOSPC: LOOKUP_HOLDERS_MAX
 * are there; -EINVAL: no endpoint; -ENOMEM. */
MUST_CHECK int lookup_hold(struct lookup *l, struct holder *h, const uint8_t ed25519[IDENT_KEY_LEN],
                           const struct endpoint *at, size_t count);
void lookup_unhold(struct lookup *l, const struct holder *h);
void lookup_wake(struct lookup *l);
/* This machine's addresses are others: what is not answered yet is asked again at once. */
void lookup_on_network(struct lookup *l);
/* The name of the root. */
const char *lookup_root(const struct lookup *l);
void lookup_stats_get(const struct lookup *l, struct resolver_stats *ret);
/* No question is told of any more. The loop must run on until all is closed. Accepts NULL. */
void lookup_close(struct lookup *l);
