/* sys/sockaddr.h - locators to and from the kernel's socket addresses. */
#pragma once

#include "base/addr.h"

#include <sys/socket.h>

/* The address length for the kernel, or 0 when the family is ADDR_NONE. scope_ifindex goes into link-local IPv6
 * addresses and is ignored elsewhere. */
socklen_t sockaddr_from_endpoint(const struct endpoint *e, unsigned scope_ifindex, struct sockaddr_storage *ret);
/* 0 or -EAFNOSUPPORT. A v4-mapped IPv6 address becomes IPv4. */
int sockaddr_to_endpoint(const struct sockaddr *sa, struct endpoint *ret);
/* AF_INET, AF_INET6 or AF_UNSPEC. */
int sockaddr_family(const struct addr *a);
