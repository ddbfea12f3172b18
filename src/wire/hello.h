/* wire/hello.h - two datagrams for who knows only an address: is there a Hawser session, and of which key?
 *
 * HELLO   u8 6 | 0 | 0 | 0 | nonce 16 | zeros, to HELLO_LEN
 * ANSWER  u8 7 | u8 versions | 0 | 0 | nonce 16 | public key 66 | u16 port for TCP carriers
 *
 * (doc/protocol.md, "HELLO". Not the hello inside a handshake, which is sealed.) Both keep their places in every
 * version of the protocol. What a receiver does not know, it skips: later fields stand where the zeros are, or behind.
 */
#pragma once

#include "wire/header.h"

#define HELLO_LEN 128 /* chosen: an answer with 40 bytes of later fields is still no longer than the question */
#define HELLO_MAX 512 /* bytes of the longest that is read, as of handshake datagrams */
#define HELLO_NONCE_LEN 16
#define HELLO_KEY_LEN 66 /* as in the text form of a public key (ident/keys.h) */
#define HELLO_ANSWER_LEN 88
#define HELLO_VERSION_BIT(v) (1u << ((v)-1)) /* in `versions`; v from 1 to 8 */

_Static_assert(HELLO_ANSWER_LEN <= HELLO_LEN, "nobody gets more than they sent");

struct hello_answer {
    uint8_t versions; /* set of HELLO_VERSION_BIT */
    uint8_t nonce[HELLO_NONCE_LEN];
    uint8_t key[HELLO_KEY_LEN];
    uint16_t carrier_port; /* host order: where sealed sessions go over TCP; 0: nowhere */
};

void hello_write(uint8_t out[HELLO_LEN], const uint8_t nonce[HELLO_NONCE_LEN]);
/* 0 or -EBADMSG: too short to be worth an answer, too long, or another type. */
MUST_CHECK int hello_read(const uint8_t *pkt, size_t len, uint8_t ret_nonce[HELLO_NONCE_LEN]);
void hello_answer_write(uint8_t out[HELLO_ANSWER_LEN], const struct hello_answer *a);
/* 0 or -EBADMSG: its length, its type, or no version at all. The key's bytes are not looked at. */
MUST_CHECK int hello_answer_read(const uint8_t *pkt, size_t len, struct hello_answer *ret);
