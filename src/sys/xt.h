/* sys/xt.h - packets of this host that are given to a program before they leave, by the xtables' target NFQUEUE.
 *
 * By the iptables programs, since kernels have that target that lack nft's `queue`. The rules are a chain of our own in
 * the table mangle, hawser-NAME, to which OUTPUT leads; they are made and removed as a whole, and nobody else's are
 * touched. Nothing of them outlives the queue's owner but the rules themselves, which then let everything pass
 * (--queue-bypass). */
#pragma once

#include "base/addr.h"

#define XT_NAME_MAX 15     /* of a capture: a device's name; with our prefix shorter than a chain's may be (28) */
#define XT_RULES_MAX 16384 /* chosen: bytes of one text; more than the most routes take */

struct text;

struct xt_capture {
    const char *name;              /* 1 to XT_NAME_MAX of [A-Za-z0-9_.-] */
    uint16_t queue;                /* of TCP; everything else goes to the next */
    struct addr source;            /* IPv4: packets from here alone */
    const struct prefix *prefixes; /* IPv4: and to there */
    size_t prefixes_count;
    uint8_t protocol;             /* of IP alone; 0: all */
    const struct endpoint *spare; /* UDP to here passes: the datagrams that captured packets travel in */
};

/* Appends the text of iptables-restore that makes the chain anew and the way to it. Text only. 0, -EINVAL
 * (name, an address or a prefix that is not of IPv4) or -ENOSPC. */
MUST_CHECK int xt_capture_rules(struct text *t, const struct xt_capture *c);
/* Begins to capture; what a killed process left under this name is replaced. 0 or as tool_run, with its reason in err.
 */
MUST_CHECK int xt_capture_apply(const struct xt_capture *c, char *err, size_t err_size);
/* Ends it; there need be none. As xt_capture_apply. */
MUST_CHECK int xt_capture_remove(const char *name, char *err, size_t err_size);
