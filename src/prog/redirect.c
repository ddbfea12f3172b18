/* prog/redirect.c - see redirect.h.
 *
 * Theory of operation. The group's name tells whose it is: our process and when it began, and the network namespace in
 * which the rule stands. So who starts later in that namespace finds what was left by kill -9: a group without a
 * process goes, and its rule; while processes live in one whose pump is dead, its rule refuses what they connect, so
 * that nothing goes a way that nobody asked for. Without rules nothing is redirected, and without the group no rule
 * meets anybody.
 *
 * Left alone: what is not TCP, port 53, addresses of this host, multicast, link-local ones, and what is excluded.
 *
 * Limits: a control group below the root of version 2, which is mounted at or below /sys/fs/cgroup, as nft looks for it
 * there. The program is connected before the other end is: a refusal is a reset to it. Sources: cgroups(7), nft(8),
 * linux/netfilter_ipv4.h (SO_ORIGINAL_DST). */
#include "prog/redirect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/nft.h"
#include "sys/sockaddr.h"

#define GROUP_PREFIX "hawser-run-"
#define GROUPS_AT "/sys/fs/cgroup"
#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST: their headers and ours of libc exclude each other */
#define BACKLOG 128     /* chosen: as a browser's burst */

/* --- control groups --- */

/* When that process began, in ticks since boot; 0: there is none. */
static unsigned long long began(long pid)
{
    char path[40], stat[1024];
    unsigned long long start = 0;
    const char *p;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, stat, sizeof(stat) - 1);
    if (fd >= 0)
        close(fd);
    stat[MAX(n, (ssize_t)0)] = '\0';
    p = strrchr(stat, ')'); /* the name before may hold anything; field 22 of proc(5) is the 20th behind it */
    for (int i = 0; p && i < 20; i++)
        p = strchr(p + 1, ' ');
    return p && sscanf(p, " %llu", &start) == 1 ? start : 0;
}

static unsigned long long namespace_number(void)
{
    struct stat st;

    return stat("/proc/self/ns/net", &st) < 0 ? 0 : st.st_ino;
}

/* Where version 2 is mounted. */
static bool find_groups(char *ret, size_t size)
{
    FILE *f = fopen("/proc/self/mounts", "re");
    char line[4096], at[1024], type[64];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, "%*s %1023s %63s", at, type) == 2 && strcmp(type, "cgroup2") == 0 &&
                strncmp(at, GROUPS_AT, strlen(GROUPS_AT)) == 0 && strlen(at) < size;
    if (f)
        fclose(f);
    if (found)
        snprintf(ret, size, "%s", at);
    return found;
}

/* As nft wants it: from GROUPS_AT on. */
static void group_path(const struct redirect *r, char ret[PATH_MAX])
{
    const char *below = r->folder + strlen(GROUPS_AT);

    snprintf(ret, PATH_MAX, "%s%s%s", *below == '/' ? below + 1 : "", *below ? "/" : "", r->group);
}

/* --- rules --- */

static void table_of(long pid, unsigned long long start, char ret[NFT_NAME_MAX + 1])
{
    snprintf(ret, NFT_NAME_MAX + 1, "run_%ld_%llx", pid, start);
}

/* Of the group `name`, whose process is gone: away with it, or refuse whoever is left. */
static void clean(struct redirect *r, const char *name, long pid, unsigned long long start)
{
    struct nft_redirect n = { 0 };
    char path[PATH_MAX], table[NFT_NAME_MAX + 1], rules[1024];
    struct redirect other = *r;
    struct text t;

    table_of(pid, start, table);
    snprintf(path, sizeof(path), "%s/%s", r->folder, name);
    if (rmdir(path) == 0 || errno == ENOENT) {
        (void)nft_remove(table, NULL, 0);
        return;
    }
    snprintf(other.group, sizeof(other.group), "%s", name);
    group_path(&other, path);
    n.name = table;
    n.group = path;
    text_init(&t, rules, sizeof(rules));
    if (nft_redirect_ruleset(&t, &n) == 0)
        (void)nft_apply(rules, NULL, 0);
}

static void sweep(struct redirect *r)
{
    DIR *d = opendir(r->folder);
    unsigned long long here = namespace_number();
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        unsigned long long start, number;
        long pid;

        if (sscanf(e->d_name, GROUP_PREFIX "%ld-%llx-%llx", &pid, &start, &number) == 3 && number == here &&
            began(pid) != start)
            clean(r, e->d_name, pid, start);
    }
    if (d)
        closedir(d);
}

