/* Fuzz target of ident/record: a record that is accepted, written again and signed by anybody, has the same payload to
 * the byte; what is refused is refused by name, at a place inside the input. */
#include "ident/record.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[IDENT_KEY_LEN] = { 1 };
    uint8_t out[RECORD_BYTES_MAX];
    struct record_error e = { 0 };
    struct record_bytes b, c;
    static struct record r, s;
    char text[RECORD_ERROR_STRLEN];
    struct slice row[2];
    size_t len = 0, count = 2;

    if (record_decode(data, size, &r, &b, &e) < 0) {
        assert(e.fault > RECORD_SOUND && e.fault < RECORD_FAULT_COUNT && e.at <= size);
        assert(strlen(record_error_format(&e, text)) > 0);
        return 0;
    }
    assert(record_split(data, size, row, &count, &e) == 0 && count == 1 && row[0].len == size);
    assert(r.targets_count <= RECORD_TARGETS_MAX && r.rules_count <= RECORD_RULES_MAX &&
           strlen(r.name) <= NAME_MAX_LEN);
    assert(record_type_name(r.type) && record_kind_name(r.kind) && record_reason_name(r.reason));
    assert(record_encode(&r, seed, out, sizeof(out), &len) == 0);
    assert(len == size);
    assert(record_decode(out, len, &s, &c, &e) == 0);
    assert(c.payload_len == b.payload_len && memcmp(c.payload, b.payload, b.payload_len) == 0);
    return 0;
}
