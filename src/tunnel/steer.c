/* tunnel/steer.c - the flow table: compile, look up, wire form (steer_text.c has the text form).
 *
 * Theory of operation: compiling sorts the rule numbers by family, prefix length (longest first), prefix, and rank in
 * the group of one prefix. A hash gives the place where the group of a prefix starts; a look-up probes it once for each
 * prefix length in use, longest first, and walks the group until a rule matches. The group of any destination comes
 * last and serves both families. A flow cache stands before all this, so a look-up per packet is not expected.
 *
 * The hash is not keyed: a table comes from the owner of the node, and the worst that chosen prefixes can do is a walk
 * over 256 slots.
 *
 * Wire form, big-endian: u32 version, u16 count, action of the default, count rules.
 *   rule: u8 family (0, 4, 6), u8 prefix length, ceil(length / 8) bytes of prefix, u8 protocol, u8 DSCP (255: any),
 *         u8 number of port ranges, each u16 first, u16 last; action
 *   action: u8 mode, u8 class, u8 number of links, each u8 length, name
 *
 * Limits: 256 rules, 8 links and 8 port ranges a rule, 47241 bytes on the wire.
 * Sources: Fei, Xiao, UMIP based multihomed mobile network framework (UM3N: the table by destination prefix, the same
 * matched on the source at the home agent); 3GPP TS 23.501 5.32.8 (names of the modes); RFC 4594 and 8622 (what
 * code points ask for). */
#include "tunnel/steer.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>

static const char *const mode_names[STEER_MODE_COUNT] = {
    [STEER_ACTIVE_STANDBY] = "active-standby",
    [STEER_SMALLEST_DELAY] = "smallest-delay",
    [STEER_LOAD_BALANCE] = "load-balance",
    [STEER_PRIORITY] = "priority",
    [STEER_REDUNDANT] = "redundant",
    [STEER_STRIPE] = "stripe",
    [STEER_BYPASS] = "bypass",
    [STEER_BLOCK] = "block",
    [STEER_SPLIT] = "split",
    [STEER_MODE_AUTO] = "auto",
};

static const char *const class_names[STEER_CLASS_COUNT] = {
    [STEER_AUTO] = "auto",
    [STEER_INTERACTIVE] = "interactive",
    [STEER_BULK] = "bulk",
};

const char *steer_mode_name(enum steer_mode mode)
{
    return (unsigned)mode < STEER_MODE_COUNT ? mode_names[mode] : "?";
}

const char *steer_class_name(enum steer_class klass)
{
    return (unsigned)klass < STEER_CLASS_COUNT ? class_names[klass] : "?";
}

bool steer_link_name_valid(const char *name)
{
    size_t len = strnlen(name, STEER_LINK_NAMELEN);

    if (len == 0 || len == STEER_LINK_NAMELEN || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr(",/:", name[i]))
            return false;
    return true;
}

/* Rules */

bool steer_proto_has_ports(uint8_t proto)
{
    return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;
}

static bool action_valid(const struct steer_action *a)
{
    if (a->mode >= STEER_MODE_COUNT || a->klass >= STEER_CLASS_COUNT || a->links_count > STEER_LINKS_MAX)
        return false;
    if (a->mode == STEER_BLOCK && (a->links_count > 0 || a->klass != STEER_AUTO))
        return false;
    for (size_t i = 0; i < a->links_count; i++) {
        if (!steer_link_name_valid(a->links[i]))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(a->links[i], a->links[j]) == 0)
                return false;
    }
    return true;
}

static bool prefix_valid(const struct prefix *p)
{
    if (p->addr.family != ADDR_NONE && p->addr.family != ADDR_V4 && p->addr.family != ADDR_V6)
        return false;
    if (p->len > addr_bits(&p->addr))
        return false;
    for (unsigned bit = p->len; bit < 128; bit++)
        if (p->addr.bytes[bit / 8] & 0x80 >> bit % 8)
            return false;
    return true;
}

