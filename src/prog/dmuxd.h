/* prog/dmuxd.h - what the files of hawser-dmuxd share: one loop, one UDP socket, one TUN device, one role. */
#pragma once

#include "dmux/client.h"
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "dmux/router_load.h"
#include "prog/dmux_config.h"
#include "prog/dmuxd_links.h"
#include "prog/lookup.h"
#include "prog/watchdog.h"
#include "sys/control.h"
#include "sys/netlink.h"
#include "sys/tun.h"
#include "sys/udp.h"
#include "sys/xdp.h"
#include "tunnel/merge.h"

#include <jansson.h>
#include <uv.h>

#define TURN_BURST 64   /* chosen: datagrams of our own a turn */
#define TRAIN_ROOM 2048 /* a datagram that is put into a train; what grows beyond it was no datagram of ours */

/* Datagrams to one destination, sent in one call. */
struct train {
    struct udp *udp;
    uint8_t *buf; /* UDP_TRAIN_BYTES_MAX and TRAIN_ROOM */
    size_t len;
    uint16_t segment_bytes; /* of the first */
    unsigned count;
    bool closed; /* the last was shorter */
    struct endpoint to;
    struct addr local;
    uint8_t tos;
    uint64_t refused; /* datagrams that the kernel did not take */
    int last_error;   /* the last refusal, positive; 0: none yet */
};

struct dmuxd;

struct role {
    const char *name;
    int (*start)(struct dmuxd *d, instant now);
    void (*on_datagram)(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now);
    void (*on_packet)(struct dmuxd *d, const uint8_t *packet, size_t len, instant now);
    void (*turn)(struct dmuxd *d, instant now); /* after each wake-up: expiries, what is to be said */
    instant (*next_expiry)(const struct dmuxd *d);
    int (*status)(struct dmuxd *d, json_t *doc, instant now); /* adds to it */
    const char *(*ask)(struct dmuxd *d, const char *verb);    /* NULL: done; else what is wrong. May be NULL */
    bool (*leave)(struct dmuxd *d); /* false: there is something to be said before the end. May be NULL */
};

/* What is told of the kernel's tables. */
enum xdp_news { XDP_NEWS_GROUPS, XDP_NEWS_ROUTERS, XDP_NEWS_FAILED, XDP_NEWS_COUNT };

struct dmuxd {
    struct dmux_config *config;
    const struct role *role;
    uv_loop_t loop;
    uv_poll_t udp_poll, tun_poll, control_poll;
    uv_timer_t timer;
    uv_signal_t sigterm, sigint;
    struct udp *udp;
    struct tun *tun;
    struct merge *merge; /* of what goes to the device */
    struct control *control;
    struct train train;
    uint8_t *packet; /* of the device, TUN_PACKET_BYTES_MAX */
    instant started, leave_by;
    bool leaving;
    uint64_t tun_refused;
    uint64_t congested; /* dropped, since their sender does not hear of congestion otherwise */
    bool drained;
    struct xdp *xdp; /* NULL: packets pass in user space */
    uint32_t xdp_epoch, xdp_wall_s;
    uint64_t xdp_left_out;               /* groups and routers that found no room in the tables */
    uint32_t xdp_told_s[XDP_NEWS_COUNT]; /* when it was told last, wall time */
    struct watchdog watchdog;
    instant beat_at;
    struct gateway *gateway;
    struct lookup *lookup; /* of a gateway by managers; NULL: it is none */
    struct list asked;     /* what was, until it is answered */
    bool asking;           /* inside dmuxd_managers_turn */
    instant links_at;      /* when links are looked at */
    /* of the mesh, of who asks as another's gateway, and of borders by realm */
    struct links_watch mesh_links, asker_links, border_links[FEDERATION_REALMS_MAX];
    struct router *router;
    struct router_load load; /* of the router */
    struct client *client;
    struct addr client_address; /* on the device */
    struct applicant_info admission_told;
    struct nlmon *netlink; /* a client's; NULL: not looked at yet */
    bool native;           /* the client stands aside */
    bool keeping;          /* and yet carries connections that have its address */
    unsigned kept;         /* so many */
    instant native_since, native_next;
    struct capture *capture; /* a client's; NULL: by its device's routes */
    int exit_code;
};

