/* base/addr.c - see addr.h. inet_pton and inet_ntop are pure functions of their arguments: no socket is touched. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

struct addr addr_v4(uint32_t host_order)
{
    struct addr a = { .family = ADDR_V4 };
    put_be32(a.bytes, host_order);
    return a;
}

struct addr addr_from_bytes(enum addr_family family, const uint8_t *bytes)
{
    struct addr a = { .family = (uint8_t)family };
    memcpy(a.bytes, bytes, addr_bytes_len(&a));
    return a;
}

int addr_parse(const char *s, struct addr *ret)
{
    struct addr a = { 0 };

    if (inet_pton(AF_INET, s, a.bytes) == 1)
        a.family = ADDR_V4;
    else if (inet_pton(AF_INET6, s, a.bytes) == 1)
        a.family = ADDR_V6;
    else
        return -EINVAL;
    *ret = a;
    return 0;
}

/* Decimal digits only, at most max. Returns the value or -EINVAL. */
static long parse_number(const char *s, long max)
{
    long v = 0;

    if (*s == '\0')
        return -EINVAL;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        v = v * 10 + (*s - '0');
        if (v > max)
            return -EINVAL;
    }
    return v;
}

int endpoint_parse(const char *s, uint16_t default_port, struct endpoint *ret)
{
    char host[ADDR_STRLEN];
    const char *end, *port = NULL;
    size_t len;
    long p = default_port;
    struct endpoint e;

    if (*s == '[') {
        s++;
        end = strchr(s, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return -EINVAL;
        if (end[1] == ':')
            port = end + 2;
    } else {
        end = strchr(s, ':');
        if (end && strchr(end + 1, ':'))
            end = NULL; /* two colons: a bare IPv6 address */
        if (end)
            port = end + 1;
        else
            end = s + strlen(s);
    }
    len = (size_t)(end - s);
    if (len >= sizeof(host))
        return -EINVAL;
    memcpy(host, s, len);
    host[len] = '\0';
    if (port)
        p = parse_number(port, 65535);
    if (p <= 0 || addr_parse(host, &e.addr) < 0)
        return -EINVAL;
    e.port = (uint16_t)p;
    *ret = e;
    return 0;
}

static bool mask_host_bits(struct prefix *p)
{
    bool had = false;

    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = p->len > i * 8 ? MIN(p->len - i * 8, 8u) : 0;
        uint8_t mask = (uint8_t)(0xff00u >> bits);
        had |= (p->addr.bytes[i] & ~mask) != 0;
        p->addr.bytes[i] &= mask;
    }
    return had;
}

int prefix_parse(const char *s, bool mask_host, struct prefix *ret)
{
    char host[ADDR_STRLEN];
    const char *slash = strchr(s, '/');
    size_t len = slash ? (size_t)(slash - s) : strlen(s);
    struct prefix p;

    if (len >= sizeof(host))
        return -EINVAL;
    memcpy(host, s, len);
    host[len] = '\0';
    if (addr_parse(host, &p.addr) < 0)
        return -EINVAL;
    p.len = (uint8_t)addr_bits(&p.addr);
    if (slash) {
        long bits = parse_number(slash + 1, 999);
        if (bits < 0)
            return -EINVAL;
        if (bits > p.len)
            return -ERANGE;
        p.len = (uint8_t)bits;
    }
    if (mask_host_bits(&p) && !mask_host)
        return -ERANGE;
    *ret = p;
    return 0;
}

char *addr_format(const struct addr *a, char buf[ADDR_STRLEN])
{
    if (a->family == ADDR_NONE)
        strcpy(buf, "none");
    else
        inet_ntop(a->family == ADDR_V4 ? AF_INET : AF_INET6, a->bytes, buf, ADDR_STRLEN);
    return buf;
}

char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_STRLEN])
{
    char host[ADDR_STRLEN];

    addr_format(&e->addr, host);
    snprintf(buf, ENDPOINT_STRLEN, e->addr.family == ADDR_V6 ? "[%s]:%u" : "%s:%u", host, e->port);
    return buf;
}

char *prefix_format(const struct prefix *p, char buf[PREFIX_STRLEN])
{
    char host[ADDR_STRLEN];

    addr_format(&p->addr, host);
    snprintf(buf, PREFIX_STRLEN, "%s/%u", host, p->len);
    return buf;
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    unsigned whole = p->len / 8, rest = p->len % 8;

    if (p->addr.family != a->family || memcmp(p->addr.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || ((p->addr.bytes[whole] ^ a->bytes[whole]) & (uint8_t)(0xff00u >> rest)) == 0;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

bool addr_is_unicast(const struct addr *a)
{
    static const uint8_t zero[16];

    switch (a->family) {
    case ADDR_V4:
        return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
    case ADDR_V6:
        return a->bytes[0] != 0xff && memcmp(a->bytes, zero, 15) != 0;
    default:
        return false;
    }
}

bool addr_is_link_local(const struct addr *a)
{
    if (a->family == ADDR_V4)
        return a->bytes[0] == 169 && a->bytes[1] == 254;
    return a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };

    if (a->family == ADDR_V4)
        return a->bytes[0] == 127;
    return a->family == ADDR_V6 && memcmp(a->bytes, one, 16) == 0;
}
