/* Fuzz target of session/stream: a script of frames and acknowledgements from a hostile peer, with the owner's calls in
 * between. Each step is a byte that says what happens, and for input a 16-bit length and the bytes. */
#include "session/stream.h"
#include "wire/cursor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP_FRAME, STEP_ACK, STEP_POP, STEP_SEND, STEP_NEXT, STEP_MAKE_ACK, STEP_RESET, STEP_COUNT };

static void step_input(struct stream *s, struct reader *r, bool ack)
{
    size_t len = read_u16(r);
    const uint8_t *body = read_bytes(r, MIN(len, reader_left(r)));
    int rc;

    if (!body)
        return;
    len = MIN(len, (size_t)(r->at - body));
    rc = ack ? stream_on_ack(s, body, len) : stream_on_frame(s, body, len);
    assert(rc <= 0);
}

static void step_pop(struct stream *s)
{
    const uint8_t *msg;
    size_t len;
    unsigned sum = 0;

    if (!stream_pop_message(s, &msg, &len))
        return;
    assert(len > 0 && len <= STREAM_MESSAGE_MAX);
    for (size_t i = 0; i < len; i++)
        sum += msg[i];
    assert(sum <= 255 * len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t bytes[STREAM_MESSAGE_MAX];
    uint8_t buf[STREAM_FRAME_HEADER + STREAM_FRAME_DATA_MAX];
    struct reader r = reader_init(data, size);
    struct stream *s = stream_new();
    instant now = SEC;
    int n;

    while (s && !r.failed && reader_left(&r) > 0) {
        uint8_t step = read_u8(&r);

        switch (step % STEP_COUNT) {
        case STEP_FRAME:
        case STEP_ACK:
            step_input(s, &r, step % STEP_COUNT == STEP_ACK);
            break;
        case STEP_POP:
            step_pop(s);
            break;
        case STEP_SEND:
            n = stream_send(s, bytes, read_u16(&r));
            assert(n <= 0);
            break;
        case STEP_NEXT:
            n = stream_next_frame(s, buf, read_u16(&r) % (sizeof(buf) + 1), now);
            assert(n <= (int)sizeof(buf));
            break;
        case STEP_MAKE_ACK:
            n = stream_make_ack(s, buf, sizeof(buf));
            assert(n == STREAM_ACK_LEN && !stream_ack_pending(s));
            break;
        default:
            stream_reset(s);
            break;
        }
        now += 50 * MSEC;
        assert(stream_next_expiry(s) > 0);
    }
    stream_free(s);
    return 0;
}
