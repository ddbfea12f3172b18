/* wire/shim.h - the shim that carries a packet of any protocol to a gateway, and on to a router (doc/dmux.md).
 *
 *   ver=1 (4 bits) | hlen (4 bits, 32-bit words) | flags 8 | protocol_id 16 | provider_id 32
 *   [K] cookie 12:  epoch 1 | time 3 (seconds) | mac 8
 *   [A] client 8:   IPv4 address 4 | port 2 | zero 1 | hop limit 1
 *   [H] home 20:    IPv4 address 4 | port 2 | zero 2 | pass or ticket 12, as a cookie
 *   the packet, or with C a control message (wire/dmux.h), or with W a word (wire/word.h)
 *
 * Integers are big-endian, lengths are bytes but for those of the first byte. hlen counts the fixed part and the fields
 * that the flags announce, no more and no less. The first nibble is never 4 or 6, so that no IP packet is taken for a
 * shim.
 *
 * This header is compiled for user space and for BPF: it includes nothing of ours and calls nothing, every loop is
 * bounded, and every access stands behind a comparison with the packet's end. */
#pragma once

#include <stdint.h>

#define SHIM_INLINE static inline __attribute__((always_inline))

#define DMUX_PORT 51821 /* UDP; chosen: beside Hawser's 51820, in IANA's range without assignments */

#define SHIM_VERSION 1
#define SHIM_LEN 8 /* the fixed part, bytes; so are all lengths here */
#define SHIM_COOKIE_LEN 12
#define SHIM_CLIENT_LEN 8
#define SHIM_HOME_LEN 20
#define SHIM_HOME_COOKIE_AT 8 /* inside the home field */
#define SHIM_LEN_MAX (SHIM_LEN + SHIM_COOKIE_LEN + SHIM_CLIENT_LEN + SHIM_HOME_LEN)

#define SHIM_CONTROL 0x80  /* C: a control message follows, and no field */
#define SHIM_CLIENT 0x40   /* A: the client's address; between gateway and router, and between gateways */
#define SHIM_VERIFIED 0x20 /* V: the client has shown that it is there; set by a gateway, and sent back by a router */
#define SHIM_COOKIE 0x10   /* K: what shows it */
#define SHIM_WORD 0x04     /* W: no packet, but a word between client and router, which gateways carry like one */
#define SHIM_HOME 0x02     /* H: by way of another operator's gateway, the home; only together with A, V and K */
#define SHIM_RESERVED 0x09 /* 0, or the packet is dropped */

#define PROVIDER_INVALID 0u
#define PROVIDER_ANY 1u /* whoever is nearest */

enum dmux_protocol {
    DMUX_IPV4 = 4,
    DMUX_IPV6 = 6,
    DMUX_EXPERIMENTAL = 0xff00, /* from here on: between those who agree */
};

/* Why a datagram is no shim. Each is counted by itself. */
enum shim_fault {
    SHIM_OK,
    SHIM_SHORT,         /* shorter than its own header */
    SHIM_NOT_VERSION_1, /* another version, or no shim at all */
    SHIM_BAD_LENGTH,    /* hlen is not what the flags say */
    SHIM_BAD_FLAGS,     /* a reserved one, or a combination that means nothing */
    SHIM_BAD_PROTOCOL,  /* 0 before a packet */
    SHIM_BAD_PROVIDER,  /* 0 */
    SHIM_FAULT_COUNT,
};

struct shim {
    uint8_t flags;
    uint8_t len; /* of the header with its fields */
    uint16_t protocol;
    uint32_t provider;
    uint8_t cookie_at, client_at, home_at; /* where the fields begin; 0: not there */
};

/* The length of a header with these flags. */
SHIM_INLINE uint8_t shim_len(uint8_t flags)
{
    return (uint8_t)(SHIM_LEN + ((flags & SHIM_COOKIE) ? SHIM_COOKIE_LEN : 0) +
                     ((flags & SHIM_CLIENT) ? SHIM_CLIENT_LEN : 0) + ((flags & SHIM_HOME) ? SHIM_HOME_LEN : 0));
}

/* What stands beside each other means something: control stands alone, and a home is that of a client which has shown
 * its address, with what shows each of them. */
