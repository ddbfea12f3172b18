/* sys/dns.c - see dns.h.
 *
 * Theory of operation. A message that comes in is anybody's bytes: the counts in its header are looked at first, so
 * that ldns is never given more than one question and two further records, of which one may be OPT. An answer is a
 * packet of ldns, which compresses names; rdata that ldns has no type for (HIP, SVCB) is put in as bytes.
 *
 * What does not fit is left out whole, and TC is set: half a set of addresses would look like all of it (RFC 2181
 * section 9).
 *
 * Limits: a query of 4096 bytes, an answer of 33 records and 4096 bytes of rdata. A few dozen allocations a message,
 * all inside ldns.
 *
 * Sources: RFC 1035 section 4, RFC 2181, RFC 2308 sections 2 and 5, RFC 3225, RFC 6891 section 6, RFC 8005 section 5,
 * RFC 9373 section 3, RFC 9460 section 2, RFC 9619. */
#include "sys/dns.h"

#include "wire/cursor.h"

#include <errno.h>
#include <ldns/ldns.h>

#define FLAG_QR 0x8000u
#define FLAG_RD 0x0100u
#define FLAG_CD 0x0010u
#define OPCODE_QUERY 0
#define OPT_DO 0x8000u
#define EXTRA_MAX 2 /* records behind the question: OPT, and perhaps a signature of a kind that we do not check */
#define IPSECKEY_EDDSA 4
#define SVC_PORT 3
#define SVC_IPV4HINT 4
#define SVC_IPV6HINT 6
#define SOA_REFRESH_S 3600
#define SOA_RETRY_S 600
#define SOA_EXPIRE_S 86400

static void cleanup_rr(ldns_rr **rr)
{
    ldns_rr_free(*rr);
}

static void cleanup_pkt(ldns_pkt **p)
{
    ldns_pkt_free(*p);
}

static void cleanup_ldns(uint8_t **p)
{
    LDNS_FREE(*p);
}

/* --- queries --- */

/* Lower-case text of a name in wire form: false where a label has characters that no name of ours has. */
static bool name_text(const uint8_t *wire, size_t len, char out[DNS_NAME_SIZE])
{
    size_t at = 0;
    char *o = out;

    while (at < len && wire[at]) {
        size_t label = wire[at++];

        if (o != out)
            *o++ = '.';
        for (size_t i = 0; i < label; i++) {
            uint8_t c = wire[at++];

            c = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
                out[0] = '\0';
                return false;
            }
            *o++ = (char)c;
        }
    }
    *o = '\0';
    return true;
}

/* The question at *at. 0, DNS_FORMERR or -ENOMEM. */
static int read_question(const uint8_t *bytes, size_t len, size_t *at, struct dns_query *q)
{
    ldns_rr *rr CLEANUP(cleanup_rr) = NULL;
    ldns_status status = ldns_wire2rr(&rr, bytes, len, at, LDNS_SECTION_QUESTION);
    const ldns_rdf *owner;

    if (status != LDNS_STATUS_OK)
        return status == LDNS_STATUS_MEM_ERR ? -ENOMEM : DNS_FORMERR;
    owner = ldns_rr_owner(rr);
    if (ldns_rdf_size(owner) > sizeof(q->wire))
        return DNS_FORMERR;
    q->wire_len = (uint8_t)ldns_rdf_size(owner);
    memcpy(q->wire, ldns_rdf_data(owner), q->wire_len);
    q->is_text = name_text(q->wire, q->wire_len, q->name);
    q->type = (uint16_t)ldns_rr_get_type(rr);
    q->class = (uint16_t)ldns_rr_get_class(rr);
    q->asked = true;
    return 0;
}

