/* prog/offload.h - the offload header of a TUN device, as sys/tun.h and tunnel/segment.h have it. */
#pragma once

#include "sys/tun.h"
#include "tunnel/merge.h"

struct offload offload_of_meta(const struct tun_meta *meta);
/* Writes what merge gave: as tun_write. */
int offload_write(struct tun *t, const struct merged *packet);
/* What merge may give to this device. */
unsigned offload_merge_options(const struct tun *t);
