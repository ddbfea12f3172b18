/* wire/federation.h - what gateways of different operators tell each other: the text of sealed records (doc/dmux.md,
 * Federation).
 *
 *   u8 kind | the message
 *   PING         nonce 8 | version 8        who asks -> border; version: as HEARD, or FEDERATION_UNHEARD
 *   PONG         nonce 8 | pass 12          the nonce of the PING
 *   SUMMARY      from 8 | to 8 | items      all that is new behind version `from`, up to `to`
 *   HEARD        version 8
 *   BORDERS      entries as in MEMBERS of wire/mesh.h
 *   WANT         protocol 2 | provider 4
 *   PROVE        provider 4
 *   CERTIFICATE  provider 4 | its Ed25519 key 32 | records in a row
 *
 * An item is protocol 2 | provider 4 | round trip to the nearest router us 4, FEDERATION_GONE when there is none any
 * more. Who asks says PING, HEARD, WANT and PROVE; a border, the others. */
#pragma once

#include "wire/mesh.h"

#define FEDERATION_GONE UINT32_MAX
#define FEDERATION_UNHEARD UINT64_MAX /* who asks wants no summaries yet */

enum federation_kind {
    FEDERATION_PING = 1,
    FEDERATION_PONG,
    FEDERATION_SUMMARY,
    FEDERATION_HEARD,
    FEDERATION_BORDERS,
    FEDERATION_WANT,
    FEDERATION_PROVE,
    FEDERATION_CERTIFICATE,
    FEDERATION_KIND_COUNT,
};

struct federation_message {
    uint8_t kind;
    uint64_t nonce;                /* PING, PONG: the asker's */
    uint64_t from, version;        /* SUMMARY: from, to; HEARD, PING: up to here, and what is behind it is told */
    uint8_t pass[SHIM_COOKIE_LEN]; /* PONG */
    uint16_t protocol;             /* WANT */
    uint32_t provider;             /* WANT, PROVE, CERTIFICATE: 2 or more */
    uint8_t key[DMUX_KEY_LEN];     /* CERTIFICATE */
    const uint8_t *rest;           /* SUMMARY: items; BORDERS: entries; CERTIFICATE: the chain; in the text read */
    size_t rest_len;
};

struct federation_item {
    uint16_t protocol;
    uint32_t provider; /* 2 or more */
    uint32_t rtt_us;   /* from the border to its nearest router; FEDERATION_GONE */
};

#define FEDERATION_ITEM_LEN 10

/* Writes the message with its rest into MESH_TEXT_MAX bytes at most. The length; 0: it does not fit. */
size_t federation_write(const struct federation_message *m, uint8_t *buf, size_t size);
/* 0, or -EBADMSG; every item and entry has been looked at then. */
MUST_CHECK int federation_read(const uint8_t *data, size_t len, struct federation_message *ret);
void federation_put_item(struct writer *w, const struct federation_item *item);
/* The next item of a rest; false: no more. */
bool federation_next_item(struct reader *r, struct federation_item *ret);
