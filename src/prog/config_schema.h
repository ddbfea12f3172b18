/* prog/config_schema.h - the table behind prog/config.h: what may stand in a file, and how each value is read.
 *
 * Internal to config.c and config_schema.c. */
#pragma once

#include "prog/config.h"
#include "prog/ini_file.h"

enum config_section { CONFIG_INTERFACE = 1, CONFIG_LINK, CONFIG_PEER, CONFIG_NAMES, CONFIG_DNS };
enum config_roles { /* bits: whose key it is */
                    CONFIG_OF_NODE = 1,
                    CONFIG_OF_AGENT = 2,
                    CONFIG_OF_HOST = 4,
                    CONFIG_OF_ALL = 7,
};

struct config_field;

/* A prefix that one peer or this machine claims. */
struct config_claim {
    struct prefix prefix;
    unsigned line;
};

/* A key that was used, for checks that need the whole file. */
struct config_use {
    const struct config_field *field;
    unsigned line;
};

/* The state of one parse. */
struct config_parse {
    struct ini ini;
    struct config *config;
    struct config_use *uses;
    size_t uses_count;
    struct config_claim *claims;
    size_t claims_count;
    int mode;                             /* of `Mode =` */
    unsigned rule_lines[STEER_RULES_MAX]; /* line of each rule of config->steer */
    unsigned default_line;                /* of the rule for default, or 0 */
};

struct config_field {
    enum config_section section;
    const char *key;
    const struct config_type *type;
    size_t offset;        /* in struct config, config_link or config_peer; [Names] and [Dns]: in struct config */
    const char *fallback; /* or NULL */
    const char *help;
    int64_t min, max; /* numbers; for durations in us; for text the most characters */
    const char *unit;
    const char *const *choices; /* of an enum, in its order; ends in NULL */
    enum config_roles roles;
    bool multiple, required;
};

struct config_type {
    const char *name;
    /* Reads value into out or calls ini_expected. */
    void (*read)(struct config_parse *p, const struct config_field *f, const char *value, void *out);
    bool secret; /* the value is never shown */
};

extern const struct config_field config_schema[];
extern const size_t config_schema_count;

/* Appends a zeroed item to an array and returns it; NULL, told as an error, when it is full or memory is out. */
void *config_grow(struct config_parse *p, void *items_ptr, size_t *count, size_t item_size, size_t max);
bool config_ifname_valid(const char *s);