SHIM_INLINE int shim_flags_sound(uint8_t flags)
{
    const uint8_t shown = SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE;

    return (flags & SHIM_RESERVED) == 0 && ((flags & SHIM_CONTROL) == 0 || flags == SHIM_CONTROL) &&
           ((flags & SHIM_HOME) == 0 || (flags & shown) == shown);
}

/* Reads the header of the datagram at..end. SHIM_OK and *ret, or what is wrong with *ret undefined. */
SHIM_INLINE enum shim_fault shim_parse(const uint8_t *at, const uint8_t *end, struct shim *ret)
{
    uint8_t flags, len;

    if (at + SHIM_LEN > end)
        return SHIM_SHORT;
    if (at[0] >> 4 != SHIM_VERSION)
        return SHIM_NOT_VERSION_1;
    flags = at[1];
    if (!shim_flags_sound(flags))
        return SHIM_BAD_FLAGS;
    len = shim_len(flags);
    if ((uint8_t)((at[0] & 15) * 4) != len)
        return SHIM_BAD_LENGTH;
    if (at + len > end)
        return SHIM_SHORT;
    ret->flags = flags;
    ret->len = len;
    ret->protocol = (uint16_t)(at[2] << 8 | at[3]);
    ret->provider = (uint32_t)at[4] << 24 | (uint32_t)at[5] << 16 | (uint32_t)at[6] << 8 | at[7];
    if (ret->provider == PROVIDER_INVALID)
        return SHIM_BAD_PROVIDER;
    if (ret->protocol == 0 && !(flags & SHIM_CONTROL))
        return SHIM_BAD_PROTOCOL;
    ret->cookie_at = (flags & SHIM_COOKIE) ? SHIM_LEN : 0;
    ret->client_at = (flags & SHIM_CLIENT) ? (uint8_t)(SHIM_LEN + ((flags & SHIM_COOKIE) ? SHIM_COOKIE_LEN : 0)) : 0;
    ret->home_at = (flags & SHIM_HOME) ? SHIM_LEN + SHIM_COOKIE_LEN + SHIM_CLIENT_LEN : 0;
    return SHIM_OK;
}

/* Writes the fixed part for these flags; the fields are the caller's. Returns the header's length. */
SHIM_INLINE uint8_t shim_put(uint8_t *at, uint8_t flags, uint16_t protocol, uint32_t provider)
{
    uint8_t len = shim_len(flags);

    at[0] = (uint8_t)(SHIM_VERSION << 4 | len / 4);
    at[1] = flags;
    at[2] = (uint8_t)(protocol >> 8);
    at[3] = (uint8_t)protocol;
    at[4] = (uint8_t)(provider >> 24);
    at[5] = (uint8_t)(provider >> 16);
    at[6] = (uint8_t)(provider >> 8);
    at[7] = (uint8_t)provider;
    return len;
}

/* What a cookie vouches for. */
enum shim_cookie_kind {
    SHIM_COOKIE_CLIENT = 1,     /* anyone -> gateway: the sender is at its address; router and gateway are 0 */
    SHIM_COOKIE_UNVERIFIED = 2, /* gateway <-> router: it sent this router a packet of that client, which ... */
    SHIM_COOKIE_VERIFIED = 3,   /* ... had not, or had, shown its address */
    SHIM_COOKIE_PASS = 4,       /* border -> gateway of another operator, the claim's client: its clients are served */
    SHIM_COOKIE_HOME = 5,       /* gateway <-> router: as VERIFIED, of a client whose packets come by way of a home */
};

/* All that a cookie's mac covers. Numbers in host order. */
struct shim_claim {
    uint8_t kind, epoch;
    uint32_t time; /* seconds, 24 bits */
    uint32_t client, router;
    uint16_t client_port, router_port;
    uint32_t gateway;
    uint32_t home; /* the gateway of another operator by which the client's packets come (HOME); else 0 */
    uint16_t home_port;
};

struct shim_key {
    uint64_t k[2];
};

SHIM_INLINE uint64_t shim_rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

SHIM_INLINE void shim_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = shim_rotl(v[1], 13) ^ v[0];
    v[0] = shim_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = shim_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = shim_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = shim_rotl(v[1], 17) ^ v[2];
    v[2] = shim_rotl(v[2], 32);
}

SHIM_INLINE void shim_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    shim_sip_round(v);
    shim_sip_round(v);
    v[0] ^= word;
}

