/* sys/nft.h - packet filter rules, by way of the nft program.
 *
 * A ruleset is built as text and applied in one transaction: all of it or nothing. Established connections are never
 * flushed. Each of our tables is `inet hawser_<name>`, so a start finds and replaces what a killed process left. */
#pragma once

#include "base/addr.h"

#define NFT_NAME_MAX 32u       /* chosen: characters of a table's own name */
#define NFT_RULESET_MAX 65536u /* chosen: bytes of one ruleset */

struct text;

struct nft_agent {
    const char *name;              /* [a-z0-9_], 1..NFT_NAME_MAX; the table is hawser_<name> */
    const char *tunnel;            /* the tunnel's interface */
    const char *out;               /* masquerade out of this interface only; NULL: of every one but the tunnel */
    const struct prefix *prefixes; /* what nodes use inside the tunnel: masqueraded when it leaves elsewhere */
    size_t prefixes_count;
};

/* Appends a home agent's ruleset to t: replaces the table; masquerades the prefixes out of every interface but the
 * tunnel, accepts forwarding from and to the tunnel. Text only: nothing is run. 0, -EINVAL (name, interface, prefix) or
 * -ENOSPC. An accept of ours does not overrule a drop in somebody else's table. */
int nft_agent_ruleset(struct text *t, const struct nft_agent *a);

/* A mark that is to be seen inside the tunnel: packets whose mark & mask equal it get this DSCP on the way in. */
struct nft_mark {
    uint32_t mark, mask;
    uint8_t dscp;
};
/* Appends a node's ruleset: replaces the table; the first mark that fits decides. As nft_agent_ruleset. */
int nft_marks_ruleset(struct text *t, const char *name, const char *tunnel, const struct nft_mark *marks, size_t count);
/* Connections of a control group (version 2, directly below its root) that are brought to ports of loopback. */
struct nft_redirect {
    const char *name;  /* as above */
    const char *group; /* its path from /sys/fs/cgroup on: [a-z0-9./_-] */
    const struct prefix *excludes;
    size_t excludes_count;
    uint16_t ports[2]; /* for IPv4, for IPv6; 0: refused */
};
/* Appends its ruleset: replaces the table. TCP to other hosts, but for port 53, link-local addresses and excludes. As
 * nft_agent_ruleset. */
int nft_redirect_ruleset(struct text *t, const struct nft_redirect *r);
/* Runs `nft -f -` with this text and waits for it (milliseconds). 0; -ENOENT (no nft program); -EPERM; -EINVAL (nft
 * refused it; nothing was changed) or another -errno. On failure err holds what nft said, or why it did not run. */
int nft_apply(const char *ruleset, char *err, size_t err_size);
/* Removes our table of this name; it need not exist. As nft_apply. */
int nft_remove(const char *name, char *err, size_t err_size);
