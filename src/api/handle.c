/* api/handle.c - what protects handles from misuse: closed ones, children after fork, a helper thread. */
#include "api/handle.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#define CLOSED_KEPT 64 /* chosen: handles of some 500 bytes */

/* Handles that were closed last, so that a call with one of them is an error and no use of memory that is another's.
 * The one thing beside known.c and paths.c that sessions of a process share; nothing depends on it. */
static struct hws_session *_Atomic closed[CLOSED_KEPT];
static atomic_uint closed_next;

void handle_bury(struct hws_session *s)
{
    identity_wipe(&s->identity);
    memset(s, 0, sizeof(*s));
    s->kind = KIND_CLOSED;
    s->owner = getpid();
    free(atomic_exchange(&closed[atomic_fetch_add(&closed_next, 1) % CLOSED_KEPT], s));
}

int handle_usable(const struct hws_session *s)
{
    if (!s)
        return 0; /* each call has its own word for that */
    if (s->kind == KIND_CLOSED)
        return -EBADF;
    return s->owner == getpid() ? 0 : -ECHILD;
}

struct engine *handle_hold(const struct hws_session *s)
{
    struct engine *e = s && s->flags & HWS_THREAD ? s->engine : NULL;

    engine_lock(e);
    return e;
}

void handle_let_go(struct engine **e)
{
    engine_unlock(*e);
}
