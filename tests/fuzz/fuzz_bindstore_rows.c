/* Fuzz target of sys/bindstore_rows: what is accepted is the only encoding of what it says, and what is written is
 * read back. The first byte says what the rest is: 0 a key and a value of rows, 1 of the log, 2 the fields of a row. */
#include "sys/bindstore_rows.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_row(const uint8_t *key, const uint8_t *value, size_t len)
{
    static uint8_t again[ROWS_VALUE_MAX];
    uint8_t again_key[ROWS_KEY_LEN];
    struct bindstore_row row;
    const char *why = NULL;

    if (rows_decode(key, ROWS_KEY_LEN, value, len, &row, &why) < 0) {
        assert(why);
        return;
    }
    rows_key(&row.subject, row.kind, row.answer, again_key);
    assert(memcmp(key, again_key, sizeof(again_key)) == 0);
    assert(rows_encode(&row, again) == len && memcmp(again, value, len) == 0);
}

static void same_entry(const uint8_t *key, const uint8_t *value, size_t len)
{
    uint8_t again_key[ROWS_CURSOR_LEN], again[ROWS_ENTRY_LEN];
    struct bindstore_logged c;
    const char *why = NULL;

    if (rows_entry_decode(key, ROWS_CURSOR_LEN, value, len, &c, &why) < 0) {
        assert(why);
        return;
    }
    rows_entry_encode(&c, again_key, again);
    assert(len == sizeof(again) && memcmp(again, value, len) == 0 && memcmp(again_key, key, sizeof(again_key)) == 0);
}

static void written_is_read(const uint8_t *data, size_t size)
{
    static uint8_t value[ROWS_VALUE_MAX];
    uint8_t key[ROWS_KEY_LEN];
    struct bindstore_row row = { 0 }, got;
    const char *why;
    size_t len;

    memcpy(row.subject.bytes, data, 16);
    row.kind = data[16];
    row.answer = data[17];
    row.seq = get_be64(data + 18);
    row.expires_ms = (int64_t)(get_be64(data + 26) % (BINDSTORE_EXPIRES_MAX + 1));
    row.len = (uint16_t)MIN(size - 34, BINDSTORE_BYTES_MAX);
    row.bytes = row.len > 0 ? data + 34 : NULL;
    rows_key(&row.subject, row.kind, row.answer, key);
    len = rows_encode(&row, value);
    assert(rows_decode(key, sizeof(key), value, len, &got, &why) == 0);
    assert(got.seq == row.seq && got.expires_ms == row.expires_ms && got.len == row.len);
    assert(tag_equal(&got.subject, &row.subject) && got.kind == row.kind && got.answer == row.answer);
    if (row.len > 0)
        assert(memcmp(got.bytes, row.bytes, row.len) == 0);
    /* One bit elsewhere, and it is none. */
    value[row.seq % len] ^= (uint8_t)(1 << row.kind % 8);
    assert(rows_decode(key, sizeof(key), value, len, &got, &why) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bindstore_row row;
    const char *why;

    if (size == 0)
        return 0;
    if (data[0] == 0 && size > ROWS_KEY_LEN)
        same_row(data + 1, data + 1 + ROWS_KEY_LEN, size - 1 - ROWS_KEY_LEN);
    else if (data[0] == 0)
        assert(rows_decode(data + 1, size - 1, NULL, 0, &row, &why) < 0);
    else if (data[0] == 1 && size > ROWS_CURSOR_LEN)
        same_entry(data + 1, data + 1 + ROWS_CURSOR_LEN, size - 1 - ROWS_CURSOR_LEN);
    else if (data[0] == 2 && size > 34)
        written_is_read(data + 1, size - 1);
    return 0;
}
