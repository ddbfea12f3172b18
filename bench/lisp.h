/* bench/lisp.h - what it takes to load a map-server of LISP (RFC 9301): mappings of 10.0.0.0/8 to be registered, each
 * of one address with one locator, and questions for them.
 *
 * All of it is in network byte order on the wire; what is registered asks the map-server to answer by itself. */
#pragma once

#include "base/addr.h"

#define LISP_PORT 4342
#define LISP_REGISTER_RECORDS 20 /* a message; chosen: below 1,280 bytes with their headers */
#define LISP_REGISTER_MAX (36 + LISP_REGISTER_RECORDS * 28)
#define LISP_REQUEST_LEN (4 + 20 + 8 + 28)
#define LISP_NOTIFY_TYPE 4            /* the upper half of the first byte of an answer (RFC 9301 5.1) */
#define LISP_REPLY_LEN (12 + 16 + 12) /* Map-Reply of a mapping (5.4); one that says that there is none is shorter */

/* Map-Register (RFC 9301 5.6) of count (1 to LISP_REGISTER_RECORDS) addresses from the first on, signed by
 * HMAC-SHA-1-96's key. Its length. */
size_t lisp_register(uint8_t out[LISP_REGISTER_MAX], uint32_t first, unsigned count, uint64_t nonce, const char *key);
/* An encapsulated Map-Request (5.8, 5.2) for one address, to be answered at `from`, an IPv4 one. Its length. */
size_t lisp_request(uint8_t out[LISP_REQUEST_LEN], uint32_t number, const struct endpoint *from, uint64_t nonce);
