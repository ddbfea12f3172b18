/* prog/turn_away.c - see turn_away.h. */
#include "prog/turn_away.h"

static void on_closed(uv_handle_t *h)
{
    struct turn_away *t = h->data;
    uv_stream_t *listener = t->listener;
    uv_connection_cb on_connection = t->on_connection;
    bool again = t->more && !uv_is_closing((uv_handle_t *)listener);

    t->busy = t->more = false;
    t->gone(listener); /* with which t may be gone too, if the listener is closing */
    if (again)
        on_connection(listener, 0);
}

void turn_away(struct turn_away *t, uv_stream_t *listener, uv_connection_cb on_connection,
               void (*gone)(uv_stream_t *listener))
{
    t->more |= t->busy;
    if (t->busy)
        return;
    t->busy = true;
    t->listener = listener;
    t->on_connection = on_connection;
    t->gone = gone;
    if (listener->type == UV_TCP)
        uv_tcp_init(listener->loop, &t->handle.tcp);
    else
        uv_pipe_init(listener->loop, &t->handle.pipe, 0);
    t->handle.stream.data = t;
    (void)!uv_accept(listener, &t->handle.stream);
    uv_close((uv_handle_t *)&t->handle.stream, on_closed);
}
