/* WiFi signal strength.
 *
 * Theory of operation. A dump of the interface's stations (NL80211_CMD_GET_STATION): in managed mode there is one, the
 * access point. Its NL80211_STA_INFO_SIGNAL is the last frame's strength in dBm as a signed byte. The number of the
 * nl80211 family is looked up once, in the generic netlink controller's list.
 *
 * Limits: one request a call. Sources: include/uapi/linux/nl80211.h, genetlink.h. */
#include "sys/wifi.h"

#include "sys/nlreq.h"

#include <errno.h>
#include <limits.h>
#include <linux/genetlink.h>
#include <linux/nl80211.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <sys/stat.h>

struct wifi {
    struct nlreq nl; /* fd -1: the file source */
    uint16_t family;
    char *path; /* owned; the file source's */
};

struct answer {
    bool found;
    int dbm;
};

static int on_family(void *ctx, const struct nlmsghdr *h)
{
    struct nlattr *attrs[CTRL_ATTR_MAX + 1];
    uint16_t *ret = ctx;

    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, GENL_HDRLEN, attrs, CTRL_ATTR_MAX, NULL) < 0)
        return 0;
    if (attrs[CTRL_ATTR_FAMILY_NAME] && attrs[CTRL_ATTR_FAMILY_ID] &&
        nla_strcmp(attrs[CTRL_ATTR_FAMILY_NAME], NL80211_GENL_NAME) == 0)
        *ret = nla_get_u16(attrs[CTRL_ATTR_FAMILY_ID]);
    return 0;
}

static int on_station(void *ctx, const struct nlmsghdr *h)
{
    struct nlattr *attrs[NL80211_ATTR_MAX + 1], *info[NL80211_STA_INFO_MAX + 1];
    struct answer *a = ctx;
    int dbm;

    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, GENL_HDRLEN, attrs, NL80211_ATTR_MAX, NULL) < 0 ||
        !attrs[NL80211_ATTR_STA_INFO] ||
        nla_parse_nested(info, NL80211_STA_INFO_MAX, attrs[NL80211_ATTR_STA_INFO], NULL) < 0 ||
        !info[NL80211_STA_INFO_SIGNAL])
        return 0;
    dbm = nla_get_u8(info[NL80211_STA_INFO_SIGNAL]);
    dbm -= dbm >= 128 ? 256 : 0; /* the octet is two's complement */
    if (!a->found || dbm > a->dbm)
        a->dbm = dbm;
    a->found = true;
    return 0;
}

int wifi_open(struct wifi **ret)
{
    struct genlmsghdr g = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
    struct wifi *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    w->nl.fd = -1;
    r = nlreq_open(NETLINK_GENERIC, false, NULL, &w->nl);
    if (r == 0)
        r = nlreq_dump(&w->nl, nlreq_new(GENL_ID_CTRL, 0, &g, sizeof(g)), on_family, &w->family);
    if (r == 0 && w->family == 0)
        r = -EOPNOTSUPP;
    if (r < 0) {
        wifi_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

int wifi_file_open(const char *path, struct wifi **ret)
{
    struct wifi *w;

    if (strlen(path) + IF_NAMESIZE + 2 > PATH_MAX)
        return -EINVAL;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->nl.fd = -1;
    w->path = strdup(path);
    if (!w->path) {
        free(w);
        return -ENOMEM;
    }
    *ret = w;
    return 0;
}

void wifi_free(struct wifi *w)
{
    if (!w)
        return;
    nlreq_close(&w->nl);
    free(w->path);
    free(w);
}

static int signal_from_file(const struct wifi *w, const char *interface, int *ret)
{
    char path[PATH_MAX];
    struct stat st;
    FILE *f;
    int dbm, r;

    if (strlen(interface) == 0 || strlen(interface) >= IF_NAMESIZE || strchr(interface, '/'))
        return -ENODEV;
    if (stat(w->path, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(path, sizeof(path), "%s/%s", w->path, interface);
    else
        snprintf(path, sizeof(path), "%s", w->path);
    f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ENODEV : -errno;
    r = fscanf(f, "%d", &dbm) == 1 && dbm >= -127 && dbm <= 0 ? 0 : -EPROTO;
    fclose(f);
    if (r == 0)
        *ret = dbm;
    return r;
}

int wifi_signal_dbm(struct wifi *w, const char *interface, int *ret)
{
    struct genlmsghdr g = { .cmd = NL80211_CMD_GET_STATION };
    struct answer a = { 0 };
    struct nl_msg *msg;
    unsigned ifindex;
    int r;

    if (w->path)
        return signal_from_file(w, interface, ret);
    ifindex = if_nametoindex(interface);
    if (ifindex == 0)
        return -ENODEV;
    msg = nlreq_new(w->family, 0, &g, sizeof(g));
    if (msg)
        nla_put_u32(msg, NL80211_ATTR_IFINDEX, ifindex);
    r = nlreq_dump(&w->nl, msg, on_station, &a);
    if (r == -EOPNOTSUPP)
        return -ENODEV;
    if (r < 0)
        return r;
    if (!a.found)
        return -ENOTCONN;
    *ret = a.dbm;
    return 0;
}
