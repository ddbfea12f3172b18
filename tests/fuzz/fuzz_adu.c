/* Fuzz target of session/adu: pieces, drops and limits from a hostile peer, what paths tell of ours in any order, and
 * the application's calls in between. Each step is a byte that says what happens, and its arguments. */
#include "session/adu.h"
#include "wire/cursor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLIGHT_MAX 32
#define PIECE_MAX 4096

enum {
    STEP_PIECE,
    STEP_GONE,
    STEP_LIMIT,
    STEP_SEND,
    STEP_RECEIVE,
    STEP_CUT,
    STEP_ACKED,
    STEP_LOST,
    STEP_WAIT,
    STEP_SAY,
    STEP_COPIED,
    STEP_FORGOTTEN,
    STEP_COUNT
};

struct flight {
    struct piece p[FLIGHT_MAX];
    size_t count;
};

static struct piece take(struct flight *f, uint8_t which)
{
    size_t i = which % f->count;
    struct piece p = f->p[i];

    f->p[i] = f->p[--f->count];
    return p;
}

static void step_piece(struct adus *a, struct reader *r, instant now)
{
    static const uint8_t bytes[PIECE_MAX];
    uint8_t kind = read_u8(r);
    struct piece p = { .number = read_u16(r) >> (kind & 7), .unordered = kind & 8 };

    p.offset = kind & 16 ? read_u32(r) : 0;
    p.unit_len = kind & 32 ? read_u32(r) : read_u16(r);
    p.left_ms = kind & 64 ? ADU_LEFT_NEVER : read_u16(r);
    p.len = read_u16(r) % PIECE_MAX;
    assert(adus_on_piece(a, &p, bytes, now) <= 0);
}

static void step_send(struct adus *a, struct reader *r, instant now)
{
    static const uint8_t bytes[65536];
    uint8_t kind = read_u8(r);
    const struct adu_spec spec = { .unordered = kind & 1,
                                   .unreliable = kind & 2,
                                   .priority = (int8_t)(kind >> 4),
                                   .lifetime = kind & 4 ? read_u16(r) * MSEC : 0 };

    assert(adus_send(a, bytes, read_u16(r), &spec, now) <= 0);
}

static bool step_cut(struct adus *a, struct reader *r, instant now, struct piece *ret)
{
    uint8_t kind = read_u8(r);
    const struct adu_offer o = { .slot = kind & 3,
                                 .most = 1 + read_u16(r) % PIECE_MAX,
                                 .way = (kind >> 4) * 10 * MSEC,
                                 .least = (kind >> 5) * 10 * MSEC,
                                 .other = kind & 4 ? 20 * MSEC : 0,
                                 .answer = 30 * MSEC,
                                 .bps = kind & 8 ? 1000000 : 0,
                                 .only_copies = (kind & 7) == 7 };

    return adus_cut(a, &o, ret, now);
}

static void check(const struct adus *a)
{
    struct adu_info i;

    adus_info(a, &i);
    assert(i.kept_bytes <= (8u << 20) + ADU_LEN_MAX);
    assert(i.queued_bytes <= (8u << 20) + 65536);
    assert(adus_waiting(a) <= i.queued_bytes);
    assert(i.arrived + i.expired + i.lost <= i.sent);
    assert(!adus_flushed(a) || i.queued_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[ADU_LEN_MAX];
    const struct adu_options o = { 0 };
    struct adus *a = adus_new(&o);
    struct reader r = reader_init(data, size);
    struct adu_received u;
    struct flight f = { 0 };
    struct piece p;
    uint64_t number, bytes, ordered = 0;
    uint32_t count, len;
    instant now = 1000 * SEC;

    while (a && !r.failed && reader_left(&r) > 0) {
        switch (read_u8(&r) % STEP_COUNT) {
        case STEP_PIECE:
            step_piece(a, &r, now);
            break;
        case STEP_GONE:
            number = read_u16(&r);
            count = read_u16(&r);
            assert(adus_on_dropped(a, number, count, read_u32(&r)) <= 0);
            break;
        case STEP_LIMIT:
            bytes = read_u32(&r);
            adus_on_limit(a, bytes, read_u16(&r));
            break;
        case STEP_SEND:
            step_send(a, &r, now);
            break;
        case STEP_RECEIVE:
            if (adus_receive(a, buf, sizeof(buf), &u, now) < 0 || u.unordered)
                break;
            assert(u.number >= ordered);
            ordered = u.number + 1;
            break;
        case STEP_CUT:
            if (f.count < FLIGHT_MAX && step_cut(a, &r, now, &p)) {
                assert(p.offset + p.len <= p.unit_len && adus_copy(a, &p, buf));
                f.p[f.count++] = p;
            }
            break;
        case STEP_ACKED:
        case STEP_LOST:
            if (f.count == 0)
                break;
            count = read_u8(&r);
            p = take(&f, (uint8_t)count);
            if (count & 128)
                adus_on_acked(a, &p);
            else
                adus_on_lost(a, &p);
            break;
        case STEP_COPIED:
            if (f.count == 0 || f.count == FLIGHT_MAX)
                break;
            p = f.p[read_u8(&r) % f.count];
            adus_on_copied(a, &p);
            f.p[f.count++] = p;
            break;
        case STEP_FORGOTTEN:
            if (f.count == 0)
                break;
            p = take(&f, read_u8(&r));
            adus_on_forgotten(a, &p);
            break;
        case STEP_WAIT:
            now += read_u16(&r) * MSEC;
            adus_on_expiry(a, now);
            assert(adus_next_expiry(a) > now);
            break;
        default:
            (void)adus_pop_limit(a, &bytes, &number);
            (void)adus_pop_dropped(a, &number, &count, &len);
        }
        check(a);
    }
    adus_free(a);
    return 0;
}
