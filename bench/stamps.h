/* bench/stamps.h - what bench/dmux-stamps.c writes into a packet on its way, and bench/dmux-latency.c reads.
 *
 * Behind the IPv4 header of 20 bytes and the UDP header: u32 STAMPS_MAGIC | u32 number | u64 sent | u64 in hand | u64
 * made. Host byte order; ns of CLOCK_REALTIME, which is what the kernel stamps captured packets with. */
#pragma once

#include <stdint.h>
#include <time.h>

#define STAMPS_MAGIC 0x7354614d
#define STAMPS_AT 28 /* bytes from the packet's begin */

struct stamps {
    uint32_t magic, number;
    uint64_t sent, in_hand, made;
};

static inline uint64_t stamps_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
