/* prog/bird_config.c - see bird_config.h.
 *
 * Theory of operation. The gateway's TUN device carries the announced prefix as a connected route, which `protocol
 * direct` takes and BGP exports: the kernel removes both when the process dies, however it dies, and BIRD withdraws at
 * once. A drain takes the prefix off the device and leaves the service address, so that what still comes is still
 * served. Nothing is imported: a gateway has its own default route.
 *
 * Figures: hold 9 s and keepalive 3 s are BIRD's usual ratio at the smallest hold that RFC 4271 section 4.2 and common
 * peers accept; BFD finds a silent failure in three of its intervals (RFC 5880 section 6.8.4). */
#include "prog/bird_config.h"

#include <errno.h>

int bird_config_write(const struct dmux_config *c, struct text *t)
{
    char prefix[PREFIX_STRLEN], addr[ADDR_STRLEN];

    if (c->role != DMUX_ROLE_GATEWAY || c->as == 0 || c->neighbors_count == 0)
        return -EINVAL;
    text_add(t, "# BIRD 2, for hawser-dmuxd: announces %s while the device %s carries it.\n",
             prefix_format(&c->prefix, prefix), c->device);
    text_add(t, "router id %s;\n\n", addr_format(&c->router_id, addr));
    text_add(t, "protocol device {\n    scan time 10;\n}\n\n");
    text_add(t, "protocol direct dmux_service {\n    ipv4;\n    interface \"%s\";\n}\n\n", c->device);
    text_add(t, "filter dmux_announced {\n    if net = %s && source = RTS_DEVICE then accept;\n    reject;\n}\n",
             prefix);
    if (c->bfd_ms > 0)
        text_add(t,
                 "\nprotocol bfd {\n    interface \"*\" {\n        min rx interval %u ms;\n"
                 "        min tx interval %u ms;\n        multiplier 3;\n    };\n}\n",
                 c->bfd_ms, c->bfd_ms);
    for (size_t i = 0; i < c->neighbors_count; i++) {
        const struct dmux_neighbor *n = &c->neighbors[i];

        text_add(t, "\nprotocol bgp dmux_%s {\n    local as %u;\n", n->name, c->as);
        text_add(t, "    neighbor %s as %u;\n", addr_format(&n->address, addr), n->as);
        text_add(t, "    hold time 9;\n    keepalive time 3;\n    connect retry time 1;\n    connect delay time 1;\n"
                    "    error wait time 1, 4;\n");
        text_add(t,
                 "%s    ipv4 {\n        import none;\n        export filter dmux_announced;\n        next hop self;\n"
                 "    };\n}\n",
                 c->bfd_ms > 0 ? "    bfd on;\n" : "");
    }
    return t->overflow ? -EINVAL : 0;
}