bool steer_rule_valid(const struct steer_rule *r)
{
    if (!prefix_valid(&r->dst) || (r->dscp > 63 && r->dscp != STEER_DSCP_ANY) || r->ports_count > STEER_PORTS_MAX)
        return false;
    if ((r->ports_count > 0 && !steer_proto_has_ports(r->proto)) || (r->mark & ~r->mark_mask))
        return false;
    for (size_t i = 0; i < r->ports_count; i++)
        if (r->ports[i].first > r->ports[i].last)
            return false;
    return action_valid(&r->action);
}

static bool same_match(const struct steer_rule *a, const struct steer_rule *b)
{
    return prefix_equal(&a->dst, &b->dst) && a->proto == b->proto && a->dscp == b->dscp && a->mark == b->mark &&
           a->mark_mask == b->mark_mask && a->ports_count == b->ports_count &&
           memcmp(a->ports, b->ports, a->ports_count * sizeof(a->ports[0])) == 0;
}

static unsigned fields_stated(const struct steer_rule *r)
{
    return (r->proto != 0) + (r->ports_count > 0) + (r->dscp != STEER_DSCP_ANY) + (r->mark_mask != 0);
}

/* Ranges that overlap count twice, which only makes a clumsy rule a little less specific. */
static unsigned ports_covered(const struct steer_rule *r)
{
    unsigned n = 0;

    for (size_t i = 0; i < r->ports_count; i++)
        n += (unsigned)(r->ports[i].last - r->ports[i].first) + 1;
    return n;
}

static bool rule_matches(const struct steer_rule *r, const struct packet_info *info, uint32_t mark, bool mirrored)
{
    uint16_t port = mirrored ? info->sport : info->dport;

    if (r->proto != 0 && (r->proto != info->proto))
        return false;
    if (r->dscp != STEER_DSCP_ANY && r->dscp != info->dscp)
        return false;
    if (r->mark_mask != 0 && (mirrored || (mark & r->mark_mask) != r->mark))
        return false;
    if (r->ports_count == 0)
        return true;
    if (info->fragment)
        return false;
    for (size_t i = 0; i < r->ports_count; i++)
        if (port >= r->ports[i].first && port <= r->ports[i].last)
            return true;
    return false;
}

/* Tables */

void steer_table_init(struct steer_table *t)
{
    memset(t, 0, sizeof(*t));
    t->fallback.mode = STEER_STRIPE;
    steer_table_compile(t);
}

/* Order of the compiled table; never 0 for two rules. */
static int compare_rules(const struct steer_table *t, unsigned a, unsigned b)
{
    const struct steer_rule *x = &t->rules[a], *y = &t->rules[b];
    int d;

    /* Any destination (family 0) stands last. */
    if (x->dst.addr.family != y->dst.addr.family)
        return x->dst.addr.family > y->dst.addr.family ? -1 : 1;
    if (x->dst.len != y->dst.len)
        return x->dst.len > y->dst.len ? -1 : 1;
    d = memcmp(x->dst.addr.bytes, y->dst.addr.bytes, 16);
    if (d != 0)
        return d;
    if (fields_stated(x) != fields_stated(y))
        return fields_stated(x) > fields_stated(y) ? -1 : 1;
    if (ports_covered(x) != ports_covered(y))
        return ports_covered(x) < ports_covered(y) ? -1 : 1;
    return a < b ? -1 : 1;
}

static unsigned slot_of(const struct addr *a, unsigned len)
{
    uint64_t hi, lo;

    memcpy(&hi, a->bytes, 8);
    memcpy(&lo, a->bytes + 8, 8);
    return (unsigned)(hash_mix64(hi ^ hash_mix64(lo + len * 16 + a->family)) % STEER_SLOTS);
}

