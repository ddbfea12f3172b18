/* tunnel/steer.c - the flow table: compile, look up, text and wire forms.
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
 * matched on the source at the home agent); 3GPP TS 23.501 5.32.8 (names of the modes); RFC 2474, 2597, 3246, 5865,
 * 8622 (names of code points). */
#include "tunnel/steer.h"

#include "base/hash.h"
#include "base/text.h"

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
};

static const char *const class_names[STEER_CLASS_COUNT] = {
    [STEER_AUTO] = "auto",
    [STEER_INTERACTIVE] = "interactive",
    [STEER_BULK] = "bulk",
};

struct named_number {
    const char *name;
    uint8_t number;
};

static const struct named_number protos[] = {
    { "tcp", PROTO_TCP },   { "udp", PROTO_UDP },
    { "icmp", PROTO_ICMP }, { "icmpv6", PROTO_ICMPV6 },
    { "sctp", PROTO_SCTP }, { "udplite", PROTO_UDPLITE },
    { "dccp", PROTO_DCCP }, { "gre", 47 },
    { "esp", 50 },          { "ah", 51 },
};

static const struct named_number code_points[] = {
    { "EF", 46 },   { "AF11", 10 }, { "AF12", 12 }, { "AF13", 14 }, { "AF21", 18 }, { "AF22", 20 },
    { "AF23", 22 }, { "AF31", 26 }, { "AF32", 28 }, { "AF33", 30 }, { "AF41", 34 }, { "AF42", 36 },
    { "AF43", 38 }, { "CS0", 0 },   { "CS1", 8 },   { "CS2", 16 },  { "CS3", 24 },  { "CS4", 32 },
    { "CS5", 40 },  { "CS6", 48 },  { "CS7", 56 },  { "VA", 44 },   { "LE", 1 },
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

static bool has_ports(uint8_t proto)
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

static bool rule_valid(const struct steer_rule *r)
{
    if (!prefix_valid(&r->dst) || (r->dscp > 63 && r->dscp != STEER_DSCP_ANY) || r->ports_count > STEER_PORTS_MAX)
        return false;
    if ((r->ports_count > 0 && !has_ports(r->proto)) || (r->mark & ~r->mark_mask))
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
    if (!rule_valid(rule))
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

/* Text form */

#define WORD_MAX 160 /* bytes: chosen: 8 link names with commas are 127 */

struct rule_parser {
    const char *at;
    char word[WORD_MAX];
    struct text err;
};

/* 1: a word; 0: the end; -EINVAL: a word of more than WORD_MAX - 1 bytes. */
static int next_word(struct rule_parser *p)
{
    size_t len;

    p->at += strspn(p->at, " \t");
    len = strcspn(p->at, " \t");
    if (len == 0)
        return 0;
    if (len >= sizeof(p->word)) {
        text_add(&p->err, "a word of %zu bytes: expected at most %d", len, WORD_MAX - 1);
        return -EINVAL;
    }
    memcpy(p->word, p->at, len);
    p->word[len] = '\0';
    p->at += len;
    return 1;
}

/* The word behind a keyword. 0 or -EINVAL. */
static int next_value(struct rule_parser *p, const char *keyword, const char *expected)
{
    int r = next_word(p);

    if (r == 0)
        text_add(&p->err, "nothing behind `%s`: expected %s", keyword, expected);
    return r > 0 ? 0 : -EINVAL;
}

static int complain(struct rule_parser *p, const char *expected, const char *const *names, size_t count)
{
    const char *near = text_nearest(p->word, names, count);

    text_add(&p->err, "found `%s`: expected %s", p->word, expected);
    if (near)
        text_add(&p->err, "; did you mean `%s`?", near);
    return -EINVAL;
}

/* Decimal or 0x hexadecimal, the whole of s[0..len). */
static bool parse_number(const char *s, size_t len, uint32_t max, uint32_t *ret)
{
    bool hex = len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    uint64_t v = 0;

    if (len == 0)
        return false;
    for (size_t i = hex ? 2 : 0; i < len; i++) {
        int c = s[i] | 0x20, digit;

        if (s[i] >= '0' && s[i] <= '9')
            digit = s[i] - '0';
        else if (hex && c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else
            return false;
        v = v * (hex ? 16 : 10) + (unsigned)digit;
        if (v > max)
            return false;
    }
    *ret = (uint32_t)v;
    return true;
}

static const struct named_number *find_named(const char *word, const struct named_number *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(word, list[i].name) == 0)
            return &list[i];
    return NULL;
}

static int find_name(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    return -1;
}

/* p->word is a list of ports if it starts with a digit. */
static int parse_ports(struct rule_parser *p, struct steer_rule *r)
{
    const char *s = p->word;

    if (r->ports_count > 0) {
        text_add(&p->err, "found `%s`: ports were given already; put a comma between them and no space", p->word);
        return -EINVAL;
    }
    if (!has_ports(r->proto)) {
        text_add(&p->err, "found ports `%s`: expected tcp, udp or sctp before them", p->word);
        return -EINVAL;
    }
    for (;;) {
        size_t len = strcspn(s, ","), dash = strcspn(s, "-,");
        uint32_t first, last;

        if (r->ports_count == STEER_PORTS_MAX) {
            text_add(&p->err, "found more than %d ports or ranges", STEER_PORTS_MAX);
            return -EINVAL;
        }
        if (!parse_number(s, dash, 65535, &first) ||
            !(dash == len ? parse_number(s, len, 65535, &last)
                          : parse_number(s + dash + 1, len - dash - 1, 65535, &last)) ||
            first > last) {
            text_add(&p->err, "found ports `%s`: expected 0..65535 or first-last, with commas between", p->word);
            return -EINVAL;
        }
        r->ports[r->ports_count++] = (struct steer_ports){ (uint16_t)first, (uint16_t)last };
        if (s[len] == '\0')
            return 0;
        s += len + 1;
    }
}

static int parse_dscp(struct rule_parser *p, struct steer_rule *r)
{
    const struct named_number *n;
    const char *names[ARRAY_LEN(code_points)];
    uint32_t v;

    if (next_value(p, "dscp", "a code point as EF, AF41, CS6 or 0..63") < 0)
        return -EINVAL;
    n = find_named(p->word, code_points, ARRAY_LEN(code_points));
    if (n) {
        r->dscp = n->number;
        return 0;
    }
    if (parse_number(p->word, strlen(p->word), 63, &v)) {
        r->dscp = (uint8_t)v;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(code_points); i++)
        names[i] = code_points[i].name;
    return complain(p, "a code point as EF, AF41, CS6 or 0..63", names, ARRAY_LEN(names));
}

static int parse_mark(struct rule_parser *p, struct steer_rule *r)
{
    size_t len, slash;

    if (next_value(p, "mark", "a firewall mark as 0x10 or 0x10/0xff") < 0)
        return -EINVAL;
    len = strlen(p->word);
    slash = strcspn(p->word, "/");
    r->mark_mask = UINT32_MAX;
    if (!parse_number(p->word, slash, UINT32_MAX, &r->mark) ||
        (slash < len && !parse_number(p->word + slash + 1, len - slash - 1, UINT32_MAX, &r->mark_mask)))
        return complain(p, "a firewall mark as 0x10 or 0x10/0xff", NULL, 0);
    if (r->mark_mask == 0 || (r->mark & ~r->mark_mask)) {
        text_add(&p->err, "found mark `%s`: expected a mask that is not 0 and covers every bit of the mark", p->word);
        return -EINVAL;
    }
    return 0;
}

static int parse_links(struct rule_parser *p, struct steer_action *a)
{
    const char *s;

    if (next_value(p, "via", "link names with commas between") < 0)
        return -EINVAL;
    for (s = p->word;;) {
        size_t len = strcspn(s, ",");
        char name[STEER_LINK_NAMELEN] = "";

        if (len < sizeof(name))
            memcpy(name, s, len);
        if (!steer_link_name_valid(name)) {
            text_add(&p->err, "found link `%.*s`: expected a name of 1..%d bytes without / and :", (int)len, s,
                     STEER_LINK_NAMELEN - 1);
            return -EINVAL;
        }
        for (size_t i = 0; i < a->links_count; i++)
            if (strcmp(a->links[i], name) == 0) {
                text_add(&p->err, "found link `%s` twice", name);
                return -EINVAL;
            }
        if (a->links_count == STEER_LINKS_MAX) {
            text_add(&p->err, "found more than %d links", STEER_LINKS_MAX);
            return -EINVAL;
        }
        memcpy(a->links[a->links_count++], name, sizeof(name));
        if (s[len] == '\0')
            return 0;
        s += len + 1;
    }
}

enum keyword { KEY_VIA, KEY_MODE, KEY_CLASS, KEY_DSCP, KEY_MARK, KEY_PROTO, KEY_COUNT };

static const char *const keywords[] = {
    "via", "mode", "class", "dscp", "mark", "proto", "tcp", "udp", "icmp", "icmpv6", "sctp", "udplite", "dccp", "gre",
};

static int parse_proto(struct rule_parser *p, struct steer_rule *r)
{
    uint32_t v;

    if (next_value(p, "proto", "a protocol number 1..255") < 0)
        return -EINVAL;
    if (!parse_number(p->word, strlen(p->word), 255, &v) || v == 0)
        return complain(p, "a protocol number 1..255", NULL, 0);
    r->proto = (uint8_t)v;
    return 0;
}

static int parse_named(struct rule_parser *p, enum keyword key, struct steer_action *a)
{
    const char *const *names = key == KEY_MODE ? mode_names : class_names;
    size_t count = key == KEY_MODE ? (size_t)STEER_MODE_COUNT : (size_t)STEER_CLASS_COUNT;
    const char *expected = key == KEY_MODE ? "active-standby, smallest-delay, load-balance, priority, redundant, "
                                             "stripe, bypass or block"
                                           : "auto, interactive or bulk";
    int i;

    if (next_value(p, keywords[key], expected) < 0)
        return -EINVAL;
    i = find_name(p->word, names, count);
    if (i < 0)
        return complain(p, expected, names, count);
    if (key == KEY_MODE)
        a->mode = (uint8_t)i;
    else
        a->klass = (uint8_t)i;
    return 0;
}

/* One field that starts at p->word. */
static int parse_field(struct rule_parser *p, struct steer_rule *r, unsigned *seen, bool is_default)
{
    const struct named_number *proto = find_named(p->word, protos, ARRAY_LEN(protos));
    int key = proto ? (int)KEY_PROTO : find_name(p->word, keywords, KEY_COUNT);

    if (is_default && key != KEY_VIA && key != KEY_MODE && key != KEY_CLASS)
        return complain(p, "via, mode or class (the default has no conditions)", keywords, 3);
    if (p->word[0] >= '0' && p->word[0] <= '9')
        return parse_ports(p, r);
    if (key < 0)
        return complain(p, "a protocol, ports, or one of via, mode, class, dscp, mark, proto", keywords,
                        ARRAY_LEN(keywords));
    if (*seen & 1u << key) {
        text_add(&p->err, "found `%s`: %s was given already", p->word, proto ? "a protocol" : keywords[key]);
        return -EINVAL;
    }
    *seen |= 1u << key;
    if (proto) {
        r->proto = proto->number;
        return 0;
    }
    switch ((enum keyword)key) {
    case KEY_VIA:
        return parse_links(p, &r->action);
    case KEY_DSCP:
        return parse_dscp(p, r);
    case KEY_MARK:
        return parse_mark(p, r);
    case KEY_PROTO:
        return parse_proto(p, r);
    default:
        return parse_named(p, (enum keyword)key, &r->action);
    }
}

/* The first word. 1: the default; 0: a destination. */
static int parse_destination(struct rule_parser *p, struct steer_rule *r)
{
    static const char *const words[] = { "default", "any" };
    static const char expected[] = "a destination: a prefix as 203.0.113.0/24, `any`, or `default`";
    int e = next_word(p);

    if (e <= 0) {
        if (e == 0)
            text_add(&p->err, "found nothing: expected %s", expected);
        return -EINVAL;
    }
    if (strcmp(p->word, "default") == 0)
        return 1;
    if (strcmp(p->word, "any") == 0)
        return 0;
    e = prefix_parse(p->word, false, &r->dst);
    if (e == -ERANGE) {
        struct prefix masked;
        char buf[PREFIX_STRLEN];

        text_add(&p->err, "found `%s`: ", p->word);
        if (prefix_parse(p->word, true, &masked) == 0)
            text_add(&p->err, "bits are set behind the prefix length; did you mean `%s`?", prefix_format(&masked, buf));
        else
            text_add(&p->err, "expected a prefix length of 0..32 (IPv4) or 0..128 (IPv6)");
        return -EINVAL;
    }
    if (e < 0)
        return complain(p, expected, words, ARRAY_LEN(words));
    return 0;
}

int steer_rule_parse(const char *text, struct steer_rule *ret, char *err, size_t err_size)
{
    struct rule_parser p = { .at = text };
    struct steer_rule r = { .dscp = STEER_DSCP_ANY, .action.mode = STEER_STRIPE };
    unsigned seen = 0;
    int is_default, e;

    text_init(&p.err, err, err_size);
    is_default = parse_destination(&p, &r);
    if (is_default < 0)
        return is_default;
    while ((e = next_word(&p)) > 0) {
        e = parse_field(&p, &r, &seen, is_default);
        if (e < 0)
            return e;
    }
    if (e < 0)
        return e;
    if (r.action.mode == STEER_BLOCK && (seen & (1u << KEY_VIA | 1u << KEY_CLASS))) {
        text_add(&p.err, "found via or class with mode block: what is blocked takes no link");
        return -EINVAL;
    }
    assert(rule_valid(&r));
    *ret = r;
    return is_default;
}

int steer_table_add_text(struct steer_table *t, const char *text, char *err, size_t err_size)
{
    struct steer_rule r;
    struct text e;
    size_t other = 0;
    int got = steer_rule_parse(text, &r, err, err_size);

    if (got < 0)
        return got;
    text_init(&e, err, err_size);
    if (got == 1) {
        if (t->has_default) {
            text_add(&e, "found a second default: expected one at most");
            return -EEXIST;
        }
        t->fallback = r.action;
        t->has_default = true;
        return 0;
    }
    got = steer_table_add(t, &r, &other);
    if (got == -EEXIST)
        text_add(&e, "rule %zu has the same conditions already: this one would never be used", other + 1);
    else if (got == -ENOSPC)
        text_add(&e, "found more than %d rules", STEER_RULES_MAX);
    return got;
}

static const char *number_name(uint8_t number, const struct named_number *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].number == number)
            return list[i].name;
    return NULL;
}

