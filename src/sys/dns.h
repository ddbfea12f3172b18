/* sys/dns.h - DNS messages: the bytes of a query, and of what is answered. No sockets.
 *
 * A query is one question (RFC 9619) with at most one OPT record (RFC 6891). Names are kept as they came, since an
 * answer repeats the question to the bit (draft-vixie-dnsext-dns0x20), and as text in lower case.
 *
 * An answer is built in a struct of fixed size; all its records have the name that was asked, but for those of the
 * authority section, whose names are text. What does not fit goes without its records and with TC set, so that the
 * client asks again over TCP. */
#pragma once

#include "base/addr.h"

#define DNS_NAME_WIRE_MAX 255 /* bytes: RFC 1035 section 2.3.4 */
#define DNS_NAME_SIZE 256     /* text and its NUL */
#define DNS_HEADER_LEN 12
#define DNS_UDP_PLAIN 512      /* bytes that everybody takes: RFC 1035 section 4.2.1 */
#define DNS_UDP_MAX 1232       /* chosen: fits the smallest IPv6 MTU, so that no answer is cut into fragments */
#define DNS_QUERY_MAX 4096     /* chosen: no query is longer, whatever its options */
#define DNS_MESSAGE_MAX 16384  /* chosen: of an answer over TCP; a full one has some 5 KB */
#define DNS_RECORDS_MAX 33     /* chosen: 16 targets in two types each, and one */
#define DNS_RDATA_MAX 4096     /* chosen: of all records of an answer */
#define DNS_TTL_MAX 2147483647 /* RFC 2181 section 8 */

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_HIP = 55,  /* RFC 8005 */
    DNS_TYPE_SVCB = 64, /* RFC 9460 */
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};

enum dns_class { DNS_CLASS_IN = 1, DNS_CLASS_ANY = 255 };

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* RFC 6891 section 9 */
};

struct dns_query {
    uint16_t id;
    uint8_t opcode;
    bool rd, cd;
    bool asked;        /* the question could be read */
    bool edns, do_bit; /* it has an OPT record; DO of RFC 3225 */
    uint16_t udp_size; /* what it takes over UDP, DNS_UDP_PLAIN to 65535 */
    uint16_t type, class;
    uint8_t wire_len;
    uint8_t wire[DNS_NAME_WIRE_MAX]; /* the name as it came, labels and lengths */
    char name[DNS_NAME_SIZE];        /* lower case, no dot at the end, "" for the root; also "" where a label has other
                                        characters than letters, digits, hyphen and low line: no name of ours */
    bool is_text;                    /* name is the name */
};

struct dns_record {
    const char *owner; /* authority section: text; else NULL */
    uint16_t type;
    uint16_t at, len; /* in rdata */
    uint32_t ttl_s;
};

struct dns_answer {
    enum dns_rcode rcode;
    bool authoritative, recursive; /* AA and RA */
    uint8_t count;                 /* of records: the first are the answer, the last `authority` ones of that section */
    uint8_t authority;
    bool full; /* a record found no room: the answer is to be DNS_SERVFAIL */
    uint16_t rdata_len;
    struct dns_record records[DNS_RECORDS_MAX];
    uint8_t rdata[DNS_RDATA_MAX];
};

/* 0: a question in class IN by opcode QUERY. Above 0: an enum dns_rcode that is to be answered. -EBADMSG: nothing is to
 * be answered: too short, or itself an answer. -ENOMEM. *ret is written in the first two cases, as far as it was
 * understood. */
MUST_CHECK int dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *ret);
/* At most size bytes, and over UDP at most what the client takes: 0 and *ret_len; -ENOMEM; -ENOSPC: not even the
 * question fits size. */
MUST_CHECK int dns_answer_write(const struct dns_query *q, const struct dns_answer *a, bool udp, uint8_t *out,
                                size_t size, size_t *ret_len);

/* Each adds a record of the asked name. A or AAAA, by the address. */
void dns_add_address(struct dns_answer *a, uint32_t ttl_s, const struct addr *address);
/* An AAAA of 16 bytes that are no address of a network: a tag. */
void dns_add_tag(struct dns_answer *a, uint32_t ttl_s, const uint8_t tag[16]);
/* HIP: tag and Ed25519 key (RFC 8005 section 5; algorithm 4 of the IPSECKEY registry, RFC 9373). */
void dns_add_hip(struct dns_answer *a, uint32_t ttl_s, const uint8_t tag[16], const uint8_t ed25519[32]);
/* SVCB in service mode whose target is the owner itself (RFC 9460 section 2.5): priority above 0, the port, and the
 * address as a hint. */
void dns_add_svcb(struct dns_answer *a, uint32_t ttl_s, uint16_t priority, const struct endpoint *at);
/* NS of the asked name. */
void dns_add_ns(struct dns_answer *a, uint32_t ttl_s, const char *server);

struct dns_soa {
    const char *zone, *server; /* text names */
    uint32_t serial, ttl_s;    /* of the record; what is not there is remembered for the lesser of it and minimum_s:
                                  RFC 2308 section 5 */
    uint32_t minimum_s;
};

/* The SOA itself was asked for: of the asked name. */
void dns_add_soa(struct dns_answer *a, const struct dns_soa *s);
/* There is none: SOA of the zone in the authority section. Nothing may be added after it. */
void dns_add_negative(struct dns_answer *a, const struct dns_soa *s);

/* --- over TCP: each message behind its length in 2 bytes (RFC 1035 section 4.2.2) --- */

struct dns_stream {
    uint32_t have;
    uint8_t buf[2 + DNS_QUERY_MAX];
};

/* Takes some of the bytes: how many. 0: a message is there, which is to be taken by dns_stream_next and let go by
 * dns_stream_drop first. -EMSGSIZE: longer than DNS_QUERY_MAX, or 0: the connection is to be closed. */
MUST_CHECK int dns_stream_push(struct dns_stream *s, const uint8_t *bytes, size_t len);
/* A whole message, inside the stream, until dns_stream_drop. False when there is none yet. */
bool dns_stream_next(struct dns_stream *s, const uint8_t **ret, size_t *ret_len);
void dns_stream_drop(struct dns_stream *s);
