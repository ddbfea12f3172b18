/* session/feedback.c - what an application says of what it gets, and what follows for the choice of paths.
 *
 * Theory of operation. What paths measure is not what an application feels: it has buffers, deadlines and codecs of its
 * own (Habib, Christin, Chuang: the application's own measurements are the last word on its paths). So it may say of
 * what it receives, or sends, that it is good enough, too slow or too late. The end that sends acts on it; of what is
 * received it is told by a message, once a second at most while nothing changes.
 *
 * Each complaint is a step, one in a second at most, so that an application may complain of each frame:
 *
 *   +1 too late    the least delay comes before all other objectives
 *   +2             and then the least jitter
 *   +3             both with a quarter of their tolerances: the best path alone, unless it cannot carry what waits
 *   -1, -2 too slow   tolerances are four, sixteen times as wide
 *   -3             objectives count for nothing: all paths
 *
 * Half a minute without a complaint, in which the application says that it is good enough, is a step back; who says
 * nothing leaves it as it is. */
#include <errno.h>

#include "session/internal.h"

#define STEPS 3
#define STEP_SPAN (1 * SEC)  /* chosen: some round trips and frames, to see what the step before has done */
#define CALM_SPAN (30 * SEC) /* chosen: what was bad was so for a reason that lasts longer than a radio's fades */

static void take(struct session *s, enum feedback f, instant now)
{
    bool may_step = s->feedback.stepped_at == 0 || now - s->feedback.stepped_at >= STEP_SPAN;
    int step = s->feedback.step;

    if (f == FEEDBACK_GOOD) {
        if (step == 0 || now - s->feedback.stepped_at < CALM_SPAN)
            return;
        step += step > 0 ? -1 : 1;
    } else if (!may_step) {
        return;
    } else {
        step = f == FEEDBACK_LATE ? MIN(step + 1, STEPS) : MAX(step - 1, -STEPS);
    }
    s->feedback.step = step;
    s->feedback.stepped_at = now; /* of a complaint that changes nothing any more, too: it is not calm */
}

void session_feedback(struct session *s, enum feedback f, bool sending, instant now)
{
    const uint8_t msg[2] = { MESSAGE_FEEDBACK, (uint8_t)f };

    if (sending) {
        take(s, f, now);
    } else if (s->feedback.said_at == 0 || f != s->feedback.said || now - s->feedback.said_at >= STEP_SPAN) {
        if (session_send_message(s, msg, sizeof(msg), now) < 0)
            return; /* there will be another */
        s->feedback.said = (uint8_t)f;
        s->feedback.said_at = now;
    }
}

int feedback_on_message(struct session *s, struct reader *r, instant now)
{
    uint8_t f = read_u8(r);

    if (!reader_done(r) || !s->delivery)
        return -EPROTO;
    if (f < FEEDBACK_COUNT) /* a newer peer may know more */
        take(s, (enum feedback)f, now);
    return 0;
}
