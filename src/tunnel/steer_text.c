/* tunnel/steer_text.c - the text form of steering rules.
 *
 * Theory of operation: words are read one after the other. The first is the destination; each of the others is a
 * keyword with its value, the name of a protocol, or, if it starts with a digit, ports. A message says what was found
 * and what was expected, and names the nearest word if one is within two edits.
 *
 * Limits: words of 159 bytes, texts of 511 bytes when formatted.
 * Sources: RFC 2474, 2597, 3246, 5865, 8622 (names of code points); IANA protocol numbers. */
#include "tunnel/steer.h"

#include "base/text.h"

#include <assert.h>
#include <errno.h>

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
    if (!steer_proto_has_ports(r->proto)) {
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

static int parse_mode(struct rule_parser *p, struct steer_action *a)
{
    static const char expected[] =
        "active-standby, smallest-delay, load-balance, priority, redundant, stripe, split, auto, bypass or block";
    const char *names[STEER_MODE_COUNT];
    int i;

    for (i = 0; i < STEER_MODE_COUNT; i++)
        names[i] = steer_mode_name((enum steer_mode)i);
    if (next_value(p, "mode", expected) < 0)
        return -EINVAL;
    i = find_name(p->word, names, STEER_MODE_COUNT);
    if (i < 0)
        return complain(p, expected, names, STEER_MODE_COUNT);
    a->mode = (uint8_t)i;
    return 0;
}

static int parse_class(struct rule_parser *p, struct steer_action *a)
{
    static const char expected[] = "auto, interactive or bulk";
    const char *names[STEER_CLASS_COUNT];
    int i;

    for (i = 0; i < STEER_CLASS_COUNT; i++)
        names[i] = steer_class_name((enum steer_class)i);
    if (next_value(p, "class", expected) < 0)
        return -EINVAL;
    i = find_name(p->word, names, STEER_CLASS_COUNT);
    if (i < 0)
        return complain(p, expected, names, STEER_CLASS_COUNT);
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
    case KEY_MODE:
        return parse_mode(p, &r->action);
    default:
        return parse_class(p, &r->action);
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
    assert(steer_rule_valid(&r));
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