static void format_match(const struct steer_rule *r, struct text *t)
{
    char buf[PREFIX_STRLEN];
    const char *name = number_name(r->proto, protos, ARRAY_LEN(protos));

    text_add(t, "%s", r->dst.addr.family == ADDR_NONE ? "any" : prefix_format(&r->dst, buf));
    if (name)
        text_add(t, " %s", name);
    else if (r->proto != 0)
        text_add(t, " proto %u", r->proto);
    for (size_t i = 0; i < r->ports_count; i++) {
        text_add(t, "%c%u", i == 0 ? ' ' : ',', r->ports[i].first);
        if (r->ports[i].last != r->ports[i].first)
            text_add(t, "-%u", r->ports[i].last);
    }
    name = number_name(r->dscp, code_points, ARRAY_LEN(code_points));
    if (name)
        text_add(t, " dscp %s", name);
    else if (r->dscp != STEER_DSCP_ANY)
        text_add(t, " dscp %u", r->dscp);
    if (r->mark_mask == UINT32_MAX)
        text_add(t, " mark 0x%x", r->mark);
    else if (r->mark_mask != 0)
        text_add(t, " mark 0x%x/0x%x", r->mark, r->mark_mask);
}

char *steer_rule_format(const struct steer_rule *rule, bool is_default, char buf[STEER_TEXT_MAX])
{
    struct text t;

    text_init(&t, buf, STEER_TEXT_MAX);
    if (is_default)
        text_add(&t, "default");
    else
        format_match(rule, &t);
    for (size_t i = 0; i < rule->action.links_count; i++)
        text_add(&t, "%s%s", i == 0 ? " via " : ",", rule->action.links[i]);
    text_add(&t, " mode %s", steer_mode_name(rule->action.mode));
    if (rule->action.klass != STEER_AUTO)
        text_add(&t, " class %s", steer_class_name(rule->action.klass));
    return buf;
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
    if (!read_action(r, &rule.action) || !rule_valid(&rule))
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
