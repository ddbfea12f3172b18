/* hawser-capture: who sends what to whom at an interface, a line a packet, as long as it runs.
 *
 *   hawser-capture IF [NEEDLE...]
 *
 *   udp 10.0.1.2:500 10.0.2.2:51820 132         UDP or TCP: endpoints, bytes of payload
 *   41 2001:db8::1 2001:db8::2 60               any other protocol by its number, bytes behind the IP header
 *   udp 10.0.1.2:500 10.0.2.2:51820 132 has NEEDLE
 *
 * A NEEDLE is text or, where it is an IPv4 address, its four bytes too; a line says which of them stand in the whole
 * packet behind its IP header. The address of a fragment is that of its datagram, its payload is not looked into but
 * for needles. Prints `capturing` when it has begun; ends when it is killed.
 *
 * Theory of operation. A packet socket of the IP layer (SOCK_DGRAM), so that a device without Ethernet is the same;
 * both directions, each packet once.
 *
 * Limits: IPv4 and IPv6 without extension headers; packets of 64 KB; what the kernel's queue drops is missed. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEEDLES_MAX 8
#define TCP 6
#define UDP 17

static uint8_t packet[65536];

static bool has(const uint8_t *at, size_t len, const char *needle)
{
    struct addr a;

    if (memmem(at, len, needle, strlen(needle)))
        return true;
    return addr_parse(needle, &a) == 0 && memmem(at, len, a.bytes, addr_bytes_len(&a));
}

static void tell(size_t len, int count, char **needles)
{
    bool v6 = packet[0] >> 4 == 6;
    size_t header = v6 ? 40 : (size_t)(packet[0] & 15) * 4, payload;
    struct endpoint from = { .port = 0 }, to = { .port = 0 };
    uint8_t protocol = packet[v6 ? 6 : 9];
    char a[ENDPOINT_STRLEN], b[ENDPOINT_STRLEN];
    bool whole = v6 || (get_be16(packet + 6) & 0x1fff) == 0;

    if (len < header || header < 20)
        return;
    payload = len - header;
    from.addr = addr_from_bytes(v6 ? ADDR_V6 : ADDR_V4, packet + (v6 ? 8 : 12));
    to.addr = addr_from_bytes(v6 ? ADDR_V6 : ADDR_V4, packet + (v6 ? 24 : 16));
    if ((protocol == UDP && payload >= 8 && whole) || (protocol == TCP && payload >= 20 && whole)) {
        from.port = get_be16(packet + header);
        to.port = get_be16(packet + header + 2);
        payload -= protocol == UDP ? 8 : MIN((size_t)(packet[header + 12] >> 4) * 4, payload);
        printf("%s %s %s %zu", protocol == UDP ? "udp" : "tcp", endpoint_format(&from, a), endpoint_format(&to, b),
               payload);
    } else {
        printf("%u %s %s %zu", protocol, addr_format(&from.addr, a), addr_format(&to.addr, b), payload);
    }
    for (int i = 0; i < count; i++)
        if (has(packet + header, len - header, needles[i]))
            printf(" has %s", needles[i]);
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    int fd;

    if (argc < 2 || argc > 2 + NEEDLES_MAX) {
        fputs("usage: hawser-capture IF [NEEDLE...]\n", stderr);
        return 2;
    }
    at.sll_ifindex = (int)if_nametoindex(argv[1]);
    fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL));
    if (fd < 0 || at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        fprintf(stderr, "hawser-capture: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    puts("capturing");
    fflush(stdout);
    for (;;) {
        struct sockaddr_ll of = { 0 };
        socklen_t of_len = sizeof(of);
        ssize_t n = recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&of, &of_len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n >= 20 && (of.sll_protocol == htons(ETH_P_IP) || of.sll_protocol == htons(ETH_P_IPV6)))
            tell((size_t)n, argc - 2, argv + 2);
    }
    close(fd);
    return 1;
}
