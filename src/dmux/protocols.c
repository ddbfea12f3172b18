/* dmux/protocols.c - the protocols that there are: a line each. */
#include "dmux/doubled.h"
#include "dmux/ipv6.h"
#include "dmux/locate.h"
#include "dmux/mirror.h"
#include "dmux/protocol.h"

#include <stdio.h>

static const struct {
    const struct protocol_client *client;
    const struct protocol_router *router;
} protocols[] = {
    { &doubled_client, &doubled_router },
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
    unsigned number;
    char rest;

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (strcmp(protocols[i].router->name, text) == 0)
            return protocols[i].router->id;
    }
    return sscanf(text, "%5u%c", &number, &rest) == 1 && number <= UINT16_MAX ? (uint16_t)number : 0;
}
