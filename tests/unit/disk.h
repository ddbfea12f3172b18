/* tests/unit/disk.h - a disk that fails: every call that changes files below a folder is counted, may fail or be the
 * last one of its process, and is recorded, so that afterwards the files can be made as a power cut would leave them.
 *
 * The program's own open, write, fsync and so on stand before those of libc, for libraries too. What is written through
 * a mapping is not seen: the stores tested here map for reading only. */
#pragma once

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_fault {
    DISK_FINE = 0,
    DISK_EIO,         /* this call fails */
    DISK_EIO_ON,      /* this call and all later ones */
    DISK_ENOSPC,      /* this call fails */
    DISK_FULL,        /* from this call on: writes of it are cut to half, all later ones fail */
    DISK_SHORT,       /* a write of half its bytes */
    DISK_KILL_BEFORE, /* the process ends before the call */
    DISK_KILL_TORN,   /* in the middle of it: half of a write is done */
    DISK_KILL_AFTER,
    DISK_FAULT_COUNT,
};

/* What a power cut keeps of what was not made durable. */
enum disk_cut {
    DISK_CUT_ALL, /* everything that was called for */
    DISK_CUT_NONE,
    DISK_CUT_SECTORS, /* each sector of 512 bytes by chance */
    DISK_CUT_WRITES,  /* each write by chance */
    DISK_CUT_LATE,    /* the later half of the writes */
    DISK_CUT_COUNT,
};

/* Before anything else, once: what is below folder is watched, in this process and its children. False: no memory. */
bool disk_init(const char *folder);
/* Forgets what was recorded; the files as they are now are durable. The next calls are counted from 0. */
void disk_begin(void);
/* The call that is to fail, counted from disk_begin; those before are as they should be. */
void disk_fault_at(uint32_t call, enum disk_fault fault);
uint32_t disk_calls(void);
/* Notes that so much was acknowledged by now. */
void disk_ack(uint32_t value);
/* Removes all files of the folder. */
void disk_wipe(void);
/* Makes the files as a power cut in call `at` leaves them; returns what was acknowledged before that call began. */
uint32_t disk_power_cut(uint32_t at, enum disk_cut cut, struct prng *p);
