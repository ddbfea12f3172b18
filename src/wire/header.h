/* wire/header.h - the outside of every Hawser datagram (doc/protocol.md, "Datagrams").
 *
 * The first byte is the type. A sealed record is
 *     u8 4 | u56 connection id | u64 counter | ciphertext | 16-byte tag
 * and its 16-byte header is the associated data. Where both ends avoid encryption a data record is
 *     u8 8 | u56 connection id | u64 counter | payload | the data header, sealed, 12 bytes | 16-byte tag
 * and all before what is sealed is the associated data. What is sealed begins with a u8 content type:
 *     data:    u8 1 or 0x81 | u8 paths | u16 flow | u32 sequence | u16 back | u16 time | one IP packet
 *     piece:   as data, with u8 3 or 0x83 and u16 packet | u16 offset, bit 15: the last, before bytes of the IP packet
 *     control: u8 2 | u8 flags | u16 time | frames (wire/frame.h)
 *     chunk:   u8 4 or 0x84, the last | u8 0 | u48 place | u16 channel | u16 time | bytes from that place on
 *     unit:    u8 5 or 0x85, unordered | u8 0 | u48 number | u16 left | u16 time | u32 offset | u32 length | bytes
 *     message: u8 6 | ... (wire/exchange.h)
 *
 * Channel 0 is the one stream of a session without packets. A unit is an application's, of `length` bytes, those from
 * `offset` on; it is of use for `left` ms more (0xffff: always). `sequence` numbers the session's data records (low 32
 * bits), `back` is the distance to the previous record of the same flow (0: it need not be waited for), `paths` the
 * slots that the flow used lately, a bit each; `time` is the sender's clock in units of 64 us. Duplicates of a data
 * record differ in `time` alone. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define PROTOCOL_VERSION 1

enum packet_type {
    PACKET_INIT = 1,
    PACKET_RESPONSE = 2,
    PACKET_COOKIE = 3,
    PACKET_SEALED = 4,
    PACKET_RESET = 5,
    PACKET_HELLO = 6, /* wire/hello.h */
    PACKET_HELLO_ANSWER = 7,
    PACKET_CLEAR = 8,
    PACKET_KNOCK = 9,    /* node/knock.c */
    PACKET_RELAYED = 10, /* node/relay.h */
    PACKET_RELAY_BIND = 11,
    PACKET_RELAY_BOUND = 12,
};

#define SEALED_HEADER_LEN 16
#define SEALED_TAG_LEN 16
#define SEALED_MIN_LEN (SEALED_HEADER_LEN + 4 + SEALED_TAG_LEN)
#define CLEAR_TAIL_LEN (DATA_HEADER_LEN + SEALED_TAG_LEN) /* behind the payload of a record in clear */
#define CID_MASK ((UINT64_C(1) << 56) - 1)
#define SEALED_CID_LAST 7 /* where the connection id's last byte stands */

#define RESET_TOKEN_LEN 16
/* Shorter than the shortest sealed record, so two ends cannot reset for ever. */
#define RESET_LEN (8 + RESET_TOKEN_LEN)
#define KNOCK_LEN 8

enum content_type {
    CONTENT_DATA = 1,
    CONTENT_CONTROL = 2,
    CONTENT_PIECE = 3,
    CONTENT_CHUNK = 4,
    CONTENT_UNIT = 5,
    CONTENT_MESSAGE = 6,
};
#define CONTENT_TYPE_MASK 0x0f
/* Beside CONTENT_DATA and CONTENT_PIECE: the packet's TCP or UDP checksum was not computed, since the seal protects the
 * bytes; who takes the packet out of the tunnel computes it. */
#define DATA_CSUM_OWED 0x80
#define CHUNK_LAST 0x80     /* beside CONTENT_CHUNK: the stream ends with it */
#define UNIT_UNORDERED 0x80 /* beside CONTENT_UNIT */

#define DATA_HEADER_LEN 12 /* of a chunk, too */
#define UNIT_HEADER_LEN 20
#define PIECE_HEADER_LEN 4 /* after the data header */
#define PIECE_LAST 0x8000
#define PIECE_OFFSET_MASK 0x7fff
#define CONTROL_HEADER_LEN 4
#define CONTROL_FLAG_ELICITING 1 /* the receiver acknowledges it */