extern const struct role role_gateway, role_router, role_client;

/* One line for the log; level as in syslog. */
void dmuxd_say(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Seconds that all gateways count alike (dmux/jar.h). */
uint32_t dmuxd_wall_s(void);
/* After each wake-up: what is due, what is to be sent, the timer. */
void dmuxd_turn(struct dmuxd *d, instant now);
/* Ends the loop. */
void dmuxd_finish(struct dmuxd *d, int code);
/* Room for one datagram; send what is before if it does not go in one train with the next. */
uint8_t *train_room(struct train *t);
/* What stands in train_room is a datagram of this length. */
void train_add(struct train *t, size_t len, const struct endpoint *to, const struct addr *local, uint8_t tos);
/* The TUN device, with these addresses. 0, or -errno, which is told. */
int dmuxd_device_open(struct dmuxd *d, const struct tun_addr *addrs, size_t count);
/* A whole packet for this host that came in a datagram with this TOS; the bytes may be changed, and must stay until
 * dmuxd_device_flush. */
void dmuxd_to_device(struct dmuxd *d, uint8_t *packet, size_t len, uint8_t outer_tos);
/* The TOS of a datagram that carries this packet. */
uint8_t dmuxd_outer_tos(const uint8_t *packet, size_t len);
void dmuxd_device_flush(struct dmuxd *d);
/* What the device gave, for the role, packet by packet. */
void dmuxd_from_device(struct dmuxd *d, const uint8_t *packet, size_t len, const struct tun_meta *meta, instant now);

/* Into what a status says. */
static inline void text_set(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_string(value));
}
static inline void number_set(json_t *o, const char *key, uint64_t value)
{
    json_object_set_new(o, key, json_integer((json_int_t)value));
}
/* Nothing, for no address. */
static inline void endpoint_set(json_t *o, const char *key, const struct endpoint *e)
{
    char buf[ENDPOINT_STRLEN];

    if (e->addr.family != ADDR_NONE)
        text_set(o, key, endpoint_format(e, buf));
}
/* Those that are not 0, by name. */
static inline json_t *counts_json(const uint64_t *values, size_t n, const char *(*name)(unsigned))
{
    json_t *o = json_object();

    for (size_t i = 0; i < n; i++) {
        if (values[i] > 0)
            number_set(o, name((unsigned)i), values[i]);
    }
    return o;
}

/* A client's packets by queues of the kernel: the queues, and whoever removes the rules when this process is no more.
 * What is wrong is told. 0 or -errno. */
int dmuxd_capture_start(struct dmuxd *d);
/* What has this source is captured from now on; ADDR_NONE: nothing is. False: it cannot be, which is told once. */
bool dmuxd_capture_follow(struct dmuxd *d, const struct addr *source, instant now);
void dmuxd_capture_status(struct dmuxd *d, json_t *doc);
/* The rules are gone when it returns. */
void dmuxd_capture_end(struct dmuxd *d);

/* Whether the network speaks the protocol of this family by itself: d->native, and whether there is anything to be
 * carried all the same: d->keeping. ADDR_NONE: nobody can tell. */
void dmuxd_native_look(struct dmuxd *d, uint8_t family, instant now);

/* A gateway by managers: who it is to them; then what it asks and tells them: 0, or -errno after telling what is wrong.
 */
struct directory_options dmuxd_managers_options(const struct dmuxd *d);
int dmuxd_managers_start(struct dmuxd *d);
void dmuxd_managers_turn(struct dmuxd *d, instant now);
void dmuxd_managers_end(struct dmuxd *d);
void dmuxd_managers_status(struct dmuxd *d, json_t *doc);

/* The gateway's data path in the kernel: start it, follow the core's tables, add what it counted. */
int dmuxd_xdp_start(struct dmuxd *d, uint32_t wall_s);
void dmuxd_xdp_turn(struct dmuxd *d, uint32_t wall_s);
void dmuxd_xdp_status(struct dmuxd *d, json_t *doc);
