/* wire/portmap.h - what a host and the gateway of its link say to each other, so that a port of the gateway leads to
 * one of the host: PCP (RFC 6887) and NAT-PMP (RFC 6886, version 0 of the same).
 *
 * PCP      u8 2 | u8 op | u16 0 | u32 lifetime | client 16                          a request
 *          u8 2 | u8 0x80 | op | u8 0 | u8 result | u32 lifetime | u32 epoch | 12 zeros    its answer
 *          MAP (op 1), behind either: nonce 12 | u8 17 | u24 0 | u16 port inside | u16 outside | address outside 16
 * NAT-PMP  u8 0 | u8 op        u8 0 | u8 0x80 | op | u16 result | u32 epoch | address 4       op 0: the address outside
 *          u8 0 | u8 1 | u16 0 | u16 port inside | u16 outside | u32 lifetime         op 1: a port of UDP
 *          u8 0 | u8 0x81 | u16 result | u32 epoch | u16 port inside | u16 outside | u32 lifetime
 *
 * All big-endian; addresses of 16 bytes are IPv6, or IPv4 mapped to it. Lifetimes and epochs are seconds. Of PCP only
 * what asks for a port of UDP is here; options that come behind an answer are passed over, as none was asked for. */
#pragma once

#include "base/addr.h"

#define PORTMAP_PORT 5351       /* of gateways */
#define PORTMAP_HEARD_PORT 5350 /* of hosts, at 224.0.0.1: gateways that began anew say so */
#define PORTMAP_NONCE_LEN 12
#define PORTMAP_REQUEST_MAX 60
#define PORTMAP_ANSWER_MAX 1100 /* RFC 6887 section 7 */

enum portmap_version { PORTMAP_NATPMP = 0, PORTMAP_PCP = 2 };
enum portmap_op {
    PORTMAP_ADDRESS = 0, /* of PCP: ANNOUNCE, which says the epoch alone */
    PORTMAP_MAP = 1,
};

/* Of both versions: what they call by the same number (RFC 6887 section 7.4, RFC 6886 section 3.5). */
#define PORTMAP_SUCCESS 0
#define PORTMAP_UNSUPP_VERSION 1

struct portmap_request {
    uint8_t version, op;
    struct addr client; /* the source address of the datagram */
    uint8_t nonce[PORTMAP_NONCE_LEN];
    uint16_t internal_port;
    struct endpoint external; /* wished for; family ADDR_NONE and port 0: any */
    uint32_t lifetime_s;      /* 0: the mapping is to go */
};

struct portmap_answer {
    uint8_t version, op;
    uint16_t result;
    uint32_t lifetime_s, epoch_s; /* lifetime: of the mapping, or of the error; NAT-PMP's errors have none: 0 */
    bool has_map;                 /* the three below are there; of NAT-PMP without nonce */
    uint8_t nonce[PORTMAP_NONCE_LEN];
    uint16_t internal_port;
    struct endpoint external; /* NAT-PMP: MAP has the port alone, ADDRESS the address alone */
};

/* Returns its length. */
size_t portmap_request_write(uint8_t out[PORTMAP_REQUEST_MAX], const struct portmap_request *r);
/* 0 or -EBADMSG: not an answer, of another version, cut, or of another protocol than UDP. */
MUST_CHECK int portmap_answer_read(const uint8_t *data, size_t len, struct portmap_answer *ret);
/* As the RFCs call it, in lower case; "?" for a number that they do not know. */
const char *portmap_result_name(uint8_t version, uint16_t result);
