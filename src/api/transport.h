/* api/transport.h - what carries the records of paths, as a table: a transport is a file with a struct transport_ops
 * and a row in TRANSPORTS.
 *
 * A transport of an engine keeps what it has open, moves records between that and the node, and says what it knows of
 * the way. The engine tells it of uplinks, or to listen; it has an epoll descriptor, of which each that it watches
 * points to a struct transport_watch. */
#pragma once

#include "node/node.h"
#include "session/discovery.h"

#define TRANSPORT_LINKS_MAX SESSION_SLOTS /* uplinks: locator_pair.link 1 to this; NODE_LISTEN_LINK beside them */

struct transport_use;
struct transport_ops;

/* What the transports of one engine share. */
struct transports {
    struct node *node;
    const struct identity *self;
    struct discovery *discovery; /* or NULL: gets what UDP has for it */
    int epoll_fd;
    bool listens;
    uint8_t allowed;                           /* a bit of each enum transport over which records may go and come */
    struct transport_use *of[TRANSPORT_COUNT]; /* NULL: not in use */
    uint8_t *out;                              /* SESSION_OUTPUT_MAX */
};

/* Every transport's own struct begins with this. */
struct transport_use {
    const struct transport_ops *ops;
    struct transports *all;
};

/* What an epoll event points to; it stays where it is until the transport is freed. */
struct transport_watch {
    struct transport_use *transport;
    bool listening; /* it failed: the engine is of no more use */
    bool dead;      /* to be closed, and opened again if the uplink is there */
};

struct transport_ops {
    const char *name;
    /* 0 and a new one; -ENOMEM; -EPROTONOSUPPORT: this host does not have it. */
    int (*make)(struct transports *all, enum transport kind, struct transport_use **ret);
    void (*destroy)(struct transport_use *t);
    /* Listens at this address (which may be all zero) and port. 0 or -errno. */
    int (*listen)(struct transport_use *t, const struct endpoint *at);
    /* An uplink of that family is there: what it needs is opened, if it is not. interface NULL: whatever the kernel
     * chooses. 0 or -errno. */
    int (*open)(struct transport_use *t, uint32_t link, bool v6, const char *interface);
    /* Whatever is open over that uplink, of this family, is closed. */
    void (*close)(struct transport_use *t, uint32_t link, bool v6, instant now);
    void (*send)(struct transport_use *t, const struct session_tx *tx, const uint8_t *data, instant now);
    /* 0, or -EIO: listening is over. */
    int (*ready)(struct transport_use *t, struct transport_watch *w, uint32_t events, instant now);
    /* The rest may be NULL. */
    /* Before the node is asked what to send: it is told of room. */
    void (*before_output)(struct transport_use *t, instant now);
    /* A path that went over it is down. */
    void (*path_down)(struct transport_use *t, const struct locator_pair *at, instant now);
    instant (*next_expiry)(const struct transport_use *t);
    void (*on_expiry)(struct transport_use *t, instant now);
    /* One came by a UDP socket, and its first byte is TRANSPORT_SCTP_FIRST. */
    void (*datagram)(struct transport_use *t, const struct locator_pair *at, const uint8_t *packet, size_t len,
                     instant now);
};

/* The first byte of SCTP's packets: that of its source port, 9899. Types of datagrams are 1 to 7 (wire/header.h). */
#define TRANSPORT_SCTP_FIRST 0x26

extern const struct transport_ops *const transport_table[TRANSPORT_COUNT];

/* All of `all->allowed` that this host has. 0 or -ENOMEM. */
MUST_CHECK int transports_make(struct transports *all);
void transports_destroy(struct transports *all);
/* Lets the node send what it has to. */
void transports_output(struct transports *all, instant now);
instant transports_next_expiry(const struct transports *all);
void transports_on_expiry(struct transports *all, instant now);
int transport_watch_add(struct transport_use *t, struct transport_watch *w, int fd);

/* The UDP sockets of an engine (transport_udp.c), for what goes over them beside datagrams of ours. */
struct udp_tx;
int transport_udp_send(struct transport_use *udp, uint32_t link, const struct udp_tx *tx);