static int listen_on_loopback(bool v6, uint16_t *ret_port)
{
    static const uint8_t one[16] = { [15] = 1 };
    struct endpoint at = { .addr = v6 ? addr_from_bytes(ADDR_V6, one) : addr_v4(INADDR_LOOPBACK) };
    struct sockaddr_storage ss;
    socklen_t len = sockaddr_from_endpoint(&at, 0, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0 ||
         getsockname(fd, (struct sockaddr *)&ss, &len) < 0 || sockaddr_to_endpoint((struct sockaddr *)&ss, &at) < 0)) {
        close(fd);
        fd = -1;
    }
    *ret_port = fd < 0 ? 0 : at.port;
    return fd;
}

static int failed(struct redirect *r, int error, const char *what)
{
    snprintf(r->err, sizeof(r->err), "--redirect: %s: %s", what, strerror(-error));
    redirect_close(r);
    return error;
}

int redirect_open(struct redirect *r, const struct prefix *excludes, size_t count)
{
    struct nft_redirect n = { .excludes = excludes, .excludes_count = count };
    char path[PATH_MAX], table[NFT_NAME_MAX + 1];
    static char rules[4096];
    struct text t;
    int e;

    *r = (struct redirect){ .fds = { -1, -1 } };
    if (geteuid() != 0)
        return failed(r, -EPERM, "rules of the packet filter");
    if (!find_groups(r->folder, sizeof(r->folder)))
        return failed(r, -ENOTSUP, "control groups of version 2 at " GROUPS_AT);
    sweep(r);
    r->fds[0] = listen_on_loopback(false, &n.ports[0]);
    if (r->fds[0] < 0)
        return failed(r, -errno, "a port of loopback");
    r->fds[1] = listen_on_loopback(true, &n.ports[1]); /* without one, IPv6 is refused */
    snprintf(path, sizeof(path), "%s/" GROUP_PREFIX "%ld-%llx-%llx", r->folder, (long)getpid(), began(getpid()),
             namespace_number());
    if (mkdir(path, 0755) < 0)
        return failed(r, -errno, "a control group");
    snprintf(r->group, sizeof(r->group), "%s", strrchr(path, '/') + 1);
    table_of(getpid(), began(getpid()), table);
    group_path(r, path);
    n.name = table;
    n.group = path;
    text_init(&t, rules, sizeof(rules));
    e = nft_redirect_ruleset(&t, &n);
    if (e < 0)
        return failed(r, e, "rules of the packet filter");
    e = nft_apply(rules, r->err, sizeof(r->err));
    if (e < 0)
        redirect_close(r);
    return e;
}

int redirect_enter(const struct redirect *r)
{
    char path[PATH_MAX];
    int fd, e = 0;

    snprintf(path, sizeof(path), "%s/%s/cgroup.procs", r->folder, r->group);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        e = -errno;
    if (fd >= 0)
        close(fd);
    return e;
}

void redirect_close(struct redirect *r)
{
    for (size_t i = 0; i < ARRAY_LEN(r->fds); i++) {
        if (r->fds[i] >= 0)
            close(r->fds[i]);
        r->fds[i] = -1;
    }
    if (r->group[0])
        clean(r, r->group, getpid(), began(getpid()));
    r->group[0] = '\0';
}

int redirect_destination(int fd, struct endpoint *ret)
{
    struct sockaddr_storage at = { 0 }, mine = { 0 };
    socklen_t len = sizeof(at), mine_len = sizeof(mine);
    struct endpoint here;

    if (getsockname(fd, (struct sockaddr *)&mine, &mine_len) < 0 ||
        (mine.ss_family == AF_INET ? getsockopt(fd, SOL_IP, ORIGINAL_DST, &at, &len)
                                   : getsockopt(fd, SOL_IPV6, ORIGINAL_DST, &at, &len)) < 0)
        return -errno;
    if (sockaddr_to_endpoint((struct sockaddr *)&at, ret) < 0 ||
        sockaddr_to_endpoint((struct sockaddr *)&mine, &here) < 0 || endpoint_equal(ret, &here))
        return -EADDRNOTAVAIL;
    return 0;
}
