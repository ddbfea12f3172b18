/* prog/watchdog.h - a process of its own that takes a device down while this one hangs.
 *
 * The kernel removes the device of a process that died; one that lives and does nothing would go on attracting packets.
 * Up again when it goes on. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#include <sys/types.h>

#define WATCHDOG_BEAT (50 * MSEC)   /* chosen: several to a limit, so that a busy machine's delays are none */
#define WATCHDOG_LIMIT (350 * MSEC) /* chosen: with what BGP takes, below half a second */

struct watchdog {
    int fd; /* -1: none */
    pid_t pid;
};

/* Starts it for the device of that name, which may come later. `again`: one that died may have left the device down; it
 * is brought up. The caller ends it; its own end does, too. 0 or -errno: there is none. */
MUST_CHECK int watchdog_start(struct watchdog *w, const char *device, bool again);
/* At least once in WATCHDOG_BEAT. 0; -EPIPE: it has died, and nobody watches any more. */
MUST_CHECK int watchdog_beat(struct watchdog *w);
void watchdog_end(struct watchdog *w);
