/* dmux/link.h - the handshake of two gateways, and the seal of what they say after it: what the mesh (mesh.h) and the
 * federation (federation.h) have in common.
 *
 * A gateway shows a card: its number, its address, and a chain from a root to the service dmux-gateway-ID.s.REALM with
 * the very key of the handshake. */
#pragma once

#include "base/addr.h"
#include "base/rng.h"
#include "ident/aead.h"
#include "ident/chain.h"
#include "ident/keys.h"
#include "ident/noise.h"
#include "wire/mesh.h"

#define LINK_TEXT_AT (DMUX_HEADER_LEN + 12) /* where a record's text begins */

/* This end. */
struct link_end {
    uint8_t init_type; /* of its datagrams: INIT; ANSWER and RECORD are the next two */
    const char *prologue;
    const uint8_t *psk; /* 32 bytes; NULL: none */
    uint32_t id;
    struct endpoint unicast;
    const struct identity *identity;
    struct slice chain;
    struct rng rng;
};

/* Whose gateways the other end may be one of. */
struct link_realm {
    struct trust *trust; /* of its root */
    const char *name;    /* canonical */
};

struct link_keys {
    struct aead *tx, *rx; /* NULL: none */
    uint32_t local, remote;
    uint64_t tx_next, rx_next; /* counters */
    uint64_t until_s;          /* seconds since 1970: the end of what the other end has shown; 0: none */
};

/* Who has sent an INIT. */
struct link_sender {
    uint32_t gateway, index; /* index: of the records to it */
    uint64_t until_s;        /* as of struct link_keys */
};

void link_keys_free(struct link_keys *k);
/* INIT to who has this key, with the cookie that it gave: its length in out (DMUX_REGISTER_MAX), 0: it cannot be.
 * index: of the ANSWER and of the records to come. */
size_t link_init_write(const struct link_end *e, const uint8_t cookie[SHIM_COOKIE_LEN], const uint8_t to[IDENT_KEY_LEN],
                       uint32_t index, struct noise *ret, uint8_t *out);
/* An INIT that came from there: which realm its sender is of; -EBADMSG: it cannot be read; -EACCES: its sender is none
 * of their gateways, or not from where it says to be. */
int link_init_read(const struct link_end *e, const struct link_realm *realms, size_t count, const uint8_t *data,
                   size_t len, const struct endpoint *from, uint64_t wall_s, struct noise *ret,
                   struct link_sender *ret_sender);
/* Answers, and gives the keys for what comes after. The length; 0: it cannot be. local: the index of records from it.
 */
size_t link_answer_write(const struct link_end *e, struct noise *n, const struct link_sender *to, uint32_t local,
                         uint8_t *out, struct link_keys *ret);
/* The answer to an INIT of which *n is the state, which stays as it was: 0 with *ret and *ret_gateway, -EBADMSG or
 * -EACCES as above, or -ENOMEM. index: the INIT's. */
int link_answer_read(const struct link_end *e, const struct link_realm *realm, const struct noise *n, uint32_t index,
                     const uint8_t *data, size_t len, const struct endpoint *from, uint64_t wall_s,
                     struct link_keys *ret, uint32_t *ret_gateway);
/* Seals the text of len bytes that stands at out + LINK_TEXT_AT. The record's length; 0: it cannot be. */
size_t link_seal(const struct link_end *e, struct link_keys *k, size_t len, uint8_t *out);
/* The length of the text; -EBADMSG; -EKEYEXPIRED: what the other end has shown has ended. text: MESH_TEXT_MAX bytes. */
int link_open(struct link_keys *k, const uint8_t *data, size_t len, uint64_t wall_s, uint8_t *text);
/* The index that a RECORD or ANSWER, of at least DMUX_HEADER_LEN + 4 bytes, is for. */
uint32_t link_to(const uint8_t *data);
/* Where the cookie of an INIT stands; NULL: the datagram is too short. */
const uint8_t *link_cookie_of(const uint8_t *data, size_t len);
