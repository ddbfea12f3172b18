/* sys/clock.h - what the cores are given: time and randomness. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"

/* Microseconds of CLOCK_BOOTTIME, which also counts while the machine sleeps. Never fails. */
instant clock_now(void);
/* Seconds since 1970 by the wall clock, for signed records alone; 0 when it was never set (before 2020). */
uint64_t clock_wall_s(void);
/* The kernel's random numbers (getrandom). Safe for keys. */
struct rng sys_rng(void);
