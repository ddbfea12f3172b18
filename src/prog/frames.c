/* prog/frames.c - see frames.h. A frame is parsed where it was read, and written where it is sent from. */
#include "prog/frames.h"

#include <assert.h>
#include <errno.h>

int frames_pop(struct frames *f, struct files_message *ret)
{
    for (;;) {
        struct reader r = reader_init(f->in + f->in_from, f->in_to - f->in_from);
        int got = files_read(&r, ret);
        ssize_t n;

        f->in_from = (size_t)(r.at - f->in);
        if (got <= 0)
            return got == 0 ? FRAMES_MESSAGE : got;
        memmove(f->in, f->in + f->in_from, f->in_to - f->in_from);
        f->in_to -= f->in_from;
        f->in_from = 0;
        n = hws_session_read(f->session, f->in + f->in_to, sizeof(f->in) - f->in_to);
        if (n <= 0)
            return n == -EAGAIN ? FRAMES_NONE : n == 0 ? (f->in_to > 0 ? -EPROTO : FRAMES_ENDED) : (int)n;
        f->in_to += (size_t)n;
    }
}

bool frames_room(const struct frames *f)
{
    return f->out_to == 0;
}

void frames_push(struct frames *f, const struct files_message *m)
{
    struct writer w = writer_init(f->out + f->out_to, sizeof(f->out) - f->out_to);

    files_write(&w, m);
    assert(!w.failed);
    f->out_to += writer_len(&w);
}

uint8_t *frames_data(struct frames *f)
{
    return f->out + f->out_to + FILES_HEADER_LEN;
}

void frames_push_data(struct frames *f, size_t len)
{
    struct writer w = writer_init(f->out + f->out_to, FILES_HEADER_LEN);

    files_write_header(&w, FILES_DATA, len);
    f->out_to += FILES_HEADER_LEN + len;
}

int frames_flush(struct frames *f)
{
    while (f->out_from < f->out_to) {
        ssize_t n = hws_session_write(f->session, f->out + f->out_from, f->out_to - f->out_from);

        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        f->out_from += (size_t)n;
    }
    f->out_from = f->out_to = 0;
    return 0;
}
