/* prog/dns_server.h - a DNS server on a loop: UDP and TCP, one view (prog/dns_view.h).
 *
 * Who owns it finds out what is known of a name, at once or later. Nothing here is trusted to come from where it says:
 * an answer over UDP has at most DNS_UDP_MAX bytes, and who asks for more is sent to TCP. */
#pragma once

#include "prog/dns_view.h"

#include <uv.h>

#define DNS_SERVER_LISTEN_MAX 8
#define DNS_SERVER_PENDING_MAX 1024 /* chosen: questions that wait for their owner; further ones get SERVFAIL */
#define DNS_SERVER_CONNS_MAX 64  /* chosen: over TCP; then the one that has asked nothing for the longest is closed */
#define DNS_SERVER_IDLE_MS 10000 /* RFC 7766 section 6.2.3: a few seconds */
#define DNS_SERVER_UNSENT_MAX 262144 /* bytes that a connection may not take; then it is closed */
#define DNS_SERVER_ERR 160

struct dns_server;
struct dns_pending;

/* What is known of the name? dns_server_tell with p, from inside or later, once. */
typedef void dns_ask_fn(void *owner, const struct name *name, struct dns_pending *p);

struct dns_server_stats {
    uint64_t queries, by_tcp, malformed, answers[DNS_REFUSED + 1], full, truncated;
    uint32_t pending, conns;
};

/* NULL when out of memory. v is copied. */
struct dns_server *dns_server_new(uv_loop_t *loop, const struct dns_view *v, dns_ask_fn *ask, void *owner);
/* UDP and TCP at an address and port. 0, or -errno and err. */
MUST_CHECK int dns_server_listen(struct dns_server *s, const struct endpoint *at, char err[DNS_SERVER_ERR]);
void dns_server_tell(struct dns_pending *p, const struct dns_known *k);
/* Closes all; the loop must run on until it has let go. Nothing may be told any more. Accepts NULL. */
void dns_server_close(struct dns_server *s);
void dns_server_stats_get(const struct dns_server *s, struct dns_server_stats *ret);
