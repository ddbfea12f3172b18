/* wire/cbor.c - see cbor.h.
 *
 * Theory of operation. Every item begins with a head: 3 bits of type, 5 of additional information, and 0 to 8 bytes of
 * number. `take_head` is the one place that reads heads, and refuses every one that has a shorter form; so what was
 * accepted is written back to the same bytes. Libraries give the number and not how it was written, which is the very
 * thing to be checked here; and libcbor 0.8, with which the tests compare, takes memory for as many items as a length
 * claims, gigabytes for 24 bytes.
 *
 * A float is in its shortest form when no shorter float has the same value; a NaN has the one form f97e00 (RFC 8949
 * section 4.2.2, rule 1 of its list). Big numbers (tags 2 and 3) are not looked into: no record has tags.
 *
 * Limits: nesting of CBOR_DEPTH_MAX; lengths of 2^64 - 1 are read, and refused as truncated.
 *
 * Sources: RFC 8949 sections 3, 4.2.1, 4.2.2; RFC 3629 section 4 (UTF-8). */
#include "wire/cbor.h"

const char *cbor_fault_name(enum cbor_fault fault)
{
    static const char *const names[CBOR_FAULT_COUNT] = {
        [CBOR_SOUND] = "sound",
        [CBOR_TRUNCATED] = "ends inside an item",
        [CBOR_TRAILING] = "trailing bytes",
        [CBOR_NOT_SHORTEST] = "not the shortest form",
        [CBOR_INDEFINITE] = "indefinite length",
        [CBOR_RESERVED] = "reserved encoding",
        [CBOR_KEY_ORDER] = "map keys out of order",
        [CBOR_KEY_DUPLICATE] = "map key twice",
        [CBOR_UTF8] = "text that is not UTF-8",
        [CBOR_DEPTH] = "nested too deep",
        [CBOR_TYPE] = "wrong type",
        [CBOR_RANGE] = "value out of range",
    };

    return fault < CBOR_FAULT_COUNT ? names[fault] : "unknown";
}

void cbor_fail(struct cbor_reader *r, enum cbor_fault fault, size_t at)
{
    if (r->fault == CBOR_SOUND) {
        r->fault = fault;
        r->fault_at = at;
    }
    r->at = r->end;
}

struct head {
    uint8_t major, info;
    uint64_t value;
};

/* The head at r, which moves behind it. False after a fault. */
static bool take_head(struct cbor_reader *r, struct head *ret)
{
    size_t at = cbor_offset(r), left = (size_t)(r->end - r->at), width;
    struct head h;

    if (r->fault != CBOR_SOUND)
        return false;
    if (left == 0) {
        cbor_fail(r, CBOR_TRUNCATED, at);
        return false;
    }
    h = (struct head){ .major = r->at[0] >> 5, .info = r->at[0] & 31 };
    h.value = h.info;
    width = h.info < 24 ? 0 : h.info < 28 ? (size_t)1 << (h.info - 24) : 0;
    if (h.info >= 28) {
        /* 31 leaves a length open; in front of an integer or a tag it has no meaning. */
        cbor_fail(r, h.info == 31 && h.major >= 2 && h.major <= 5 ? CBOR_INDEFINITE : CBOR_RESERVED, at);
        return false;
    }
    if (left < 1 + width) {
        cbor_fail(r, CBOR_TRUNCATED, at);
        return false;
    }
    if (width > 0) {
        h.value = 0;
        for (size_t i = 1; i <= width; i++)
            h.value = h.value << 8 | r->at[i];
        /* The least value of each width: 24, 2^8, 2^16, 2^32. Of type 7 these are floats, and a simple value. */
        if (h.major != 7 && h.value < (width == 1 ? 24 : (uint64_t)1 << width * 4)) {
            cbor_fail(r, CBOR_NOT_SHORTEST, at);
            return false;
        }
    }
    r->at += 1 + width;
    *ret = h;
    return true;
}

static bool take_typed(struct cbor_reader *r, uint8_t major, uint64_t min, uint64_t max, uint64_t *ret)
{
    size_t at = cbor_offset(r);
    struct head h;

    if (!take_head(r, &h))
        return false;
    if (h.major != major) {
        cbor_fail(r, CBOR_TYPE, at);
        return false;
    }
    if (h.value < min || h.value > max) {
        cbor_fail(r, CBOR_RANGE, at);
        return false;
    }
    *ret = h.value;
    return true;
}

uint64_t cbor_read_uint(struct cbor_reader *r, uint64_t min, uint64_t max)
{
    uint64_t v = 0;

    return take_typed(r, CBOR_UINT, min, max, &v) ? v : 0;
}

