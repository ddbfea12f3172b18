/* tests/unit/bindstore_model.h - what sys/bindstore.h promises of rows and log, as plain arrays. */
#pragma once

#include "base/hash.h"
#include "sys/bindstore.h"

#define MODEL_SUBJECTS 40u
#define MODEL_LOG 30000u

struct model_row {
    bool there, ended;
    uint64_t seq;
    int64_t expires;
    uint8_t bytes[BINDSTORE_BYTES_MAX];
    uint16_t len;
};

struct model_log {
    uint32_t subject;
    uint64_t seq;
    bool forgotten;
};

struct model {
    struct model_row rows[MODEL_SUBJECTS];
    struct model_log log[MODEL_LOG + 1]; /* by cursor */
    uint64_t last;
};

/* The subject of a number, and back. One kind and class. */
#define MODEL_KIND 1
#define MODEL_ANSWER 3

static inline struct tag model_subject(uint32_t n)
{
    struct tag t = { { 0x20, 0x01, 0, 0x3f } };

    put_be32(t.bytes + 12, n);
    return t;
}

static inline uint32_t model_number(const struct tag *t)
{
    return get_be32(t->bytes + 12);
}

static inline void model_change(struct model *m, const struct bindstore_change *c, struct bindstore_result *ret)
{
    uint32_t n = model_number(&c->row.subject);
    struct model_row *row = &m->rows[n];
    bool logged = false;

    ret->outcome = BINDSTORE_STORED;
    if (c->op == BINDSTORE_FORGET && row->there && c->row.seq >= row->seq) {
        row->there = false;
        logged = true;
    } else if (c->op != BINDSTORE_PUT && !row->there) {
        ret->outcome = BINDSTORE_ABSENT;
    } else if (c->op == BINDSTORE_FORGET) {
        ret->outcome = BINDSTORE_OLDER;
    } else if (c->op == BINDSTORE_REFRESH) {
        if (c->row.seq != row->seq)
            ret->outcome = BINDSTORE_OLDER;
        else if (row->ended)
            ret->outcome = BINDSTORE_ABSENT;
        else if (c->row.expires_ms <= row->expires)
            ret->outcome = BINDSTORE_SAME;
        else
            row->expires = c->row.expires_ms;
    } else if (!row->there || c->row.seq > row->seq) {
        row->there = true;
        row->ended = !c->row.bytes;
        row->seq = c->row.seq;
        row->expires = c->row.expires_ms;
        row->len = c->row.len;
        if (c->row.bytes)
            memmove(row->bytes, c->row.bytes, c->row.len);
        logged = true;
    } else if (c->row.seq < row->seq || (c->row.bytes && (row->ended || row->len != c->row.len ||
                                                          memcmp(row->bytes, c->row.bytes, row->len) != 0))) {
        ret->outcome = BINDSTORE_OLDER;
    } else if (c->row.bytes) {
        ret->outcome = BINDSTORE_SAME;
        row->expires = MAX(row->expires, c->row.expires_ms);
    } else if (row->ended) {
        ret->outcome = BINDSTORE_SAME;
    } else {
        row->ended = true;
        row->len = 0;
        logged = true;
    }
    ret->seq = row->there ? row->seq : 0;
    ret->cursor = logged ? ++m->last : 0;
    if (logged)
        m->log[m->last] = (struct model_log){ .subject = n, .seq = c->row.seq, .forgotten = c->op == BINDSTORE_FORGET };
}

/* True if the row is as the model has it. */
static inline bool model_has(const struct model *m, const struct bindstore_row *row)
{
    uint32_t n = model_number(&row->subject);
    const struct model_row *want = &m->rows[n < MODEL_SUBJECTS ? n : 0];

    return n < MODEL_SUBJECTS && row->kind == MODEL_KIND && row->answer == MODEL_ANSWER && want->there &&
           row->seq == want->seq && row->expires_ms == want->expires && row->len == want->len &&
           (row->bytes == NULL) == want->ended && (!row->bytes || memcmp(row->bytes, want->bytes, row->len) == 0);
}

/* True if the entry is as the model has it, and its bytes are those of the row as it is, or there are none. */
static inline bool model_logged(const struct model *m, const struct bindstore_logged *c)
{
    uint32_t n = model_number(&c->row.subject);
    const struct model_log *want = &m->log[c->cursor <= m->last ? c->cursor : 0];
    const struct model_row *row = &m->rows[n < MODEL_SUBJECTS ? n : 0];

    if (n >= MODEL_SUBJECTS || c->cursor == 0 || c->cursor > m->last || want->subject != n || want->seq != c->row.seq ||
        want->forgotten != c->forgotten)
        return false;
    if (!c->row.bytes)
        return c->forgotten || !row->there || row->seq != c->row.seq || row->ended;
    return !c->forgotten && row->there && row->seq == c->row.seq && row->len == c->row.len &&
           memcmp(row->bytes, c->row.bytes, row->len) == 0;
}

static inline uint32_t model_count(const struct model *m)
{
    uint32_t count = 0;

    for (uint32_t n = 0; n < MODEL_SUBJECTS; n++)
        count += m->rows[n].there;
    return count;
}
