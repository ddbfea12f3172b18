/* prog/realmd_refused.c - what was refused, for the log: a line for all causes, once a minute at most.
 *
 * Whoever may ask may have something refused as often as he likes. The counters have each (hawser realm status,
 * metrics); the log has a line with what came since the one before it. */
#include "prog/realmd_refused.h"

#include "base/text.h"

#include <inttypes.h>

#define LOOK_AGAIN (1 * SEC) /* chosen: the counters are not copied in each turn */

bool refusals_due(const struct refusals *r, instant now)
{
    return now >= r->next;
}

bool refusals_tell(struct refusals *r, const uint64_t refused[RECORD_FAULT_COUNT], instant now, char out[REFUSALS_LINE])
{
    struct text t;
    bool any = false;

    text_init(&t, out, REFUSALS_LINE);
    for (unsigned i = 1; i < RECORD_FAULT_COUNT; i++) {
        if (refused[i] > r->told[i])
            text_add(&t, "%s%s=%" PRIu64, any ? " " : "", record_fault_name((enum record_fault)i),
                     refused[i] - r->told[i]);
        any = any || refused[i] > r->told[i];
        r->told[i] = refused[i];
    }
    r->next = now + (any ? REFUSALS_EACH : LOOK_AGAIN);
    return any;
}
