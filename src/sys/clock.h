/* sys/clock.h - the two things that the cores are given: time and randomness. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"

/* Microseconds of CLOCK_BOOTTIME, which also counts while the machine sleeps. Never fails. */
instant clock_now(void);
/* The kernel's random numbers (getrandom). Safe for keys. */
struct rng sys_rng(void);
