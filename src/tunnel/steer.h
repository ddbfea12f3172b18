/* tunnel/steer.h - the flow table: which path, in which mode, a packet of a flow takes (UM3N).
 *
 * A rule matches by destination prefix, protocol, ports, DSCP and firewall mark. Of the rules that match, the one with
 * the longest prefix is taken; among those the one that states more fields; then the one that covers fewer ports; then
 * the one that comes first. No rule: the table's default. The home agent holds the same table and asks it `mirrored`:
 * the rule's destination is held against the packet's source, its ports against the source port.
 *
 * The mark exists on the node only: mirrored look-ups pass over rules with a mark, and they are not sent to the agent.
 *
 * Text form, as in the configuration file (steer_text.c; the rest of this contract is steer.c):
 *   PREFIX|any [tcp|udp|sctp [PORTS] | icmp | icmpv6 | ... | proto N] [dscp EF] [mark 0x10[/0xff]]
 *     [via LINK,LINK] [mode MODE] [class CLASS]
 *   default [via LINK,LINK] [mode MODE] [class CLASS]
 * PORTS: 80,443,8000-8080. Without a mode: stripe; without links: all; without a class: auto. */
#pragma once

#include "base/addr.h"
#include "tunnel/packet.h"
#include "wire/cursor.h"

#define STEER_RULES_MAX 256
#define STEER_LINKS_MAX 8
#define STEER_LINK_NAMELEN 16 /* with its NUL: IFNAMSIZ */
#define STEER_PORTS_MAX 8     /* chosen: ranges in one rule */
#define STEER_DSCP_ANY 255
#define STEER_DEFAULT (-1)   /* the outcome of a look-up that no rule matched */
#define STEER_TEXT_MAX 512   /* bytes: the longest text form and its NUL */
#define STEER_ERROR_MAX 256  /* bytes: enough for any message of steer_rule_parse; a longer one is cut off */
#define STEER_WIRE_MAX 47241 /* bytes: the longest encoded table: 6 + 131 (action) + 256 * (53 + 131) */
#define STEER_SMALL_UDP 256  /* bytes, IP and all: chosen: above 20 ms of G.711 in RTP over IPv6 (220) */

enum steer_mode {
    STEER_ACTIVE_STANDBY, /* the first usable link, the next when it fails */
    STEER_SMALLEST_DELAY,
    STEER_LOAD_BALANCE, /* whole flows spread over the links */
    STEER_PRIORITY,     /* the first link, overflow to the next when it is congested */
    STEER_REDUNDANT,    /* each packet on every link */
    STEER_STRIPE,       /* one flow over all links at once */
    STEER_BYPASS,       /* never through the tunnel */
    STEER_BLOCK,
    STEER_SPLIT,     /* TCP: ended here, its bytes over all links at once, and one plain connection at the agent; else
                        stripe */
    STEER_MODE_AUTO, /* as split where that is ahead of stripe by what is measured when a connection begins; else stripe
                      */
    STEER_MODE_COUNT
};

enum steer_class { STEER_AUTO, STEER_INTERACTIVE, STEER_BULK, STEER_CLASS_COUNT };

struct steer_action {
    uint8_t mode;                                    /* enum steer_mode */
    uint8_t klass;                                   /* enum steer_class */
    uint8_t links_count;                             /* 0: all links */
    char links[STEER_LINKS_MAX][STEER_LINK_NAMELEN]; /* in order of preference, NUL-padded */
};

struct steer_ports {
    uint16_t first, last;
};

struct steer_rule {
    struct prefix dst;   /* family ADDR_NONE: any destination of either family */
    uint8_t proto;       /* 0: any */
    uint8_t dscp;        /* or STEER_DSCP_ANY */
    uint8_t ports_count; /* 0: any; else proto is TCP, UDP or SCTP */
    struct steer_ports ports[STEER_PORTS_MAX];
    uint32_t mark, mark_mask; /* mask 0: any */
    struct steer_action action;
};

/* Made by steer_table_compile: rule numbers grouped by prefix, best first in each group, and a hash of the groups. */
#define STEER_SLOTS 1024 /* a power of two, at least 4 per rule: probes stay short */
struct steer_index {
    uint16_t order[STEER_RULES_MAX];
    uint16_t slots[STEER_SLOTS]; /* 0: free, else 1 + the place in order where a group starts */
    uint16_t any_start;          /* the place in order where the group of any destination starts, or its end */
    uint8_t lens[2][129];        /* prefix lengths in use for IPv4 and IPv6, longest first */
    uint8_t lens_count[2];
};

struct steer_table {
    uint32_t version;
    size_t count;
    struct steer_rule rules[STEER_RULES_MAX];
    struct steer_action fallback; /* the default */
    bool has_default;             /* the default was stated, not assumed */
    struct steer_index index;
};

/* Empty; the default is to stripe over all links, class auto. */
void steer_table_init(struct steer_table *t);
/* Must follow any change of the rules before the next look-up (steer_table_decode does it itself). */
void steer_table_compile(struct steer_table *t);
/* Appends a rule. 0, -ENOSPC (full), -EEXIST (a rule with the same match is there; *ret_other is its number),
 * -EINVAL (not steer_rule_valid). */
int steer_table_add(struct steer_table *t, const struct steer_rule *rule, size_t *ret_other);
/* The number of the rule that decides, or STEER_DEFAULT. The table must be compiled. */
int steer_lookup(const struct steer_table *t, const struct packet_info *info, uint32_t mark, bool mirrored);
/* The action of an outcome of steer_lookup. */
const struct steer_action *steer_action_of(const struct steer_table *t, int rule);
/* STEER_INTERACTIVE or STEER_BULK: the action's class, or for STEER_AUTO what the packet looks like. */
enum steer_class steer_classify(const struct steer_action *action, const struct packet_info *info);

const char *steer_mode_name(enum steer_mode mode);
/* TCP connections of the mode may be ended at the node. */
static inline bool steer_mode_splits(enum steer_mode mode)
{
    return mode == STEER_SPLIT || mode == STEER_MODE_AUTO;
}
const char *steer_class_name(enum steer_class klass);

/* 0: a rule; 1: the default (only ret->action is of use). -EINVAL, with what was found and what was expected in err. */
int steer_rule_parse(const char *text, struct steer_rule *ret, char *err, size_t err_size);
/* The shortest text that parses to the same rule. is_default: only the action counts. Returns buf. */
char *steer_rule_format(const struct steer_rule *rule, bool is_default, char buf[STEER_TEXT_MAX]);
/* Parses and appends a rule or sets the default. 0, or negative with a message in err (STEER_ERROR_MAX). */
int steer_table_add_text(struct steer_table *t, const char *text, char *err, size_t err_size);

/* Version, count, default, rules without a mark. A writer of STEER_WIRE_MAX bytes never fails. */
void steer_table_encode(const struct steer_table *t, struct writer *w);
/* Reads one table and compiles it; what follows it is the caller's (reader_done). 0 or -EBADMSG, and then *ret is as it
 * was. */
int steer_table_decode(struct reader *r, struct steer_table *ret);

/* 1..15 printable bytes other than space , / : and neither "." nor "..". */
bool steer_link_name_valid(const char *name);
/* TCP, UDP, SCTP: may a rule for this protocol state ports? */
bool steer_proto_has_ports(uint8_t proto);
/* Every field in its range, and nothing that the text form could not state. */
bool steer_rule_valid(const struct steer_rule *rule);
