/* lab/raw.h - datagrams of any source at a steady rate, for the attackers of the laboratory.
 *
 * They leave through a raw socket, a batch at a time; a batch that is late is made up for, so the rate is the mean. The
 * target must be in 198.51.100.0/24, which the Internet does not route (RFC 5737), and it ends by itself.
 *
 * Limits: RAW_RATE_MAX datagrams a second, RAW_SECONDS_MAX seconds, RAW_PAYLOAD_MAX bytes, IPv4. */
#pragma once

#include "base/rng.h"

#include <netinet/in.h>

#define RAW_BATCH 32
#define RAW_RATE_MAX 200000
#define RAW_SECONDS_MAX 60
#define RAW_PAYLOAD_MAX 1500

struct raw {
    struct sockaddr_in to;
    struct prng prng; /* seeded from the clock */
    double rate, seconds;
    int fd;
    uint64_t sent, refused;
    double took; /* s */
};

/* One datagram's payload: at most RAW_PAYLOAD_MAX bytes to out; its length. Source (network order) and port are preset
 * to a stranger's: 100.64.0.0/10 (RFC 6598) and above 1024. */
typedef size_t raw_payload(void *ctx, struct raw *r, uint8_t *out, uint32_t *source, uint16_t *port);

/* From the command line of program: --OPTION VALUE, which is its own and must be there, and [--rate N] [--seconds S]
 * ADDR:PORT; rate: where none is said. 0 and *ret_value; or its exit code, after saying why. */
int raw_open(struct raw *r, const char *program, int argc, char **argv, const char *option, double rate,
             const char **ret_value);
void raw_close(struct raw *r);
/* Blocks for r->seconds. */
void raw_run(struct raw *r, raw_payload *payload, void *ctx);
/* `"sent":...}` and a new line: what became of them, the end of an object of JSON. */
void raw_report(const struct raw *r);
