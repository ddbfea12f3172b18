/* wire/portmap.c - see portmap.h. */
#include "wire/portmap.h"

#include "wire/cursor.h"

#include <errno.h>

#define ANSWER 0x80
#define UDP 17
#define PCP_MAP_LEN 60

static void write_addr16(struct writer *w, const struct addr *a)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, zeros[16];

    if (a->family == ADDR_V4) {
        write_bytes(w, mapped, sizeof(mapped));
        write_bytes(w, a->bytes, 4);
    } else {
        write_bytes(w, a->family == ADDR_V6 ? a->bytes : zeros, 16);
    }
}

static struct addr read_addr16(struct reader *r)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, zeros[16];
    uint8_t bytes[16];

    read_copy(r, bytes, sizeof(bytes));
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return addr_from_bytes(ADDR_V4, bytes + 12);
    return addr_from_bytes(memcmp(bytes, zeros, sizeof(zeros)) == 0 ? ADDR_NONE : ADDR_V6, bytes);
}

size_t portmap_request_write(uint8_t out[PORTMAP_REQUEST_MAX], const struct portmap_request *r)
{
    struct writer w = writer_init(out, PORTMAP_REQUEST_MAX);

    write_u8(&w, r->version);
    write_u8(&w, r->op);
    if (r->version == PORTMAP_NATPMP && r->op == PORTMAP_MAP) {
        write_u16(&w, 0);
        write_u16(&w, r->internal_port);
        write_u16(&w, r->external.port);
        write_u32(&w, r->lifetime_s);
    }
    if (r->version == PORTMAP_NATPMP)
        return writer_len(&w);
    write_u16(&w, 0);
    write_u32(&w, r->lifetime_s);
    write_addr16(&w, &r->client);
    if (r->op == PORTMAP_MAP) {
        write_bytes(&w, r->nonce, sizeof(r->nonce));
        write_u32(&w, (uint32_t)UDP << 24);
        write_u16(&w, r->internal_port);
        write_u16(&w, r->external.port);
        write_addr16(&w, &r->external.addr);
    }
    return writer_len(&w);
}

static int read_natpmp(struct reader *r, struct portmap_answer *a)
{
    a->result = read_u16(r);
    a->epoch_s = read_u32(r);
    if (a->result != PORTMAP_SUCCESS) /* what is behind it says nothing, and some leave it out */
        return r->failed ? -EBADMSG : 0;
    if (a->op == PORTMAP_ADDRESS) {
        uint8_t bytes[4];

        read_copy(r, bytes, sizeof(bytes));
        a->external.addr = addr_from_bytes(ADDR_V4, bytes);
    } else {
        a->has_map = true;
        a->internal_port = read_u16(r);
        a->external.port = read_u16(r);
        a->lifetime_s = read_u32(r);
    }
    return reader_done(r) ? 0 : -EBADMSG;
}

static int read_pcp(struct reader *r, size_t len, struct portmap_answer *a)
{
    read_u8(r);
    a->result = read_u8(r);
    a->lifetime_s = read_u32(r);
    a->epoch_s = read_u32(r);
    read_bytes(r, 12);
    if (len % 4 != 0 || len > PORTMAP_ANSWER_MAX)
        return -EBADMSG;
    if (a->op == PORTMAP_MAP && (len >= PCP_MAP_LEN || a->result == PORTMAP_SUCCESS)) {
        a->has_map = true;
        read_copy(r, a->nonce, sizeof(a->nonce));
        if (read_u8(r) != UDP)
            return -EBADMSG;
        read_bytes(r, 3);
        a->internal_port = read_u16(r);
        a->external.port = read_u16(r);
        a->external.addr = read_addr16(r);
    }
    return r->failed ? -EBADMSG : 0;
}

int portmap_answer_read(const uint8_t *data, size_t len, struct portmap_answer *ret)
{
    struct reader r = reader_init(data, len);
    struct portmap_answer a = { .version = read_u8(&r) };
    uint8_t op = read_u8(&r);
    int e = -EBADMSG;

    a.op = op & (uint8_t)~ANSWER;
    if ((op & ANSWER) && a.op <= PORTMAP_MAP && a.version == PORTMAP_NATPMP)
        e = read_natpmp(&r, &a);
    else if ((op & ANSWER) && a.op <= PORTMAP_MAP && a.version == PORTMAP_PCP)
        e = read_pcp(&r, len, &a);
    if (e == 0)
        *ret = a;
    return e;
}

const char *portmap_result_name(uint8_t version, uint16_t result)
{
    static const char *const natpmp[] = { "success",         "unsupported version", "not authorized",
                                          "network failure", "out of resources",    "unsupported opcode" };
    static const char *const pcp[] = { "success",
                                       "unsupported version",
                                       "not authorized",
                                       "malformed request",
                                       "unsupported opcode",
                                       "unsupported option",
                                       "malformed option",
                                       "network failure",
                                       "no resources",
                                       "unsupported protocol",
                                       "user exceeds quota",
                                       "cannot provide external",
                                       "address mismatch",
                                       "excessive remote peers" };

    if (version == PORTMAP_NATPMP)
        return result < ARRAY_LEN(natpmp) ? natpmp[result] : "?";
    return result < ARRAY_LEN(pcp) ? pcp[result] : "?";
}
