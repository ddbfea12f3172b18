/* sys/thread.h - threads beside a program's first one. */
#pragma once

#include "base/base.h"

#include <pthread.h>

/* One that no signal comes to: they are for the thread that began it. 0 or -errno. */
MUST_CHECK int thread_begin(pthread_t *ret, void *(*run)(void *), void *arg);
