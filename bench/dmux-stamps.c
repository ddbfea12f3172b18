/* bench/dmux-stamps.c - hawser-dmuxd that writes into packets of bench/dmux-latency.c when it had them in hand, and
 * when their datagram was made.
 *
 * usage: as hawser-dmuxd, with the file of a [Client].
 *
 * Theory of operation. The daemon's own objects; the linker (--wrap) puts functions between that look at the clock
 * after a packet was taken from a queue of the kernel or from the device, and after the client's core has put it behind
 * its shim. Everything else is as it is. Two readings of the clock are some 50 ns of what is measured. The packet's UDP
 * checksum does not hold afterwards: nobody is to read it. */
#include "bench/stamps.h"
#include "dmux/client.h"
#include "sys/nfqueue.h"
#include "sys/tun.h"

static uint64_t in_hand;

int __real_nfqueue_next(struct nfqueue *q, struct nfqueue_packet *ret);
int __wrap_nfqueue_next(struct nfqueue *q, struct nfqueue_packet *ret);
ssize_t __real_tun_read(struct tun *t, void *buf, size_t size, struct tun_meta *ret);
ssize_t __wrap_tun_read(struct tun *t, void *buf, size_t size, struct tun_meta *ret);
size_t __real_client_on_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out);
size_t __wrap_client_on_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out);

int __wrap_nfqueue_next(struct nfqueue *q, struct nfqueue_packet *ret)
{
    int r = __real_nfqueue_next(q, ret);

    in_hand = stamps_now();
    return r;
}

ssize_t __wrap_tun_read(struct tun *t, void *buf, size_t size, struct tun_meta *ret)
{
    ssize_t r = __real_tun_read(t, buf, size, ret);

    in_hand = stamps_now();
    return r;
}

size_t __wrap_client_on_packet(struct client *c, const uint8_t *packet, size_t len, uint8_t *out)
{
    size_t n = __real_client_on_packet(c, packet, len, out);
    uint64_t made = stamps_now();
    struct stamps s;

    if (n < len || len < STAMPS_AT + sizeof(s))
        return n;
    out += n - len + STAMPS_AT;
    memcpy(&s, out, sizeof(s));
    if (s.magic == STAMPS_MAGIC) {
        s.in_hand = in_hand;
        s.made = made;
        memcpy(out, &s, sizeof(s));
    }
    return n;
}
