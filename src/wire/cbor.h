/* wire/cbor.h - deterministic CBOR: a strict reader and a writer.
 *
 * What is signed must have one encoding, so the reader takes only the core deterministic encoding of RFC 8949 section
 * 4.2.1: definite lengths, the shortest form of every number and length, map keys in the bytewise order of their
 * encodings, none of them twice, UTF-8 in text. The first thing that is wrong stays: its name, and the offset of the
 * item in which it was found. After it every read gives zero or NULL.
 *
 * The writer writes heads in their shortest form; that map keys go in ascending order is its caller's duty. */
#pragma once

#include "wire/cursor.h"

#define CBOR_DEPTH_MAX 8 /* chosen: records nest 4 deep; bounds the stack of cbor_check */

enum cbor_fault {
    CBOR_SOUND = 0,
    CBOR_TRUNCATED,     /* the input ends inside an item */
    CBOR_TRAILING,      /* bytes after the item */
    CBOR_NOT_SHORTEST,  /* a number, length or float that has a shorter form */
    CBOR_INDEFINITE,    /* a length left open */
    CBOR_RESERVED,      /* additional information 28 to 30, a simple value that RFC 8949 forbids, a lone break */
    CBOR_KEY_ORDER,     /* a map key that sorts before the one in front of it */
    CBOR_KEY_DUPLICATE, /* a map key that is there twice */
    CBOR_UTF8,          /* text that is not UTF-8 */
    CBOR_DEPTH,         /* nested deeper than CBOR_DEPTH_MAX */
    CBOR_TYPE,          /* sound, but not of the type that is expected here */
    CBOR_RANGE,         /* of the type, but the value or length is not allowed here */
    CBOR_FAULT_COUNT,
};

/* A few words, as in an error message. */
const char *cbor_fault_name(enum cbor_fault fault);

struct cbor_reader {
    const uint8_t *start, *at, *end;
    enum cbor_fault fault;
    size_t fault_at; /* offset from start */
};

/* buf may be NULL where len is 0. */
static inline struct cbor_reader cbor_reader_init(const uint8_t *buf, size_t len)
{
    return (struct cbor_reader){ .start = buf, .at = buf, .end = len > 0 ? buf + len : buf };
}

/* Offset of the next item. */
static inline size_t cbor_offset(const struct cbor_reader *r)
{
    return (size_t)(r->at - r->start);
}

/* Records a fault unless there is one already. */
void cbor_fail(struct cbor_reader *r, enum cbor_fault fault, size_t at);

/* An unsigned integer in min..max. */
uint64_t cbor_read_uint(struct cbor_reader *r, uint64_t min, uint64_t max);
/* A byte string of min..max bytes, inside the input. */
const uint8_t *cbor_read_bytes(struct cbor_reader *r, size_t min, size_t max, size_t *ret_len);
/* A byte string of just len bytes, copied; zeros after a fault. */
void cbor_read_copy(struct cbor_reader *r, void *out, size_t len);
/* A text string of min..max bytes, inside the input and without a NUL after it. It may contain NULs. */
const char *cbor_read_text(struct cbor_reader *r, size_t min, size_t max, size_t *ret_len);
/* The number of items of an array, min..max of them; they follow. */
size_t cbor_read_array(struct cbor_reader *r, size_t min, size_t max);

/* A map whose keys are unsigned integers. */
struct cbor_map {
    size_t left;
    uint64_t key; /* the last that was read */
    bool begun;
};

/* At most max pairs; use cbor_map_next for each. */
struct cbor_map cbor_read_map(struct cbor_reader *r, size_t max);
/* True: *ret_key is the next key, its value follows. False: none is left, or a fault. */
bool cbor_map_next(struct cbor_reader *r, struct cbor_map *m, uint64_t *ret_key);
/* What type the next item is of, 0..7 (RFC 8949 section 3.1); -1 when there is none. */
int cbor_next_major(const struct cbor_reader *r);

/* Walks over one item of any type and checks all of the above, nested items included: CBOR_SOUND and its length, which
 * may be less than len; or the fault, and its offset in *ret_at. */
enum cbor_fault cbor_check(const uint8_t *buf, size_t len, size_t *ret_item_len, size_t *ret_at);
/* True if nothing failed and nothing is left; what is left is a fault. */
bool cbor_done(struct cbor_reader *r);

#define CBOR_UINT 0
#define CBOR_BYTES 2
#define CBOR_TEXT 3
#define CBOR_ARRAY 4
#define CBOR_MAP 5

#define CBOR_HEAD_MAX 9 /* bytes */

/* The head of an item: major type CBOR_* and its number or length. An integer is a head alone. */
void cbor_write_head(struct writer *w, unsigned major, uint64_t value);
void cbor_write_bytes(struct writer *w, const void *data, size_t len);
void cbor_write_text(struct writer *w, const char *text, size_t len);
