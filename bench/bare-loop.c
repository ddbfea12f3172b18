/* bench/bare-loop.c - the least that a sealed tunnel in user space does: the limit that Hawser is measured against.
 *
 * Theory of operation. One process an end, one thread, poll on a TUN device and a UDP socket. A super-packet that the
 * TUN gives is cut into packets of the device's MTU: the headers of each are written just before its payload, over the
 * end of the payload before, which was sealed already; so each packet stands in one piece and one call of the cipher
 * moves it into the train. The train leaves by one sendmsg with UDP_SEGMENT. A train that UDP_GRO brings is opened in
 * place; TCP segments and UDP datagrams that follow each other become a super-packet again, written by one writev whose
 * pieces point into the train. Checksums of the inside are left to the kernel on both ends (NEEDS_CSUM). Without TSO
 * the packets that can be read at once, and are of one size, make the train.
 *
 * What a tunnel needs and this lacks: handshake, replay window, acknowledgements, pacing, queue, second path, errors.
 * A full socket loses the packet, and TCP's own window is the flow control. The key is fixed: never use this.
 *
 * A record: 7 zero bytes and a flag (checksum unfinished), counter (8), sealed packet, tag (16).
 *
 * Limits: IPv4 in and out, TCP and UDP in super-packets; others one by one; IPv6 is dropped. 64 packets a train. */
#include "bench/bare_udp.h"
#include "ident/aead.h"
#include "sys/tun.h"
#include "tunnel/packet.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define HEADER 16
#define TRAIN_BYTES 65000 /* chosen: below 65535 less headers */
#define TUN_READS 32      /* chosen: super-packets a wake-up, as hawserd */
#define INNER_HEADERS 120 /* bytes: IP and TCP with all options */
#define TCP 6
#define UDP 17

struct loop {
    struct tun *tun;
    struct tun_features features;
    struct bare_udp udp;
    uint32_t mtu;
    bool sealed;
    struct aead *seal, *open;
    uint64_t counter;
    struct { /* the train that is being made */
        uint8_t data[TRAIN_BYTES + 2048];
        size_t len, count, each;
    } out;
    uint8_t in[TUN_PACKET_BYTES_MAX + 1];
    struct { /* the super-packet that is being put together */
        struct iovec iov[BARE_TRAIN_MAX + 1];
        size_t count, payload, size; /* packets; bytes of payload; of each but the last */
        uint8_t *head;
        size_t head_len;
        uint32_t next_seq;
        bool partial; /* the checksum is unfinished */
    } up;
};

/* --- from the TUN to the socket --- */

static void train_send(struct loop *l)
{
    if (l->out.count > 0)
        bare_udp_send(&l->udp, l->out.data, l->out.len, l->out.each, NULL);
    l->out.len = l->out.count = 0;
}

/* A packet that stands in one piece goes to the end of the train. */
static void train_add(struct loop *l, const uint8_t *pkt, size_t len, bool partial)
{
    size_t size = HEADER + len + AEAD_TAG_LEN;
    uint8_t *to;

    /* Only the last of a train may be shorter. */
    if (l->out.count > 0 && (size > l->out.each || l->out.count == BARE_TRAIN_MAX || l->out.len + size > TRAIN_BYTES ||
                             l->out.len % l->out.each != 0))
        train_send(l);
    to = l->out.data + l->out.len;
    put_be64(to, partial);
    put_be64(to + 8, l->counter);
    if (!l->sealed)
        memcpy(to + HEADER, pkt, len);
    else if (aead_seal(l->seal, l->counter, to, HEADER, pkt, len, to + HEADER) < 0)
        exit(1);
    l->counter++;
    if (l->out.count++ == 0)
        l->out.each = size;
    l->out.len += size;
}

static void cut(struct loop *l, uint8_t *pkt, size_t len, const struct tun_meta *m)
{
    size_t ip = (size_t)(pkt[0] & 15) * 4, hdr, each = m->gso_bytes, count = 0;
    uint8_t head[INNER_HEADERS];
    bool tcp = pkt[9] == TCP;
    uint32_t seq = get_be32(pkt + ip + 4);
    uint16_t id = get_be16(pkt + 4);
    uint8_t flags = pkt[ip + 13];

    hdr = ip + (tcp ? (size_t)(pkt[ip + 12] >> 4) * 4 : 8);
    if (hdr >= len || hdr > sizeof(head) || each == 0)
        return;
    memcpy(head, pkt, hdr);
    for (size_t at = hdr; at < len; at += each, count++) {
        size_t n = MIN(each, len - at);
        uint8_t *p = pkt + at - hdr;

        memcpy(p, head, hdr);
        put_be16(p + 2, (uint16_t)(hdr + n));
        put_be16(p + 4, (uint16_t)(id + count));
        if (tcp) {
            put_be32(p + ip + 4, seq + (uint32_t)(at - hdr));
            p[ip + 13] = at + n < len ? flags & (uint8_t) ~(TCP_FIN | TCP_PSH) : flags;
        } else {
            put_be16(p + ip + 4, (uint16_t)(8 + n));
        }
        train_add(l, p, hdr + n, true);
    }
    train_send(l);
}

