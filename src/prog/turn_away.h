/* prog/turn_away.h - closes a connection that there is no memory for.
 *
 * libuv listens no more until what it has told of was accepted: so who comes when there is no memory is accepted by a
 * handle that is there for this, and closed. */
#pragma once

#include "base/base.h"

#include <uv.h>

struct turn_away {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    uv_stream_t *listener;
    uv_connection_cb on_connection;
    void (*gone)(uv_stream_t *listener);
    bool busy, more; /* busy: until gone is called; more: somebody else waits for it */
};

/* t: zeros, or of the same listener (TCP or pipe), whose on_connection says that there is somebody, and is called again
 * for who comes while t is busy. Before t->busy has ended, which gone tells, t must stay. */
void turn_away(struct turn_away *t, uv_stream_t *listener, uv_connection_cb on_connection,
               void (*gone)(uv_stream_t *listener));
