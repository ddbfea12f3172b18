/* prog/bird_config.h - the configuration of BIRD 2 beside a gateway. */
#pragma once

#include "prog/dmux_config.h"

/* Writes it into t. 0, or -EINVAL: it is not of a gateway, has neither [Bgp] with [Neighbor] nor [Ospf], or t is too
 * short. */
int bird_config_write(const struct dmux_config *c, struct text *t);