static void from_tun(struct loop *l)
{
    struct tun_meta m;

    for (int i = 0; i < TUN_READS; i++) {
        ssize_t len = tun_read(l->tun, l->in, sizeof(l->in), &m);

        if (len < 0 && len != -EMSGSIZE)
            exit(1);
        if (len == 0)
            break;
        if (len < PACKET_V4_HDR || l->in[0] >> 4 != 4)
            continue;
        if (m.gso != TUN_GSO_NONE)
            cut(l, l->in, (size_t)len, &m);
        else
            train_add(l, l->in, (size_t)len, m.needs_csum);
    }
    train_send(l);
}

/* --- from the socket to the TUN --- */

static void up_write(struct loop *l)
{
    size_t len = l->up.head_len + l->up.payload, ip;
    struct tun_meta m = { 0 };
    uint8_t *p = l->up.head;

    if (l->up.count == 0)
        return;
    if (l->up.partial || l->up.count > 1) {
        bool tcp = p[9] == TCP;

        ip = (size_t)(p[0] & 15) * 4;
        put_be16(p + 2, (uint16_t)len);
        packet_fix_v4_header(p);
        if (!tcp)
            put_be16(p + ip + 4, (uint16_t)(len - ip));
        m.needs_csum = true;
        m.csum_start = (uint16_t)ip;
        m.csum_offset = tcp ? 16 : 6;
        put_be16(p + ip + m.csum_offset, csum_fold(csum_pseudo(p, p[9], (uint32_t)(len - ip))));
        if (l->up.count > 1) {
            m.gso = tcp ? TUN_GSO_TCP4 : TUN_GSO_UDP;
            m.gso_bytes = (uint16_t)l->up.size;
            m.hdr_bytes = (uint16_t)l->up.head_len;
        }
    }
    if (tun_write(l->tun, l->up.iov, l->up.count + 1, &m) < 0)
        perror("bench-bare-loop: TUN");
    l->up.count = 0;
}

/* Does this packet follow those that are held? Flags that end a super-packet end it here too. */
static bool follows(const struct loop *l, const uint8_t *p, size_t ip, size_t hdr, size_t payload)
{
    const uint8_t *h = l->up.head;

    if (l->up.count == 0 || l->up.count == BARE_TRAIN_MAX || hdr != l->up.head_len || payload == 0 ||
        payload > l->up.size || l->up.payload != l->up.count * l->up.size ||
        hdr + l->up.payload + payload > TRAIN_BYTES || p[9] != h[9] || memcmp(p + 12, h + 12, ip - 12 + 4) != 0)
        return false;
    if (p[9] == UDP)
        return true;
    /* Numbers, acknowledgement, window and options; the flags of what is held end nothing. */
    return get_be32(p + ip + 4) == l->up.next_seq && memcmp(p + ip + 8, h + ip + 8, 5) == 0 &&
           ((p[ip + 13] ^ h[ip + 13]) & ~(TCP_PSH | TCP_FIN)) == 0 && (h[ip + 13] & (TCP_PSH | TCP_FIN)) == 0 &&
           memcmp(p + ip + 14, h + ip + 14, 2) == 0 && memcmp(p + ip + 20, h + ip + 20, hdr - ip - 20) == 0;
}

static void up_add(struct loop *l, uint8_t *p, size_t len, bool partial)
{
    size_t ip = (size_t)(p[0] & 15) * 4, hdr = ip, payload;
    bool whole = (get_be16(p + 6) & 0x3fff) == 0, merges;

    if (len < PACKET_V4_HDR || len < ip || p[0] >> 4 != 4)
        return;
    if (whole && p[9] == TCP && len >= ip + 20)
        hdr = ip + (size_t)(p[ip + 12] >> 4) * 4;
    else if (whole && p[9] == UDP && len >= ip + 8)
        hdr = ip + 8;
    if (hdr > len)
        return;
    payload = len - hdr;
    merges = l->features.vnet_hdr && hdr > ip && (p[9] == TCP || l->features.tx_uso);
    if (merges && follows(l, p, ip, hdr, payload)) {
        if (p[9] == TCP)
            l->up.head[ip + 13] |= p[ip + 13];
        l->up.iov[++l->up.count] = (struct iovec){ p + hdr, payload };
        l->up.payload += payload;
    } else {
        up_write(l);
        l->up.head = p;
        l->up.head_len = hdr;
        l->up.iov[0] = (struct iovec){ p, hdr };
        l->up.iov[1] = (struct iovec){ p + hdr, payload };
        l->up.count = 1;
        l->up.payload = l->up.size = payload;
        l->up.partial = partial;
    }
    if (p[9] == TCP && hdr > ip)
        l->up.next_seq = get_be32(p + ip + 4) + (uint32_t)payload;
    if (!merges)
        up_write(l);
}

