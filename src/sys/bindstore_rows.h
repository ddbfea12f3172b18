/* sys/bindstore_rows.h - how rows and log entries lie in the file of an lmdb store.
 *
 *   rows   key: tag (16) | u8 kind | u8 class      value: u64 seq | u64 end of lease, ms | the record | u64 check
 *   log    key: u64 cursor                         value: u8 what | tag (16) | u8 kind | u8 class | u64 seq | u64 check
 *
 * Integers are big-endian. The check is SipHash-1-3 of the value before it, under the place where it stands as key:
 * against accidents, not against people. */
#pragma once

#include "sys/bindstore.h"

#define ROWS_KEY_LEN 18
#define ROWS_OVERHEAD (8 + 8 + 8)
#define ROWS_VALUE_MAX (ROWS_OVERHEAD + BINDSTORE_BYTES_MAX)
#define ROWS_CURSOR_LEN 8
#define ROWS_ENTRY_LEN (1 + ROWS_KEY_LEN + 8 + 8)

void rows_key(const struct tag *subject, uint8_t kind, uint8_t answer, uint8_t out[ROWS_KEY_LEN]);
/* Writes the value of a valid row; returns its length. */
size_t rows_encode(const struct bindstore_row *row, uint8_t out[ROWS_VALUE_MAX]);
/* 0, or -EBADMSG and *ret_why: what is wrong. ret->bytes points into value. */
MUST_CHECK int rows_decode(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len,
                           struct bindstore_row *ret, const char **ret_why);
/* The entry of a change: of its row, subject, kind, answer and seq count. */
void rows_entry_encode(const struct bindstore_logged *change, uint8_t key[ROWS_CURSOR_LEN],
                       uint8_t out[ROWS_ENTRY_LEN]);
/* As rows_decode; the row has no bytes, and before is the cursor below. */
MUST_CHECK int rows_entry_decode(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len,
                                 struct bindstore_logged *ret, const char **ret_why);
