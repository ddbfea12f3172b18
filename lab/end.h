/* lab/end.h - one end of a program of the laboratory: a TAP or TUN interface in a network namespace.
 *
 * What the namespace sends by the interface is read from the descriptor, and what is written to it comes in there. The
 * interface goes with the descriptor. Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for another namespace. */
#pragma once

#include "base/base.h"

#include <net/if.h>
#include <signal.h>

#define END_NETNS_DIR "/run/netns" /* of ip-netns(8) */
#define END_EXPECTED "NETNS:INTERFACE, at most 63 and 15 bytes"

struct end {
    char netns[64], ifname[IFNAMSIZ]; /* an empty netns is the present one */
    uint8_t mac[6];
    bool has_mac;
    int fd; /* owned; -1 before end_open */
};

/* 0, or -EINVAL: s is not END_EXPECTED. */
int end_parse(const char *s, struct end *ret);
/* Makes the interface, up, with that MTU in bytes; reads and writes do not block. No offload is asked for, so packets
 * are whole and checksums are filled. 0 or -errno; end->fd is to be closed in either case unless it is -1. */
MUST_CHECK int end_open(struct end *end, bool tun, unsigned mtu);
/* Our descriptors keep a namespace alive after `ip netns del`, so the interface never goes: has its name? */
bool end_is_gone(const struct end *end);

/* Both ends of a program by this name, which says what is wrong; each fd is -1 before. 0 or -errno. */
MUST_CHECK int ends_open(const char *program, struct end ends[2], bool tun, unsigned mtu);
void ends_close(struct end ends[2]);
/* SIGTERM, SIGINT and SIGHUP come in ppoll alone, with the mask *ret_open; from then on ends_signalled is true. */
void ends_catch(sigset_t *ret_open);
bool ends_signalled(void);
