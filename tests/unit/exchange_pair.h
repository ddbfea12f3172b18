/* tests/unit/exchange_pair.h - two ends of an exchange for tests: a server, which answers, and a client, and what both
 * were told. One way takes 10 ms. */
#pragma once

#include "tests/unit/exchange_world.h"

#define RTT (20 * MSEC)

/* What the ends were told, all in one: the tests have one answering end. */
struct pair_told {
    unsigned requests, answers, failed, up[4], down, gone;
    enum exchange_fault fault;
    instant at;
    size_t request_len, answer_len;
    uint8_t request[EXCHANGE_MESSAGE_MAX], answer[EXCHANGE_MESSAGE_MAX];
    uint64_t peer; /* that asked last */
    struct exchange_asked asked;
    bool mute; /* who is asked says nothing */
    size_t say;
    uint8_t salt; /* of what is said */
};

/* What left, and when. */
struct pair_wire {
    unsigned count[16];
    instant at[64];
    unsigned times, lost;
    uint8_t drop_type;                    /* datagrams of that type are lost, */
    unsigned drop_from, drop_nth, passed; /* those that end 0 sent, or 1; the nth alone, counted from 1; 0: all */
    struct endpoint watch;                /* bytes to and from there */
    size_t to_watched, from_watched;
    size_t len_max; /* of sealed ones to there */
};

extern struct pair_told got;
extern struct pair_wire wire;
extern struct xworld w;
extern struct xend *server, *client;
extern uint64_t peer; /* the server, as the client calls it */

/* A world with both ends, and nothing told. */
void pair_open(uint32_t peers_max);
/* The same, and the client has called the server. */
void pair_begin(void);
void pair_end(void);
void pair_run(span t);
uint64_t pair_call(struct xend *from, const struct exchange_call *c);
/* len bytes of pair_pattern with the salt 99; the request. */
uint64_t pair_ask(struct xend *from, uint64_t whom, size_t len);
uint8_t pair_pattern(size_t i, uint8_t salt);
uint64_t pair_drops(const struct xend *e, enum exchange_drop d);
/* What the world asks of each datagram; counts, and loses what pair_wire says. */
bool pair_tap(struct xworld *world, unsigned from, const struct endpoint *src, const struct endpoint *dst,
              uint8_t *data, size_t len);
