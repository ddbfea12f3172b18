/* Unit tests of mapping/message.h. The bytes are by another program: Python's cbor2, canonical. */
#include "mapping/message.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>

struct vector {
    const char *name, *hex;
};

static const struct vector sound_requests[] = {
    { "introduce", "a3010102010b8243010101420202" },
    { "resolve-name",
      "a60101020204030678196c6170746f702e682e61636d652e7269642e6578616d706c650700091b0000000500000009" },
    { "resolve-tag", "a40101020205502001003f01c10005fd50f24cab30546a0703" },
    { "register", "a3010102030a428400" },
    { "refresh", "a301010204158285502001003f01c10005fd50f24cab30546a00031b000000050000000919012c85502001003f01c10005fd"
                 "50f24cab30546a05010101" },
    { "publish", "a3010102050a4184" },
    { "subscribe", "a7010102060c1902581082502001003f01c10000000000000000000018381107121903e8140c" },
    { "unsubscribe", "a3010102061082502001003f01c1000000000000000000001838" },
    { "changes", "a3010102071082502001003f01c1000000000000000000001838" },
    { "notify", "a7010102081082502001003f01c10000000000000000000018381107120a130c158283418419012c183c84502001003f01c1"
                "0005fd50f24cab30546a000309" },
    { "notify-lost", "a60101020804041082502001003f01c100000000000000000000183811071300" },
    { "log", "a3010102091711" },
    { "log-all", "a201010209" },
    { "log-piece", "a4010102091419012c1711" },
    { "grown", "a50101020d1306158141011705" },
    { "grown-bare", "a30101020d1306" },
    { "resolve-doubted", "a50101020205502001003f01c10005fd50f24cab30546a070009184d" },
    { "resolve-call", "a50101020205502001003f01c10005fd50f24cab30546a07031818828244cb00710919ca6c825020010db80000000000"
                      "0000000000000901" },
    { "call", "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818818244cb0071"
              "09199c40" },
    { "call-relay", "a60101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818818244"
                    "cb007109199c401819828244cb00710919ca6c581d"
                    "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d" },
    { "where", "a20101020c" },
};

static const struct vector sound_answers[] = {
    { "found", "a60101030008030a4284010c18fa0d183c" },
    { "found-all", "a901010300040108010a4284010b8441014102410341040c1affffffff0d0116814105" },
    { "none", "a3010103010d183c" },
    { "none-stranger", "a40101030104010d183c" },
    { "referral", "a6010103020a41840b8141010c18640d183c" },
    { "referral-bare", "a3010103020b814101" },
    { "later", "a3010103030e18fa" },
    { "refused", "a3010103040f0a" },
    { "done", "a201010305" },
    { "done-failures", "a301010305158282000082031b0000000100000000" },
    { "done-registered", "a60101030505502001003f01c10005fd50f24cab30546a09090c19012c0d1864" },
    { "done-notified", "a4010103051107130c" },
    { "older", "a301010306091b0000010000000000" },
    { "page", "a80101030704060c1902581107130c1404158183418419012c183c" },
    { "page-empty", "a60101030704021107120c130c" },
    { "entries", "a5010103081307158242010241031705" },
    { "entries-none", "a3010103081300" },
    { "entries-piece",
      "a70101030813071419012c158141011705181a5820000102030405060708090a0b0c0d0e0f101112131415161718191a"
      "1b1c1d1e1f" },
    { "unknown", "a201010309" },
    { "found-relay", "a70101030008030a4284010c18fa0d183c1819828244cb00710919ca6c581d0102030405060708090a0b0c0d0e0f10111"
                     "2131415161718191a1b1c1d" },
    { "done-where", "a3010103051818818244cb007109199c40" },
};

