/* prog/daemon.h - what the files of hawserd share.
 *
 *   hawserd.c    start and stop, the loop, logging
 *   worker.c     threads of an agent, each with a share of its sessions
 *   outside.c    uplinks and sockets: what netlink says becomes the node's uplinks
 *   outside_tcp.c  TCP connections, for paths whose UDP does not pass
 *   inside.c     the TUN device, routes and rules, translation at an agent
 *   resolve.c    host names of agents
 *   agents.c     agents that are found by name or by anycast
 *   anycast.c    the nearest agent, asked for at an anycast address
 *   host.c       a host: who it is, whom it calls, whom it lets in
 *   memory.c     what survives a restart: nodes' addresses and endpoints
 *   answers.c    the control socket: status, why, link, reload, restart, stop
 *   restart.c    a planned restart: what the successor is given
 *   known.c      what is known of paths, for programs of this machine
 *   relayed.c    what does not go directly between hosts: an agent relays, a host is relayed
 *   attach.c     where a host is, said at the managers of its realm
 *   portmaps.c   ports of the links' gateways that lead to a host
 *   names.c      names of hosts: a resolver, and a DNS server for programs of this machine */
#pragma once

#include "node/node.h"
#include "prog/config.h"
#include "prog/lookup.h"
#include "sys/clock.h"
#include "sys/control.h"
#include "sys/netlink.h"
#include "sys/nft.h"
#include "sys/route.h"
#include "sys/store.h"
#include "sys/tun.h"
#include "sys/udp.h"
#include "sys/wifi.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <uv.h>

#define UPLINKS_MAX (NODE_UPLINKS_MAX)
#define WORKERS_MAX 8

struct daemon;
struct worker;

/* A polled descriptor and what to do when it is readable. */
struct watch {
    uv_poll_t poll;
    struct worker *w;
    void (*on_readable)(struct worker *w, void *arg, instant now);
    void *arg;
};

struct socket_end {
    struct udp *udp;
    struct watch *watch;
    uint32_t link; /* of every datagram here */
    bool trains;   /* the last batch was of long trains */
    uint8_t family, lane;
};

struct uplink {
    bool used;
    struct node_uplink node; /* as the core was told last */
    int ifindex;
    struct socket_end ends[NODE_LANES_MAX][2]; /* a node's: by source port; IPv4, IPv6 */
    struct addr gateway[2];
    bool has_route[2];
    bool said_down;             /* by the command line: a planned handover */
    int tier_override;          /* enum link_tier or -1 */
    int signal_dbm, signal_fed; /* 0: unknown */
    bool signal_low;
    struct wifi *wifi;
    int source_check; /* as found, to be put back; -1: not touched */
};

struct worker_counts {
    uint64_t tun_rx_bytes, tun_tx_bytes, tun_write_failed;
    uint64_t tx_failed, tx_would_block;
    uint64_t letters_lost; /* that it could not send */
};

/* A thread with all that a packet's way needs. The first is the main thread, and a node's only one. */
struct worker {
    struct daemon *d;
    unsigned index;
    uv_loop_t loop;
    struct node *node; /* a share of the agent */
    struct tun *tun;   /* a queue of the device */
    struct watch *tun_watch, *timer_watch;
    struct socket_end ends[2]; /* an agent's, on its port: IPv4, IPv6 */
    int timer_fd;
    instant timer_at;
    uint8_t *out; /* SESSION_OUTPUT_MAX */
    bool turning, turn_again;
    struct worker_counts counts;
    struct mail *mail; /* NULL: the only worker */
};

/* What comes after the end. */
enum restart {
    RESTART_NOT,
    RESTART_IN_PLACE,   /* the process executes the program again */
    RESTART_BY_MANAGER, /* another process, which the service manager starts: it keeps the state meanwhile */
};

struct daemon {
    struct worker workers[WORKERS_MAX];
    unsigned workers_count; /* a power of two */
    unsigned pauses;        /* of the workers, nested */
    uv_signal_t sigint, sigterm, sighup;
    const char *config_path;
    char program[4096];    /* as it was started, for a restart */
    atomic_int restarting; /* after the end: enum restart */
    struct config *config;
    instant started;
    atomic_bool stopping;
    atomic_int exit_code;

    struct watch *netlink_watch, *control_watch;
    struct nlmon *netlink;
    struct route_state *routes;
    bool routes_up, filter_up;
    int route_lock;                              /* a node's: one tunnel may own the machine's routes */
    struct tun_addr given[CONFIG_ADDRESSES_MAX]; /* a node's addresses, as the agent said last */
    size_t given_count;
    struct control *control;
    struct known *known;       /* known.c; NULL: another daemon has it */
    struct agents *agents;     /* agents.c; NULL: the agent is known by its key */
    struct anycast *anycast;   /* anycast.c; NULL: it was not asked yet */
    struct names *names;       /* names.c; NULL: no root is configured */
    struct host *host;         /* host.c; NULL: this is none */
    struct relay *relay;       /* relayed.c; an agent's, or NULL: it relays nothing */
    struct relayed *relayed;   /* relayed.c; a host's */
    struct portmaps *portmaps; /* portmaps.c; NULL: no gateway is asked */
    struct attach *attach;     /* attach.c; NULL: a host without a chain or managers, or none */