/* Bytes around an inner packet inside a UDP payload. */
#define RECORD_OVERHEAD (SEALED_HEADER_LEN + DATA_HEADER_LEN + SEALED_TAG_LEN)
/* UDP payload of the largest record that fits an outer MTU of 1500 with IPv6. */
#define RECORD_MAX (1500 - 48)
/* The largest record where the transport has no such limit, and the peer takes it (FEATURE_LARGE_RECORDS): four of them
 * and their lengths fill a train (SESSION_TRAIN_MAX). */
#define RECORD_LARGE_MAX 16248

static inline void sealed_header_put(uint8_t *p, uint64_t cid, uint64_t counter)
{
    put_be64(p, (uint64_t)PACKET_SEALED << 56 | cid);
    put_be64(p + 8, counter);
}

static inline void clear_header_put(uint8_t *p, uint64_t cid, uint64_t counter)
{
    put_be64(p, (uint64_t)PACKET_CLEAR << 56 | cid);
    put_be64(p + 8, counter);
}

/* Of either. */
static inline uint64_t record_counter_get(const uint8_t *p)
{
    return get_be64(p + 8);
}

static inline uint16_t time64_from(instant now)
{
    return (uint16_t)(now >> 6);
}

struct data_header {
    bool csum_owed, piece;
    uint8_t paths;
    uint16_t flow;
    uint32_t seq;
    uint16_t back;
    uint16_t time64;
};

static inline void data_header_put(uint8_t *p, const struct data_header *h)
{
    p[0] = (uint8_t)((h->piece ? CONTENT_PIECE : CONTENT_DATA) | (h->csum_owed ? DATA_CSUM_OWED : 0));
    p[1] = h->paths;
    put_be16(p + 2, h->flow);
    put_be32(p + 4, h->seq);
    put_be16(p + 8, h->back);
    put_be16(p + 10, h->time64);
}

static inline void data_header_get(const uint8_t *p, struct data_header *h)
{
    h->csum_owed = (p[0] & DATA_CSUM_OWED) != 0;
    h->piece = (p[0] & CONTENT_TYPE_MASK) == CONTENT_PIECE;
    h->paths = p[1];
    h->flow = get_be16(p + 2);
    h->seq = get_be32(p + 4);
    h->back = get_be16(p + 8);
    h->time64 = get_be16(p + 10);
}

struct chunk_header {
    bool last;
    uint64_t place; /* below 2^48 */
    uint16_t channel;
};

static inline void chunk_header_put(uint8_t *p, const struct chunk_header *h)
{
    put_be64(p, (uint64_t)(CONTENT_CHUNK | (h->last ? CHUNK_LAST : 0)) << 56 | h->place);
    put_be16(p + 8, h->channel);
    put_be16(p + 10, 0);
}

/* False: what must be 0 is not. */
static inline bool chunk_header_get(const uint8_t *p, struct chunk_header *ret)
{
    ret->last = (p[0] & CHUNK_LAST) != 0;
    ret->place = get_be64(p) & ((UINT64_C(1) << 48) - 1);
    ret->channel = get_be16(p + 8);
    return p[1] == 0;
}

struct unit_header {
    bool unordered;
    uint64_t number; /* below 2^48 */
    uint16_t left_ms;
    uint32_t offset, unit_len;
};

static inline void unit_header_put(uint8_t *p, const struct unit_header *h)
{
    put_be64(p, (uint64_t)(CONTENT_UNIT | (h->unordered ? UNIT_UNORDERED : 0)) << 56 | h->number);
    put_be16(p + 8, h->left_ms);
    put_be16(p + 10, 0);
    put_be32(p + 12, h->offset);
    put_be32(p + 16, h->unit_len);
}

/* False: what must be 0 is not. */
static inline bool unit_header_get(const uint8_t *p, struct unit_header *ret)
{
    ret->unordered = (p[0] & UNIT_UNORDERED) != 0;
    ret->number = get_be64(p) & ((UINT64_C(1) << 48) - 1);
    ret->left_ms = get_be16(p + 8);
    ret->offset = get_be32(p + 12);
    ret->unit_len = get_be32(p + 16);
    return p[1] == 0;
}
