/* Socket addresses: see the header. Sources: ip(7), ipv6(7). */
#include "sys/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

int sockaddr_family(const struct addr *a)
{
    return a->family == ADDR_V4 ? AF_INET : a->family == ADDR_V6 ? AF_INET6 : AF_UNSPEC;
}

socklen_t sockaddr_from_endpoint(const struct endpoint *e, unsigned scope_ifindex, struct sockaddr_storage *ret)
{
    if (e->addr.family == ADDR_V4) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(e->port) };

        memcpy(&sin.sin_addr, e->addr.bytes, 4);
        memcpy(ret, &sin, sizeof(sin));
        return sizeof(sin);
    }
    if (e->addr.family == ADDR_V6) {
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };

        memcpy(&sin6.sin6_addr, e->addr.bytes, 16);
        if (addr_is_link_local(&e->addr))
            sin6.sin6_scope_id = scope_ifindex;
        memcpy(ret, &sin6, sizeof(sin6));
        return sizeof(sin6);
    }
    return 0;
}

int sockaddr_to_endpoint(const struct sockaddr *sa, struct endpoint *ret)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in sin;

        memcpy(&sin, sa, sizeof(sin));
        *ret = (struct endpoint){ .addr = addr_from_bytes(ADDR_V4, (const uint8_t *)&sin.sin_addr),
                                  .port = ntohs(sin.sin_port) };
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 sin6;
        const uint8_t *bytes = (const uint8_t *)&sin6.sin6_addr;

        memcpy(&sin6, sa, sizeof(sin6));
        *ret = (struct endpoint){ .addr = IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr) ? addr_from_bytes(ADDR_V4, bytes + 12)
                                                                                : addr_from_bytes(ADDR_V6, bytes),
                                  .port = ntohs(sin6.sin6_port) };
        return 0;
    }
    return -EAFNOSUPPORT;
}