/* A record behind the question: OPT is understood, others are passed over. */
static int read_extra(const uint8_t *bytes, size_t len, size_t *at, struct dns_query *q, unsigned *ret_version)
{
    ldns_rr *rr CLEANUP(cleanup_rr) = NULL;
    ldns_status status = ldns_wire2rr(&rr, bytes, len, at, LDNS_SECTION_ADDITIONAL);

    if (status != LDNS_STATUS_OK)
        return status == LDNS_STATUS_MEM_ERR ? -ENOMEM : DNS_FORMERR;
    if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_OPT)
        return 0;
    /* RFC 6891 section 6.1.1: more than one is malformed, and so is one with a name. */
    if (q->edns || ldns_rdf_size(ldns_rr_owner(rr)) != 1)
        return DNS_FORMERR;
    q->edns = true;
    q->udp_size = MAX((uint16_t)ldns_rr_get_class(rr), DNS_UDP_PLAIN);
    q->do_bit = ldns_rr_ttl(rr) & OPT_DO;
    *ret_version = ldns_rr_ttl(rr) >> 16 & 0xff;
    return 0;
}

int dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *ret)
{
    struct dns_query q = { .udp_size = DNS_UDP_PLAIN };
    struct reader head = reader_init(bytes, len);
    uint16_t flags, counts[4];
    size_t at = DNS_HEADER_LEN;
    unsigned version = 0;
    int r = 0;

    q.id = read_u16(&head);
    flags = read_u16(&head);
    for (size_t i = 0; i < 4; i++)
        counts[i] = read_u16(&head);
    if (head.failed || flags & FLAG_QR || len > DNS_QUERY_MAX)
        return -EBADMSG;
    q.opcode = flags >> 11 & 15;
    q.rd = flags & FLAG_RD;
    q.cd = flags & FLAG_CD;
    if (q.opcode != OPCODE_QUERY) {
        *ret = q;
        return DNS_NOTIMP;
    }
    if (counts[0] != 1 || counts[1] || counts[2] || counts[3] > EXTRA_MAX)
        r = DNS_FORMERR;
    if (r == 0)
        r = read_question(bytes, len, &at, &q);
    for (unsigned i = 0; r == 0 && i < counts[3]; i++)
        r = read_extra(bytes, len, &at, &q, &version);
    if (r == 0 && at != len)
        r = DNS_FORMERR;
    if (r == 0 && version != 0)
        r = DNS_BADVERS;
    if (r == 0 && q.class != DNS_CLASS_IN && q.class != DNS_CLASS_ANY)
        r = DNS_REFUSED;
    if (r >= 0)
        *ret = q;
    return r;
}

/* --- answers --- */

/* Where the rdata of a new record begins: the caller writes it, then record_end. */
static struct writer record_begin(struct dns_answer *a)
{
    return writer_init(a->rdata + a->rdata_len, sizeof(a->rdata) - a->rdata_len);
}

static void record_end(struct dns_answer *a, const struct writer *w, uint16_t type, uint32_t ttl_s, const char *owner)
{
    if (w->failed || a->count == DNS_RECORDS_MAX) {
        a->full = true;
        return;
    }
    a->records[a->count++] = (struct dns_record){ .owner = owner,
                                                  .type = type,
                                                  .at = a->rdata_len,
                                                  .len = (uint16_t)writer_len(w),
                                                  .ttl_s = MIN(ttl_s, DNS_TTL_MAX) };
    a->rdata_len = (uint16_t)(a->rdata_len + writer_len(w));
}

static void add_bytes(struct dns_answer *a, uint16_t type, uint32_t ttl_s, const void *bytes, size_t len)
{
    struct writer w = record_begin(a);

    write_bytes(&w, bytes, len);
    record_end(a, &w, type, ttl_s, NULL);
}

void dns_add_address(struct dns_answer *a, uint32_t ttl_s, const struct addr *address)
{
    add_bytes(a, address->family == ADDR_V4 ? DNS_TYPE_A : DNS_TYPE_AAAA, ttl_s, address->bytes,
              addr_bytes_len(address));
}

void dns_add_tag(struct dns_answer *a, uint32_t ttl_s, const uint8_t tag[16])
{
    add_bytes(a, DNS_TYPE_AAAA, ttl_s, tag, 16);
}

void dns_add_hip(struct dns_answer *a, uint32_t ttl_s, const uint8_t tag[16], const uint8_t ed25519[32])
{
    struct writer w = record_begin(a);

    write_u8(&w, 16);
    write_u8(&w, IPSECKEY_EDDSA);
    write_u16(&w, 32);
    write_bytes(&w, tag, 16);
    write_bytes(&w, ed25519, 32);
    record_end(a, &w, DNS_TYPE_HIP, ttl_s, NULL);
}