SHIM_INLINE void shim_sip_begin(uint64_t v[4], const struct shim_key *key)
{
    v[0] = key->k[0] ^ 0x736f6d6570736575u;
    v[1] = key->k[1] ^ 0x646f72616e646f6du;
    v[2] = key->k[0] ^ 0x6c7967656e657261u;
    v[3] = key->k[1] ^ 0x7465646279746573u;
}

SHIM_INLINE uint64_t shim_sip_end(uint64_t v[4], uint64_t bytes)
{
    shim_sip_word(v, bytes << 56);
    v[2] ^= 0xff;
    shim_sip_round(v);
    shim_sip_round(v);
    shim_sip_round(v);
    shim_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* SipHash-2-4 (Aumasson and Bernstein) of the 24 bytes, or the 32 with a d that is not 0, that are these words,
 * little-endian. */
SHIM_INLINE uint64_t shim_sip(const struct shim_key *key, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t v[4];

    shim_sip_begin(v, key);
    shim_sip_word(v, a);
    shim_sip_word(v, b);
    shim_sip_word(v, c);
    if (d)
        shim_sip_word(v, d);
    return shim_sip_end(v, d ? 32 : 24);
}

SHIM_INLINE uint64_t shim_mac(const struct shim_key *key, const struct shim_claim *c)
{
    uint64_t a = c->kind | (uint64_t)c->epoch << 8 | (uint64_t)(c->time & 0xffffff) << 16;
    uint64_t b = c->client | (uint64_t)c->client_port << 32 | (uint64_t)c->router_port << 48;

    return shim_sip(key, a, b, c->router | (uint64_t)c->gateway << 32, c->home | (uint64_t)c->home_port << 32);
}

SHIM_INLINE void shim_put_cookie(uint8_t *at, const struct shim_claim *c, uint64_t mac)
{
    at[0] = c->epoch;
    at[1] = (uint8_t)(c->time >> 16);
    at[2] = (uint8_t)(c->time >> 8);
    at[3] = (uint8_t)c->time;
    for (int i = 0; i < 8; i++)
        at[4 + i] = (uint8_t)(mac >> (56 - 8 * i));
}

SHIM_INLINE uint32_t shim_cookie_time(const uint8_t *at)
{
    return (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

SHIM_INLINE uint64_t shim_cookie_mac(const uint8_t *at)
{
    uint64_t mac = 0;

    for (int i = 0; i < 8; i++)
        mac = mac << 8 | at[4 + i];
    return mac;
}

/* The keys that cookies may have now. Keys belong to epochs; an epoch's neighbours count, since clocks differ. */
struct shim_keys {
    struct shim_key keys[3]; /* of the epoch before, this one, and the next */
    uint32_t epoch;
};

#define SHIM_SKEW_S 30 /* chosen: by how much gateways' clocks may differ: what NTP keeps by far */

/* True if the cookie (SHIM_COOKIE_LEN bytes) was made for this claim (all but epoch and time) at most lifetime_s before
 * wall_s. */
SHIM_INLINE int shim_cookie_holds(const struct shim_keys *k, uint32_t wall_s, struct shim_claim *c,
                                  const uint8_t *cookie, uint32_t lifetime_s)
{
    uint32_t which = (uint8_t)(cookie[0] - (uint8_t)(k->epoch - 1));
    uint32_t age = (wall_s - shim_cookie_time(cookie)) & 0xffffff;

    __asm__ volatile("" : "+r"(which)); /* the kernel's verifier wants the comparison on the index itself */
    if (which > 2 || (age > lifetime_s && age < 0x1000000 - SHIM_SKEW_S))
        return 0;
    c->epoch = cookie[0];
    c->time = shim_cookie_time(cookie);
    return shim_mac(&k->keys[which], c) == shim_cookie_mac(cookie);
}

/* May a host have this IPv4 address (host order)? Not 0/8, 127/8, 169.254/16, nor 224/3. */
SHIM_INLINE int shim_is_host(uint32_t addr)
{
    return addr >> 24 != 0 && addr >> 24 != 127 && addr >> 16 != 0xa9fe && addr >> 29 != 7;
}

/* chosen: a prime; a share of 1/251 is the finest */
#define SHIM_SLOTS 251

/* The slot of a client's IPv4 address (host order): splitmix64's finaliser, modulo. */
SHIM_INLINE uint32_t shim_slot_of(uint32_t client)
{
    uint64_t z = client;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % SHIM_SLOTS);
}
