/* prog/verb_doctor.c - what this machine has for a tunnel, and what it lacks.
 *
 * Each check tries the thing itself and leaves nothing behind: a TUN device without a persistent flag goes with its
 * descriptor. A needed thing that is missing gives exit code 1; an offload that is missing only costs speed. */
#include "ident/aead.h"
#include "ident/suite.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* linux/if_tun.h since 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct finding {
    const char *name;
    bool needed, found;
    char about[96]; /* what is there, or what to do */
};

static void check_net_admin(struct finding *f)
{
    f->found = verb_has_capability(CAP_NET_ADMIN);
    snprintf(f->about, sizeof(f->about), "%s", f->found ? "CAP_NET_ADMIN" : "CAP_NET_ADMIN is missing: run as root");
}

static void check_tun(struct finding *f)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    f->found = fd >= 0;
    if (fd >= 0)
        close(fd);
    if (f->found)
        snprintf(f->about, sizeof(f->about), "/dev/net/tun");
    else
        snprintf(f->about, sizeof(f->about), "/dev/net/tun: %s", strerror(errno));
}

static void check_nft(struct finding *f)
{
    static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft" };

    for (size_t i = 0; i < ARRAY_LEN(places) && !f->found; i++) {
        f->found = access(places[i], X_OK) == 0;
        snprintf(f->about, sizeof(f->about), "%s", f->found ? places[i] : "no nft program: install nftables");
    }
}

/* A TUN device with the virtio header and these offloads. */
static bool try_tun_offload(unsigned offloads, struct finding *f)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), r;
    struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };

    if (fd < 0) {
        snprintf(f->about, sizeof(f->about), "not known: no TUN device");
        return false;
    }
    memcpy(ifr.ifr_name, "hwsdoc%d", 9);
    r = ioctl(fd, TUNSETIFF, &ifr);
    if (r < 0) {
        snprintf(f->about, sizeof(f->about), "not known: %s",
                 errno == EPERM ? "CAP_NET_ADMIN is missing" : strerror(errno));
    } else {
        r = ioctl(fd, TUNSETOFFLOAD, offloads);
        snprintf(f->about, sizeof(f->about), "%s",
                 r == 0 ? "super-packets in both directions" : "refused by the kernel");
    }
    close(fd);
    return r == 0;
}

static void check_tso(struct finding *f)
{
    f->found = try_tun_offload(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, f);
}

static void check_uso(struct finding *f)
{
    f->found = try_tun_offload(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6, f);
}

static bool try_udp_option(int option, int value, struct finding *f)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, IPPROTO_UDP, option, &value, sizeof(value)) == 0;

    snprintf(f->about, sizeof(f->about), "%s", ok ? "one system call for many packets" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static void check_gso(struct finding *f)
{
    f->found = try_udp_option(UDP_SEGMENT, 1400, f);
}

static void check_gro(struct finding *f)
{
    f->found = try_udp_option(UDP_GRO, 1, f);
}

static void check_aes(struct finding *f)
{
    f->found = suite_supported() & SUITE_BIT(SUITE_AES256_GCM);
    snprintf(f->about, sizeof(f->about), "%s, by %s",
             f->found ? "AES-256-GCM in the processor" : "no AES instructions: ChaCha20-Poly1305 is used",
             aead_engine_name(aead_engine_best()));
}

static const struct {
    const char *name;
    bool needed;
    void (*check)(struct finding *f);
} checks[] = {
    { "privileges", true, check_net_admin }, { "tun", true, check_tun },      { "nft", true, check_nft },
    { "tun-tso", false, check_tso },         { "tun-uso", false, check_uso }, { "udp-gso", false, check_gso },
    { "udp-gro", false, check_gro },         { "aes", false, check_aes },
};

int verb_doctor(const struct verb *v, int argc, char **argv)
{
    bool as_json = false;
    const struct verb_option options[] = { { "json", NULL, &as_json }, { NULL, NULL, NULL } };
    CLEANUP(cleanup_json) json_t *array = json_array();
    int n = verb_options(v, argc, argv, options), r = EXIT_DONE;
    struct utsname kernel;

    if (n < 0)
        return EXIT_USAGE;
    if (n > 0)
        return verb_misused(v, "found %s, expected nothing", argv[1]);
    if (!as_json && uname(&kernel) == 0)
        printf("%-8s %-11s %s %s\n", "", "kernel", kernel.sysname, kernel.release);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = { .name = checks[i].name, .needed = checks[i].needed };

        checks[i].check(&f);
        if (f.needed && !f.found)
            r = EXIT_FAILED;
        if (as_json)
            json_array_append_new(array, json_pack("{s:s, s:b, s:b, s:s}", "name", f.name, "needed", f.needed, "found",
                                                   f.found, "about", f.about));
        else
            printf("%-8s %-11s %s\n", f.found ? "ok" : f.needed ? "missing" : "slower", f.name, f.about);
    }
    if (as_json)
        json_print(array);
    return r;
}