static const struct vector bad_requests[] = {
    { "version-2", "a3010202010b814101" },
    { "call-nowhere",
      "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b1880181880" },
    { "call-to-nobody", "a40101020b05502001003f01c10005fd50f24cab30546a1818818244cb00710901" },
    { "call-to-many",
      "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30540018781818818244cb00710901" },
    { "call-of-nobody", "a40101020b1082502001003f01c10005fd50f24cab30546b18801818818244cb00710901" },
    { "grant-short", "a60101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b1880181881824"
                     "4cb007109011819828244cb00710901581c0102030"
                     "405060708090a0b0c0d0e0f101112131415161718191a1b1c" },
    { "relay-nowhere", "a60101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818818"
                       "244cb0071090118198282440000000001581d01020"
                       "30405060708090a0b0c0d0e0f101112131415161718191a1b1c1d" },
    { "place-multicast",
      "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818818244e000000101" },
    { "place-port-0",
      "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818818244cb00710900" },
    { "place-of-5-bytes", "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818"
                          "818245cb0071090101" },
    { "places-9", "a50101020b05502001003f01c10005fd50f24cab30546a1082502001003f01c10005fd50f24cab30546b18801818898244cb"
                  "007109018244cb007109028244cb007109038244cb"
                  "007109048244cb007109058244cb007109068244cb007109078244cb007109088244cb00710909" },
    { "type-unknown", "a20101020e" },
    { "type-0", "a201010200" },
    { "type-unused", "a50101020a05502001003f01c10005fd50f24cab30546a070009184d" },
    { "version-missing", "a202010b814101" },
    { "key-foreign", "a4010102010a41010b814101" },
    { "key-missing", "a40101020205502001003f01c10005fd50f24cab30546a09184d" },
    { "key-unknown", "a4010102010b814101181901" },
    { "zero-flags", "a501010202040005502001003f01c10005fd50f24cab30546a0703" },
    { "name-and-tag", "a50101020205502001003f01c10005fd50f24cab30546a0665612e682e620703" },
    { "neither", "a3010102020703" },
    { "flags-unknown", "a501010202040805502001003f01c10005fd50f24cab30546a0703" },
    { "kind-unknown", "a40101020205502001003f01c10005fd50f24cab30546a0706" },
    { "empty-list", "a3010102041580" },
    { "refresh-of-class-0", "a301010204158185502001003f01c10005fd50f24cab30546a00000919012c" },
    { "refresh-short", "a301010204158184502001003f01c10005fd50f24cab30546a000309" },
    { "chain-of-5", "a3010102010b8541014101410141014101" },
    { "prefix-host-bits", "a3010102071082502001003f01c10005fd50f24cab30546a1838" },
    { "prefix-short", "a3010102071082502001003f01c100000000000000000000181b" },
    { "prefix-elsewhere", "a3010102071082502002003f01c1000000000000000000001838" },
    { "trailing", "a301010209171100" },
    { "open-map", "bf010102091711ff" },
    { "longer-number", "a50101020205502001003f01c10005fd50f24cab30546a07000919004d" },
    { "cut", "a50101020205502001003f01c10005fd50f24cab30546a07000918" },
};

static const struct vector bad_answers[] = {
    { "wait-0", "a3010103030e00" },
    { "done-2-places", "a3010103051818828244cb007109018244cb00710902" },
    { "wait-long", "a3010103030e1a000927c1" },
    { "class-0", "a60101030008000a4284010c18fa0d183c" },
    { "record-in-none", "a4010103010a41840d183c" },
    { "status-unknown", "a20101030a" },
    { "entries-short-digest",
      "a6010103081307158141011705181a581f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e" },
    { "entries-uncounted", "a401010308158242010241031705" },
    { "failure-beyond", "a30101030515818219040000" },
};

static const uint8_t host[16] = { 0x20, 0x01, 0, 0x3f, 1, 0xc1, 0, 5, 0xfd, 0x50, 0xf2, 0x4c, 0xab, 0x30, 0x54, 0x6a };

static const char *hex_of(const struct vector *v, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(v[i].name, name) == 0)
            return v[i].hex;
    fail_msg("%s: no such vector", name);
    return NULL;
}

static uint8_t bytes[8192];

static struct mapping_request request(const char *name)
{
    size_t len = unhex(hex_of(sound_requests, ARRAY_LEN(sound_requests), name), bytes, sizeof(bytes));
    struct mapping_request r = { 0 };

    assert_int_equal(mapping_request_read(bytes, len, &r), 0);
    return r;
}

