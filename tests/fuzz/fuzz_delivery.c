/* Fuzz target of session/delivery: chunks and limits from a hostile peer, what paths tell of ours in any order, and the
 * application's calls in between. Each step is a byte that says what happens, and its arguments. */
#include "session/delivery.h"
#include "wire/cursor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLIGHT_MAX 32
#define CHUNK_MAX 4096

enum {
    STEP_CHUNK,
    STEP_LIMIT,
    STEP_WRITE,
    STEP_READ,
    STEP_CUT,
    STEP_ACKED,
    STEP_LOST,
    STEP_FINISH,
    STEP_SAY,
    STEP_COUNT
};

struct flight {
    struct chunk c[FLIGHT_MAX];
    size_t count;
};

static struct chunk take(struct flight *f, uint8_t which)
{
    size_t i = which % f->count;
    struct chunk c = f->c[i];

    f->count--;
    f->c[i] = f->c[f->count];
    return c;
}

static void step_chunk(struct delivery *d, struct reader *r)
{
    static const uint8_t bytes[CHUNK_MAX];
    struct chunk c = { .at = read_u32(r) };

    c.len = read_u16(r) % (CHUNK_MAX + 1);
    c.last = c.len & 1;
    assert(delivery_on_chunk(d, &c, bytes) <= 0);
}

static void check(const struct delivery *d)
{
    struct delivery_info i;

    delivery_info(d, &i);
    assert(i.acked <= i.written && i.read <= i.received);
    assert(i.buffered_tx <= 1 << 17 && i.buffered_rx <= 1 << 17);
    assert(!delivery_flushed(d) || i.acked == i.written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[65536];
    const struct delivery_options o = { .send_bytes = 1 << 17, .receive_bytes = 1 << 17, .unordered = size & 1 };
    struct delivery *d = delivery_new(&o);
    struct reader r = reader_init(data, size);
    struct flight f = { 0 };
    struct chunk c;
    uint64_t at, read = 0;
    int64_t n;

    while (d && !r.failed && reader_left(&r) > 0) {
        switch (read_u8(&r) % STEP_COUNT) {
        case STEP_CHUNK:
            step_chunk(d, &r);
            break;
        case STEP_LIMIT:
            delivery_on_limit(d, read_u64(&r));
            break;
        case STEP_WRITE:
            assert(delivery_write(d, bytes, read_u16(&r)) <= 65535);
            break;
        case STEP_READ:
            n = delivery_read(d, bytes, 1 + (size_t)read_u16(&r), &at);
            assert(n <= 0 || o.unordered || at == read);
            read += n > 0 ? (uint64_t)n : 0;
            break;
        case STEP_CUT:
            if (f.count < FLIGHT_MAX && delivery_cut(d, 1 + read_u16(&r) % CHUNK_MAX, &c)) {
                delivery_copy(d, &c, bytes);
                f.c[f.count++] = c;
            }
            break;
        case STEP_ACKED:
            if (f.count > 0) {
                c = take(&f, read_u8(&r));
                delivery_on_acked(d, &c);
            }
            break;
        case STEP_LOST:
            if (f.count > 0) {
                c = take(&f, read_u8(&r));
                delivery_on_lost(d, &c);
            }
            break;
        case STEP_FINISH:
            delivery_finish(d);
            break;
        default:
            (void)delivery_pop_limit(d, &at);
        }
        check(d);
    }
    delivery_free(d);
    return 0;
}
