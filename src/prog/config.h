/* prog/config.h - the configuration of one side: one INI file, read all or not at all.
 *
 * A file has one [Interface] section (this machine), any number of [Link NAME] sections (uplinks) and [Peer NAME]
 * sections (the other side), and perhaps [Names] (whose names are believed) and [Dns] (who is told of them). The schema
 * is one table (config_schema_at), used for parsing, defaults and help. Every error is one line: `file:line: found X,
 * expected Y (did you mean Z?)`; all of them are told, not only the first. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/text.h"
#include "ident/keys.h"
#include "ident/tag.h"
#include "tunnel/steer.h"

#define CONFIG_LINKS_MAX 32
#define CONFIG_PEERS_MAX 4096
#define CONFIG_RELAY_MAX 8   /* managers */
#define CONFIG_LIST_MAX 1024 /* items of one list */
#define CONFIG_PEER_NAME_MAX 31
#define CONFIG_SOCKET_PATH_MAX 107 /* unix(7): sun_path and its NUL */
#define CONFIG_IFNAME_SIZE 16      /* IFNAMSIZ */
#define CONFIG_PSK_BYTES 32
#define CONFIG_TCP_PORT 443     /* chosen: what is open where UDP is not */
#define CONFIG_REALM_PORT 51823 /* of realm managers, beside it */
#define CONFIG_DNS_PORT 53      /* RFC 1035 section 4.2 */
#define CONFIG_PORT 51820       /* chosen: the port that people open already for a tunnel of this kind */

enum config_role { CONFIG_NODE, CONFIG_AGENT, CONFIG_HOST };
enum config_tier { CONFIG_PRIMARY, CONFIG_SECONDARY, CONFIG_BACKUP, CONFIG_NEVER, CONFIG_TIER_COUNT };
enum config_routes { CONFIG_ROUTES_AUTO, CONFIG_ROUTES_NONE, CONFIG_ROUTES_LIST };
enum config_ipv6 { CONFIG_IPV6_TUNNEL, CONFIG_IPV6_BLOCK, CONFIG_IPV6_DIRECT };
enum config_tcp { CONFIG_TCP_AUTO, CONFIG_TCP_NO, CONFIG_TCP_ONLY };
enum config_loss { CONFIG_LOSS_BLOCK, CONFIG_LOSS_DIRECT };
enum config_port_mapping { CONFIG_PORT_MAPPING_NO, CONFIG_PORT_MAPPING_YES, CONFIG_PORT_MAPPING_NATPMP };
enum config_answer { CONFIG_ANSWER_AGENT, CONFIG_ANSWER_COARSE, CONFIG_ANSWER_FULL }; /* CLASS_AGENT and above */
enum config_wifi { CONFIG_WIFI_AUTO, CONFIG_WIFI_FILE, CONFIG_WIFI_OFF };

enum config_offload {                          /* bits */
                      CONFIG_OFFLOAD_CSUM = 1, /* TUN checksums */
                      CONFIG_OFFLOAD_TSO = 2,  /* TUN TCP super-packets */
                      CONFIG_OFFLOAD_USO = 4,  /* TUN UDP super-packets */
                      CONFIG_OFFLOAD_GSO = 8,  /* UDP_SEGMENT */
                      CONFIG_OFFLOAD_GRO = 16, /* UDP_GRO */
                      CONFIG_OFFLOAD_ALL = 31,
};

/* An own address in its subnet: host bits are kept, unlike in a struct prefix. */
struct config_address {
    struct addr addr;
    uint8_t len;
};

struct config_endpoint {
    struct endpoint at; /* at.addr.family is ADDR_NONE for a host name; at.port is set either way */
    char *name;         /* host name to resolve, or NULL */
};

struct config_addresses {
    struct config_address *items;
    size_t count;
};

struct config_prefixes {
    struct prefix *items;
    size_t count;
};

struct config_endpoints {
    struct config_endpoint *items;
    size_t count;
};

struct config_link {
    char name[CONFIG_IFNAME_SIZE];
    unsigned line;
    int tier; /* enum config_tier */
    int64_t weight;
    uint64_t rate_up_bps; /* ceiling for sending, 0: none */
    int metered;          /* 1: bytes cost, and an idle path is not measured */
    struct config_signal {
        int source; /* enum config_wifi */
        char *file; /* CONFIG_WIFI_FILE: holds one number, dBm */
    } wifi;
    int64_t signal_low_dbm, signal_high_dbm;
    int tcp;       /* enum config_tcp */
    int64_t ports; /* source ports, each a path of its own */
};

