/* Unit tests of ident/record.h. */
#include "ident/record.h"
#include "tests/unit/hex.h"
#include "tests/unit/records.h"
#include "tests/unit/test.h"

#include <errno.h>

static size_t published(const char *name, uint8_t out[RECORD_BYTES_MAX])
{
    for (size_t i = 0; i < ARRAY_LEN(published_records); i++)
        if (strcmp(published_records[i].name, name) == 0)
            return unhex(published_records[i].hex, out, RECORD_BYTES_MAX);
    fail_msg("no record %s", name);
    return 0;
}

static void key_of(int n, uint8_t seed[32], uint8_t pub[32])
{
    memset(seed, n, 32);
    assert_int_equal(ed25519_public(seed, pub), 0);
}

static void assert_tag(const struct tag *t, const char *want)
{
    char text[TAG_STRLEN];

    assert_string_equal(tag_format(t, text), want);
}

static void decode(const char *name, struct record *ret, struct record_bytes *b)
{
    static uint8_t bytes[RECORD_BYTES_MAX];
    char text[RECORD_ERROR_STRLEN];
    struct record_error e;

    if (record_decode(bytes, published(name, bytes), ret, b, &e) < 0)
        fail_msg("%s: %s", name, record_error_format(&e, text));
}

/* What the other program put in comes out. */
static void test_fields(void **state)
{
    uint8_t seed[32], pub[32], ramp[32];
    char text[TAG_PREFIX_STRLEN], at[ENDPOINT_STRLEN];
    struct record_bytes b;
    struct record r;

    for (int i = 0; i < 32; i++)
        ramp[i] = (uint8_t)i;
    decode("root", &r, &b);
    key_of(1, seed, pub);
    assert_int_equal(r.type, RECORD_ROOT);
    assert_tag(&r.issuer, ROOT_TAG);
    assert_tag(&r.subject, ROOT_TAG);
    assert_memory_equal(r.key, pub, 32);
    assert_string_equal(r.name, "rid.example");
    assert_int_equal(r.suites, 3);
    assert_int_equal(r.seq, 1);
    assert_int_equal(r.issued_s, 1700000000);
    assert_int_equal(r.not_after_s, 0);
    decode("delegation", &r, &b);
    assert_tag(&r.subject, REALM_TAG);
    assert_int_equal(r.range.number, 0x100);
    assert_int_equal(r.range.bits, 4);
    assert_int_equal(r.tiers, 15);
    assert_int_equal(r.seq, 1ull << 32 | 2);
    assert_int_equal(r.not_after_s, 1900000000);
    decode("registration", &r, &b);
    assert_tag(&r.issuer, REALM_TAG);
    assert_tag(&r.subject, HOST_TAG);
    assert_string_equal(r.name, "laptop.h.acme.rid.example");
    assert_memory_equal(r.x25519, ramp, 32);
    decode("binding", &r, &b);
    assert_int_equal(r.kind, KIND_HOST_LOCATOR);
    assert_int_equal(r.lease_s, 300);
    assert_int_equal(r.answer, CLASS_FULL);
    assert_int_equal(r.targets_count, 2);
    assert_true(r.targets[0].is_locator && r.targets[1].is_locator);
    assert_string_equal(endpoint_format(&r.targets[0].locator, at), "192.0.2.1:51820");
    assert_string_equal(endpoint_format(&r.targets[1].locator, at), "[2001:db8::1]:443");
    assert_int_equal(r.targets[0].priority, 1);
    assert_int_equal(r.targets[0].weight, 100);
    assert_int_equal(r.targets[1].transport, 1);
    decode("user", &r, &b);
    assert_tag(&r.subject, USER_TAG);
    assert_int_equal(r.targets_count, 1);
    assert_tag(&r.targets[0].tag, HOST_TAG);
    decode("policy", &r, &b);
    assert_int_equal(r.rules_count, 2);
    assert_string_equal(tag_prefix_format(&r.rules[0].who, text), "2001:3f:1f1::/56");
    assert_int_equal(r.rules[0].answer, CLASS_FULL);
    assert_string_equal(tag_prefix_format(&r.rules[1].who, text), "2001:3f::/32");
    assert_int_equal(r.rules[1].answer, CLASS_DENY);
    decode("revocation", &r, &b);
    assert_int_equal(r.reason, REASON_LEFT);
    decode("successor", &r, &b);
    key_of(5, seed, pub);
    assert_tag(&r.next, NEXT_TAG);
    assert_memory_equal(r.key, pub, 32);
    assert_int_equal(successor_verify(&r), 0);
    r.new_proof[0] ^= 1;
    assert_int_equal(successor_verify(&r), -EBADMSG);
    r.new_proof[0] ^= 1;
    r.next.bytes[15] ^= 1;
    assert_int_equal(successor_verify(&r), -EBADMSG);
}

