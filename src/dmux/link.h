/* dmux/link.h - the handshake of two gateways, and the seal of what they say after it: what the mesh (mesh.h) and the
 * federation (federation.h) have in common.
 *
 * A gateway shows a card: its number, its address, and a chain from a root to the service dmux-gateway-ID.s.REALM with
 * the very key of the handshake. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
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

/* A handshake that this end begins: HELLO, CHALLENGE, INIT, ANSWER; from the beginning again while there is no answer,
 * ever more rarely. */
enum link_step { LINK_IDLE, LINK_ASKED, LINK_SENT };

#define LINK_RETRY (250 * MSEC)  /* chosen: as a router's */
#define LINK_RETRY_MAX (5 * SEC) /* chosen: likewise */

struct link_shake {
    enum link_step step;
    uint64_t nonce; /* of the HELLO */
    uint8_t cookie[SHIM_COOKIE_LEN];
    struct noise noise;
    uint32_t index; /* of the INIT; 0: it was not sent yet */
    instant next;   /* when this end is to send */
    span retry;
};

/* It begins, anew, at that time. */
void link_shake_begin(struct link_shake *s, instant at);
/* It is over, or the other end has the word: nothing is sent before that time. */
void link_shake_rest(struct link_shake *s, instant until);
/* HELLO, or INIT to who has this key, when it is time: its length in out (DMUX_REGISTER_MAX); 0: nothing. */
size_t link_shake_output(const struct link_end *e, struct link_shake *s, const uint8_t to[IDENT_KEY_LEN], uint8_t *out,
                         instant now);
/* Is it the answer to the HELLO? Then INIT is next. */
bool link_shake_on_challenge(struct link_shake *s, const struct dmux_message *c, instant now);
/* Is it an ANSWER to the INIT, by its index? Of at least DMUX_HEADER_LEN + 4 bytes. */
bool link_shake_awaits(const struct link_shake *s, const uint8_t *data);

/* PINGs that may yet be answered, each by a nonce that nobody can guess: nobody seems nearer than it is. */
#define LINK_PONG_WITHIN (3 * SEC) /* a link that is silent for so long is down */
#define LINK_PINGS_MAX 4           /* of LINK_PONG_WITHIN, one a second, and one more */

struct link_pings {
    struct {
        uint64_t nonce; /* 0: none */
        instant at;
    } last[LINK_PINGS_MAX];
    unsigned count;
};

/* The nonce of one that is sent now. */
uint64_t link_ping(struct link_pings *p, const struct rng *rng, instant now);
/* The round trip of a PONG with this nonce, 1 us at least; 0: it was not asked for, or too long ago. */
span link_pong(const struct link_pings *p, uint64_t nonce, instant now);

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