void dns_add_svcb(struct dns_answer *a, uint32_t ttl_s, uint16_t priority, const struct endpoint *at)
{
    struct writer w = record_begin(a);
    size_t len = addr_bytes_len(&at->addr);

    write_u16(&w, priority);
    write_u8(&w, 0); /* the target: the owner */
    write_u16(&w, SVC_PORT);
    write_u16(&w, 2);
    write_u16(&w, at->port);
    write_u16(&w, at->addr.family == ADDR_V4 ? SVC_IPV4HINT : SVC_IPV6HINT);
    write_u16(&w, (uint16_t)len);
    write_bytes(&w, at->addr.bytes, len);
    record_end(a, &w, DNS_TYPE_SVCB, ttl_s, NULL);
}

/* A name of text in wire form, its text checked by whoever configured it; what is none fails the writer. */
static void write_name(struct writer *w, const char *text)
{
    size_t total = 1;

    while (*text) {
        size_t label = strcspn(text, ".");

        total += label + 1;
        if (label == 0 || label > 63 || total > DNS_NAME_WIRE_MAX) {
            w->failed = true;
            return;
        }
        write_u8(w, (uint8_t)label);
        write_bytes(w, text, label);
        text += label + (text[label] == '.');
    }
    write_u8(w, 0);
}

void dns_add_ns(struct dns_answer *a, uint32_t ttl_s, const char *server)
{
    struct writer w = record_begin(a);

    write_name(&w, server);
    record_end(a, &w, DNS_TYPE_NS, ttl_s, NULL);
}

static void add_soa(struct dns_answer *a, const struct dns_soa *s, const char *owner)
{
    struct writer w = record_begin(a);
    char mailbox[DNS_NAME_SIZE + 16] = "hostmaster";

    if (s->zone[0]) {
        strcat(mailbox, ".");
        strncat(mailbox, s->zone, DNS_NAME_SIZE - 1);
    }
    write_name(&w, s->server);
    write_name(&w, mailbox);
    write_u32(&w, s->serial);
    write_u32(&w, SOA_REFRESH_S);
    write_u32(&w, SOA_RETRY_S);
    write_u32(&w, SOA_EXPIRE_S);
    write_u32(&w, s->minimum_s);
    record_end(a, &w, DNS_TYPE_SOA, s->ttl_s, owner);
}

void dns_add_soa(struct dns_answer *a, const struct dns_soa *s)
{
    add_soa(a, s, NULL);
}

void dns_add_negative(struct dns_answer *a, const struct dns_soa *s)
{
    add_soa(a, s, s->zone);
    a->authority = !a->full;
}

/* --- writing --- */

/* A name of wire bytes, or of text. NULL when out of memory. */
static ldns_rdf *name_rdf(const struct dns_query *q, const char *text)
{
    uint8_t wire[DNS_NAME_WIRE_MAX + 1];
    struct writer w = writer_init(wire, sizeof(wire));

    if (!text)
        return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, q->wire_len, q->wire);
    write_name(&w, text);
    return w.failed ? NULL : ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, writer_len(&w), wire);
}

/* Takes rr. */
static int push(ldns_pkt *p, ldns_pkt_section section, ldns_rr *rr)
{
    if (rr && ldns_rr_owner(rr) && ldns_pkt_push_rr(p, section, rr))
        return 0;
    ldns_rr_free(rr);
    return -ENOMEM;
}

static int push_record(ldns_pkt *p, ldns_pkt_section section, const struct dns_query *q, const struct dns_answer *a,
                       const struct dns_record *rec)
{
    ldns_rr *rr = ldns_rr_new();
    ldns_rdf *rdata = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_UNKNOWN, rec->len, a->rdata + rec->at);

    if (!rr || !rdata || !ldns_rr_push_rdf(rr, rdata)) {
        ldns_rdf_deep_free(rdata);
        ldns_rr_free(rr);
        return -ENOMEM;
    }
    ldns_rr_set_owner(rr, name_rdf(q, rec->owner));
    ldns_rr_set_type(rr, (ldns_rr_type)rec->type);
    ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
    ldns_rr_set_ttl(rr, rec->ttl_s);
    return push(p, section, rr);
}