void steer_table_compile(struct steer_table *t)
{
    struct steer_index *ix = &t->index;

    assert(t->count <= STEER_RULES_MAX);
    memset(ix, 0, sizeof(*ix));
    for (unsigned i = 0; i < t->count; i++) {
        unsigned at = i;

        for (; at > 0 && compare_rules(t, i, ix->order[at - 1]) < 0; at--)
            ix->order[at] = ix->order[at - 1];
        ix->order[at] = (uint16_t)i;
    }
    ix->any_start = (uint16_t)t->count;
    for (unsigned i = 0; i < t->count; i++) {
        const struct prefix *p = &t->rules[ix->order[i]].dst;
        unsigned v6 = p->addr.family == ADDR_V6, slot;

        if (p->addr.family == ADDR_NONE) {
            ix->any_start = (uint16_t)i;
            break;
        }
        if (i > 0 && prefix_equal(p, &t->rules[ix->order[i - 1]].dst))
            continue;
        for (slot = slot_of(&p->addr, p->len); ix->slots[slot]; slot = (slot + 1) % STEER_SLOTS)
            ;
        ix->slots[slot] = (uint16_t)(i + 1);
        if (ix->lens_count[v6] == 0 || ix->lens[v6][ix->lens_count[v6] - 1] != p->len)
            ix->lens[v6][ix->lens_count[v6]++] = p->len;
    }
}

static struct prefix prefix_of(const struct addr *a, unsigned len)
{
    struct prefix p = { .addr.family = a->family, .len = (uint8_t)len };

    memcpy(p.addr.bytes, a->bytes, len / 8);
    if (len % 8)
        p.addr.bytes[len / 8] = (uint8_t)(a->bytes[len / 8] & 0xff00 >> len % 8);
    return p;
}

/* The place in order where the group of p starts, or count. */
static size_t group_find(const struct steer_table *t, const struct prefix *p)
{
    const struct steer_index *ix = &t->index;

    for (unsigned slot = slot_of(&p->addr, p->len); ix->slots[slot]; slot = (slot + 1) % STEER_SLOTS)
        if (prefix_equal(&t->rules[ix->order[ix->slots[slot] - 1]].dst, p))
            return ix->slots[slot] - 1u;
    return t->count;
}

int steer_lookup(const struct steer_table *t, const struct packet_info *info, uint32_t mark, bool mirrored)
{
    const struct steer_index *ix = &t->index;
    const struct addr *far = mirrored ? &info->src : &info->dst;
    unsigned v6 = far->family == ADDR_V6;

    for (unsigned i = 0; i < ix->lens_count[v6]; i++) {
        struct prefix p = prefix_of(far, ix->lens[v6][i]);

        for (size_t at = group_find(t, &p); at < t->count; at++) {
            const struct steer_rule *r = &t->rules[ix->order[at]];

            if (!prefix_equal(&r->dst, &p))
                break;
            if (rule_matches(r, info, mark, mirrored))
                return ix->order[at];
        }
    }
    for (size_t at = ix->any_start; at < t->count; at++)
        if (rule_matches(&t->rules[ix->order[at]], info, mark, mirrored))
            return ix->order[at];
    return STEER_DEFAULT;
}

const struct steer_action *steer_action_of(const struct steer_table *t, int rule)
{
    return rule >= 0 && (size_t)rule < t->count ? &t->rules[rule].action : &t->fallback;
}

enum steer_class steer_classify(const struct steer_action *action, const struct packet_info *info)
{
    if (action->klass != STEER_AUTO)
        return action->klass;
    switch (info->dscp) {
    case 46: /* EF */
    case 34: /* AF41..AF43 */
    case 36:
    case 38:
    case 40: /* CS5, CS6 */
    case 48:
        return STEER_INTERACTIVE;
    case 1: /* LE, CS1: asked to stand back */
    case 8:
        return STEER_BULK;
    default:
        break;
    }
    if (info->proto == (info->family == ADDR_V6 ? PROTO_ICMPV6 : PROTO_ICMP))
        return STEER_INTERACTIVE;
    if (info->fragment)
        return STEER_BULK;
    if (info->proto == PROTO_UDP && (info->total_len <= STEER_SMALL_UDP || info->dport == 53 || info->sport == 53))
        return STEER_INTERACTIVE;
    if (info->proto == PROTO_TCP && (info->dport == 53 || info->sport == 53 || info->dport == 22 || info->sport == 22))
        return STEER_INTERACTIVE;
    return STEER_BULK;
}

int steer_table_add(struct steer_table *t, const struct steer_rule *rule, size_t *ret_other)
{
    if (!steer_rule_valid(rule))
        return -EINVAL;
    for (size_t i = 0; i < t->count; i++)
        if (same_match(&t->rules[i], rule)) {
            if (ret_other)
                *ret_other = i;
            return -EEXIST;
        }
    if (t->count == STEER_RULES_MAX)
        return -ENOSPC;
    t->rules[t->count++] = *rule;
    return 0;
}

