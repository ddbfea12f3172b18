/* sys/bindstore_rows.c - see bindstore_rows.h.
 *
 * Theory of operation. The tag of a row is the key of its check, with kind and class mixed into the bytes that all tags
 * share, so that a value under a wrong key is found too. Sources: Aumasson and Bernstein, "SipHash" (2012). */
#include "sys/bindstore_rows.h"

#include "base/hash.h"
#include "sys/bindstore_engine.h"

#include <errno.h>

#define HEAD_LEN (8 + 8)
#define CHECK_LEN 8

#define WHAT_PUT 1
#define WHAT_FORGET 2

static uint64_t check_of_row(const uint8_t key[ROWS_KEY_LEN], const uint8_t *value, size_t len)
{
    uint8_t k[16];

    memcpy(k, key, 16);
    k[0] ^= key[16];
    k[1] ^= key[17];
    return siphash13(k, value, len);
}

static uint64_t check_of_entry(const uint8_t key[ROWS_CURSOR_LEN], const uint8_t *value)
{
    uint8_t k[16] = { 0 };

    memcpy(k, key, ROWS_CURSOR_LEN);
    return siphash13(k, value, ROWS_ENTRY_LEN - CHECK_LEN);
}

void rows_key(const struct tag *subject, uint8_t kind, uint8_t answer, uint8_t out[ROWS_KEY_LEN])
{
    memcpy(out, subject->bytes, 16);
    out[16] = kind;
    out[17] = answer;
}

size_t rows_encode(const struct bindstore_row *row, uint8_t out[ROWS_VALUE_MAX])
{
    uint8_t key[ROWS_KEY_LEN];
    size_t len = HEAD_LEN + row->len;

    rows_key(&row->subject, row->kind, row->answer, key);
    put_be64(out, row->seq);
    put_be64(out + 8, (uint64_t)row->expires_ms);
    if (row->len > 0)
        memcpy(out + HEAD_LEN, row->bytes, row->len);
    put_be64(out + len, check_of_row(key, out, len));
    return len + CHECK_LEN;
}

int rows_decode(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len, struct bindstore_row *ret,
                const char **ret_why)
{
    struct bindstore_row row = { 0 };

    if (key_len != ROWS_KEY_LEN) {
        *ret_why = "the key of a row is not of 18 bytes";
        return -EBADMSG;
    }
    if (len < ROWS_OVERHEAD || len > ROWS_VALUE_MAX) {
        *ret_why = "a row is not of 24 to 4120 bytes";
        return -EBADMSG;
    }
    memcpy(row.subject.bytes, key, 16);
    row.kind = key[16];
    row.answer = key[17];
    row.seq = get_be64(value);
    row.expires_ms = (int64_t)get_be64(value + 8);
    row.len = (uint16_t)(len - ROWS_OVERHEAD);
    row.bytes = row.len > 0 ? value + HEAD_LEN : NULL;
    if (get_be64(value + len - CHECK_LEN) != check_of_row(key, value, len - CHECK_LEN)) {
        *ret_why = "the check of a row does not fit it";
        return -EBADMSG;
    }
    if (!bindstore_row_valid(&row)) {
        *ret_why = "the end of a lease is out of range";
        return -EBADMSG;
    }
    *ret = row;
    return 0;
}

void rows_entry_encode(const struct bindstore_logged *change, uint8_t key[ROWS_CURSOR_LEN], uint8_t out[ROWS_ENTRY_LEN])
{
    put_be64(key, change->cursor);
    out[0] = change->forgotten ? WHAT_FORGET : WHAT_PUT;
    rows_key(&change->row.subject, change->row.kind, change->row.answer, out + 1);
    put_be64(out + 1 + ROWS_KEY_LEN, change->row.seq);
    put_be64(out + ROWS_ENTRY_LEN - CHECK_LEN, check_of_entry(key, out));
}

int rows_entry_decode(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len,
                      struct bindstore_logged *ret, const char **ret_why)
{
    struct bindstore_logged c = { 0 };

    if (key_len != ROWS_CURSOR_LEN || get_be64(key) == 0) {
        *ret_why = "the key of a log entry is no cursor";
        return -EBADMSG;
    }
    if (len != ROWS_ENTRY_LEN) {
        *ret_why = "a log entry is not of 35 bytes";
        return -EBADMSG;
    }
    if (get_be64(value + len - CHECK_LEN) != check_of_entry(key, value)) {
        *ret_why = "the check of a log entry does not fit it";
        return -EBADMSG;
    }
    if (value[0] != WHAT_PUT && value[0] != WHAT_FORGET) {
        *ret_why = "a log entry is of no kind that is known";
        return -EBADMSG;
    }
    c.cursor = get_be64(key);
    c.before = c.cursor - 1;
    c.forgotten = value[0] == WHAT_FORGET;
    memcpy(c.row.subject.bytes, value + 1, 16);
    c.row.kind = value[17];
    c.row.answer = value[18];
    c.row.seq = get_be64(value + 1 + ROWS_KEY_LEN);
    *ret = c;
    return 0;
}
