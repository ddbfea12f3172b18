/* prog/watchdog.h - a process of its own that takes a device down while this one hangs.
 *
 * The kernel removes the device of a process that died; one that lives and does nothing would go on attracting packets.
 * Up again when it goes on. */
#pragma once

#include "base/instant.h"

#define WATCHDOG_BEAT (50 * MSEC)   /* chosen: several to a limit, so that a busy machine's delays are none */
#define WATCHDOG_LIMIT (350 * MSEC) /* chosen: with what BGP takes, below half a second */

/* Starts it for the device of that name, which may come later. A descriptor to beat, that the caller closes to end it
 * (its own end does, too); or -errno. Before any descriptor that must not be held open by two. */
int watchdog_start(const char *device);
/* At least once in WATCHDOG_BEAT. */
void watchdog_beat(int fd);
