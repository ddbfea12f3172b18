/* bpf/rate.h - what bench/dmux-rate.c and its programs in the kernel share. */
#pragma once

#include <linux/types.h>

#define RATE_FRAME 212 /* bytes: Ethernet 14, IPv4 20, UDP 8, shim with a cookie 20, packet 150 */
#define RATE_CONTROL 0x80

struct rate_job {
    __u32 interface; /* where frames go */
    __u16 port;      /* network order: of datagrams that are counted */
    __u8 frame[RATE_FRAME];
};