static int signer_of(const char *name)
{
    return strcmp(name, "root") == 0 || strcmp(name, "delegation") == 0 ? 1
           : strcmp(name, "binding") == 0                               ? 3
           : strcmp(name, "user") == 0                                  ? 4
                                                                        : 2;
}

/* The same fields, written and signed by us, are the same bytes: Ed25519 has no randomness. */
static void test_same_bytes(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(published_records); i++) {
        uint8_t out[RECORD_BYTES_MAX], seed[32], pub[32];
        struct record_bytes b;
        struct record r;
        size_t len;

        decode(published_records[i].name, &r, &b);
        key_of(signer_of(published_records[i].name), seed, pub);
        assert_int_equal(record_verify(&b, pub), 0);
        assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), 0);
        assert_int_equal(len, b.len);
        assert_memory_equal(out, b.bytes, len);
        assert_int_equal(record_encode(&r, seed, out, len - 1, &len), -ENOSPC);
    }
}

/* No bit of a record may change unseen. */
static void test_tamper(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(published_records); i++) {
        uint8_t bytes[RECORD_BYTES_MAX], seed[32], pub[32];
        size_t len = published(published_records[i].name, bytes);
        struct record_error e;
        struct record_bytes b;
        struct record r;

        key_of(signer_of(published_records[i].name), seed, pub);
        for (size_t bit = 0; bit < len * 8; bit += bit < 800 ? 1 : 7) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (record_decode(bytes, len, &r, &b, &e) == 0)
                assert_int_equal(record_verify(&b, pub), -EBADMSG);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t n = 0; n < len; n++) {
            assert_int_equal(record_decode(bytes, n, &r, &b, &e), -EBADMSG);
            assert_int_equal(e.fault, RECORD_NOT_CBOR);
        }
        bytes[len] = 0;
        assert_int_equal(record_decode(bytes, len + 1, &r, &b, &e), -EBADMSG);
        assert_int_equal(e.cbor, CBOR_TRAILING);
        assert_int_equal(e.at, len);
        key_of(9, seed, pub);
        assert_int_equal(record_decode(bytes, len, &r, &b, &e), 0);
        assert_int_equal(record_verify(&b, pub), -EBADMSG);
    }
}

