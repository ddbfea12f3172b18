/* dmux/client.h - the end that wants a protocol: a shim on what goes out, off what comes back, and who serves it. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "dmux/applicant.h"
#include "dmux/protocol.h"
#include "wire/dmux.h"

#define CLIENT_GROWS (SHIM_LEN + SHIM_COOKIE_LEN) /* what a packet gets longer by */
#define CLIENT_HELLO_EVERY                                                                                             \
    (5 * SEC)                        /* chosen: after anycast has moved to a gateway of other keys, at most this long  \
                                      */
#define CLIENT_HELLO_RETRY (1 * SEC) /* chosen: RFC 8085 section 3.1.1's start for an unknown round trip */
#define CLIENT_ECHO_EVERY (1 * SEC)  /* chosen: at most, as a HELLO */
#define CLIENT_DOWN_AFTER 4          /* chosen: HELLOs without an answer */

struct client_options {
    struct endpoint service;
    const struct protocol_client *protocol;
    uint32_t provider;                    /* or PROVIDER_ANY */
    const struct credential *credentials; /* for providers that ask; they outlive the client */
    size_t credentials_count;
    struct rng rng;
};

enum client_drop {
    CLIENT_DROP_SHIM,   /* no shim, or one that clients do not get */
    CLIENT_DROP_FROM,   /* not from the service's address */
    CLIENT_DROP_OTHER,  /* another protocol, another provider */
    CLIENT_DROP_NONCE,  /* an answer to nothing that was asked */
    CLIENT_DROP_PACKET, /* the protocol refused it */
    CLIENT_DROP_SIZE,   /* longer than a packet may be */
    CLIENT_DROP_COUNT,
};

struct client_info {
    bool up; /* a gateway answers */
    uint32_t gateway;
    struct endpoint unicast, you;
    span rtt;           /* to the gateway */
    uint32_t provider;  /* who serves; 0: nobody, or not known yet */
    struct prefix dmux; /* of the operator that has that router: this service's, or another's */
    struct endpoint router;
    uint32_t router_rtt_us; /* from gateway to router */
    struct addr address;    /* of the protocol */
    struct applicant_info admission;
    uint64_t tx_pkts, rx_pkts, gateway_changes, router_changes;
    uint64_t drops[CLIENT_DROP_COUNT];
};

/* What a datagram was. */
enum client_input {
    CLIENT_NOTHING, /* taken, or dropped and counted */
    CLIENT_PACKET,  /* *ret_packet is for the device */
};

struct client;

struct client *client_new(const struct client_options *o, instant now);
void client_free(struct client *c);
/* A packet of the device. The length of the datagram in out (len + CLIENT_GROWS), for the service; 0: it is not sent,
 * or client_output will. */
size_t client_on_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out);
enum client_input client_on_datagram(struct client *c, const uint8_t *data, size_t len, const struct endpoint *from,
                                     instant now, const uint8_t **ret_packet, size_t *ret_len);
/* What the client has to say by itself, for the service: its length in out (PROTOCOL_PACKET_MAX + CLIENT_GROWS); 0: no
 * more. */
size_t client_output(struct client *c, uint8_t *out, instant now);
instant client_next_expiry(const struct client *c);
void client_info_get(const struct client *c, struct client_info *ret);
const char *client_drop_name(unsigned drop);