static struct mapping_answer answer(const char *name)
{
    size_t len = unhex(hex_of(sound_answers, ARRAY_LEN(sound_answers), name), bytes, sizeof(bytes));
    struct mapping_answer a = { 0 };

    assert_int_equal(mapping_answer_read(bytes, len, &a), 0);
    return a;
}

/* All that is sound is written back to the same bytes. */
static void test_round_trip(void **state)
{
    uint8_t in[8192], out[8192];
    struct mapping_request r;
    struct mapping_answer a;
    struct writer w;
    size_t len;

    for (size_t i = 0; i < ARRAY_LEN(sound_requests); i++) {
        len = unhex(sound_requests[i].hex, in, sizeof(in));
        print_message("# %s\n", sound_requests[i].name);
        assert_int_equal(mapping_request_read(in, len, &r), 0);
        assert_int_equal(mapping_answer_read(in, len, &a), -EBADMSG);
        w = writer_init(out, sizeof(out));
        mapping_request_write(&w, &r);
        assert_false(w.failed);
        assert_int_equal(writer_len(&w), len);
        assert_memory_equal(out, in, len);
    }
    for (size_t i = 0; i < ARRAY_LEN(sound_answers); i++) {
        len = unhex(sound_answers[i].hex, in, sizeof(in));
        print_message("# %s\n", sound_answers[i].name);
        assert_int_equal(mapping_answer_read(in, len, &a), 0);
        assert_int_equal(mapping_request_read(in, len, &r), -EBADMSG);
        w = writer_init(out, sizeof(out));
        mapping_answer_write(&w, &a);
        assert_false(w.failed);
        assert_int_equal(writer_len(&w), len);
        assert_memory_equal(out, in, len);
    }
}

static void test_requests(void **state)
{
    struct mapping_request r = request("introduce");
    struct mapping_refresh f = { 0 };
    struct mapping_change c = { 0 };

    assert_int_equal(r.type, MAPPING_INTRODUCE);
    assert_int_equal(r.chain_count, 2);
    assert_int_equal(r.chain[0].len, 3);
    assert_memory_equal(r.chain[1].data, "\2\2", 2);
    r = request("resolve-name");
    assert_int_equal(r.type, MAPPING_RESOLVE);
    assert_int_equal(r.flags, MAPPING_WITH_CHAIN | MAPPING_RECURSE);
    assert_int_equal(r.name_len, strlen("laptop.h.acme.rid.example"));
    assert_memory_equal(r.name, "laptop.h.acme.rid.example", r.name_len);
    assert_int_equal(r.kind, KIND_HOST_LOCATOR);
    assert_int_equal(r.seq, 5ull << 32 | 9);
    r = request("resolve-tag");
    assert_null(r.name);
    assert_memory_equal(r.tag.bytes, host, 16);
    assert_int_equal(r.kind, KIND_REALM_REALM);
    r = request("refresh");
    assert_int_equal(r.items.count, 2);
    assert_true(mapping_next_refresh(&r.items, &f));
    assert_memory_equal(f.subject.bytes, host, 16);
    assert_int_equal(f.kind, KIND_HOST_LOCATOR);
    assert_int_equal(f.answer, CLASS_FULL);
    assert_int_equal(f.seq, 5ull << 32 | 9);
    assert_int_equal(f.lease_s, 300);
    assert_true(mapping_next_refresh(&r.items, &f));
    assert_int_equal(f.kind, KIND_GROUP_MEMBER);
    assert_int_equal(f.answer, CLASS_AGENT);
    assert_false(mapping_next_refresh(&r.items, &f));
    r = request("subscribe");
    assert_int_equal(r.lease_s, 600);
    assert_int_equal(r.prefix.len, 56);
    assert_int_equal(r.epoch, 7);
    assert_int_equal(r.from, 1000);
    assert_int_equal(r.position, 12);
    assert_int_equal(request("unsubscribe").lease_s, 0);
    r = request("notify");
    assert_int_equal(r.from, 10);
    assert_int_equal(r.to, 12);
    assert_true(mapping_next_change(&r.items, &c));
    assert_int_equal(c.record.len, 1);
    assert_int_equal(c.left_s, 300);
    assert_int_equal(c.fresh_s, 60);
    assert_true(mapping_next_change(&r.items, &c));
    assert_int_equal(c.record.len, 0);
    assert_memory_equal(c.subject.bytes, host, 16);
    assert_int_equal(c.answer, CLASS_FULL);
    assert_int_equal(c.seq, 9);
    assert_false(mapping_next_change(&r.items, &c));
    assert_int_equal(request("notify-lost").flags, MAPPING_LOST);
    assert_int_equal(request("log").index, 17);
    assert_int_equal(request("log-piece").position, 300);
    r = request("grown");
    assert_int_equal(r.to, 6);
    assert_int_equal(r.index, 5);
    assert_int_equal(r.items.count, 1);
    assert_int_equal(request("grown-bare").items.count, 0);
    assert_int_equal(request("resolve-doubted").seq, 77);
    r = request("resolve-call");
    assert_int_equal(r.places_count, 2);
    assert_int_equal(r.places[0].port, 51820);
    assert_int_equal(r.places[0].addr.family, ADDR_V4);
    assert_int_equal(r.places[1].addr.family, ADDR_V6);
    assert_int_equal(r.places[1].addr.bytes[15], 9);
    r = request("call");
    assert_int_equal(r.type, MAPPING_CALL);
    assert_true(r.prefix.len == 128 && r.prefix.tag.bytes[15] == 0x6b);
    assert_int_equal(r.places[0].port, 40000);
    r = request("call-relay");
    assert_int_equal(r.relay.at.port, 51820);
    assert_int_equal(r.relay.grant[GRANT_LEN - 1], 29);
    assert_int_equal(request("call").relay.at.addr.family, ADDR_NONE);
    assert_int_equal(request("where").type, MAPPING_WHERE);
    assert_string_equal(mapping_type_name(MAPPING_WHERE), "where");
    assert_null(mapping_type_name(MAPPING_CALL - 1));
    assert_null(mapping_type_name(MAPPING_TYPE_END));
}