/* Three published records in a row, of which the last is cut, and more of them than there is room for. */
static void test_row(void **state)
{
    uint8_t bytes[3 * RECORD_BYTES_MAX];
    size_t at[4] = { 0 }, count = 3;
    struct record_error e = { 0 };
    struct slice row[3];

    for (size_t i = 0; i < 3; i++)
        at[i + 1] = at[i] + published(published_records[i].name, bytes + at[i]);
    assert_int_equal(record_split(bytes, at[3], row, &count, &e), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(row[i].data, bytes + at[i]);
        assert_int_equal(row[i].len, at[i + 1] - at[i]);
    }
    assert_int_equal(record_split(bytes, at[3] - 1, row, &count, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_CBOR);
    assert_in_range(e.at, at[2], at[3] - 1);
    count = 2;
    assert_int_equal(record_split(bytes, at[3], row, &count, &e), -E2BIG);
    assert_int_equal(e.at, at[2]);
    assert_int_equal(count, 2);
    assert_int_equal(record_split(bytes, 0, row, &count, &e), 0);
    assert_int_equal(count, 0);
}

/* A payload in the envelope, with a signature of zeros: decoding does not look at it. */
static size_t envelope(const char *payload_hex, uint8_t out[RECORD_BYTES_MAX])
{
    static const uint8_t header[] = { 0xa1, 0x01, 0x27 }, zeros[64];
    uint8_t payload[RECORD_BYTES_MAX];
    struct writer w = writer_init(out, RECORD_BYTES_MAX);
    size_t len = unhex(payload_hex, payload, sizeof(payload));

    cbor_write_head(&w, CBOR_ARRAY, 4);
    cbor_write_bytes(&w, header, 3);
    cbor_write_head(&w, CBOR_MAP, 0);
    cbor_write_bytes(&w, payload, len);
    cbor_write_bytes(&w, zeros, 64);
    return writer_len(&w);
}

#define H "2001003f01c10005fd50f24cab30546a"
#define U "2001003f01d100050d243fab34a485d0"
#define R "2001003f01f100055345e249872d5fb7"
#define HEAD(type, issuer, subject) "01" type "0250" issuer "0350" subject "0401"
#define ISSUED "051a6553f100"

/* The payload begins at byte 8, or 7 when it has less than 24 bytes: the array, 4 of the header, the map, its own head.
 * What HEAD gives ends at byte 48, and with ISSUED at byte 54. */
static void test_refused(void **state)
{
    static const struct {
        const char *what, *hex;
        enum record_fault fault;
        enum cbor_fault cbor;
        uint8_t key;
        size_t at;
    } cases[] = {
        { "a revocation", "a6" HEAD("06", H, H) ISSUED "1300", RECORD_SOUND, 0, 0, 0 },
        { "a reason that is none", "a6" HEAD("06", H, H) ISSUED "1304", RECORD_NOT_CBOR, CBOR_RANGE, 19, 56 },
        { "no reason", "a5" HEAD("06", H, H) ISSUED, RECORD_KEY_MISSING, 0, 19, 0 },
        { "no time", "a5" HEAD("06", H, H) "1300", RECORD_KEY_MISSING, 0, 5, 0 },
        { "no type",
          "a1"
          "0250" H,
          RECORD_KEY_MISSING, 0, 1, 0 },
        { "nothing", "a0", RECORD_KEY_MISSING, 0, 1, 0 },
        { "type 0",
          "a1"
          "0100",
          RECORD_TYPE_UNKNOWN, 0, 1, 9 },
        { "type 8",
          "a1"
          "0108",
          RECORD_TYPE_UNKNOWN, 0, 1, 9 },
        { "type -1",
          "a1"
          "0120",
          RECORD_NOT_CBOR, CBOR_TYPE, 1, 9 },
        { "a key of another type",
          "a7" HEAD("06", H, H) ISSUED "08"
                                       "6161"
                                       "1300",
          RECORD_KEY_UNKNOWN, 0, 8, 55 },
        { "a key of no type",
          "a7" HEAD("06", H, H) ISSUED "1300"
                                       "1818"
                                       "00",
          RECORD_KEY_UNKNOWN, 0, 24, 57 },
        { "a key that is no integer",
          "a7" HEAD("06", H, H) ISSUED "1300"
                                       "6161"
                                       "00",
          RECORD_NOT_CBOR, CBOR_TYPE, 19, 57 },
        { "a sequence of 0",
          "a6"
          "0106"
          "0250" H "0350" H "0400" ISSUED "1300",
          RECORD_NOT_CBOR, CBOR_RANGE, 4, 48 },
        { "a tag of 15 bytes",
          "a2"
          "0106"
          "024f"
          "2001003f01c10005fd50f24cab3054",
          RECORD_NOT_CBOR, CBOR_RANGE, 2, 11 },
        { "an issuer that is none of ours", "a6" HEAD("06", "20010db801c10005fd50f24cab30546a", H) ISSUED "1300",
          RECORD_TAG, 0, 2, 0 },
        { "a subject that is none of ours", "a6" HEAD("06", H, "20010db801c10005fd50f24cab30546a") ISSUED "1300",
          RECORD_TAG, 0, 3, 0 },
        { "keys out of order", "a6" HEAD("06", H, H) "1300" ISSUED, RECORD_NOT_CBOR, CBOR_KEY_ORDER, 0, 51 },
        { "a key twice",
          "a7" HEAD("06", H, H) ISSUED "1300"
                                       "1300",
          RECORD_NOT_CBOR, CBOR_KEY_DUPLICATE, 0, 57 },
        { "an integer that is too long",
          "a6" HEAD("06", H, H) "051b000000006553f100"
                                "1300",
          RECORD_NOT_CBOR, CBOR_NOT_SHORTEST, 0, 50 },
        { "an open map",
          "bf" HEAD("06", H, H) ISSUED "1300"
                                       "ff",
          RECORD_NOT_CBOR, CBOR_INDEFINITE, 0, 8 },
        { "trailing bytes in the payload",
          "a6" HEAD("06", H, H) ISSUED "1300"
                                       "00",
          RECORD_NOT_CBOR, CBOR_TRAILING, 0, 57 },
        { "an array for a map", "80", RECORD_NOT_CBOR, CBOR_TYPE, 0, 7 },
        { "a float for a time",
          "a6" HEAD("06", H, H) "05fa47c35000"
                                "1300",
          RECORD_NOT_CBOR, CBOR_TYPE, 5, 50 },
        { "milliseconds for a time",
          "a6" HEAD("06", H, H) "051b0000018bcfe56800"
                                "1300",
          RECORD_NOT_CBOR, CBOR_RANGE, 5, 50 },
        { "a host attached nowhere",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1180",
          RECORD_SOUND, 0, 0, 0 },
        { "a name with a NUL in it",
          "a7" HEAD("01", R, R) ISSUED "08"
                                       "63"
                                       "610062"
                                       "0903",
          RECORD_NOT_CBOR, CBOR_RANGE, 8, 56 },
        { "a lease of 0",
          "a8" HEAD("04", H, H) "0e00"
                                "0f00"
                                "1003"
                                "1180",
          RECORD_NOT_CBOR, CBOR_RANGE, 15, 52 },
        { "a binding for class 0",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1000"
                                "1180",
          RECORD_NOT_CBOR, CBOR_RANGE, 16, 54 },
        { "a user at a locator",
          "a8" HEAD("04", U, U) "0e01"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "830044c0000201"
                                "1901bb"
                                "000000",
          RECORD_FIELD, 0, 17, 0 },
        { "a host at a host",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "50"
                                "2001003f01c1000576be83d5bc911da5"
                                "000000",
          RECORD_FIELD, 0, 17, 0 },
        { "a user as a host",
          "a8" HEAD("04", U, U) "0e00"
                                "0f01"
                                "1003"
                                "1180",
          RECORD_FIELD, 0, 14, 0 },
        { "a user at a host",
          "a8" HEAD("04", U, U) "0e01"
                                "0f01"
                                "1001"
                                "1181"
                                "84"
                                "50" H "000000",
          RECORD_SOUND, 0, 0, 0 },
        { "a realm at a realm",
          "a8" HEAD("04", R, R) "0e03"
                                "0f01"
                                "1001"
                                "1181"
                                "84"
                                "50"
                                "2001003f01f0000594b6e394322afffc"
                                "000000",
          RECORD_SOUND, 0, 0, 0 },
        { "a realm at itself",
          "a8" HEAD("04", R, R) "0e03"
                                "0f01"
                                "1001"
                                "1181"
                                "84"
                                "50" R "000000",
          RECORD_FIELD, 0, 17, 0 },
        { "a locator of 5 bytes",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "830045c000020101"
                                "1901bb"
                                "000000",
          RECORD_NOT_CBOR, CBOR_RANGE, 17, 60 },
        { "a loopback locator",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "8300447f000001"
                                "1901bb"
                                "000000",
          RECORD_NOT_CBOR, CBOR_RANGE, 17, 60 },
        { "a locator without a port",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "830044c0000201"
                                "00"
                                "000000",
          RECORD_NOT_CBOR, CBOR_RANGE, 17, 65 },
        { "flags of a target",
          "a8" HEAD("04", H, H) "0e00"
                                "0f01"
                                "1003"
                                "1181"
                                "84"
                                "830044c0000201"
                                "1901bb"
                                "000001",
          RECORD_NOT_CBOR, CBOR_RANGE, 17, 70 },
        { "a rule of 27 bits",
          "a6" HEAD("05", H, H) ISSUED "12"
                                       "81"
                                       "83"
                                       "50"
                                       "20010030000000000000000000000000"
                                       "181b"
                                       "03",
          RECORD_NOT_CBOR, CBOR_RANGE, 18, 75 },
        { "a rule with bits behind its length",
          "a6" HEAD("05", H, H) ISSUED "12"
                                       "81"
                                       "83"
                                       "50"
                                       "2001003f000000000000000000000001"
                                       "1820"
                                       "03",
          RECORD_NOT_CBOR, CBOR_RANGE, 18, 58 },
        { "a rule of class 4",
          "a6" HEAD("05", H, H) ISSUED "12"
                                       "81"
                                       "83"
                                       "50"
                                       "2001003f000000000000000000000000"
                                       "1820"
                                       "04",
          RECORD_NOT_CBOR, CBOR_RANGE, 18, 77 },
    };
    uint8_t bytes[RECORD_BYTES_MAX];
    char text[RECORD_ERROR_STRLEN];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct record_error e = { 0 };
        struct record_bytes b;
        struct record r;
        int got = record_decode(bytes, envelope(cases[i].hex, bytes), &r, &b, &e);

        if (got != (cases[i].fault ? -EBADMSG : 0) || e.fault != cases[i].fault || e.cbor != cases[i].cbor ||
            e.key != cases[i].key || e.at != cases[i].at)
            fail_msg("%s: %d %s", cases[i].what, got, record_error_format(&e, text));
    }
}

