/* prog/dmux_config_check.h - whether the sections of a file of hawser-dmuxd go together.
 *
 * Internal to dmux_config.c, which reads them, and dmux_config_check.c. */
#pragma once

#include "prog/dmux_config.h"
#include "prog/ini_file.h"

enum dmux_section {
    GATEWAY = 1,
    PROVIDER,
    AUTHORITY,
    MESH,
    SEED,
    FEDERATION,
    BORDER,
    BGP,
    NEIGHBOR,
    OSPF,
    ROUTER,
    ADMIT,
    CLIENT,
    CREDENTIAL
};

/* The state of one parse. */
struct dmux_parse {
    struct ini ini;
    struct dmux_config *c;
    unsigned chain_line, managers_line, root_managers_line; /* 0: not there */
};

static inline struct dmux_parse *dmux_parse_of(struct ini *f)
{
    return CONTAINER_OF(f, struct dmux_parse, ini);
}

/* Of a file without errors: what is wrong of the whole, as errors; then what is made of several sections (members and
 * realms of [Admit], borders, who the gateway is to managers) is right. */
void dmux_config_check(struct dmux_parse *p);
