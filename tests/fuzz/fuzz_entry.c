/* Fuzz target of ident/entry: an entry that is accepted, its records written again, is the same bytes up to its
 * signature. */
#include "ident/entry.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[IDENT_KEY_LEN] = { 1 };
    static struct slice records[ENTRY_RECORDS_MAX];
    static uint8_t out[1 << 20];
    struct entry e, rest;
    size_t n = 0, len = 0;

    if (size > sizeof(out) || entry_decode(data, size, &e) < 0)
        return 0;
    for (rest = e; entry_next(&rest, &records[n]); n++)
        assert(records[n].len > 0 && records[n].len <= RECORD_BYTES_MAX);
    assert(n == e.count && rest.records_len == 0);
    assert(entry_encode(e.index, e.part, e.before, records, n, seed, out, sizeof(out), &len) == 0);
    assert(len == size && memcmp(out, data, len - SIGNATURE_LEN) == 0);
    return 0;
}
