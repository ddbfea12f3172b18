/* prog/bird_config.h - the configuration of BIRD 2 beside a gateway. */
#pragma once

#include "prog/dmux_config.h"

/* Writes it into t. 0, or -EINVAL: the file has no [Bgp] or no [Neighbor]. */
int bird_config_write(const struct dmux_config *c, struct text *t);
