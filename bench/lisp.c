/* bench/lisp.c - see lisp.h. */
#include "bench/lisp.h"

#include "tunnel/packet.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define EIDS UINT32_C(0x0a000000)    /* 10.0.0.0/8 */
#define LOCATOR UINT32_C(0xc0000201) /* 192.0.2.1 */
#define AFI_NONE 0
#define AFI_IPV4 1
#define HMAC_SHA_1_96 1
#define MAC_LEN 20
#define MAC_AT 16 /* behind type, nonce, key id, algorithm, length */

static uint8_t *put16(uint8_t *p, uint16_t v)
{
    put_be16(p, v);
    return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    put_be32(p, v);
    return p + 4;
}

static uint8_t *put_eid(uint8_t *p, uint32_t number)
{
    return put32(put16(p, AFI_IPV4), EIDS + number);
}

static uint8_t *put_record(uint8_t *p, uint32_t number)
{
    p = put32(p, 1440);   /* minutes */
    p = put16(p, 0x0120); /* one locator; an identifier of 32 bits */
    p = put16(p, 0x1000); /* authoritative */
    p = put_eid(put16(p, 0), number);
    p = put32(p, UINT32_C(0x0164ff00)); /* priority 1, weight 100; no multicast */
    p = put16(p, 0x0005);               /* its own, reachable */
    return put32(put16(p, AFI_IPV4), LOCATOR);
}

size_t lisp_register(uint8_t out[LISP_REGISTER_MAX], uint32_t first, unsigned count, uint64_t nonce, const char *key)
{
    unsigned mac_len = MAC_LEN;
    uint8_t *p = put32(out, UINT32_C(0x38000100) | count); /* proxy reply and a notification wanted */

    put_be64(p, nonce);
    p = put16(p + 8, HMAC_SHA_1_96);
    p = put16(p, MAC_LEN);
    memset(p, 0, MAC_LEN);
    p += MAC_LEN;
    for (unsigned i = 0; i < count; i++)
        p = put_record(p, first + i);
    HMAC(EVP_sha1(), key, (int)strlen(key), out, (size_t)(p - out), out + MAC_AT, &mac_len);
    return (size_t)(p - out);
}

size_t lisp_request(uint8_t out[LISP_REQUEST_LEN], uint32_t number, const struct endpoint *from, uint64_t nonce)
{
    uint8_t *p = put32(out, UINT32_C(0x80000000)); /* encapsulated control message */

    p = put32(p, UINT32_C(0x45000000) | (LISP_REQUEST_LEN - 4));
    p = put32(p, 0);
    p = put32(p, UINT32_C(0x40110000)); /* TTL 64, UDP; the checksum is below */
    p = put32(p, get_be32(from->addr.bytes));
    p = put32(p, EIDS + number);
    packet_fix_v4_header(out + 4);
    p = put16(p, from->port);
    p = put16(p, LISP_PORT);
    p = put32(p, (uint32_t)(LISP_REQUEST_LEN - 24) << 16); /* no checksum */
    p = put32(p, UINT32_C(0x10000001)); /* Map-Request of one record, to be answered at one address */
    put_be64(p, nonce);
    p = put16(p + 8, AFI_NONE); /* who asks has no identifier */
    p = put32(put16(p, AFI_IPV4), get_be32(from->addr.bytes));
    p = put_eid(put16(p, 32), number);
    return (size_t)(p - out);
}