static void test_answers(void **state)
{
    struct mapping_answer a = answer("found-all");
    struct mapping_failure f = { 0 };
    struct slice s = { 0 };

    assert_int_equal(a.status, MAPPING_FOUND);
    assert_int_equal(a.flags, MAPPING_STRANGER);
    assert_int_equal(a.granted, CLASS_AGENT);
    assert_int_equal(a.chain_count, 4);
    assert_int_equal(a.left_s, UINT32_MAX);
    assert_int_equal(a.fresh_s, 1);
    assert_true(mapping_next_bytes(&a.proofs, &s));
    assert_int_equal(s.len, 1);
    assert_int_equal(s.data[0], 5);
    assert_false(mapping_next_bytes(&a.proofs, &s));
    assert_int_equal(answer("none").fresh_s, 60);
    assert_int_equal(answer("referral-bare").record.len, 0);
    assert_int_equal(answer("later").wait_ms, 250);
    assert_int_equal(answer("refused").fault, RECORD_FIELD + 1);
    a = answer("done-failures");
    assert_int_equal(a.items.count, 2);
    assert_true(mapping_next_failure(&a.items, &f));
    assert_int_equal(f.index, 0);
    assert_int_equal(f.seq, 0);
    assert_true(mapping_next_failure(&a.items, &f));
    assert_int_equal(f.index, 3);
    assert_int_equal(f.seq, 1ull << 32);
    assert_false(mapping_next_failure(&a.items, &f));
    a = answer("done-registered");
    assert_memory_equal(a.tag.bytes, host, 16);
    assert_int_equal(a.seq, 9);
    assert_int_equal(a.place.addr.family, ADDR_NONE);
    assert_int_equal(answer("done-where").place.port, 40000);
    assert_int_equal(answer("found-relay").relay.grant[0], 1);
    assert_int_equal(answer("found").relay.at.addr.family, ADDR_NONE);
    a = answer("page");
    assert_int_equal(a.flags, MAPPING_CAUGHT_UP | MAPPING_SNAPSHOT);
    assert_int_equal(a.position, 4);
    assert_int_equal(a.to, 12);
    assert_int_equal(answer("older").seq, 1ull << 40);
    a = answer("entries");
    assert_int_equal(a.index, 5);
    assert_true(mapping_next_bytes(&a.items, &s));
    assert_int_equal(s.len, 2);
    assert_string_equal(mapping_status_name(MAPPING_REFERRAL), "referral");
    assert_null(mapping_status_name(MAPPING_STATUS_COUNT));
}