    struct uplink uplinks[UPLINKS_MAX + 1]; /* by link; there is no 0: an agent's sockets are its workers' */
    struct tcp_ends *tcp;

    instant next_store, next_slow, next_resolve;
    unsigned resolving; /* requests under way */
    atomic_bool memory_dirty;
    instant no_path_since;
};

/* The main thread's node. All shares of an agent know all peers. */
static inline struct node *daemon_node(const struct daemon *d)
{
    return d->workers[0].node;
}

/* The node that has this peer's session. Another worker's may be used only while the workers are paused. */
static inline struct node *daemon_node_of(const struct daemon *d, unsigned peer)
{
    return d->workers[peer % d->workers_count].node;
}

/* hawserd.c */
void say(int level, const char *fmt, ...) PRINTF_LIKE(2, 3); /* LOG_* of syslog.h; one `event key=value` line */
int watch_new(struct worker *w, int fd, void (*fn)(struct worker *, void *, instant), void *arg, struct watch **ret);
void watch_writable(struct watch *w, bool on); /* call it when the descriptor is writable, too */
void watch_free(struct watch *w);              /* before its descriptor is closed; accepts NULL */
/* Drains the core and arms the timer. From inside a turn, by an answer that was known already: that one goes round
 * again. */
void daemon_turn(struct worker *w, instant now);
void daemon_stop(struct daemon *d, int code); /* by any thread */
int daemon_reload(struct daemon *d, struct text *errors);

/* worker.c */
int workers_make(struct daemon *d); /* before anything else that has a descriptor; says what fails */
int workers_start(struct daemon *d);
void workers_stop(struct daemon *d); /* the threads end, what they had is the main thread's */
void workers_free(struct daemon *d);
/* The main thread: until workers_resume no other thread runs. They nest. */
void workers_pause(struct daemon *d);
void workers_resume(struct daemon *d);
void worker_wake_main(struct daemon *d);
/* After the core was given something: gives what belongs to other workers to them. True if there was any. */
bool worker_hand_over(struct worker *w);
/* What was delivered in place must be out before its bytes are overwritten: to the device and to other workers. */
void worker_drain(struct worker *w, instant now);
/* A TCP connection is the main thread's. */
void worker_tcp_send(struct worker *w, const struct session_tx *tx, const uint8_t *data);
/* What the network said of a locator pair, whoever has a path there. */
void worker_unreachable(struct worker *w, const struct locator_pair *at, instant now);
void worker_too_big(struct worker *w, const struct locator_pair *at, size_t mtu_bytes, instant now);

/* outside.c */
int outside_start(struct daemon *d, instant now);
void outside_stop(struct daemon *d);
void outside_refresh(struct daemon *d, instant now); /* netlink's snapshot -> uplinks */
void outside_slow(struct daemon *d, instant now);    /* each half second: signal strength */
int outside_link_order(struct daemon *d, const char *name, const char *what, const char *value, instant now);
void outside_send(struct worker *w, const struct session_tx *tx, const uint8_t *data, instant now);
void outside_send_beside(struct daemon *d, const struct locator_pair *at, const uint8_t *data,
                         size_t len); /* of no session */

/* outside_tcp.c */
int outside_tcp_start(struct daemon *d);
void outside_tcp_stop(struct daemon *d);
void outside_tcp_slow(struct daemon *d, instant now); /* each half second: whose time is over */
void outside_tcp_drop(struct daemon *d,
                      uint32_t link); /* its address is another now: what was connected from it goes */
void outside_tcp_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now);
void outside_tcp_proven(struct daemon *d, const struct locator_pair *at); /* a record that came over it opened */

/* inside.c */
int inside_start(struct daemon *d);
void inside_stop(struct daemon *d);
void inside_config(struct daemon *d, unsigned peer, instant now); /* node: the agent numbered us */
void inside_routes(struct daemon *d);                             /* makes routes and rules what they should be */
void inside_marks(struct daemon *d); /* node: rules with a mark: the packet filter says it, the core hears it */
void inside_write(struct worker *w, const struct merged *pkt);

/* memory.c */
int memory_load(struct daemon *d,
                instant now); /* agent: peers with addresses from the pool, calls to stored endpoints */
/* One more, from a file that was read again. As node_peer_add. */
int memory_add_peer(struct daemon *d, const struct config_peer *c);
void memory_save(struct daemon *d);

