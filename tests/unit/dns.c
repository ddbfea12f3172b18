/* Unit tests of src/sys/dns: queries as dig 9.18 wrote them, answers by hand and from RFC 9460, and each limit. */
#include "sys/dns.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>

/* What `dig` sent for LapTop.H.Acme.Example AAAA, with EDNS of 1232 bytes. */
#define WITH_EDNS                                                                                                      \
    "1c3a01000001000000000001064c6170546f7001480441636d65074578616d706c6500001c0001"                                   \
    "00002904d0000000000000"
#define PLAIN "e55901000001000000000000066c6170746f7001680461636d65076578616d706c650000010001"
#define WITH_DO                                                                                                        \
    "571601000001000000000001017807657861"                                                                             \
    "6d706c650000400001000029100000008000"                                                                             \
    "0000"
#define WITH_COOKIE                                                                                                    \
    "636f01000001000000000001066c6170746f7001680461636d65076578616d706c650000370001"                                   \
    "00002904d000000000000c000a00087789dbdb68d3f6cc"
#define OF_EDNS_1                                                                                                      \
    "a60601200001000000000001066c6170746f7001680461636d65076578616d706c650000010001"                                   \
    "00002904d0000100000000"
#define NOTIFY                                                                                                         \
    "1dac212000010000000000010461636d65076578616d706c650000060001"                                                     \
    "00002904d000000000000c000a00084e3787ea43875137"
#define OF_CHAOS                                                                                                       \
    "438a012000010000000000010776657273696f6e0462696e640000100003"                                                     \
    "00002904d0000000000000"
#define OF_ROOT                                                                                                        \
    "e6fe0120000100000000000100000200010000"                                                                           \
    "2904d0000000000000"

static const struct addr v4 = { ADDR_V4, { 192, 0, 2, 7 } };
static const struct addr v6 = { ADDR_V6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 } };
static const struct dns_soa soa = { "acme.example", "ns.acme.example", 7, 60, 30 };

static int read_hex(const char *hex, struct dns_query *q)
{
    uint8_t bytes[512];

    return dns_query_read(bytes, unhex(hex, bytes, sizeof(bytes)), q);
}

static void test_dig(void **state)
{
    struct dns_query q;

    assert_int_equal(read_hex(WITH_EDNS, &q), 0);
    assert_int_equal(q.id, 0x1c3a);
    assert_true(q.rd && q.edns && q.is_text && !q.do_bit && !q.cd);
    assert_string_equal(q.name, "laptop.h.acme.example");
    assert_memory_equal(q.wire, "\6LapTop\1H\4Acme\7Example", 23);
    assert_int_equal(q.wire_len, 23);
    assert_int_equal(q.type, DNS_TYPE_AAAA);
    assert_int_equal(q.udp_size, 1232);
    assert_int_equal(read_hex(PLAIN, &q), 0);
    assert_true(!q.edns && q.udp_size == 512 && q.type == DNS_TYPE_A);
    assert_int_equal(read_hex(WITH_DO, &q), 0);
    assert_true(q.edns && q.do_bit && q.udp_size == 4096 && q.type == DNS_TYPE_SVCB);
    assert_int_equal(read_hex(WITH_COOKIE, &q), 0);
    assert_true(q.edns && q.type == DNS_TYPE_HIP);
    assert_int_equal(read_hex(OF_ROOT, &q), 0);
    assert_true(q.is_text && q.name[0] == '\0' && q.wire_len == 1);
}

static void test_refused(void **state)
{
    uint8_t bytes[512];
    struct dns_query q;
    size_t len = unhex(PLAIN, bytes, sizeof(bytes));

    assert_int_equal(read_hex(OF_EDNS_1, &q), DNS_BADVERS);
    assert_true(q.asked && q.edns);
    assert_int_equal(read_hex(NOTIFY, &q), DNS_NOTIMP);
    assert_int_equal(q.opcode, 4);
    assert_int_equal(read_hex(OF_CHAOS, &q), DNS_REFUSED);

    for (size_t cut = 0; cut < 12; cut++)
        assert_int_equal(dns_query_read(bytes, cut, &q), -EBADMSG);
    for (size_t cut = 12; cut < len; cut++)
        assert_int_equal(dns_query_read(bytes, cut, &q), DNS_FORMERR);
    bytes[len] = 0;
    assert_int_equal(dns_query_read(bytes, len + 1, &q), DNS_FORMERR); /* trailing byte */
    bytes[2] |= 0x80;
    assert_int_equal(dns_query_read(bytes, len, &q), -EBADMSG); /* an answer is not answered */
    bytes[2] &= 0x7f;
    for (size_t i = 4; i < 12; i += 2) { /* counts that no query has */
        uint8_t was = bytes[i + 1];

        bytes[i + 1] = i == 10 ? 3 : (uint8_t)(was + 1);
        assert_int_equal(dns_query_read(bytes, len, &q), DNS_FORMERR);
        bytes[i + 1] = was;
    }
    bytes[5] = 0;
    assert_int_equal(dns_query_read(bytes, 12, &q), DNS_FORMERR); /* no question */

    len = unhex(WITH_EDNS, bytes, sizeof(bytes));
    memcpy(bytes + len, bytes + len - 11, 11); /* OPT twice: RFC 6891 section 6.1.1 */
    bytes[11] = 2;
    assert_int_equal(dns_query_read(bytes, len + 11, &q), DNS_FORMERR);

    /* A name that points at itself. */
    len = unhex("00010100000100000000000" /**/ "0c00c00010001", bytes, sizeof(bytes));
    assert_int_equal(dns_query_read(bytes, len, &q), DNS_FORMERR);
}

