/* prog/verb_why.c - why and link: a question and an order to the running daemon.
 *
 * The daemon's answer to `why`: {"ok":true, "rule": text, "number": of the rule from 0, -1 for the default, "mode",
 * "class", "peer", "why": text, "paths": the usable ones, [{"link", "state", "first": bool, "srtt_ms"}]}. What is
 * missing is not printed. */
#include "base/addr.h"
#include "base/text.h"
#include "prog/config.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

/* The first address that the resolver gives for a host name. 0 or an EAI_ number. */
static int resolve(const char *host, struct addr *ret)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int r = getaddrinfo(host, NULL, &hints, &list);

    if (r != 0)
        return r;
    if (list->ai_family == AF_INET)
        *ret = addr_from_bytes(ADDR_V4, (uint8_t *)&((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr);
    else
        *ret = addr_from_bytes(ADDR_V6, (uint8_t *)&((struct sockaddr_in6 *)(void *)list->ai_addr)->sin6_addr);
    freeaddrinfo(list);
    return 0;
}

/* ADDR, ADDR:PORT, [ADDR]:PORT, HOST or HOST:PORT; port 0 when there is none. EXIT_DONE or an exit code. */
static int read_destination(const struct verb *v, const char *s, struct endpoint *ret)
{
    char host[256];
    const char *colon = strrchr(s, ':');
    char *end;
    unsigned long port = 0;
    int r;

    if (addr_parse(s, &ret->addr) == 0) {
        ret->port = 0;
        return EXIT_DONE;
    }
    if (endpoint_parse(s, 0, ret) == 0)
        return EXIT_DONE;
    if (colon) {
        port = strtoul(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end || port < 1 || port > 65535)
            return verb_misused(v, "found %s, expected an address or a host name, with or without :PORT", s);
    }
    snprintf(host, sizeof(host), "%.*s", colon ? (int)MIN(colon - s, 255) : 255, s);
    r = resolve(host, &ret->addr);
    if (r != 0)
        return verb_fail(v, "%s: %s", host, gai_strerror(r));
    ret->port = (uint16_t)port;
    return EXIT_DONE;
}

static void print_why(const json_t *doc, const char *shown)
{
    const json_t *number = json_object_get(doc, "number"), *paths = json_object_get(doc, "paths");
    const char *rule = json_text(doc, "rule");

    printf("to     %s\n", shown);
    if (*rule && json_is_integer(number) && json_integer_value(number) >= 0)
        printf("rule   %" PRId64 ": %s\n", (int64_t)json_integer_value(number) + 1, rule);
    else
        printf("rule   %s\n", *rule ? rule : "none: the default");
    printf("mode   %s", json_text(doc, "mode"));
    if (*json_text(doc, "class"))
        printf(" (%s)", json_text(doc, "class"));
    putchar('\n');
    if (*json_text(doc, "peer"))
        printf("peer   %s\n", json_text(doc, "peer"));
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const json_t *path = json_array_get(paths, i);

        printf("path   %-15s %-8s", json_text(path, "link"), json_text(path, "state"));
        if (json_number(path, "srtt_ms") > 0)
            printf(" %.1f ms", json_number(path, "srtt_ms"));
        puts(json_is_true(json_object_get(path, "first")) ? ", first choice" : "");
    }
    if (*json_text(doc, "why"))
        printf("why    %s\n", json_text(doc, "why"));
}

int verb_why(const struct verb *v, int argc, char **argv)
{
    bool as_json = false;
    const char *proto = NULL, *name = NULL;
    const struct verb_option options[] = {
        { "json", NULL, &as_json }, { "proto", &proto, NULL }, { "name", &name, NULL }, { NULL, NULL, NULL }
    };
    CLEANUP(cleanup_json) json_t *doc = NULL;
    char addr[ADDR_STRLEN], shown[ENDPOINT_STRLEN + 8];
    struct endpoint to;
    json_t *question;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (n != 1)
        return verb_misused(v, "found %d arguments, expected a destination", n);
    if (proto && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
        return verb_misused(v, "found --proto %s, expected tcp or udp", proto);
    r = read_destination(v, argv[1], &to);
    if (r != EXIT_DONE)
        return r;
    if (!proto && to.port)
        proto = "tcp";
    addr_format(&to.addr, addr);
    question = json_pack("{s:s, s:s}", "verb", "why", "dst", addr);
    if (proto)
        json_object_set_new(question, "proto", json_string(proto));
    if (to.port)
        json_object_set_new(question, "port", json_integer(to.port));
    r = daemon_call(v, name, question, &doc);
    if (r != EXIT_DONE)
        return r;
    if (to.port)
        endpoint_format(&to, shown);
    else
        memcpy(shown, addr, sizeof(addr));
    if (proto)
        snprintf(shown + strlen(shown), 8, " %s", proto);
    if (as_json)
        json_print(doc);
    else
        print_why(doc, shown);
    return EXIT_DONE;
}

/* The order {"verb":"link","name","set","value"}, or NULL after telling what is wrong. */
static json_t *link_order(const struct verb *v, int n, char **args)
{
    static const char *const words[] = { "tier", "up", "down", "signal" };
    const char *what = n > 1 ? args[1] : "", *value = n > 2 ? args[2] : "", *near;
    enum config_tier tier;
    char *end;
    long signal;

    if (n == 2 && (strcmp(what, "up") == 0 || strcmp(what, "down") == 0))
        return json_pack("{s:s, s:s, s:s, s:s}", "verb", "link", "name", args[0], "set", "state", "value", what);
    if (n == 3 && strcmp(what, "tier") == 0) {
        if (config_tier_parse(value, &tier) == 0)
            return json_pack("{s:s, s:s, s:s, s:s}", "verb", "link", "name", args[0], "set", "tier", "value",
                             config_tier_name(tier));
        verb_misused(v, "found tier %s, expected primary, secondary, backup or never", value);
        return NULL;
    }
    if (n == 3 && strcmp(what, "signal") == 0) {
        signal = strtol(value, &end, 10);
        if (*value && !*end && signal >= -120 && signal <= 0)
            return json_pack("{s:s, s:s, s:s, s:s}", "verb", "link", "name", args[0], "set", "signal", "value", value);
        verb_misused(v, "found signal %s, expected dBm from -120 to 0", value);
        return NULL;
    }
    near = n > 1 ? text_nearest(what, words, ARRAY_LEN(words)) : NULL;
    verb_misused(v, "expected a link and then tier TIER, up, down or signal DBM%s%s%s",
                 near && strcmp(near, what) != 0 ? " (did you mean " : "", near && strcmp(near, what) != 0 ? near : "",
                 near && strcmp(near, what) != 0 ? "?)" : "");
    return NULL;
}

int verb_link(const struct verb *v, int argc, char **argv)
{
    const char *name = NULL;
    const struct verb_option options[] = { { "name", &name, NULL }, { NULL, NULL, NULL } };
    CLEANUP(cleanup_json) json_t *doc = NULL;
    int n = verb_options(v, argc, argv, options);
    json_t *order;

    if (n < 0)
        return EXIT_USAGE;
    order = link_order(v, n, argv + 1);
    if (!order)
        return EXIT_USAGE;
    return daemon_call(v, name, order, &doc);
}
