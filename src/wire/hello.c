/* wire/hello.c - see hello.h. Limits: HELLO 128 to 512 bytes, ANSWER 88 to 512. */
#include "wire/hello.h"

#include <errno.h>

#include "wire/cursor.h"

void hello_write(uint8_t out[HELLO_LEN], const uint8_t nonce[HELLO_NONCE_LEN])
{
    memset(out, 0, HELLO_LEN);
    out[0] = PACKET_HELLO;
    memcpy(out + 4, nonce, HELLO_NONCE_LEN);
}

int hello_read(const uint8_t *pkt, size_t len, uint8_t ret_nonce[HELLO_NONCE_LEN])
{
    if (len < HELLO_LEN || len > HELLO_MAX || pkt[0] != PACKET_HELLO)
        return -EBADMSG;
    memcpy(ret_nonce, pkt + 4, HELLO_NONCE_LEN);
    return 0;
}

void hello_answer_write(uint8_t out[HELLO_ANSWER_LEN], const struct hello_answer *a)
{
    struct writer w = writer_init(out, HELLO_ANSWER_LEN);

    write_u8(&w, PACKET_HELLO_ANSWER);
    write_u8(&w, a->versions);
    write_u16(&w, 0);
    write_bytes(&w, a->nonce, sizeof(a->nonce));
    write_bytes(&w, a->key, sizeof(a->key));
    write_u16(&w, a->carrier_port);
}

int hello_answer_read(const uint8_t *pkt, size_t len, struct hello_answer *ret)
{
    struct reader r = reader_init(pkt, len);
    struct hello_answer a;
    uint8_t type = read_u8(&r);

    a.versions = read_u8(&r);
    (void)read_u16(&r);
    read_copy(&r, a.nonce, sizeof(a.nonce));
    read_copy(&r, a.key, sizeof(a.key));
    a.carrier_port = read_u16(&r);
    if (r.failed || type != PACKET_HELLO_ANSWER || len > HELLO_MAX || a.versions == 0)
        return -EBADMSG;
    *ret = a;
    return 0;
}
