/* dmux/tx.h - a datagram that a machine of this floor has written into its caller's buffer: how long, and to whom. */
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct dmux_tx {
    size_t len;
    struct endpoint to;
    bool from_service; /* a gateway's source address: the service's, or its own */
};
