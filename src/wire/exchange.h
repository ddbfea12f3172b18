/* wire/exchange.h - messages of an exchange (session/exchange.h), as they stand inside a sealed record.
 *
 * request    u8 6 | u8 1 | u8 try | u8 flags | u32 id | u64 token | [parts] | [have] | bytes
 * answer     u8 6 | u8 2 | u8 try | u8 flags | u32 id | [parts] | bytes
 * challenge  u8 6 | u8 3 | u8 try | u8 0     | u32 id | u64 token
 * reset      u8 6 | u8 4 | u8 0   | u8 0     | u32 0  | token 16
 *
 * parts (flag 1)  u8 part | u8 last | u16 0 | u64 digest: part number `part` of a message whose last part is `last`, at
 *                 least 1. All but the last have EXCHANGE_PART_LEN bytes. The digest is that of the whole message
 *                 (exchange_digest); parts with different ones are of different messages.
 * have (flag 2)   u64 digest | u64 parts: of an answer with this digest these parts are there already, a bit each.
 *
 * An answer brings back id and try of the request. A request of 0 bytes asks whether the other is there. */
#pragma once

#include "wire/header.h"

#define EXCHANGE_DATAGRAM_MAX 1232 /* bytes of UDP payload: IPv6's least MTU, 1280 (RFC 8200 section 5), less 48 */
#define EXCHANGE_MESSAGE_MAX 65536 /* bytes of a whole message */
#define EXCHANGE_TEXT_MAX (EXCHANGE_DATAGRAM_MAX - SEALED_HEADER_LEN - SEALED_TAG_LEN) /* what is sealed */
#define EXCHANGE_REQUEST_HEADER 16
#define EXCHANGE_ANSWER_HEADER 8
#define EXCHANGE_CHALLENGE_LEN 16
#define EXCHANGE_RESET_LEN (8 + RESET_TOKEN_LEN)
#define EXCHANGE_PARTS_LEN 12
#define EXCHANGE_HAVE_LEN 16
#define EXCHANGE_HEADER_MAX (EXCHANGE_REQUEST_HEADER + EXCHANGE_PARTS_LEN + EXCHANGE_HAVE_LEN)
/* A request keeps its shape when it is sent again with `have`. */
#define EXCHANGE_PART_LEN (EXCHANGE_TEXT_MAX - EXCHANGE_HEADER_MAX)
/* Longer messages go in parts. */
#define EXCHANGE_REQUEST_WHOLE (EXCHANGE_TEXT_MAX - EXCHANGE_REQUEST_HEADER - EXCHANGE_HAVE_LEN)
#define EXCHANGE_ANSWER_WHOLE (EXCHANGE_TEXT_MAX - EXCHANGE_ANSWER_HEADER)
#define EXCHANGE_PARTS_MAX ((EXCHANGE_MESSAGE_MAX + EXCHANGE_PART_LEN - 1) / EXCHANGE_PART_LEN)

_Static_assert(EXCHANGE_PARTS_MAX <= 64, "a bit each");

enum exchange_kind {
    EXCHANGE_KIND_REQUEST = 1,
    EXCHANGE_KIND_ANSWER = 2,
    EXCHANGE_KIND_CHALLENGE = 3,
    EXCHANGE_KIND_RESET_TOKEN = 4,
};

struct exchange_message {
    uint8_t kind; /* enum exchange_kind */
    uint8_t try;
    bool in_parts, has_have;
    uint32_t id;
    uint64_t token; /* request, challenge; 0: none */
    uint8_t part, last;
    uint64_t digest;                  /* in_parts */
    uint64_t have_digest, have_parts; /* has_have */
    const uint8_t *data;              /* request, answer: the bytes; reset: RESET_TOKEN_LEN of them */
    size_t len;
};

/* Writes everything before the bytes, at most EXCHANGE_HEADER_MAX; how much. */
size_t exchange_message_put(uint8_t *out, const struct exchange_message *m);
/* 0 or -EBADMSG: no message of an exchange, or one that breaks the rules above. ret->data points into text. */
MUST_CHECK int exchange_message_read(const uint8_t *text, size_t len, struct exchange_message *ret);
/* SipHash-1-3 under a key of zeros: tells two answers to one question apart, and protects nothing. */
uint64_t exchange_digest(const void *data, size_t len);