static const uint8_t *take_string(struct cbor_reader *r, uint8_t major, size_t min, size_t max, size_t *ret_len)
{
    size_t at = cbor_offset(r);
    const uint8_t *p;
    uint64_t len;

    *ret_len = 0;
    if (!take_typed(r, major, min, max, &len))
        return NULL;
    if (len > (size_t)(r->end - r->at)) {
        cbor_fail(r, CBOR_TRUNCATED, at);
        return NULL;
    }
    p = r->at;
    r->at += len;
    *ret_len = (size_t)len;
    return p;
}

const uint8_t *cbor_read_bytes(struct cbor_reader *r, size_t min, size_t max, size_t *ret_len)
{
    return take_string(r, CBOR_BYTES, min, max, ret_len);
}

void cbor_read_copy(struct cbor_reader *r, void *out, size_t len)
{
    size_t got;
    const uint8_t *p = take_string(r, CBOR_BYTES, len, len, &got);

    if (p)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t b = p[i++], low = 0x80, high = 0xbf;
        size_t more;

        if (b < 0x80)
            continue;
        if (b >= 0xc2 && b <= 0xdf)
            more = 1;
        else if (b >= 0xe0 && b <= 0xef)
            more = 2;
        else if (b >= 0xf0 && b <= 0xf4)
            more = 3;
        else
            return false;
        if (b == 0xe0)
            low = 0xa0;
        else if (b == 0xed)
            high = 0x9f;
        else if (b == 0xf0)
            low = 0x90;
        else if (b == 0xf4)
            high = 0x8f;
        if (more > len - i || p[i] < low || p[i] > high)
            return false;
        for (size_t j = 1; j < more; j++)
            if (p[i + j] < 0x80 || p[i + j] > 0xbf)
                return false;
        i += more;
    }
    return true;
}

const char *cbor_read_text(struct cbor_reader *r, size_t min, size_t max, size_t *ret_len)
{
    size_t at = cbor_offset(r);
    const uint8_t *p = take_string(r, CBOR_TEXT, min, max, ret_len);

    if (p && !is_utf8(p, *ret_len)) {
        cbor_fail(r, CBOR_UTF8, at);
        *ret_len = 0;
        p = NULL;
    }
    return (const char *)p;
}

size_t cbor_read_array(struct cbor_reader *r, size_t min, size_t max)
{
    uint64_t n;

    return take_typed(r, CBOR_ARRAY, min, max, &n) ? (size_t)n : 0;
}

struct cbor_map cbor_read_map(struct cbor_reader *r, size_t max)
{
    uint64_t n;

    return (struct cbor_map){ .left = take_typed(r, CBOR_MAP, 0, max, &n) ? (size_t)n : 0 };
}

bool cbor_map_next(struct cbor_reader *r, struct cbor_map *m, uint64_t *ret_key)
{
    size_t at = cbor_offset(r);
    uint64_t key;

    if (r->fault != CBOR_SOUND || m->left == 0 || !take_typed(r, CBOR_UINT, 0, UINT64_MAX, &key))
        return false;
    /* The shortest encodings of unsigned integers sort as the integers do. */
    if (m->begun && key <= m->key) {
        cbor_fail(r, key == m->key ? CBOR_KEY_DUPLICATE : CBOR_KEY_ORDER, at);
        return false;
    }
    *m = (struct cbor_map){ .left = m->left - 1, .key = key, .begun = true };
    *ret_key = key;
    return true;
}

int cbor_next_major(const struct cbor_reader *r)
{
    return r->fault == CBOR_SOUND && r->at < r->end ? r->at[0] >> 5 : -1;
}

bool cbor_done(struct cbor_reader *r)
{
    if (r->fault == CBOR_SOUND && r->at < r->end)
        cbor_fail(r, CBOR_TRAILING, cbor_offset(r));
    return r->fault == CBOR_SOUND;
}

