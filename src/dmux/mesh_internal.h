/* dmux/mesh_internal.h - what the files of the mesh share: mesh.c has peers and what is sent, mesh_link.c handshakes
 * and seals (link.h), mesh_log.c what this gateway tells of its own routers, mesh_routes.c what it hears of others'. */
#pragma once

#include "dmux/directory.h"
#include "dmux/link.h"
#include "dmux/mesh.h"
#include "wire/mesh.h"

#define MESH_WINDOW 64 /* chosen: datagrams of news that a peer has not heard yet: 1 MB/s at 80 ms */

/* What there is to tell, in the order of versions. A peer's place in it is an item too. */
struct log_item {
    struct list in_log;
    uint64_t version;
    bool marker;
};

/* A router that is registered here, or was until everybody has heard that it is gone. */
struct mesh_local {
    struct log_item item; /* first */
    struct list in_gone;  /* by version too */
    uint16_t protocol;
    uint32_t provider, addr;
    uint16_t port;
    uint16_t weight, load;
    uint32_t rtt_us;
    bool gone;
    uint64_t new_version; /* when key and proof changed last: who has heard less must be told them */
    uint8_t key[DMUX_KEY_LEN];
    struct mesh_proof proof;
};

struct peer {
    uint32_t gateway; /* 0: a seed that is not known yet */
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
    bool seed, up;
    bool wanted, neighbour; /* by managers: named by the directory; kept for coordinates */
    struct link_shake shake;
    instant known_at;             /* when it was up last, or heard of */
    struct link_keys keys, fresh; /* fresh: of an INIT that was answered; until its sender uses them */
    uint8_t fresh_digest[32];     /* of that INIT */
    instant heard, ping_next, members_next;
    uint32_t rtt_us; /* 0: not measured */
    bool placed;     /* it has said where it is: */
    struct coord coord;
    /* to be told */
    struct log_item acked, sent; /* marks in the log */
    uint64_t inflight[MESH_WINDOW];
    unsigned inflight_count;
    instant sent_at;
    uint8_t answer[DMUX_REGISTER_MAX]; /* to an INIT, that waits to be sent */
    size_t answer_len;
    bool pong_due, heard_due, want_due, certificate_due;
    uint64_t pong_nonce;
    struct link_pings pings;
    size_t members_at; /* SIZE_MAX: all were told */
    uint8_t want_key[DMUX_KEY_LEN], certificate_key[DMUX_KEY_LEN];
    /* heard */
    uint64_t have;
    uint32_t generation;
    struct list routes;
    uint32_t routes_count;
    bool told; /* the directory knows of it */
    bool liar; /* it has told what nobody had signed */
};

struct mesh {
    struct mesh_options o;
    struct rng rng;
    struct registry *registry;
    struct credentials *credentials;
    struct trust *trust;
    uint8_t psk[32], seed[16];
    struct peer *peers[MESH_PEERS_MAX];
    size_t peers_count, neighbours_up, turn; /* turn: whose datagrams are next; _up: at the last mesh_on_expiry */
    uint64_t wall_s;                         /* of the last look */
    struct mesh_stats stats;
    struct coord coord; /* of this gateway */
    /* mesh_log.c */
    struct list log, gone;
    struct map64 locals;
    uint64_t version;
    /* mesh_routes.c */
    struct map64 routes, groups;
    struct list dirty; /* groups to be looked at */
    struct list asked; /* routes that were adopted, by when they are asked next */
    size_t adopted_count;
    instant look_at;
};

/* The round trip to a peer, us: measured, else COORD_RTT_MAX_US. */
uint32_t mesh_rtt(const struct peer *p);

/* --- mesh_link.c: dmux/link.h, for gateways of the mesh --- */
/* Each writes a datagram and returns its length; 0: it could not. */
size_t mesh_shake_output(struct mesh *m, struct peer *p, uint8_t *out, instant now);
/* An INIT whose sender is a gateway at `from`: 0, or a negative error after a count. The state *ret goes on with the
 * answer. */
int mesh_init_read(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, struct noise *ret,
                   struct link_sender *ret_sender);
/* Answers, and gives the keys for what comes after. */
size_t mesh_answer_write(struct mesh *m, struct noise *n, const struct link_sender *to, uint32_t local, uint8_t *out,
                         struct link_keys *ret);
int mesh_answer_read(struct mesh *m, struct peer *p, const uint8_t *data, size_t len, const struct endpoint *from,
                     struct link_keys *ret, uint32_t *ret_gateway);
size_t mesh_seal(struct mesh *m, struct link_keys *k, const struct mesh_message *msg, uint8_t *out);

/* --- mesh_log.c --- */
void log_take_news(struct mesh *m, instant now);
void log_begin(struct mesh *m, struct peer *p);
void log_end(struct peer *p);
void log_free(struct mesh *m);
/* What everybody has heard is gone is forgotten. */
void log_forget(struct mesh *m);
/* The text of the next news for a peer; 0: there is none, or enough is on its way. */
size_t log_output(struct mesh *m, struct peer *p, uint8_t text[MESH_TEXT_MAX], instant now);
void log_heard(struct mesh *m, struct peer *p, uint64_t version);
instant log_next_expiry(const struct mesh *m, const struct peer *p);

/* --- mesh_routes.c --- */
void routes_init(struct mesh *m);
void routes_free(struct mesh *m);
/* What that peer serves, to a directory that has just heard of it. */
void routes_tell_directory(struct mesh *m, const struct peer *p, instant now);
void routes_take_news(struct mesh *m, struct peer *p, const struct mesh_message *news, instant now);
/* All that the peer has to tell was heard: what it told before the link was made anew, and not again, is gone. */
void routes_settle(struct mesh *m, struct peer *p, instant now);
/* It is known how far away the peer is: routers that it tells of may be among the nearest. */
void routes_look(struct mesh *m, struct peer *p, instant now);
/* The link is down: of what it told, only routers that answer are kept, until they do not. */
void routes_orphan(struct mesh *m, struct peer *p);
/* A certificate was learnt. */
void routes_retry(struct mesh *m);
/* A question to a router that is due: its length. */
size_t routes_output(struct mesh *m, uint8_t *out, struct endpoint *to, instant now);
instant routes_next_expiry(const struct mesh *m);
void routes_on_expiry(struct mesh *m, instant now);

bool mesh_drop(struct mesh *m, enum mesh_drop cause);
uint64_t mesh_name_hash(const struct mesh *m, uint32_t origin, uint16_t protocol, uint32_t provider, uint32_t addr,
                        uint16_t port);
