/* tests/unit/exchange_world.h - exchanges over a network in virtual time: delay, loss, copies, reordering, roaming.
 *
 * An end has 256 addresses, 10.x.y.0 to 10.x.y.255, sends from `from`, answers from where it was asked, and gets what
 * is sent to those of `reach`. What the ends say is given to the functions of the test. */
#pragma once

#include "base/heap.h"
#include "session/exchange.h"

struct xworld;

struct xend {
    struct xworld *w;
    unsigned index;
    struct identity id;
    struct exchange *x;
    struct exchange_options o;
    struct heap_item wake;
    uint8_t from;        /* which of its addresses it sends from */
    uint64_t reach[4];   /* the addresses at which it gets anything, a bit each */
    uint64_t handshakes; /* of exchanges that it had before */
    void *user;
};

struct xflight {
    struct heap_item due;
    struct locator_pair at; /* as the receiver sees it */
    unsigned to;
    size_t len;
    uint8_t data[];
};

struct xworld {
    struct prng prng;
    struct rng rng;
    instant now;
    struct heap flights, wakes;
    struct xend **ends;
    unsigned ends_count;
    span delay, jitter; /* one way; uniform between delay and delay + jitter */
    double loss, copies;
    uint64_t datagrams, bytes;
    /* Each may be NULL. */
    void (*on_event)(struct xend *e, const struct exchange_event *ev);
    /* False: it is lost. The datagram as it leaves. */
    bool (*tap)(struct xworld *w, unsigned from, const struct endpoint *src, const struct endpoint *dst, uint8_t *data,
                size_t len);
    /* What arrives, before the receiver has it. */
    void (*heard)(struct xworld *w, const struct locator_pair *at, size_t len);
    void *user;
};

void xworld_init(struct xworld *w, uint64_t seed);
void xworld_deinit(struct xworld *w);
/* o->self, rng and suites are filled in. */
struct xend *xworld_add(struct xworld *w, const struct exchange_options *o);
/* As a program that is started again: nothing is left but its identity. */
void xend_restart(struct xend *e);
void xend_stop(struct xend *e); /* until xend_restart */
struct endpoint xend_endpoint(const struct xend *e, uint8_t address);
/* A call of `to`, at its address 0 and so many further ones. */
struct exchange_call xend_call(const struct xend *to, unsigned ways);
/* Gives out what the end has to say: after each call on its exchange that was not made here. */
void xend_turn(struct xend *e);
void xworld_run_until(struct xworld *w, instant t);