static int push_question(ldns_pkt *p, const struct dns_query *q)
{
    ldns_rr *rr = ldns_rr_new();

    if (!rr)
        return -ENOMEM;
    ldns_rr_set_question(rr, true);
    ldns_rr_set_owner(rr, name_rdf(q, NULL));
    ldns_rr_set_type(rr, (ldns_rr_type)q->type);
    ldns_rr_set_class(rr, (ldns_rr_class)q->class);
    return push(p, LDNS_SECTION_QUESTION, rr);
}

/* The packet with its records, or without them and with TC. 0 or -ENOMEM; *ret is freed by LDNS_FREE. */
static int build(const struct dns_query *q, const struct dns_answer *a, bool cut, uint8_t **ret, size_t *ret_len)
{
    ldns_pkt *p CLEANUP(cleanup_pkt) = ldns_pkt_new();
    unsigned rcode = a->full ? DNS_SERVFAIL : a->rcode;
    int r = p ? 0 : -ENOMEM;

    if (r == 0 && q->asked)
        r = push_question(p, q);
    for (unsigned i = 0; r == 0 && !cut && !a->full && i < a->count; i++)
        r = push_record(p, i + a->authority < a->count ? LDNS_SECTION_ANSWER : LDNS_SECTION_AUTHORITY, q, a,
                        &a->records[i]);
    if (r < 0)
        return r;
    ldns_pkt_set_id(p, q->id);
    ldns_pkt_set_qr(p, true);
    ldns_pkt_set_opcode(p, (ldns_pkt_opcode)q->opcode);
    ldns_pkt_set_rd(p, q->rd);
    ldns_pkt_set_cd(p, q->cd);
    ldns_pkt_set_aa(p, a->authoritative);
    ldns_pkt_set_ra(p, a->recursive);
    ldns_pkt_set_tc(p, cut);
    ldns_pkt_set_rcode(p, (uint8_t)(rcode & 15));
    if (q->edns) {
        ldns_pkt_set_edns_udp_size(p, DNS_UDP_MAX);
        ldns_pkt_set_edns_extended_rcode(p, (uint8_t)(rcode >> 4));
        ldns_pkt_set_edns_do(p, q->do_bit);
    }
    return ldns_pkt2wire(ret, p, ret_len) == LDNS_STATUS_OK ? 0 : -ENOMEM;
}

int dns_answer_write(const struct dns_query *q, const struct dns_answer *a, bool udp, uint8_t *out, size_t size,
                     size_t *ret_len)
{
    uint8_t *wire CLEANUP(cleanup_ldns) = NULL;
    size_t len, max = MIN(size, DNS_MESSAGE_MAX);
    int r = build(q, a, false, &wire, &len);

    if (udp)
        max = MIN(max, MIN(q->udp_size, DNS_UDP_MAX));
    if (r == 0 && len > max) {
        LDNS_FREE(wire);
        r = build(q, a, true, &wire, &len);
    }
    if (r < 0)
        return r;
    if (len > max)
        return -ENOSPC;
    memcpy(out, wire, len);
    *ret_len = len;
    return 0;
}

/* --- over TCP --- */

int dns_stream_push(struct dns_stream *s, const uint8_t *bytes, size_t len)
{
    size_t need, take;

    if (s->have < 2) {
        take = MIN(len, 2u - s->have);
        memcpy(s->buf + s->have, bytes, take);
        s->have += (uint32_t)take;
        return (int)take;
    }
    need = get_be16(s->buf);
    if (need < 1 || need > DNS_QUERY_MAX)
        return -EMSGSIZE;
    take = MIN(len, need + 2 - s->have);
    if (take)
        memcpy(s->buf + s->have, bytes, take);
    s->have += (uint32_t)take;
    return (int)take;
}

bool dns_stream_next(struct dns_stream *s, const uint8_t **ret, size_t *ret_len)
{
    if (s->have < 3 || s->have < 2u + get_be16(s->buf))
        return false;
    *ret = s->buf + 2;
    *ret_len = get_be16(s->buf);
    return true;
}

void dns_stream_drop(struct dns_stream *s)
{
    s->have = 0;
}
