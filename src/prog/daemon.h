/* prog/daemon.h - what the files of hawserd share.
 *
 *   hawserd.c    start and stop, the loop, logging
 *   outside.c    uplinks and sockets: what netlink says becomes the node's uplinks
 *   outside_tcp.c  TCP connections, for paths whose UDP does not pass
 *   inside.c     the TUN device, routes and rules, translation at an agent
 *   resolve.c    host names of agents
 *   memory.c     what survives a restart: nodes' addresses and endpoints
 *   answers.c    the control socket: status, why, link, reload, stop */
#pragma once

#include "node/node.h"
#include "prog/config.h"
#include "sys/clock.h"
#include "sys/control.h"
#include "sys/netlink.h"
#include "sys/nft.h"
#include "sys/route.h"
#include "sys/store.h"
#include "sys/tun.h"
#include "sys/udp.h"
#include "sys/wifi.h"

#include <uv.h>

#define UPLINKS_MAX (NODE_UPLINKS_MAX)

struct daemon;

/* A polled descriptor and what to do when it is readable. */
struct watch {
    uv_poll_t poll;
    struct daemon *d;
    void (*on_readable)(struct daemon *d, void *arg, instant now);
    void *arg;
};

struct socket_end {
    struct udp *udp;
    struct watch *watch;
    uint32_t link; /* of every datagram here */
    bool trains;   /* the last batch was of long trains */
    uint8_t family;
};

struct uplink {
    bool used;
    struct node_uplink node; /* as the core was told last */
    int ifindex;
    struct socket_end ends[2]; /* IPv4, IPv6 */
    struct addr gateway[2];
    bool has_route[2];
    bool said_down;             /* by the command line: a planned handover */
    int tier_override;          /* enum link_tier or -1 */
    int signal_dbm, signal_fed; /* 0: unknown */
    bool signal_low;
    struct wifi *wifi;
    int source_check; /* as found, to be put back; -1: not touched */
};

struct daemon {
    uv_loop_t loop;
    uv_signal_t sigint, sigterm, sighup;
    const char *config_path;
    struct config *config;
    struct node *node;
    instant started;
    bool stopping;
    int exit_code;

    struct watch *tun_watch, *netlink_watch, *control_watch, *timer_watch;
    int timer_fd;
    instant timer_at;

    struct tun *tun;
    uint64_t tun_rx_bytes, tun_tx_bytes, tun_write_failed;
    struct nlmon *netlink;
    struct route_state *routes;
    bool routes_up, filter_up;
    int route_lock;                              /* a node's: one tunnel may own the machine's routes */
    struct tun_addr given[CONFIG_ADDRESSES_MAX]; /* a node's addresses, as the agent said last */
    size_t given_count;
    struct control *control;

    struct uplink uplinks[UPLINKS_MAX + 1]; /* by link; 0 is an agent's listening sockets */
    struct tcp_ends *tcp;
    uint64_t tx_failed, tx_would_block;

    instant next_store, next_slow, next_resolve;
    unsigned resolving; /* requests under way */
    bool memory_dirty;
    instant no_path_since;
    uint8_t *out; /* SESSION_OUTPUT_MAX */
};

/* hawserd.c */
void say(int level, const char *fmt, ...) PRINTF_LIKE(2, 3); /* LOG_* of syslog.h; one `event key=value` line */
int watch_new(struct daemon *d, int fd, void (*fn)(struct daemon *, void *, instant), void *arg, struct watch **ret);
void watch_writable(struct watch *w, bool on);   /* call it when the descriptor is writable, too */
void watch_free(struct watch *w);                /* before its descriptor is closed; accepts NULL */
void daemon_turn(struct daemon *d, instant now); /* drain the core and arm the timer */
void daemon_stop(struct daemon *d, int code);
int daemon_reload(struct daemon *d, struct text *errors);

/* outside.c */
int outside_start(struct daemon *d, instant now);
void outside_stop(struct daemon *d);
void outside_refresh(struct daemon *d, instant now); /* netlink's snapshot -> uplinks */
void outside_slow(struct daemon *d, instant now);    /* each half second: signal strength */
int outside_link_order(struct daemon *d, const char *name, const char *what, const char *value, instant now);
void outside_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now);

/* outside_tcp.c */
int outside_tcp_start(struct daemon *d);
void outside_tcp_stop(struct daemon *d);
void outside_tcp_slow(struct daemon *d, instant now); /* each half second: whose time is over */
void outside_tcp_drop(struct daemon *d,
                      uint32_t link); /* its address is another now: what was connected from it goes */
void outside_tcp_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now);

/* inside.c */
int inside_start(struct daemon *d);
void inside_stop(struct daemon *d);
void inside_config(struct daemon *d, unsigned peer, instant now); /* node: the agent numbered us */
void inside_routes(struct daemon *d);                             /* makes routes and rules what they should be */
void inside_marks(struct daemon *d); /* node: rules with a mark: the packet filter says it, the core hears it */
void inside_write(struct daemon *d, const struct merged *pkt);

/* memory.c */
int memory_load(struct daemon *d,
                instant now); /* agent: peers with addresses from the pool, calls to stored endpoints */
/* One more, from a file that was read again. As node_peer_add. */
int memory_add_peer(struct daemon *d, const struct config_peer *c);
void memory_save(struct daemon *d);

/* resolve.c */
void resolve_names(struct daemon *d); /* of agents: at the start, and again while one does not answer */

/* answers.c */
int answers_start(struct daemon *d);
void answers_stop(struct daemon *d);
