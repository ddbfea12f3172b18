/* Rulesets for nft.
 *
 * Theory of operation. "table X" followed by "delete table X" deletes whether or not X exists, and the new content in
 * the same text makes the replacement one transaction. The program is run (sys/tool.h) rather than its library linked
 * because of the library's licence, and because whoever holds the capability can run it for us.
 *
 * Names go into the text as they are, so they are checked for characters that could end them.
 *
 * Limits: 64 KiB of ruleset.
 * Sources: nft(8). */
#include "sys/nft.h"

#include "base/text.h"
#include "sys/tool.h"

#include <errno.h>
#include <stdio.h>

static int check_name(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len == 0 || len > NFT_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
        return -EINVAL;
    return 0;
}

/* Interface names may hold almost any byte; those that could leave a quoted string are refused. */
static int check_interface(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len == 0 || len > 15)
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("\"\\*;{}$", name[i]))
            return -EINVAL;
    return 0;
}

static void add_replacement(struct text *t, const char *name)
{
    text_add(t, "table inet hawser_%s\ndelete table inet hawser_%s\n", name, name);
}

int nft_marks_ruleset(struct text *t, const char *name, const char *tunnel, const struct nft_mark *marks, size_t count)
{
    if (check_name(name) < 0 || check_interface(tunnel) < 0)
        return -EINVAL;
    add_replacement(t, name);
    text_add(t, "table inet hawser_%s {\n  chain marks {\n", name);
    text_add(t, "    type filter hook postrouting priority mangle; policy accept;\n");
    for (size_t i = 0; i < count; i++) {
        static const char *const families[][2] = { { "ipv4", "ip" }, { "ipv6", "ip6" } };

        for (size_t j = 0; j < ARRAY_LEN(families); j++)
            text_add(t, "    oifname \"%s\" meta nfproto %s meta mark & 0x%x == 0x%x %s dscp set %u accept\n", tunnel,
                     families[j][0], marks[i].mask, marks[i].mark, families[j][1], marks[i].dscp);
    }
    text_add(t, "  }\n}\n");
    return t->overflow ? -ENOSPC : 0;
}

int nft_agent_ruleset(struct text *t, const struct nft_agent *a)
{
    char prefix[PREFIX_STRLEN];

    if (check_name(a->name) < 0 || check_interface(a->tunnel) < 0 || (a->out && check_interface(a->out) < 0))
        return -EINVAL;
    for (size_t i = 0; i < a->prefixes_count; i++)
        if (a->prefixes[i].len > addr_bits(&a->prefixes[i].addr) || addr_bits(&a->prefixes[i].addr) == 0)
            return -EINVAL;
    add_replacement(t, a->name);
    text_add(t, "table inet hawser_%s {\n", a->name);
    text_add(t, "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n");
    for (size_t i = 0; i < a->prefixes_count; i++)
        text_add(t, "    oifname %s\"%s\" %s saddr %s masquerade\n", a->out ? "" : "!= ", a->out ? a->out : a->tunnel,
                 a->prefixes[i].addr.family == ADDR_V4 ? "ip" : "ip6", prefix_format(&a->prefixes[i], prefix));
    text_add(t, "  }\n  chain forward {\n    type filter hook forward priority filter; policy accept;\n");
    text_add(t, "    iifname \"%s\" accept\n    oifname \"%s\" accept\n  }\n}\n", a->tunnel, a->tunnel);
    return t->overflow ? -ENOSPC : 0;
}

static int check_group(const char *path)
{
    size_t len = path ? strlen(path) : 0;

    return len == 0 || strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789./_-") != len ? -EINVAL : 0;
}

static void add_left_alone(struct text *t, const struct nft_redirect *r, const char *chain)
{
    char prefix[PREFIX_STRLEN];

    text_add(t, "  chain %s {\n    tcp dport 53 accept\n    fib daddr type != unicast accept\n", chain);
    text_add(t, "    ip daddr 169.254.0.0/16 accept\n    ip6 daddr fe80::/10 accept\n");
    for (size_t i = 0; i < r->excludes_count; i++)
        text_add(t, "    %s daddr %s accept\n", r->excludes[i].addr.family == ADDR_V4 ? "ip" : "ip6",
                 prefix_format(&r->excludes[i], prefix));
}

/* Only what is in the group is looked at: a socket that is in no group of that level is not "another's" to nft, it ends
 * the rule. */
static void add_hook(struct text *t, const struct nft_redirect *r, const char *chain, const char *type)
{
    text_add(t, "  chain %sd {\n    type %s; policy accept;\n", chain, type);
    text_add(t, "    meta l4proto tcp socket cgroupv2 level 1 \"%s\" jump %s\n  }\n", r->group, chain);
}

/* What is translated is sent to this host when filters see it, and so is accepted there. */
int nft_redirect_ruleset(struct text *t, const struct nft_redirect *r)
{
    static const char *const families[] = { "ipv4", "ipv6" };

    if (check_name(r->name) < 0 || check_group(r->group) < 0)
        return -EINVAL;
    for (size_t i = 0; i < r->excludes_count; i++)
        if (r->excludes[i].len > addr_bits(&r->excludes[i].addr) || addr_bits(&r->excludes[i].addr) == 0)
            return -EINVAL;
    add_replacement(t, r->name);
    text_add(t, "table inet hawser_%s {\n", r->name);
    add_left_alone(t, r, "move");
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (r->ports[i])
            text_add(t, "    meta nfproto %s meta l4proto tcp redirect to :%u\n", families[i], r->ports[i]);
    text_add(t, "  }\n");
    add_left_alone(t, r, "refuse");
    text_add(t, "    ct state established accept\n    meta l4proto tcp reject with tcp reset\n  }\n");
    add_hook(t, r, "move", "nat hook output priority -100");
    add_hook(t, r, "refuse", "filter hook output priority filter");
    text_add(t, "}\n");
    return t->overflow ? -ENOSPC : 0;
}

int nft_apply(const char *ruleset, char *err, size_t err_size)
{
    static const char *const argv[] = { "nft", "-f", "-", NULL };

    if (strlen(ruleset) > NFT_RULESET_MAX) {
        snprintf(err, err_size, "ruleset: %s", strerror(EFBIG));
        return -EFBIG;
    }
    return tool_run(argv, ruleset, err, err_size);
}

int nft_remove(const char *name, char *err, size_t err_size)
{
    char buf[256];
    struct text t;

    if (check_name(name) < 0) {
        snprintf(err, err_size, "table name: %s", strerror(EINVAL));
        return -EINVAL;
    }
    text_init(&t, buf, sizeof(buf));
    add_replacement(&t, name);
    return nft_apply(buf, err, err_size);
}