/* Bytes that are in no name of ours: the question is repeated all the same. */
static void test_foreign_name(void **state)
{
    uint8_t out[512];
    struct dns_answer a = { .rcode = DNS_NXDOMAIN };
    struct dns_query q;
    size_t len;

    assert_int_equal(read_hex("000101000001000000000000"
                              "03612e62"
                              "00"
                              "00010001",
                              &q),
                     0);
    assert_false(q.is_text);
    assert_string_equal(q.name, "");
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, 21);
    assert_memory_equal(out + 12, "\3a.b\0\0\1\0\1", 9);
    assert_int_equal(read_hex("000101000001000000000000"
                              "045f646e73"
                              "00"
                              "00010001",
                              &q),
                     0);
    assert_string_equal(q.name, "_dns");
}

static void test_addresses(void **state)
{
    /* Flags QR AA RD, NOERROR; 1 question, 2 answers, 1 OPT. Owners are pointers to the question, offset 12. */
    static const char expected[] = "1c3a85000001000200000001"
                                   "064c6170546f7001480441636d65074578616d706c6500001c0001"
                                   "c00c00010001000000050004c0000207"
                                   "c00c001c0001000000060010"
                                   "20010db8000000000000000000000009"
                                   "00002904d0000000000000";
    uint8_t want[256], out[1232];
    struct dns_answer a = { .authoritative = true };
    struct dns_query q;
    size_t len, want_len = unhex(expected, want, sizeof(want));

    assert_int_equal(read_hex(WITH_EDNS, &q), 0);
    dns_add_address(&a, 5, &v4);
    dns_add_address(&a, 6, &v6);
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, want_len);
    assert_memory_equal(out, want, len);
    assert_int_equal(dns_answer_write(&q, &a, true, out, len - 1, &len), 0); /* no room: TC */
    assert_int_equal(out[2] & 2, 2);
    assert_int_equal(get_be16(out + 6), 0);
    assert_int_equal(dns_answer_write(&q, &a, true, out, 20, &len), -ENOSPC);
}

static void test_negative(void **state)
{
    /* The SOA: owner acme.example is at offset 21; ns and hostmaster are whole, as bytes that ldns does not know. */
    static const char expected[] = "e55981030001000000010000"
                                   "066c6170746f7001680461636d65076578616d706c650000010001"
                                   "c015000600010000003c003e"
                                   "026e730461636d65076578616d706c6500"
                                   "0a686f73746d61737465720461636d65076578616d706c6500"
                                   "0000000700000e1000000258000151800000001e";
    uint8_t want[256], out[512];
    struct dns_answer a = { .rcode = DNS_NXDOMAIN };
    struct dns_query q;
    size_t len, want_len = unhex(expected, want, sizeof(want));

    assert_int_equal(read_hex(PLAIN, &q), 0);
    dns_add_negative(&a, &soa);
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, want_len);
    assert_memory_equal(out, want, len);
}

/* RFC 8005 section 5: lengths and algorithm, tag, key. RFC 9460 section 2.2, of which appendix D.2 has examples in this
 * form: priority, target, then keys 3 (port), 4 and 6 (hints) in ascending order, each with a length. */
