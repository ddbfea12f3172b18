/* session/exchange.c - see exchange.h: names of faults and drops. */
#include "session/exchange.h"

const char *exchange_fault_name(enum exchange_fault f)
{
    static const char *const names[EXCHANGE_FAULT_COUNT] = { "none", "nobody", "silent", "key", "no-peer" };

    return f < EXCHANGE_FAULT_COUNT ? names[f] : "?";
}

const char *exchange_drop_name(enum exchange_drop d)
{
    static const char *const names[EXCHANGE_DROP_COUNT] = { "short",     "version", "mac1",   "cookie",
                                                            "handshake", "load",    "full",   "hello",
                                                            "unknown",   "replay",  "forged", "malformed",
                                                            "unproven",  "join",    "late",   "output" };

    return d < EXCHANGE_DROP_COUNT ? names[d] : "?";
}