/* resolve.c */
void resolve_names(struct daemon *d); /* of agents: at the start, and again while one does not answer */

/* host.c: before all that needs its identifier. Says what fails. */
int host_start(struct daemon *d);
int host_attach(struct daemon *d); /* after names_start */
void host_stop(struct daemon *d);
void host_options(const struct daemon *d, struct node_options *o);
struct addr host_identifier(const struct daemon *d);
void host_refresh(struct daemon *d, instant now); /* the uplinks' addresses -> what peers are told */
void host_on_event(struct worker *w, const struct node_event *ev, instant now);
void host_on_trouble(struct daemon *d, instant now); /* a path of a peer's is suspected, or down */
void host_on_called(struct daemon *d, const struct tag *caller, const struct endpoint *places, size_t count,
                    const struct mapping_relay *relay);

/* relayed.c: after host_start, before all that sends. Says what fails. */
int relayed_start(struct daemon *d);
void relayed_stop(struct daemon *d);
void relayed_slow(struct daemon *d, instant now);  /* each half second */
void relayed_hurry(struct daemon *d, instant now); /* each channel is bound again with the next slow work */
/* A host's channel, as an endpoint. */
struct endpoint relayed_add(struct daemon *d, const struct mapping_relay *relay, instant now);
/* To such an endpoint; false: it does not go. */
bool relayed_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now);
/* True if it was for these. Changed in place, and kept as with node_on_datagram. */
bool relayed_on_datagram(struct worker *w, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                         uint8_t tos, instant now);

/* attach.c: after names_start. A chain that was verified, and the tag at its end. */
int attach_start(struct daemon *d, const struct slice *links, size_t count, const struct tag *self);
/* near: so many of these are of our own addresses, the others as managers see us. */
void attach_where(struct daemon *d, const struct endpoint *at, size_t count, size_t near, instant now);
void attach_uplinks(struct daemon *d); /* they are others, or at other addresses */
/* Where a manager sees that uplink, family ADDR_NONE: nowhere, or as it is. */
struct endpoint attach_seen(const struct daemon *d, unsigned link);
bool attach_is_manager(const struct daemon *d, const struct endpoint *from); /* of our realm */
void attach_slow(struct daemon *d, instant now);                             /* each half second */
void attach_stop(struct daemon *d);

/* portmaps.c: a host's; after host_start. 0 or -ENOMEM. */
int portmaps_start(struct daemon *d);
void portmaps_slow(struct daemon *d, instant now); /* each half second */
void portmaps_stop(struct daemon *d);              /* before outside_stop */
/* What leads to us by that uplink's gateway, family ADDR_NONE: nothing, or it is not to be believed. */
struct endpoint portmaps_place(const struct daemon *d, unsigned link);
/* An array, the caller's. */
struct json_t *portmaps_json(const struct daemon *d, instant now);

/* names.c: after the workers were made. Without it the daemon goes on all the same. */
void names_start(struct daemon *d);
void names_stop(struct daemon *d);
/* NULL: there is no root, or it could not be started. */
struct lookup *names_lookup(const struct daemon *d);

/* agents.c: each half second */
void agents_slow(struct daemon *d, instant now);
/* An agent that answered, and where it says it is. */
void agents_on_offer(struct daemon *d, const struct chain_end *agent, const struct endpoint *at, size_t count,
                     instant now);
void agents_keep(const struct daemon *d, struct config *fresh); /* a file that was read again has no key of them */
void agents_stop(struct daemon *d);                             /* after names_stop */

/* anycast.c: each half second while an agent is wanted; then once, when none is */
void anycast_ask(struct daemon *d, instant now);
void anycast_rest(struct daemon *d);
void anycast_stop(struct daemon *d); /* before outside_stop */

/* answers.c */
int answers_start(struct daemon *d);
void answers_stop(struct daemon *d);

/* restart.c */
/* 0: the daemon stops, and is executed again. Negative, and errors: nothing happens. */
int restart_begin(struct daemon *d, struct text *errors);
/* 0: the daemon stops, and the service manager has what split connections need. Otherwise likewise. */
int restart_leave(struct daemon *d, struct text *errors);
/* When no thread runs any more and the insides have what they are to have: a descriptor, or -1 (told). Of
 * RESTART_BY_MANAGER the manager has it, too. */
int restart_save(struct daemon *d);
void restart_exec(const char *program, char **argv, int state_fd); /* returns if it fails, and has said so */
int restart_find(void);   /* what a predecessor left, or -1; at the start of the process */
void restart_ready(void); /* tells the service manager, if there is one, that the daemon runs */
void restart_restore(struct daemon *d, int fd, instant now); /* when nodes and peers are there; closes it */

/* known.c: after the nodes were made. Without it the daemon goes on all the same. */
void known_start(struct daemon *d);
void known_stop(struct daemon *d);
