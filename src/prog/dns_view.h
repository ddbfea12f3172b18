/* prog/dns_view.h - what the DNS is told of names: two views of the same answers of realm managers.
 *
 * The local view is for programs of a host that routes tags: an AAAA is a tag, of the host itself, or of the hosts that
 * a user, data or a service is at. The public view is for everybody: A and AAAA are the addresses of whoever stands for
 * the host (class 1: its agent, or the border of its realm), beside HIP (RFC 8005) and SVCB (RFC 9460); an AAAA is
 * never a tag there, since nobody could route it.
 *
 * No time to live is longer than the lease has left. No IO. */
#pragma once

#include "ident/chain.h"
#include "sys/dns.h"

#define DNS_VIEW_NEGATIVE_S                                                                                            \
    30 /* chosen: of names that nobody need be asked for, and as RFC 8767 has it for stale ones */
#define DNS_VIEW_TTL_MAX_S 300 /* chosen: who re-homes is found in 5 minutes by whoever caches */

struct dns_view {
    bool public;
    char zone[NAME_SIZE];     /* what is answered for: a realm's name, or the root's. "": all, in the local view */
    char server[NAME_SIZE];   /* public: the name of the server, for NS and SOA, below the zone or not */
    struct addr addresses[4]; /* public: of the server, if it is below the zone */
    size_t addresses_count;
    uint32_t serial;
};

/* What is known of a name. */
struct dns_known {
    enum dns_known_outcome {
        DNS_KNOWN_FOUND,
        DNS_KNOWN_NONE,
        DNS_KNOWN_FOREIGN, /* nobody whom we can ask has it */
        DNS_KNOWN_FAILED,
    } outcome;
    const struct chain_end *subject; /* FOUND */
    const struct record *binding;    /* FOUND */
    uint8_t granted;                 /* FOUND: enum record_class */
    uint32_t left_s, fresh_s;        /* FOUND, NONE: whole seconds, so 0 is less than one */
    bool stale;                      /* FOUND: not fresh any more, but the newest that could be had */
};

/* read: what dns_query_read said of the query. 0: somebody must be asked for *ret_name, and dns_view_tell be told what
 * he said; 1: *ret_answer is the answer. */
MUST_CHECK int dns_view_ask(const struct dns_view *v, const struct dns_query *q, int read, struct name *ret_name,
                            struct dns_answer *ret_answer);
void dns_view_tell(const struct dns_view *v, const struct dns_query *q, const struct dns_known *k,
                   struct dns_answer *ret_answer);