/* True if a double (single: 32 bits) has a shorter float of the same value, or is a NaN that is not f97e00. */
static bool float_shrinks(const struct head *h)
{
    uint64_t mantissa;
    int exponent;

    if (h->info == 25) /* half: a NaN alone is checked */
        return (h->value & 0x7c00) == 0x7c00 && (h->value & 0x3ff) != 0 && h->value != 0x7e00;
    if (h->info == 26) { /* to half: 10 bits of mantissa, exponents -14..15, subnormal to 2^-24 */
        mantissa = h->value & 0x7fffff;
        exponent = (int)(h->value >> 23 & 0xff) - 127;
        if (exponent == 128)
            return true; /* infinity and NaN */
        if (exponent == -127)
            return mantissa == 0; /* zero; a subnormal single is less than any half */
        if (exponent >= -14)
            return exponent <= 15 && (mantissa & 0x1fff) == 0;
        return exponent >= -24 && (mantissa & ((1u << (-1 - exponent)) - 1)) == 0;
    }
    mantissa = h->value & 0xfffffffffffff;
    exponent = (int)(h->value >> 52 & 0x7ff) - 1023;
    if (exponent == 1024)
        return true;
    if (exponent == -1023)
        return mantissa == 0;
    if (exponent >= -126) /* to single: 23 bits, exponents -126..127, subnormal to 2^-149 */
        return exponent <= 127 && (mantissa & 0x1fffffff) == 0;
    return exponent >= -149 && (mantissa & (((uint64_t)1 << (-97 - exponent)) - 1)) == 0;
}

static void walk(struct cbor_reader *r, unsigned depth);

static void walk_map(struct cbor_reader *r, uint64_t pairs, unsigned depth)
{
    const uint8_t *before = NULL;
    size_t before_len = 0;

    for (uint64_t i = 0; i < pairs && r->fault == CBOR_SOUND; i++) {
        const uint8_t *key = r->at;
        size_t len;

        walk(r, depth);
        if (r->fault != CBOR_SOUND)
            return;
        len = (size_t)(r->at - key);
        if (before) {
            int order = memcmp(before, key, MIN(before_len, len));

            /* No encoding is the beginning of another, so equal means of equal length. */
            if (order >= 0) {
                cbor_fail(r, order == 0 ? CBOR_KEY_DUPLICATE : CBOR_KEY_ORDER, (size_t)(key - r->start));
                return;
            }
        }
        before = key;
        before_len = len;
        walk(r, depth);
    }
}

static void walk(struct cbor_reader *r, unsigned depth)
{
    size_t at = cbor_offset(r);
    const uint8_t *text;
    struct head h;

    if (!take_head(r, &h))
        return;
    if (h.major >= 4 && h.major <= 6 && depth == CBOR_DEPTH_MAX) {
        cbor_fail(r, CBOR_DEPTH, at);
        return;
    }
    switch (h.major) {
    case CBOR_BYTES:
    case CBOR_TEXT:
        if (h.value > (size_t)(r->end - r->at)) {
            cbor_fail(r, CBOR_TRUNCATED, at);
            break;
        }
        text = r->at;
        r->at += h.value;
        if (h.major == CBOR_TEXT && !is_utf8(text, (size_t)h.value))
            cbor_fail(r, CBOR_UTF8, at);
        break;
    case CBOR_ARRAY: /* a length that lies ends with the input: each item takes a byte at least */
        for (uint64_t i = 0; i < h.value && r->fault == CBOR_SOUND; i++)
            walk(r, depth + 1);
        break;
    case CBOR_MAP:
        walk_map(r, h.value, depth + 1);
        break;
    case 6: /* a tag, and what it is of */
        walk(r, depth + 1);
        break;
    case 7:
        if (h.info == 24 && h.value < 32)
            cbor_fail(r, CBOR_RESERVED, at);
        else if (h.info >= 25 && float_shrinks(&h))
            cbor_fail(r, CBOR_NOT_SHORTEST, at);
        break;
    default: /* integers */
        break;
    }
}

enum cbor_fault cbor_check(const uint8_t *buf, size_t len, size_t *ret_item_len, size_t *ret_at)
{
    struct cbor_reader r = cbor_reader_init(buf, len);

    walk(&r, 0);
    if (r.fault == CBOR_SOUND)
        *ret_item_len = cbor_offset(&r);
    else
        *ret_at = r.fault_at;
    return r.fault;
}

void cbor_write_head(struct writer *w, unsigned major, uint64_t value)
{
    uint8_t first = (uint8_t)(major << 5);

    if (value < 24) {
        write_u8(w, (uint8_t)(first | value));
    } else if (value <= UINT8_MAX) {
        write_u8(w, first | 24);
        write_u8(w, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        write_u8(w, first | 25);
        write_u16(w, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        write_u8(w, first | 26);
        write_u32(w, (uint32_t)value);
    } else {
        write_u8(w, first | 27);
        write_u64(w, value);
    }
}

void cbor_write_bytes(struct writer *w, const void *data, size_t len)
{
    cbor_write_head(w, CBOR_BYTES, len);
    write_bytes(w, data, len);
}

void cbor_write_text(struct writer *w, const char *text, size_t len)
{
    cbor_write_head(w, CBOR_TEXT, len);
    write_bytes(w, text, len);
}