static void test_refused(void **state)
{
    struct mapping_request r = { .type = MAPPING_WHERE };
    struct mapping_answer a = { .status = MAPPING_LATER };

    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        size_t len = unhex(bad_requests[i].hex, bytes, sizeof(bytes));
        bool unknown =
            strncmp(bad_requests[i].name, "version-2", 9) == 0 || strncmp(bad_requests[i].name, "type-", 5) == 0;

        print_message("# %s\n", bad_requests[i].name);
        assert_int_equal(mapping_request_read(bytes, len, &r), unknown ? -EPROTONOSUPPORT : -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_answers); i++) {
        size_t len = unhex(bad_answers[i].hex, bytes, sizeof(bytes));
        bool unknown = strcmp(bad_answers[i].name, "status-unknown") == 0;

        print_message("# %s\n", bad_answers[i].name);
        assert_int_equal(mapping_answer_read(bytes, len, &a), unknown ? -EPROTONOSUPPORT : -EBADMSG);
    }
    assert_int_equal(mapping_request_read(bytes, 0, &r), -EBADMSG);
    /* Nothing is given for what is refused. */
    assert_int_equal(r.type, MAPPING_WHERE);
    assert_int_equal(a.status, MAPPING_LATER);
}

/* A record of the most bytes that are allowed, and one more. */
static void test_long_record(void **state)
{
    struct mapping_request r = { 0 };
    size_t head = unhex("a3010102030a591000", bytes, sizeof(bytes));

    memset(bytes + head, 0, RECORD_BYTES_MAX + 1);
    assert_int_equal(mapping_request_read(bytes, head + RECORD_BYTES_MAX, &r), 0);
    assert_int_equal(r.record.len, RECORD_BYTES_MAX);
    put_be16(bytes + head - 2, RECORD_BYTES_MAX + 1);
    assert_int_equal(mapping_request_read(bytes, head + RECORD_BYTES_MAX + 1, &r), -EBADMSG);
}

/* A list of the most items that are allowed, and one more. */
static void test_long_list(void **state)
{
    static uint8_t list[65536], out[65536];
    struct mapping_refresh one = { .kind = 0, .answer = CLASS_FULL, .seq = 1, .lease_s = 1 };
    struct writer w = writer_init(list, sizeof(list)), m = writer_init(out, sizeof(out));
    struct mapping_request r = { .type = MAPPING_REFRESH };

    memcpy(one.subject.bytes, host, 16);
    for (size_t i = 0; i < MAPPING_REFRESHES_MAX; i++)
        mapping_write_refresh(&w, &one);
    r.items = (struct mapping_list){ list, writer_len(&w), MAPPING_REFRESHES_MAX };
    mapping_request_write(&m, &r);
    assert_false(m.failed);
    assert_int_equal(mapping_request_read(out, writer_len(&m), &r), 0);
    assert_int_equal(r.items.count, MAPPING_REFRESHES_MAX);
    mapping_write_refresh(&w, &one);
    r.items = (struct mapping_list){ list, writer_len(&w), MAPPING_REFRESHES_MAX + 1 };
    m = writer_init(out, sizeof(out));
    mapping_request_write(&m, &r);
    assert_int_equal(mapping_request_read(out, writer_len(&m), &r), -EBADMSG);
    /* What does not fit is told by the cursor. */
    m = writer_init(out, 100);
    mapping_request_write(&m, &r);
    assert_true(m.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_requests),    cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_long_record), cmocka_unit_test(test_long_list),
    };

    return cmocka_run_group_tests_name("mapping_message", tests, NULL, NULL);
}