struct config_peer {
    char name[CONFIG_PEER_NAME_MAX + 1];
    unsigned line, key_line; /* of the section and of its PublicKey */
    struct peer_key key;
    uint8_t psk[CONFIG_PSK_BYTES]; /* all zero: none */
    struct config_endpoints endpoints;
    struct config_endpoints anycast;         /* node: at most one, an IPv4 address: the nearest agent is asked for */
    struct tag identifier;                   /* host; all zero: that of the key outside of realms */
    int64_t tcp_port;                        /* node: of the agent, -1: none */
    struct config_prefixes addresses;        /* agent: the node's; none: from the pool */
    struct config_prefixes allowed_prefixes; /* agent: further networks behind the node */
    struct config_prefixes allowed_destinations; /* agent: what the node may reach; none: anything */
};

/* Everything is owned by the struct; config_free wipes the keys. */
struct config_keys {
    struct peer_key keys[CONFIG_RELAY_MAX];
    size_t count;
};

struct config {
    char name[CONFIG_IFNAME_SIZE]; /* of the TUN device */
    int role;                      /* enum config_role */
    struct identity identity;
    bool has_identity;      /* false after config_parse of a file that names a PrivateKeyFile */
    char *private_key_file; /* or NULL */
    unsigned private_key_file_line;
    int64_t listen_port;          /* 0 for a node: any */
    struct config_keys relay_for; /* agent: managers of realms whose hosts it relays for */
    int64_t listen_tcp;           /* agent: 0: CONFIG_TCP_PORT if it is free, -1: none */
    int64_t workers;              /* agent: 0: as many as there are processors and peers */
    struct config_addresses addresses;
    int64_t mtu;
    struct config_route_set {
        int mode; /* enum config_routes */
        struct config_prefixes list;
    } routes;
    struct steer_table steer; /* compiled; its default has the mode of `Mode =` */
    struct config_nat {
        bool enabled;
        char interface[CONFIG_IFNAME_SIZE]; /* empty: any that leads out */
    } nat;
    struct config_endpoints announce;
    char *state_dir;
    char *control;     /* path of the control socket */
    span wait;         /* how long a session without a path is kept */
    int ipv6;          /* enum config_ipv6 */
    int on_agent_loss; /* enum config_loss */
    unsigned offload;  /* bits of enum config_offload */
    int copy_dscp;     /* 1 or 0 */
    int port_mapping;  /* enum config_port_mapping: host */

    struct config_link *links; /* none: every usable interface */
    size_t links_count;
    struct config_peer *peers;
    size_t peers_count;

    struct config_names {
        char *root, *chain;               /* files, or NULL; root: names are looked up */
        struct config_endpoints managers; /* of the root; all are addresses */
        int answer;                       /* enum config_answer: host: who may know where it is */
    } names;
    struct config_endpoints dns_listen; /* all are addresses */
};

/* Reads a file held in memory; opens nothing. file_name is used in messages only. 0 and *ret, -EINVAL with lines in
 * errors, or -ENOMEM. Warnings go to errors too (`file:line: warning: ...`) and do not fail. */
int config_parse(const char *file_name, const char *data, size_t len, struct text *errors, struct config **ret);
/* Reads the file and the PrivateKeyFile that it names, which nobody but its owner may read. A relative PrivateKeyFile,
 * Root or Chain is taken from the folder of the file. As above; a file that cannot be read is -EINVAL with a line. */
int config_load(const char *path, struct text *errors, struct config **ret);
/* Accepts NULL. */
void config_free(struct config *c);

/* NULL when there is no such section. */
const struct config_link *config_link_find(const struct config *c, const char *name);

const char *config_role_name(enum config_role r);
const char *config_tier_name(enum config_tier t);
/* 0 or -EINVAL. */
int config_tier_parse(const char *s, enum config_tier *ret);

/* One row of the schema, for help and for tests of the manual. */
struct config_key {
    const char *section, *key, *type, *help;
    const char *fallback, *unit; /* or NULL */
    char range[48];              /* empty: none */
    bool multiple;
};

/* False past the last row. */
bool config_schema_at(size_t i, struct config_key *ret);