/* The envelope itself. */
static void test_envelope(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX + 1] = { 0 };
    size_t len = published("revocation", bytes);
    struct record_error e;
    struct record_bytes b;
    struct record r;
    char text[RECORD_ERROR_STRLEN];

    bytes[4] = 0x28; /* algorithm -9 */
    assert_int_equal(record_decode(bytes, len, &r, &b, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_ALGORITHM);
    assert_string_equal(record_error_format(&e, text), "wrong-algorithm: expected a COSE_Sign1 by EdDSA");
    bytes[4] = 0x27;
    bytes[5] = 0xa1; /* an unprotected header */
    assert_int_equal(record_decode(bytes, len, &r, &b, &e), -EBADMSG);
    assert_string_equal(record_error_format(&e, text), "not-canonical-cbor: value out of range, byte 5");
    assert_int_equal(record_decode(bytes, sizeof(bytes), &r, &b, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_TOO_LARGE);
    for (int f = 0; f < RECORD_FAULT_COUNT; f++)
        assert_true(strlen(record_fault_name((enum record_fault)f)) > 0);
}

/* What may not stand together; the rest is sound. */
static void test_values(void **state)
{
    static const struct {
        const char *record, *name;
        enum record_fault fault;
    } names[] = {
        { "root", "rid.Example", RECORD_NAME },
        { "root", "h.example", RECORD_NAME },
        { "delegation", "acme..example", RECORD_NAME },
        { "registration", "laptop.acme", RECORD_NAME },
        { "registration", "Laptop.h.acme", RECORD_NAME },
        { "registration", "laptop.u.acme", RECORD_FIELD },
        { "registration", "kwyxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq.h.acme", RECORD_SOUND },
        { "registration", "kayxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq.h.acme", RECORD_NAME },
    };
    uint8_t seed[32], pub[32], out[RECORD_BYTES_MAX];
    struct record_bytes b;
    struct record r;
    size_t len;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        decode(names[i].record, &r, &b);
        key_of(signer_of(names[i].record), seed, pub);
        strcpy(r.name, names[i].name);
        assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), names[i].fault ? -EINVAL : 0);
    }
    decode("delegation", &r, &b);
    r.range.bits = 5;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("delegation", &r, &b);
    r.range.number = 0x200; /* another than in its tag */
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("delegation", &r, &b);
    r.key[0] ^= 1; /* another key than its tag's */
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("delegation", &r, &b);
    r.not_after_s = r.issued_s - 1;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("root", &r, &b);
    r.issuer.bytes[15] ^= 1;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("successor", &r, &b);
    r.next.bytes[15] ^= 1;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
    decode("policy", &r, &b);
    r.rules_count = RECORD_RULES_MAX + 1;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), -EINVAL);
}