static void test_rdata(void **state)
{
    static const uint8_t port_and_v6[] = { 0,    1,    0, 0, 3, 0, 2, 0, 53, 0, 6, 0, 16, 0x20, 0x01,
                                           0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  9 };
    uint8_t tag[16] = { 0x20, 0x01, 0x00, 0x3f, [15] = 1 }, key[32] = { 1, [31] = 2 }, hip[52] = { 16, 4, 0, 32 };
    struct dns_answer a = { 0 };

    memcpy(hip + 4, tag, 16);
    memcpy(hip + 20, key, 32);
    dns_add_hip(&a, 9, tag, key);
    dns_add_svcb(&a, 9, 1, &(struct endpoint){ v6, 53 });
    dns_add_svcb(&a, 9, 2, &(struct endpoint){ v4, 443 });
    dns_add_tag(&a, UINT32_MAX, tag);
    assert_int_equal(a.count, 4);
    assert_int_equal(a.records[0].type, 55);
    assert_int_equal(a.records[0].len, sizeof(hip));
    assert_memory_equal(a.rdata, hip, sizeof(hip));
    assert_int_equal(a.records[1].type, 64);
    assert_int_equal(a.records[1].len, sizeof(port_and_v6));
    assert_memory_equal(a.rdata + a.records[1].at, port_and_v6, sizeof(port_and_v6));
    assert_memory_equal(a.rdata + a.records[2].at, "\0\2\0\0\3\0\2\1\xbb\0\4\0\4\xc0\0\2\7", 17);
    assert_int_equal(a.records[3].ttl_s, 2147483647); /* RFC 2181 section 8 */
}

static void test_truncated(void **state)
{
    uint8_t out[DNS_MESSAGE_MAX];
    struct dns_answer a = { .recursive = true };
    struct dns_query q;
    size_t len;

    assert_int_equal(read_hex(PLAIN, &q), 0);
    for (unsigned i = 0; i < 18; i++) /* 39 + 18 * 28 = 543 */
        dns_add_address(&a, 1, &v6);
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, 39);
    assert_int_equal(out[2], 0x83); /* QR TC RD */
    assert_int_equal(out[3], 0x80); /* RA */
    assert_int_equal(dns_answer_write(&q, &a, false, out, sizeof(out), &len), 0);
    assert_int_equal(len, 543);
    assert_int_equal(out[2], 0x81);
    q.udp_size = 543;
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, 543);
    for (unsigned i = 18; i < DNS_RECORDS_MAX; i++)
        dns_add_address(&a, 1, &v6);
    assert_false(a.full);
    dns_add_address(&a, 1, &v6);
    assert_true(a.full);
    assert_int_equal(dns_answer_write(&q, &a, false, out, sizeof(out), &len), 0);
    assert_int_equal(len, 39);
    assert_int_equal(out[3] & 15, DNS_SERVFAIL);
    /* 33 AAAA over UDP are above 1232 and 512, whatever the client says that it takes. */
    a.full = false;
    q.udp_size = 65535;
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(len, 39 + 33 * 28);
}

static void test_bad_version(void **state)
{
    uint8_t out[512];
    struct dns_answer a = { .rcode = DNS_BADVERS };
    struct dns_query q;
    size_t len;

    assert_int_equal(read_hex(OF_EDNS_1, &q), DNS_BADVERS);
    assert_int_equal(dns_answer_write(&q, &a, true, out, sizeof(out), &len), 0);
    assert_int_equal(out[3] & 15, 0);
    assert_memory_equal(out + len - 11, "\0\0\x29\4\xd0\1\0\0\0\0\0", 11); /* extended code 1, version 0 */
}

/* Two messages, a byte at a time and all at once. */
static void test_stream(void **state)
{
    static const uint8_t both[] = { 0, 3, 'a', 'b', 'c', 0, 1, 'd' };
    const uint8_t *got;
    size_t len;

    for (size_t step = 1; step <= sizeof(both); step += 7) {
        struct dns_stream s = { 0 };
        char seen[8] = "";

        for (size_t at = 0; at < sizeof(both);) {
            int took = dns_stream_push(&s, both + at, MIN(step, sizeof(both) - at));

            if (took == 0) {
                assert_true(dns_stream_next(&s, &got, &len));
                strncat(seen, (const char *)got, len);
                dns_stream_drop(&s);
            }
            assert_in_range(took, 0, sizeof(both) - at);
            at += (size_t)took;
        }
        assert_true(dns_stream_next(&s, &got, &len));
        strncat(seen, (const char *)got, len);
        assert_string_equal(seen, "abcd");
    }
    for (unsigned n = 0; n < 2; n++) {
        struct dns_stream s = { 0 };
        uint8_t head[2];

        put_be16(head, n ? DNS_QUERY_MAX + 1 : 0);
        assert_int_equal(dns_stream_push(&s, head, 2), 2);
        assert_false(dns_stream_next(&s, &got, &len));
        assert_int_equal(dns_stream_push(&s, head, 1), -EMSGSIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dig),       cmocka_unit_test(test_refused),     cmocka_unit_test(test_foreign_name),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_negative),    cmocka_unit_test(test_rdata),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_bad_version), cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
