/* Fuzz target of wire/frame: frames are found inside the record, one after the other; and what is accepted of a path's
 * opening, a summary, an endpoint or a prefix has values that its type allows and writes back to the bytes that were
 * read. */
#include "wire/frame.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct writer *w, const struct reader *r, const uint8_t *from)
{
    assert(!w->failed && writer_len(w) == (size_t)(r->at - from) && memcmp(w->start, from, writer_len(w)) == 0);
}

static void check_path_open(const uint8_t *data, size_t size)
{
    uint8_t buf[64];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct path_open p;

    path_open_read(&r, &p);
    if (r.failed)
        return;
    assert(p.slot < 8 && p.tier < TIER_COUNT && p.weight > 0);
    assert(strlen(p.link) >= 1 && strlen(p.link) <= LINK_NAME_MAX);
    path_open_write(&w, &p);
    check_same(&w, &r, data);
}

static void check_path_summary(const uint8_t *data, size_t size)
{
    uint8_t buf[SUMMARY_LEN];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct path_summary s;

    path_summary_read(&r, &s);
    if (r.failed)
        return;
    assert(s.skew >= -SUMMARY_ONE && s.skew <= SUMMARY_ONE && s.freq <= SUMMARY_ONE && s.loss <= SUMMARY_ONE);
    assert(s.var_us <= SUMMARY_VAR_MAX && s.mean_us < SUMMARY_TIME_WRAP);
    path_summary_write(&w, &s);
    assert(writer_len(&w) == SUMMARY_LEN);
    check_same(&w, &r, data);
}

static void check_endpoint(const uint8_t *data, size_t size)
{
    uint8_t buf[32];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct endpoint e;

    endpoint_read(&r, &e);
    if (r.failed)
        return;
    assert(e.addr.family == ADDR_V4 || e.addr.family == ADDR_V6);
    endpoint_write(&w, &e);
    check_same(&w, &r, data);
}

static void check_prefix(const uint8_t *data, size_t size)
{
    uint8_t buf[32];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct prefix p;

    prefix_read(&r, &p);
    if (r.failed)
        return;
    assert(p.len <= addr_bits(&p.addr) && prefix_contains(&p, &p.addr));
    prefix_write(&w, &p);
    check_same(&w, &r, data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_init(data, size);
    const uint8_t *at = data;
    struct frame f;

    while (frame_next(&r, &f)) {
        assert(f.body == at + FRAME_HEADER_LEN && f.body + f.len <= data + size);
        at = f.body + f.len;
        check_path_open(f.body, f.len);
        check_path_summary(f.body, f.len);
        check_endpoint(f.body, f.len);
        check_prefix(f.body, f.len);
    }
    assert(r.failed || at == data + size);
    return 0;
}
