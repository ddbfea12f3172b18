/* node/split.h - what split.c and restart.c share; nobody else includes it. */
#pragma once

#include "node/internal.h"
#include "session/channel.h"
#include "tunnel/tcp.h"

struct split {
    struct list all, ready;
    struct peer *peer;
    uint64_t key;
    struct tcp_end *end;
    struct channel *channel; /* NULL: over; the end says its last words */
    uint8_t dscp;            /* of the packet that began it: a mark may stand in it */
    bool active;             /* we opened the connection: the other side of the channel has the application */
    bool automatic;          /* its rule would have it as packets, too */
    struct {
        uint8_t *pkt; /* its own; NULL: there is none, or there was an answer */
        size_t len;
        struct offload offload;
    } syn;                      /* that began it: as long as it may go as a packet */
    instant asked, asked_again; /* when its SYN came first, and last */
};

struct splits {
    struct map64 by_flow;
    struct list all, ready;
    instant due, walked; /* none of them is due before; the last time that all were looked at */
    uint8_t tcp_key[16];
    struct node_split_info info;
};

/* The node's, made if there are none. NULL: no memory. */
struct splits *splits_make(struct node *n);
struct tcp_end_options split_options(const struct node *n, bool active);
/* Takes the end; NULL, with both whose they were: no memory, or there is such a connection. c may be NULL. */
struct split *split_add(struct peer *p, struct tcp_end *end, struct channel *c, bool active);
/* Breaks it off, to either side. */
void split_break(struct split *x);
/* One that another process had: broken off, if it may not be any more. */
void split_admit(struct split *x);