/* The largest records fit. */
static void test_largest(void **state)
{
    uint8_t seed[32], pub[32], out[RECORD_BYTES_MAX];
    struct record_bytes b;
    struct record r;
    struct record_error e;
    size_t len;

    key_of(2, seed, pub);
    decode("policy", &r, &b);
    for (int i = 1; i < RECORD_RULES_MAX; i++)
        r.rules[i] = r.rules[0];
    r.rules_count = RECORD_RULES_MAX;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), 0);
    decode("binding", &r, &b);
    for (int i = 2; i < RECORD_TARGETS_MAX; i++)
        r.targets[i] = r.targets[1];
    r.targets_count = RECORD_TARGETS_MAX;
    assert_int_equal(record_encode(&r, seed, out, sizeof(out), &len), 0);
    assert_int_equal(record_decode(out, len, &r, &b, &e), 0);
    assert_int_equal(r.targets_count, RECORD_TARGETS_MAX);
}

static void test_locators(void **state)
{
    const struct record r = {
        .targets_count = 6,
        .targets = { { .is_locator = true, .priority = 2, .locator = { .port = 20 } },
                     { .is_locator = true, .priority = 1, .locator = { .port = 11 }, .transport = 1 },
                     { .priority = 0 },
                     { .is_locator = true, .priority = 1, .locator = { .port = 12 } },
                     { .is_locator = true, .priority = 2, .locator = { .port = 21 } },
                     { .is_locator = true, .priority = 1, .locator = { .port = 13 } },
                     { .is_locator = true, .priority = 0, .locator = { .port = 1 } } }, /* not of it any more */
    };
    struct endpoint at[RECORD_TARGETS_MAX] = { 0 };

    assert_int_equal(record_locators(&r, at, ARRAY_LEN(at)), 4);
    assert_int_equal(at[0].port, 12);
    assert_int_equal(at[1].port, 13);
    assert_int_equal(at[2].port, 20);
    assert_int_equal(at[3].port, 21);
    at[2].port = 0;
    assert_int_equal(record_locators(&r, at, 2), 2);
    assert_int_equal(at[0].port, 12);
    assert_int_equal(at[2].port, 0);
    assert_int_equal(record_locators(&(struct record){ 0 }, at, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_tamper),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_envelope),   cmocka_unit_test(test_values),
        cmocka_unit_test(test_row),     cmocka_unit_test(test_largest),    cmocka_unit_test(test_locators),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