static void on_train(void *ctx, uint8_t *data, size_t len, size_t each, const struct sockaddr_in *from)
{
    struct loop *l = ctx;

    for (size_t at = 0; at < len; at += each) {
        size_t n = MIN(each, len - at);
        uint8_t *p = data + at;

        if (n < HEADER + AEAD_TAG_LEN + PACKET_V4_HDR)
            continue;
        if (l->sealed && aead_open(l->open, get_be64(p + 8), p, HEADER, p + HEADER, n - HEADER, p + HEADER) < 0)
            continue;
        up_add(l, p + HEADER, n - HEADER - AEAD_TAG_LEN, p[7] != 0);
    }
}

static void from_udp(struct loop *l)
{
    bare_udp_receive(&l->udp, on_train, l);
    up_write(l);
}

/* --- beginning --- */

/* The words of hawser.conf's Offload. */
static bool offload(const char *list, struct tun_options *tun, struct loop *l)
{
    static const char *const words[] = { "csum", "tso", "uso", "gso", "gro" };
    bool on[ARRAY_LEN(words)] = { false };
    char text[64], *rest = text, *word;

    snprintf(text, sizeof(text), "%s", list);
    while ((word = strsep(&rest, ","))) {
        size_t i = 0;

        if (strcmp(word, "no") == 0)
            continue;
        while (i < ARRAY_LEN(words) && strcmp(word, words[i]) != 0)
            i++;
        if (i == ARRAY_LEN(words))
            return false;
        on[i] = true;
    }
    tun->refuse_vnet_hdr = !on[0];
    tun->refuse_tso = !on[1];
    tun->refuse_uso = !on[2];
    l->udp.gso = on[3];
    l->udp.gro = on[4];
    return true;
}

static int run(struct loop *l)
{
    struct pollfd fds[2] = { { .fd = tun_fd(l->tun), .events = POLLIN }, { .fd = l->udp.fd, .events = POLLIN } };

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (fds[1].revents)
            from_udp(l);
        if (fds[0].revents)
            from_tun(l);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "tun", required_argument, NULL, 't' },     { "mtu", required_argument, NULL, 'm' },
        { "offload", required_argument, NULL, 'o' }, { "unsealed", no_argument, NULL, 'u' },
        { "second", no_argument, NULL, 's' },        { NULL, 0, NULL, 0 },
    };
    static const uint8_t keys[2][AEAD_KEY_LEN] = { { 1 }, { 2 } };
    static struct loop l = { .sealed = true, .udp = { .gso = true, .gro = true }, .mtu = 1400 };
    struct tun_options tun = { .name = "bare0" };
    struct sockaddr_in local, remote;
    bool second = false;
    int o, r;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 't')
            tun.name = optarg;
        else if (o == 'm')
            l.mtu = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'u')
            l.sealed = false;
        else if (o == 's')
            second = true;
        else if (o != 'o' || !offload(optarg, &tun, &l))
            return 2;
    }
    if (argc - optind != 2) {
        fprintf(stderr,
                "usage: bench-bare-loop [--tun NAME] [--mtu N] [--offload csum,tso,uso,gso,gro|no] [--unsealed]\n"
                "       [--second] LOCAL:PORT REMOTE:PORT; one of the two ends is --second\n");
        return 2;
    }
    local = bare_udp_address(argv[optind]);
    remote = bare_udp_address(argv[optind + 1]);
    tun.mtu_bytes = l.mtu;
    l.seal = aead_new(SUITE_AES256_GCM, keys[second]);
    l.open = aead_new(SUITE_AES256_GCM, keys[!second]);
    r = tun_open(&tun, &l.tun);
    if (r < 0 || !l.seal || !l.open || bare_udp_open(&l.udp, &local, &remote) < 0) {
        fprintf(stderr, "bench-bare-loop: no %s: %s\n", r < 0 ? "TUN" : "socket", strerror(r < 0 ? -r : errno));
        return 1;
    }
    l.features = tun_features_get(l.tun);
    return run(&l);
}
