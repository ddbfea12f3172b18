/* tests/lab/lab.h - what the programs of this folder share. */
#pragma once

#include "base/addr.h"
#include "tests/unit/test.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS 5000 /* how long a condition may take; reached by failures only */

/* Runs a command of ours in the shell; it must succeed. */
static inline void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static inline bool wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, WAIT_MS) == 1;
}

/* An endpoint from text; port 9 when it names none. */
static inline struct endpoint ep(const char *text)
{
    struct endpoint e;

    assert_int_equal(endpoint_parse(text, 9, &e), 0);
    return e;
}

/* Moves this process into a network namespace of its own, brings its loopback up and runs `setup` there (a shell's
 * words; NULL: nothing more). 0; else it needs root, network namespaces or what setup calls. */
static inline int enter_namespace(const char *setup)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
        return -1;
    return setup ? system(setup) : 0;
}
