/* prog/run_words.h - what programs under `hawser run` (prog/run_preload.c) and the pump (prog/pump.c) say to each
 * other.
 *
 * The environment names the pump: HAWSER_RUN=NAME:TOKEN, an abstract Unix socket and 32 hexadecimal digits which the
 * pump wants to see. Each question is a connection of its own (SOCK_SEQPACKET): one struct run_ask, and struct
 * run_answer back; with RUN_CONNECT two of these, the first at once and the second when it is connected or not. Both
 * ends are of one build on one machine: numbers are in its own order.
 *
 * A carried connection is one end of a socketpair on the program's descriptor. The other end, the pump's, has a name
 * that tells what the program thinks that it has, so that whoever holds the descriptor, after fork and exec, can know:
 *
 *     NUL | "hawser-run/" | serial 16 | family 1 | peer 36 | local 36      address 32 and port 4 each, hexadecimal
 *
 * Before the program has it, the pair is stuffed with `junk` bytes, which make it unwritable. The pump takes all but
 * one of them when the connection is up. From then on one byte, that it has read already, always stays in its end: a
 * Unix socket that is closed unread gives its other end ECONNRESET, which is what the program is to see when the
 * connection is reset, or the pump dies. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#define RUN_ENV "HAWSER_RUN"
#define RUN_MAGIC 0x48575232u /* this file's version */
#define RUN_TOKEN_LEN 32
#define RUN_NAME_PREFIX "hawser-run/"
#define RUN_NAME_LEN (1 + 11 + 16 + 1 + 2 * 36)
/* Whence the pump calls a server: an address of loopback that nobody else uses, so that only for those is the pump
 * asked who it is. ("HWS" in ASCII. IPv6 has one address only.) */
#define RUN_SOURCE_V4 0x7f485753u

enum run_op {
    RUN_CONNECT = 1, /* to `at`; with the pump's end of the pair, which has `junk` bytes and the name of `serial` */
    RUN_LISTEN,      /* the program listens at `at`; v6only: no IPv4 there */
    RUN_PEER,        /* who is it that calls port `port` from `at`, an address of loopback? */
    RUN_STATUS,      /* how is `serial`: connected once (0), EINPROGRESS, or failed? */
    RUN_RELEASE,     /* the program wants UDP port `port` */
};

struct run_ask {
    uint32_t magic, op;
    char token[RUN_TOKEN_LEN];
    uint64_t serial;
    uint32_t junk;
    uint16_t port;
    uint8_t wait, v6only; /* wait: for the second answer */
    struct sockaddr_storage at;
};

enum run_verdict { RUN_DONE, RUN_DIRECT /* RUN_CONNECT: not carried, the program may go itself */ };

struct run_answer {
    int32_t error; /* errno, 0: none */
    uint32_t verdict;
    struct sockaddr_storage at; /* RUN_PEER */
};
