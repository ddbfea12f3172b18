/* sys/notify.h - the service manager that started us: what it is told, and descriptors that it keeps for whoever comes
 * after (the protocol of sd_notify(3) and sd_listen_fds(3), which others speak beside systemd). */
#pragma once

#include "base/base.h"

/* Is there one that wants to be told (NOTIFY_SOCKET)? */
bool notify_wanted(void);
/* Tells it `state`, lines of NAME=VALUE, with a copy of descriptor fd if that is >= 0; the caller's stays his. 0;
 * -ENOTCONN: there is none; -EINVAL: its address is none; -errno. Never waits for long: the manager's queue is full
 * only while it hangs. */
MUST_CHECK int notify_send(const char *state, int fd);
/* Waits until it has read all that it was told: 0; -ETIMEDOUT after timeout_ms; otherwise as notify_send. */
MUST_CHECK int notify_wait(int timeout_ms);
/* A descriptor that it kept under `name` for this process, the first if there are several: the caller's, closed on
 * exec; -1: there is none. What it had kept beside is closed. For the beginning of a process: the environment that says
 * so is taken away, and the numbers would mean others later. */
int notify_take(const char *name);
