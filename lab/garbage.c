/* hawser-garbage: datagrams that an agent must throw away, as fast as asked.
 *
 * Theory of operation. What an attacker on the way can send: it first listens to records on their way to the target
 * (CAPTURE_MAX of them, or for a second), and then sends, in turn: random bytes; a sealed record of an unknown
 * connection id; a captured record cut short; one with a flipped bit; one with a counter of its own; and captured
 * records again as they were, in another order. What is made of a captured record bears its source address, so that
 * nothing but the cipher and the replay window tells it from an honest one. How they leave, and the limits: raw.h. */
#include "lab/raw.h"
#include "sys/clock.h"
#include "wire/header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CAPTURE_MAX 1024    /* records; chosen: more than is in flight, so that most are old */
#define ETHERTYPE_V4 0x0800 /* IEEE 802.3 */

enum kind { KIND_RANDOM, KIND_UNKNOWN, KIND_SHORT, KIND_FLIPPED, KIND_COUNTER, KIND_REPLAY, KIND_COUNT };

struct record {
    size_t len;
    uint32_t source;
    uint16_t port;
    uint8_t data[RAW_PAYLOAD_MAX];
};

struct garbage {
    struct record records[CAPTURE_MAX];
    size_t count;
    unsigned next;
    struct sockaddr_in to;
};

/* One packet as it is on the wire, IP header first. */
static void keep(struct garbage *g, const uint8_t *pkt, size_t len)
{
    struct record *r = &g->records[g->count];
    size_t ip = len > 0 ? (size_t)(pkt[0] & 15) * 4 : 0;

    if (len < ip + 8 + SEALED_MIN_LEN || pkt[9] != IPPROTO_UDP || memcmp(pkt + 16, &g->to.sin_addr, 4) != 0 ||
        get_be16(pkt + ip + 2) != ntohs(g->to.sin_port) || pkt[ip + 8] != PACKET_SEALED ||
        len - ip - 8 > sizeof(r->data))
        return;
    memcpy(&r->source, pkt + 12, 4);
    r->port = get_be16(pkt + ip);
    r->len = len - ip - 8;
    memcpy(r->data, pkt + ip + 8, r->len);
    g->count++;
}

static int capture(struct garbage *g, const char *interface)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETHERTYPE_V4),
                              .sll_ifindex = (int)if_nametoindex(interface) };
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETHERTYPE_V4));
    instant end = clock_now() + 1 * SEC;
    uint8_t pkt[2048];

    if (at.sll_ifindex == 0 || fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        int r = at.sll_ifindex == 0 ? -ENODEV : -errno;

        if (fd >= 0)
            close(fd);
        return r;
    }
    while (g->count < CAPTURE_MAX && clock_now() < end) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, 50) > 0 && (n = recv(fd, pkt, sizeof(pkt), 0)) > 0)
            keep(g, pkt, MIN((size_t)n, sizeof(pkt)));
    }
    close(fd);
    return 0;
}

static void fill_random(struct prng *p, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = prng_u64(p);

        memcpy(out + i, &v, MIN(len - i, sizeof(v)));
    }
}

static size_t payload(void *ctx, struct raw *r, uint8_t *out, uint32_t *source, uint16_t *port)
{
    struct garbage *g = ctx;
    enum kind kind = (enum kind)(g->next++ % KIND_COUNT);
    const struct record *from = &g->records[prng_below(&r->prng, g->count)];
    size_t len = from->len;

    if (kind == KIND_RANDOM || kind == KIND_UNKNOWN) {
        fill_random(&r->prng, out, len);
        if (kind == KIND_UNKNOWN)
            out[0] = PACKET_SEALED;
        return len;
    }
    memcpy(out, from->data, len);
    *source = from->source;
    *port = from->port;
    if (kind == KIND_SHORT)
        return 1 + (size_t)prng_below(&r->prng, len - 1);
    if (kind == KIND_FLIPPED || kind == KIND_COUNTER) /* newer than any, so that the cipher has to see it */
        put_be64(out + 8, get_be64(out + 8) + 100000 + prng_below(&r->prng, 100000));
    if (kind == KIND_FLIPPED)
        out[SEALED_HEADER_LEN] ^= 1;
    return len;
}

int main(int argc, char **argv)
{
    static struct garbage g;
    const char *interface;
    struct raw raw;
    int o = raw_open(&raw, "hawser-garbage", argc, argv, "listen", 20000, &interface);

    if (o != 0)
        return o;
    g.to = raw.to;
    o = capture(&g, interface);
    if (o < 0 || g.count == 0) {
        fprintf(stderr, "hawser-garbage: %s: %s\n", interface, o < 0 ? strerror(-o) : "no record came by");
        raw_close(&raw);
        return 1;
    }
    raw_run(&raw, payload, &g);
    printf("{\"captured\":%zu,", g.count);
    raw_report(&raw);
    raw_close(&raw);
    return 0;
}
