/* sys/xt.c - see xt.h.
 *
 * Theory of operation. iptables-restore takes a text as one transaction; `:CHAIN -` makes the chain or empties it. A
 * jump that is not there cannot be deleted, and then nothing of the text is done: so a removal deletes jumps until
 * there is none, and then the chain.
 *
 * Sources: iptables-restore(8), iptables-extensions(8) NFQUEUE. */
#include "sys/xt.h"

#include "base/text.h"
#include "sys/tool.h"

#include <errno.h>
#include <stdio.h>

#define PROTO_TCP 6
#define JUMPS_MAX 8 /* chosen: more than anything makes by itself */

static int check_name(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len == 0 || len > XT_NAME_MAX ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") != len)
        return -EINVAL;
    return 0;
}

static void add_prefix(struct text *t, const struct xt_capture *c, const char *to)
{
    char from[ADDR_STRLEN];

    addr_format(&c->source, from);
    /* TCP first: what is left for the second rule is not TCP. */
    if (c->protocol == 0 || c->protocol == PROTO_TCP)
        text_add(t, "-A hawser-%s -s %s -d %s -p %d -j NFQUEUE --queue-num %u --queue-bypass\n", c->name, from, to,
                 PROTO_TCP, c->queue);
    if (c->protocol != PROTO_TCP)
        text_add(t, "-A hawser-%s -s %s -d %s -p %u -j NFQUEUE --queue-num %u --queue-bypass\n", c->name, from, to,
                 c->protocol, c->queue + 1u);
}

int xt_capture_rules(struct text *t, const struct xt_capture *c)
{
    char spare[ADDR_STRLEN], to[PREFIX_STRLEN];

    if (check_name(c->name) < 0 || c->source.family != ADDR_V4 || c->spare->addr.family != ADDR_V4 ||
        c->queue == UINT16_MAX)
        return -EINVAL;
    for (size_t i = 0; i < c->prefixes_count; i++) {
        if (c->prefixes[i].addr.family != ADDR_V4 || c->prefixes[i].len > 32)
            return -EINVAL;
    }
    text_add(t, "*mangle\n:hawser-%s - [0:0]\n", c->name);
    text_add(t, "-A hawser-%s -o lo -j RETURN\n", c->name);
    text_add(t, "-A hawser-%s -d 224.0.0.0/3 -j RETURN\n", c->name); /* nobody, or many */
    text_add(t, "-A hawser-%s -d %s -p udp --dport %u -j RETURN\n", c->name, addr_format(&c->spare->addr, spare),
             c->spare->port);
    for (size_t i = 0; i < c->prefixes_count; i++)
        add_prefix(t, c, prefix_format(&c->prefixes[i], to));
    text_add(t, "-A OUTPUT -j hawser-%s\nCOMMIT\n", c->name);
    return t->overflow ? -ENOSPC : 0;
}

static int restore(const char *rules, char *err, size_t err_size)
{
    /* -n: other chains stay; -w: another iptables may be at work. */
    static const char *const argv[] = { "iptables-restore", "-n", "-w", "5", NULL };

    return tool_run(argv, rules, err, err_size);
}

int xt_capture_remove(const char *name, char *err, size_t err_size)
{
    char buf[256];
    struct text t;
    int r = 0;

    if (check_name(name) < 0) {
        snprintf(err, err_size, "found %s, expected the name of a device", name);
        return -EINVAL;
    }
    text_init(&t, buf, sizeof(buf));
    text_add(&t, "*mangle\n:hawser-%s - [0:0]\n-D OUTPUT -j hawser-%s\nCOMMIT\n", name, name);
    for (int i = 0; i < JUMPS_MAX && r == 0; i++)
        r = restore(buf, err, err_size);
    text_init(&t, buf, sizeof(buf));
    text_add(&t, "*mangle\n:hawser-%s - [0:0]\n-X hawser-%s\nCOMMIT\n", name, name);
    return restore(buf, err, err_size);
}

int xt_capture_apply(const struct xt_capture *c, char *err, size_t err_size)
{
    CLEANUP(cleanup_free) char *buf = malloc(XT_RULES_MAX);
    struct text t;
    int r = xt_capture_remove(c->name, err, err_size);

    if (r < 0)
        return r;
    if (!buf)
        return -ENOMEM;
    text_init(&t, buf, XT_RULES_MAX);
    r = xt_capture_rules(&t, c);
    if (r < 0) {
        snprintf(err, err_size, "rules: %s", strerror(-r));
        return r;
    }
    return restore(buf, err, err_size);
}
