/* base/addr.h - locators as values: addresses, endpoints, prefixes; no sockets.
 *
 * Text forms are the usual ones: 192.0.2.1, 2001:db8::1, 192.0.2.1:51820, [2001:db8::1]:51820, 192.0.2.0/24. */
#pragma once

#include "base/base.h"

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

struct addr {
    uint8_t family;    /* enum addr_family */
    uint8_t bytes[16]; /* network order; the first 4 for ADDR_V4, the rest zero */
};

struct endpoint {
    struct addr addr;
    uint16_t port; /* host order */
};

struct prefix {
    struct addr addr; /* host bits zero */
    uint8_t len;      /* bits: 0..32 or 0..128 */
};

#define ADDR_STRLEN 48     /* longest address and its NUL */
#define ENDPOINT_STRLEN 56 /* longest endpoint and its NUL */
#define PREFIX_STRLEN 52

static inline size_t addr_bytes_len(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
}

static inline unsigned addr_bits(const struct addr *a)
{
    return (unsigned)addr_bytes_len(a) * 8;
}

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    uint64_t x[2], y[2]; /* for each packet several times: no call */

    memcpy(x, a->bytes, 16);
    memcpy(y, b->bytes, 16);
    return a->family == b->family && ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

struct addr addr_v4(uint32_t host_order);
struct addr addr_from_bytes(enum addr_family family, const uint8_t *bytes);

/* 0 or -EINVAL. The whole string must be used. */
int addr_parse(const char *s, struct addr *ret);
/* `addr:port` or `[addr]:port`; the port may be left out when default_port is not 0. 0 or -EINVAL. */
int endpoint_parse(const char *s, uint16_t default_port, struct endpoint *ret);
/* `addr/len`, or an address alone for a host prefix. Host bits must be zero unless `mask_host`, which clears them.
 * 0, -EINVAL (text) or -ERANGE (length, or host bits set). */
int prefix_parse(const char *s, bool mask_host, struct prefix *ret);

/* All return buf. */
char *addr_format(const struct addr *a, char buf[ADDR_STRLEN]);
char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_STRLEN]);
char *prefix_format(const struct prefix *p, char buf[PREFIX_STRLEN]);

bool prefix_contains(const struct prefix *p, const struct addr *a);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* True if the address may be a unicast source: not unspecified, loopback, multicast or broadcast. */
bool addr_is_unicast(const struct addr *a);
bool addr_is_link_local(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
