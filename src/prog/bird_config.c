/* prog/bird_config.c - see bird_config.h.
 *
 * Theory of operation. The gateway's TUN device carries the announced prefix as a connected route, which `protocol
 * direct` takes and BGP exports: the kernel removes both when the process dies, however it dies, and BIRD withdraws at
 * once. A drain takes the prefix off the device and leaves the service address, so that what still comes is still
 * served. Nothing is imported: a gateway has its own default route.
 *
 * Several gateways of a site are a cluster: each announces the prefix to the site's own router, by BGP with the same As
 * on both sides or by OSPF, and that router tells the world. The death of a gateway is then the site's affair alone.
 *
 * Figures: hold 9 s and keepalive 3 s are BIRD's usual ratio at the smallest hold that RFC 4271 section 4.2 and common
 * peers accept; OSPF's hello of 1 s and dead interval of 4 s are RFC 2328 section C.3's ratio; BFD finds a silent
 * failure in three of its intervals (RFC 5880 section 6.8.4). */
#include "prog/bird_config.h"

#include <errno.h>

int bird_config_write(const struct dmux_config *c, struct text *t)
{
    char prefix[PREFIX_STRLEN], addr[ADDR_STRLEN];

    if (c->role != DMUX_ROLE_GATEWAY || ((c->as == 0 || c->neighbors_count == 0) && !*c->ospf_interface))
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
    if (*c->ospf_interface)
        text_add(
            t,
            "\nprotocol ospf v2 dmux_ospf {\n    ipv4 {\n        import none;\n        export filter dmux_announced;\n"
            "    };\n    area %u {\n        interface \"%s\" {\n            hello 1;\n            dead 4;\n%s"
            "        };\n    };\n}\n",
            c->ospf_area, c->ospf_interface, c->bfd_ms > 0 ? "            bfd on;\n" : "");
    for (size_t i = 0; i < c->neighbors_count; i++) {
        const struct dmux_neighbor *n = &c->neighbors[i];

        text_add(t, "\nprotocol bgp dmux_%s {\n    local as %u;\n", n->name, c->as);
        text_add(t, "    neighbor %s as %u;\n", addr_format(&n->address, addr), n->as);
        if (n->as == c->as)
            text_add(t, "    direct;\n"); /* else BIRD takes it for one that is further away */
        text_add(t, "    hold time 9;\n    keepalive time 3;\n    connect retry time 1;\n    connect delay time 1;\n"
                    "    error wait time 1, 4;\n");
        text_add(t,
                 "%s    ipv4 {\n        import none;\n        export filter dmux_announced;\n        next hop self;\n"
                 "    };\n}\n",
                 c->bfd_ms > 0 ? "    bfd on;\n" : "");
    }
    return t->overflow ? -EINVAL : 0;
}
