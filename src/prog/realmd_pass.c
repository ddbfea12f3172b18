/* prog/realmd_pass.c - what members say of themselves, passed on to the manager that is followed.
 *
 * Theory of operation. A member may speak to any manager of its realm; the one that is followed has the table, the
 * store and the log. Whether who speaks may say all that he says is decided here, by the realm's own log, since the
 * other takes it as from the realm's key, which may speak for everybody (manager_passes_on). Records are verified
 * there. The answer goes back as it is, when it is durable there.
 *
 * Limits: PASSED_MAX under way; who is beyond is told to say it later. */
#include <errno.h>

#include "base/list.h"
#include "prog/realmd.h"
#include "sys/clock.h"

#define PASSED_MAX 4096 /* chosen: 500 KB */

struct passed {
    struct upstream up;
    struct exchange_asked asked;
};

void pass_init(struct realmd *d)
{
    list_init(&d->passed);
}

static void end(struct realmd *d, struct passed *p)
{
    list_remove(&p->up.link);
    d->passed_count--;
    free(p);
}

void pass_lost(struct realmd *d)
{
    LIST_FOREACH_SAFE (p, &d->passed, struct passed, up.link)
        end(d, p);
}

bool pass_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now)
{
    struct passed *p;
    uint64_t request;

    if (!d->followed || !manager_passes_on(d->manager, who, e->data, e->len, now, clock_wall_s()))
        return false;
    p = d->passed_count < PASSED_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        return false; /* the manager says later, or which items are not his */
    p->asked = e->asked;
    p->up.passed = true;
    list_append(&d->passed, &p->up.link);
    d->passed_count++;
    if (exchange_request(d->exchange, d->followed, e->data, e->len, &p->up, now, &request) == 0)
        return true;
    end(d, p);
    return false;
}

void pass_on_result(struct realmd *d, const struct exchange_event *e, instant now)
{
    struct passed *p = CONTAINER_OF(e->context, struct passed, up);

    if (e->type == EXCHANGE_ANSWER) /* else who asked asks again */
        realmd_answer(d, &p->asked, e->data, e->len, now);
    end(d, p);
}
