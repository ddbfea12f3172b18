/* wire/cursor.h - sticky-error cursors over bytes.
 *
 * A decoder reads field after field and asks once, at the end, whether all went well: after the first read past the end
 * every read gives zeros. Trailing bytes are an error unless the format says otherwise (reader_done). All integers are
 * big-endian. */
#pragma once

#include "base/base.h"

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct reader reader_init(const uint8_t *buf, size_t len)
{
    return (struct reader){ .at = buf, .end = buf + len };
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* A pointer to len bytes inside the input, or NULL with the cursor failed. */
static inline const uint8_t *read_bytes(struct reader *r, size_t len)
{
    const uint8_t *p = r->at;

    if (r->failed || reader_left(r) < len) {
        r->failed = true;
        return NULL;
    }
    r->at += len;
    return p;
}

static inline void read_copy(struct reader *r, void *out, size_t len)
{
    const uint8_t *p = read_bytes(r, len);

    if (p)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

static inline uint8_t read_u8(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 1);
    return p ? *p : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 2);
    return p ? get_be16(p) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 4);
    return p ? get_be32(p) : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 8);
    return p ? get_be64(p) : 0;
}

/* True if nothing failed and nothing is left over. */
static inline bool reader_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}

struct writer {
    uint8_t *start, *at, *end;
    bool failed;
};

static inline struct writer writer_init(uint8_t *buf, size_t size)
{
    return (struct writer){ .start = buf, .at = buf, .end = buf + size };
}

static inline size_t writer_len(const struct writer *w)
{
    return (size_t)(w->at - w->start);
}

static inline size_t writer_left(const struct writer *w)
{
    return (size_t)(w->end - w->at);
}

/* Room for len bytes that the caller fills, or NULL with the cursor failed. */
static inline uint8_t *write_room(struct writer *w, size_t len)
{
    uint8_t *p = w->at;

    if (w->failed || writer_left(w) < len) {
        w->failed = true;
        return NULL;
    }
    w->at += len;
    return p;
}

static inline void write_bytes(struct writer *w, const void *data, size_t len)
{
    uint8_t *p = write_room(w, len);
    if (p && len > 0)
        memcpy(p, data, len);
}

static inline void write_u8(struct writer *w, uint8_t v)
{
    uint8_t *p = write_room(w, 1);
    if (p)
        *p = v;
}

static inline void write_u16(struct writer *w, uint16_t v)
{
    uint8_t *p = write_room(w, 2);
    if (p)
        put_be16(p, v);
}

static inline void write_u32(struct writer *w, uint32_t v)
{
    uint8_t *p = write_room(w, 4);
    if (p)
        put_be32(p, v);
}

static inline void write_u64(struct writer *w, uint64_t v)
{
    uint8_t *p = write_room(w, 8);
    if (p)
        put_be64(p, v);
}
