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

#define DMUX_NAMED_MAX                                                                                                 \
    (DMUX_PROVIDERS_MAX + DMUX_AUTHORITIES_MAX + MESH_SEEDS_MAX + FEDERATION_REALMS_MAX + FEDERATION_BORDERS_MAX +     \
     DMUX_NEIGHBORS_MAX + DMUX_ADMITS_MAX + DMUX_CREDENTIALS_MAX)

/* A section that has a name, and where it begins. */
struct dmux_named {
    enum dmux_section section;
    unsigned line;
    char name[DMUX_NAME_MAX + 1];
};

/* The state of one parse. */
struct dmux_parse {
    struct ini ini;
    struct dmux_config *c;
    unsigned lines[INI_KEYS_MAX]; /* of each row of the schema, where it stands last; 0: nowhere */
    /* In the file's order, which for one kind is that of the configuration's arrays. */
    struct dmux_named named[DMUX_NAMED_MAX];
    size_t named_count;
};

static inline struct dmux_parse *dmux_parse_of(struct ini *f)
{
    return CONTAINER_OF(f, struct dmux_parse, ini);
}

/* Of a file without errors: what is wrong of the whole, as errors; then what is made of several sections (members and
 * realms of [Admit], borders, who the gateway is to managers) is right. */
void dmux_config_check(struct dmux_parse *p);