/* Wire form */

static void write_action(struct writer *w, const struct steer_action *a)
{
    write_u8(w, a->mode);
    write_u8(w, a->klass);
    write_u8(w, a->links_count);
    for (size_t i = 0; i < a->links_count; i++) {
        size_t len = strnlen(a->links[i], STEER_LINK_NAMELEN - 1);

        write_u8(w, (uint8_t)len);
        write_bytes(w, a->links[i], len);
    }
}

void steer_table_encode(const struct steer_table *t, struct writer *w)
{
    uint16_t count = 0;

    for (size_t i = 0; i < t->count; i++)
        count = (uint16_t)(count + (t->rules[i].mark_mask == 0));
    write_u32(w, t->version);
    write_u16(w, count);
    write_action(w, &t->fallback);
    for (size_t i = 0; i < t->count; i++) {
        const struct steer_rule *r = &t->rules[i];

        if (r->mark_mask != 0)
            continue;
        write_u8(w, r->dst.addr.family);
        write_u8(w, r->dst.len);
        write_bytes(w, r->dst.addr.bytes, (r->dst.len + 7u) / 8);
        write_u8(w, r->proto);
        write_u8(w, r->dscp);
        write_u8(w, r->ports_count);
        for (size_t j = 0; j < r->ports_count; j++) {
            write_u16(w, r->ports[j].first);
            write_u16(w, r->ports[j].last);
        }
        write_action(w, &r->action);
    }
}

static bool read_action(struct reader *r, struct steer_action *ret)
{
    struct steer_action a = { 0 };
    uint8_t links;

    a.mode = read_u8(r);
    a.klass = read_u8(r);
    links = read_u8(r);
    if (links > STEER_LINKS_MAX)
        return false;
    for (; a.links_count < links; a.links_count++) {
        uint8_t len = read_u8(r);

        if (len >= STEER_LINK_NAMELEN)
            return false;
        read_copy(r, a.links[a.links_count], len);
        /* A NUL inside would be a second spelling of a shorter name. */
        if (strnlen(a.links[a.links_count], STEER_LINK_NAMELEN) != len)
            return false;
    }
    if (r->failed || !action_valid(&a))
        return false;
    *ret = a;
    return true;
}

static bool read_rule(struct reader *r, struct steer_rule *ret)
{
    struct steer_rule rule = { 0 };
    uint8_t ports;

    rule.dst.addr.family = read_u8(r);
    rule.dst.len = read_u8(r);
    if (rule.dst.len > 128)
        return false;
    read_copy(r, rule.dst.addr.bytes, (rule.dst.len + 7u) / 8);
    rule.proto = read_u8(r);
    rule.dscp = read_u8(r);
    ports = read_u8(r);
    if (ports > STEER_PORTS_MAX)
        return false;
    for (; rule.ports_count < ports; rule.ports_count++) {
        rule.ports[rule.ports_count].first = read_u16(r);
        rule.ports[rule.ports_count].last = read_u16(r);
    }
    if (!read_action(r, &rule.action) || !steer_rule_valid(&rule))
        return false;
    *ret = rule;
    return true;
}

int steer_table_decode(struct reader *r, struct steer_table *ret)
{
    struct reader commit;
    struct steer_action fallback;
    struct steer_rule rule;
    uint32_t version = read_u32(r);
    size_t count = read_u16(r);

    if (count > STEER_RULES_MAX || !read_action(r, &fallback))
        return -EBADMSG;
    /* Twice over the same bytes, so that a table of 50 KiB need not stand on the stack and a bad one changes nothing.
     */
    commit = *r;
    for (size_t i = 0; i < count; i++)
        if (!read_rule(r, &rule))
            return -EBADMSG;
    memset(ret, 0, sizeof(*ret));
    ret->version = version;
    ret->fallback = fallback;
    ret->has_default = true;
    for (ret->count = 0; ret->count < count; ret->count++)
        read_rule(&commit, &ret->rules[ret->count]);
    steer_table_compile(ret);
    return 0;
}
