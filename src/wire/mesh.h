/* wire/mesh.h - what gateways tell each other: the text of sealed records, and what a handshake says of its sender
 * (doc/dmux.md, Mesh).
 *
 *   u8 kind | the message
 *   PING, PONG    nonce 8 | version 8 | coordinate 18       PONG: the nonce of the PING, the version of who answers
 *   NEWS          from 8 | to 8 | items     all that is new behind version `from`, up to `to`
 *   HEARD         version 8
 *   MEMBERS       entries of gateway 4 | endpoint 6 | X25519 key 32
 *   WANT          provider's Ed25519 key 32
 *   CERTIFICATE   that key 32 | records in a row
 *
 * A coordinate (dmux/coord.h) is three signed numbers of us 4 | height us 4 | error in 1/1000 2.
 *
 * An item is u8 what | protocol 2 | provider 4 | router's endpoint 6, and for NEW and CHANGED weight 2 | load 2 | round
 * trip us 4, and for NEW the vouching key 32 | what the router signed 150. */
#pragma once

#include "wire/cursor.h"
#include "wire/dmux.h"

#define MESH_TEXT_MAX 1280 /* bytes of a message: 1,330 with its record, in one datagram on every link */

enum mesh_kind {
    MESH_PING = 1,
    MESH_PONG,
    MESH_NEWS,
    MESH_HEARD,
    MESH_MEMBERS,
    MESH_WANT,
    MESH_CERTIFICATE,
    MESH_KIND_COUNT,
};

#define MESH_COORD_DIMENSIONS 3

struct mesh_coord {
    int32_t at_us[MESH_COORD_DIMENSIONS];
    uint32_t height_us;
    uint16_t error_permille;
};

struct mesh_message {
    uint8_t kind;
    uint64_t nonce;            /* PING, PONG: the asker's */
    uint64_t version;          /* PING, PONG: of all that its sender tells; HEARD: up to here all was heard; NEWS: to */
    uint64_t from;             /* NEWS */
    struct mesh_coord coord;   /* PING, PONG: the sender's, as it came: coord_heard says whether anybody can be there */
    uint8_t key[DMUX_KEY_LEN]; /* WANT, CERTIFICATE */
    const uint8_t *rest;       /* NEWS: items; MEMBERS: entries; CERTIFICATE: the chain; in the text that was read */
    size_t rest_len;
};

enum mesh_what { MESH_NEW = 1, MESH_CHANGED, MESH_GONE, MESH_WHAT_COUNT };

/* What a router's REGISTER had that the name of its registration does not say. */
struct mesh_proof {
    uint64_t nonce;
    uint8_t cookie[SHIM_COOKIE_LEN];
    uint16_t weight;
    uint8_t dh[DMUX_KEY_LEN], key[DMUX_KEY_LEN], signature[DMUX_SIGNATURE_LEN];
};

struct mesh_item {
    uint8_t what; /* enum mesh_what */
    uint16_t protocol;
    uint32_t provider, addr; /* host order */
    uint16_t port;
    uint16_t weight, load;
    uint32_t rtt_us;
    uint8_t vouch[DMUX_KEY_LEN];
    struct mesh_proof proof;
};

#define MESH_ITEM_MAX (1 + 12 + 8 + DMUX_KEY_LEN + 150)

struct mesh_member {
    uint32_t gateway; /* not 0 */
    struct endpoint at;
    uint8_t x25519[DMUX_KEY_LEN];
};

#define MESH_MEMBER_LEN (4 + 6 + DMUX_KEY_LEN)

/* Writes the message with its rest. The length; 0: it does not fit. */
size_t mesh_write(const struct mesh_message *m, uint8_t *buf, size_t size);
/* 0, or -EBADMSG; every item and entry has been looked at then. */
MUST_CHECK int mesh_read(const uint8_t *data, size_t len, struct mesh_message *ret);
/* A coordinate alone. */
void mesh_put_coord(struct writer *w, const struct mesh_coord *c);
struct mesh_coord mesh_get_coord(struct reader *r);
void mesh_put_item(struct writer *w, const struct mesh_item *item);
/* The next item of a rest; false: no more. */
bool mesh_next_item(struct reader *r, struct mesh_item *ret);
void mesh_put_member(struct writer *w, const struct mesh_member *member);
bool mesh_next_member(struct reader *r, struct mesh_member *ret);

/* The payload of either message of a handshake: gateway 4 | index 4 | endpoint 6 | the sender's chain. */
struct mesh_card {
    uint32_t gateway, index; /* index: of its records to come */
    struct endpoint at;
    const uint8_t *chain; /* in the bytes that were read */
    size_t chain_len;
};

#define MESH_CARD_MAX (14 + 1100)

size_t mesh_card_write(const struct mesh_card *c, uint8_t *buf, size_t size);
MUST_CHECK int mesh_card_read(const uint8_t *data, size_t len, struct mesh_card *ret);
