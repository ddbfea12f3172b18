/* api/paths.h - what is known of paths beyond one session: in this process, and on this machine while hawserd runs.
 *
 * A session has a scoreboard of its own (path/scoreboard.h). When it calls it takes in what others have left of the
 * ways to its peer, and now and then and when it ends it leaves what it has measured: in a scoreboard of this process,
 * behind a lock, and with hawserd, which tells the others of the same user (prog/known.c). */
#pragma once

#include "path/scoreboard.h"

#define PATHS_REMEMBER_SPAN (10 * SEC) /* how often, in this process; chosen: a few rows, as often as they change */

/* Waits for hawserd for 20 ms at most, if it runs. */
void paths_recall(struct scoreboard *b, const struct addr *remotes, size_t count, instant now);
/* ends: to hawserd, too, for which it waits as long. */
void paths_remember(const struct scoreboard *b, bool ends, instant now);
