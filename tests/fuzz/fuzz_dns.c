/* Fuzz target of DNS queries (sys/dns.h): a query that is understood is answered with its own id and question, within
 * what it takes; as a stream, every message comes out whole. */
#include "sys/dns.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const struct dns_query *q, unsigned records)
{
    static const struct addr v6 = { ADDR_V6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 } };
    static const struct dns_soa soa = { "acme.example", "ns.acme.example", 7, 60, 30 };
    struct dns_answer a = { .authoritative = true };
    uint8_t out[DNS_MESSAGE_MAX];
    size_t len;

    for (unsigned i = 0; i < records; i++)
        dns_add_address(&a, 1, &v6);
    if (!records)
        dns_add_negative(&a, &soa);
    for (int udp = 0; udp < 2; udp++) {
        if (dns_answer_write(q, &a, udp, out, sizeof(out), &len) < 0)
            assert(0);
        assert(get_be16(out) == q->id && out[2] & 0x80 && (!udp || len <= MIN(q->udp_size, DNS_UDP_MAX)));
        assert(!q->asked || memcmp(out + DNS_HEADER_LEN, q->wire, q->wire_len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_stream s = { 0 };
    struct dns_query q;
    const uint8_t *message;
    size_t len;

    if (dns_query_read(data, size, &q) >= 0) {
        assert(!q.asked || (q.wire_len >= 1 && q.wire[q.wire_len - 1] == 0 && strlen(q.name) < DNS_NAME_SIZE));
        answer(&q, 0);
        answer(&q, 20);
    }
    for (size_t at = 0; at < size;) {
        int took = dns_stream_push(&s, data + at, size - at);

        if (took < 0)
            break;
        at += (size_t)took;
        if (dns_stream_next(&s, &message, &len)) {
            assert(len >= 1 && len <= DNS_QUERY_MAX && memcmp(message, data + at - len, len) == 0);
            dns_stream_drop(&s);
        } else {
            assert(took > 0);
        }
    }
    return 0;
}
