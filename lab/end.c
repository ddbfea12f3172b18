/* lab/end.c - a TAP or TUN interface in a network namespace.
 *
 * Theory of operation. The process enters the namespace, makes the interface there and goes back: a TUN descriptor
 * belongs to the namespace where it was made, whoever reads it.
 *
 * Limits: names of namespaces of 63 bytes; 4096 packets wait in the interface before we read them.
 * Sources: tun(4) of the kernel's documentation (networking/tuntap.rst), ip-netns(8). */
#include "lab/end.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TXQLEN 4096
#define NETNS_PATH_MAX 96

static const char *netns_path(const char *name, char buf[NETNS_PATH_MAX])
{
    snprintf(buf, NETNS_PATH_MAX, END_NETNS_DIR "/%s", name);
    return buf;
}

static int netns_enter(const char *name)
{
    char path[NETNS_PATH_MAX];
    int fd, r;

    fd = open(netns_path(name, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int end_configure(const struct end *end, unsigned mtu, int sock)
{
    struct ifreq ifr = { 0 };

    memcpy(ifr.ifr_name, end->ifname, sizeof(ifr.ifr_name));
    ifr.ifr_qlen = TXQLEN;
    if (ioctl(sock, SIOCSIFTXQLEN, &ifr) < 0)
        return -errno;
    ifr.ifr_mtu = (int)mtu;
    if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
        return -errno;
    if (end->has_mac) {
        ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(ifr.ifr_hwaddr.sa_data, end->mac, sizeof(end->mac));
        if (ioctl(sock, SIOCSIFHWADDR, &ifr) < 0)
            return -errno;
    }
    if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
        return -errno;
    ifr.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/* Inside the namespace. */
static int end_create(struct end *end, bool tun, unsigned mtu)
{
    struct ifreq ifr = { 0 };
    int sock, r;

    end->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (end->fd < 0)
        return -errno;
    memcpy(ifr.ifr_name, end->ifname, sizeof(ifr.ifr_name));
    ifr.ifr_flags = (short)((tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI);
    if (ioctl(end->fd, TUNSETIFF, &ifr) < 0)
        return -errno;
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    r = end_configure(end, mtu, sock);
    close(sock);
    return r;
}

int end_open(struct end *end, bool tun, unsigned mtu)
{
    int home = -1, r = 0;

    if (end->netns[0]) {
        home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (home < 0)
            return -errno;
        r = netns_enter(end->netns);
    }
    if (r == 0)
        r = end_create(end, tun, mtu);
    if (home >= 0) {
        if (setns(home, CLONE_NEWNET) < 0 && r == 0)
            r = -errno;
        close(home);
    }
    return r;
}

int end_parse(const char *s, struct end *ret)
{
    const char *colon = strrchr(s, ':');
    size_t ns_len = colon ? (size_t)(colon - s) : 0;

    if (!colon || ns_len >= sizeof(ret->netns) || strlen(colon + 1) == 0 || strlen(colon + 1) >= sizeof(ret->ifname) ||
        strpbrk(s, "\"\\ "))
        return -EINVAL;
    memcpy(ret->netns, s, ns_len);
    ret->netns[ns_len] = '\0';
    memcpy(ret->ifname, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

bool end_is_gone(const struct end *end)
{
    char path[NETNS_PATH_MAX];

    return end->netns[0] && access(netns_path(end->netns, path), F_OK) < 0;
}

int ends_open(const char *program, struct end ends[2], bool tun, unsigned mtu)
{
    for (size_t i = 0; i < 2; i++) {
        int r = end_open(&ends[i], tun, mtu);

        if (r < 0) {
            fprintf(stderr, "%s: %s:%s: %s\n", program, ends[i].netns, ends[i].ifname, strerror(-r));
            return r;
        }
    }
    return 0;
}

void ends_close(struct end ends[2])
{
    for (size_t i = 0; i < 2; i++)
        if (ends[i].fd >= 0)
            close(ends[i].fd);
}

static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    signalled = sig;
}

void ends_catch(sigset_t *ret_open)
{
    static const int signums[] = { SIGTERM, SIGINT, SIGHUP };
    struct sigaction sa = { .sa_handler = on_signal };
    sigset_t blocked;

    sigemptyset(&blocked);
    for (size_t i = 0; i < ARRAY_LEN(signums); i++)
        sigaddset(&blocked, signums[i]);
    sigprocmask(SIG_BLOCK, &blocked, ret_open);
    for (size_t i = 0; i < ARRAY_LEN(signums); i++)
        sigaction(signums[i], &sa, NULL);
}

bool ends_signalled(void)
{
    return signalled != 0;
}
