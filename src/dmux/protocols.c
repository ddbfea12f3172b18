/* dmux/protocols.c - the protocols that there are: a line each. */
#include "base/text.h"
#include "dmux/ipv4.h"
#include "dmux/ipv6.h"
#include "dmux/locate.h"
#include "dmux/mirror.h"
#include "dmux/protocol.h"

#include <stdlib.h>

static const struct {
    const struct protocol_client *client;
    const struct protocol_router *router;
} protocols[] = {
    { &ipv4_client, &ipv4_router },
    { &ipv6_client, &ipv6_router },
    { &locate_client, &locate_router },
    { &mirror_client, &mirror_router },
};

const struct protocol_router *protocol_router_find(uint16_t id)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (protocols[i].router->id == id)
            return protocols[i].router;
    }
    return NULL;
}

const struct protocol_client *protocol_client_find(uint16_t id)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (protocols[i].client->id == id)
            return protocols[i].client;
    }
    return NULL;
}

uint16_t protocol_parse(const char *text)
{
    bool hex = strncmp(text, "0x", 2) == 0;
    const char *digits = hex ? text + 2 : text;
    unsigned long number;

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (strcmp(protocols[i].router->name, text) == 0)
            return protocols[i].router->id;
    }
    if (digits[strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")] != '\0')
        return 0;
    number = strtoul(digits, NULL, hex ? 16 : 10); /* of no digits: 0 */
    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

char *protocol_names(bool with_device, char buf[PROTOCOL_NAMES_SIZE])
{
    const char *names[ARRAY_LEN(protocols)];
    struct text t;
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (!with_device || !protocols[i].client->no_device)
            names[count++] = protocols[i].router->name;
    }
    text_init(&t, buf, PROTOCOL_NAMES_SIZE);
    for (size_t i = 0; i < count; i++)
        text_add(&t, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", names[i]);
    return buf;
}
