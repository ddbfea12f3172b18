/* wire/dmux.h - control messages between clients, routers and gateways (doc/dmux.md).
 *
 * A datagram is a shim with the flag C and nothing else, u8 type | u8 0 | the message. No answer is longer than what it
 * answers. Bytes behind a message are an error, but for the zeros that fill HELLO and ECHO up to the length of their
 * answers. */
#pragma once

#include "base/addr.h"
#include "wire/shim.h"

enum dmux_type {
    DMUX_HELLO = 1,       /* anyone -> gateway: who serves me? */
    DMUX_CHALLENGE = 2,   /* gateway -> anyone */
    DMUX_REGISTER = 3,    /* router -> gateway; signed by the provider's key */
    DMUX_ACK = 4,         /* gateway -> router: registered */
    DMUX_NAK = 5,         /* gateway -> router: not, or no longer */
    DMUX_KEEPALIVE = 6,   /* router -> gateway */
    DMUX_CHECK = 7,       /* gateway -> router: a nonce, which only who is at that address sees */
    DMUX_PROOF = 8,       /* router -> gateway: the nonce */
    DMUX_WITHDRAW = 9,    /* router -> gateway: answered by a NAK that says so */
    DMUX_ECHO = 10,       /* client -> gateway: which router gets what I send? */
    DMUX_ECHO_REPLY = 11, /* gateway -> client */
    DMUX_VOUCHED = 12,    /* gateway -> router that is registered with another, which vouches: as CHECK */
    DMUX_TYPE_COUNT,
    /* Between gateways of one operator; their fields are in dmux/link.c, what RECORDs say in wire/mesh.h. */
    DMUX_MESH_INIT = 16,
    DMUX_MESH_ANSWER = 17,
    DMUX_MESH_RECORD = 18,
    /* Between gateways of different operators; likewise, and wire/federation.h. */
    DMUX_FEDERATION_INIT = 19,
    DMUX_FEDERATION_ANSWER = 20,
    DMUX_FEDERATION_RECORD = 21,
};

enum dmux_refusal {
    DMUX_REFUSED_NONE = 0,
    DMUX_REFUSED_COOKIE,    /* stale, or of another address: begin again */
    DMUX_REFUSED_ADDRESS,   /* not the sender's, or one that nobody may register */
    DMUX_REFUSED_PROVIDER,  /* not known, not this key, or not this protocol */
    DMUX_REFUSED_SIGNATURE, /* not by the provider's key */
    DMUX_REFUSED_DAMPED,    /* came and went too often: wait */
    DMUX_REFUSED_FULL,
    DMUX_REFUSED_UNKNOWN,   /* no such registration (any more) */
    DMUX_REFUSED_WITHDRAWN, /* as asked */
    DMUX_REFUSED_NO_ROUTER, /* ECHO_REPLY: nobody provides it */
    DMUX_REFUSAL_COUNT,
};

#define DMUX_HEADER_LEN (SHIM_LEN + 2)
#define DMUX_MESSAGE_MAX 192   /* bytes of the longest datagram, rounded up, but for a REGISTER with a certificate: */
#define DMUX_REGISTER_MAX 1300 /* chosen: whole on every link that carries a client's packets */
#define DMUX_HELLO_LEN 64      /* at least; chosen: above CHALLENGE, which is 46 */
#define DMUX_ECHO_LEN 48       /* at least: above ECHO_REPLY, which is 44 */
#define DMUX_KEY_LEN 32
#define DMUX_SIGNATURE_LEN 64
#define DMUX_MAC_LEN 16

/* One control message: the type says which fields count. Endpoints are IPv4. */
struct dmux_message {
    uint8_t type;      /* enum dmux_type */
    uint16_t protocol; /* from the shim */
    uint32_t provider;
    uint64_t nonce;                  /* HELLO to KEEPALIVE: the asker's; CHECK, PROOF, VOUCHED: the gateway's */
    uint32_t gateway;                /* number of the gateway, not 0 */
    uint32_t voucher;                /* VOUCHED: number of the gateway that the router is registered with, not 0 */
    struct endpoint unicast;         /* CHALLENGE, ECHO_REPLY, VOUCHED: of that gateway alone */
    struct endpoint you;             /* CHALLENGE: where the asker was seen; REGISTER: what the router registers */
    uint8_t cookie[SHIM_COOKIE_LEN]; /* CHALLENGE, REGISTER, ECHO */
    uint16_t weight;                 /* REGISTER, KEEPALIVE: share of clients, in proportion; 0: none beside others */
    uint16_t load;                   /* KEEPALIVE: 0 idle to 65535 full */
    uint8_t dh[DMUX_KEY_LEN];        /* REGISTER, ACK: X25519, for this registration alone */
    uint8_t key[DMUX_KEY_LEN];       /* REGISTER: the provider's Ed25519 key */
    uint8_t signature[DMUX_SIGNATURE_LEN]; /* REGISTER: of dmux_signed_len bytes */
    const uint8_t *chain;                  /* REGISTER, behind the signature: the key's certificate, in the datagram */
    size_t chain_len;                      /* 0: none */
    uint8_t mac[DMUX_MAC_LEN];             /* ACK, KEEPALIVE to WITHDRAW, VOUCHED: of all before it */
    uint32_t seq;                          /* KEEPALIVE to WITHDRAW */
    uint8_t refusal;                       /* NAK, ECHO_REPLY: enum dmux_refusal */
    uint16_t wait_s;                       /* NAK: not again before */
    struct endpoint router;                /* ECHO_REPLY */
    uint32_t rtt_us;                       /* ECHO_REPLY: from gateway to router; 0: not measured */
    struct prefix prefix;                  /* ECHO_REPLY: of the operator that serves; 0/0: none */
};

/* Writes the datagram; HELLO and ECHO filled up. Its length; 0: it does not fit size. */
size_t dmux_write(const struct dmux_message *m, uint8_t *buf, size_t size);
/* Reads a datagram whose shim (already parsed) says C. 0, -EBADMSG (length, type, a field that means nothing). */
MUST_CHECK int dmux_read(const struct shim *shim, const uint8_t *data, size_t len, struct dmux_message *ret);
/* How many bytes of such a datagram its signature or mac covers: all before it. 0: it has neither. */
size_t dmux_signed_len(const uint8_t *data, size_t len);
const char *dmux_refusal_name(unsigned refusal);
