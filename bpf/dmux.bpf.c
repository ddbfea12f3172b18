// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* bpf/dmux.bpf.c - a gateway's data path in XDP.
 *
 * Theory of operation. It does what src/dmux/gateway.c does for the packets that are many, and leaves all others to it:
 * from clients with a good cookie to a router that the tables know, and from such a router with a ticket of a verified
 * client; to and from other operators' gateways likewise (src/dmux/gateway_homes.c). All leave by the interface that
 * they came from, to the station that they came from: a gateway has one next hop. A datagram that is no shim is counted
 * by cause and dropped; whatever else is not understood is passed on: control, strangers, fragments, IP options,
 * unknown providers, bad tickets and passes.
 *
 * What is sent has no UDP checksum (RFC 768: zero over IPv4): the inner packet has its own, and on a veth the outer one
 * may not be filled in yet.
 *
 * Limits: packets of 1,500 bytes with what they grow by. Cost: two SipHash of 24 bytes (of a
 * home's packet, one of 24 and one of 32), two lookups. */
#include "dmux/xdp_tables.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define GROWS (SHIM_COOKIE_LEN + SHIM_CLIENT_LEN)
#define HOME_AT (SHIM_LEN + GROWS)
#define MTU 1500

/* Two, of which one counts while the other is written. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct xdp_config);
} config SEC(".maps");

/* 0: seconds of the clock that all gateways share; 1: which config counts. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u32);
} now SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, XDP_GROUPS_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct xdp_group_key);
    __type(value, struct xdp_group);
} groups SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, XDP_ROUTERS_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct xdp_router_key);
    __type(value, struct xdp_router);
} routers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, XDP_COUNT_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");

struct frame {
    struct ethhdr eth;
    struct iphdr ip;
    struct udphdr udp;
} __attribute__((packed));

static __always_inline int count(__u32 what, int action)
{
    __u64 *n = bpf_map_lookup_elem(&counts, &what);

    if (n)
        (*n)++;
    return action;
}

static __always_inline __u16 ip_checksum(const struct frame *f)
{
    const __u16 *p = (const __u16 *)((const __u8 *)f + sizeof(f->eth));
    __u32 sum = 0;

#pragma unroll
    for (int i = 0; i < 10; i++)
        sum += p[i];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)~sum;
}

/* The outer headers of what leaves: back to the station that sent it, payload bytes behind UDP. */
static __always_inline void outer(struct frame *f, const struct ethhdr *was, __u8 tos, __u32 from, __u32 to,
                                  __u16 from_port, __u16 to_port, __u16 payload)
{
    __builtin_memcpy(f->eth.h_dest, was->h_source, ETH_ALEN);
    __builtin_memcpy(f->eth.h_source, was->h_dest, ETH_ALEN);
    f->eth.h_proto = bpf_htons(ETH_P_IP);
    ((__u8 *)f)[sizeof(f->eth)] = 0x45;
    f->ip.tos = tos;
    f->ip.tot_len = bpf_htons(sizeof(f->ip) + sizeof(f->udp) + payload);
    f->ip.id = 0;
    f->ip.frag_off = bpf_htons(0x4000); /* never in pieces, as the daemon's sockets */
    f->ip.ttl = 64;
    f->ip.protocol = IPPROTO_UDP;
    f->ip.check = 0;
    f->ip.saddr = from;
    f->ip.daddr = to;
    f->ip.check = ip_checksum(f);
    f->udp.source = from_port;
    f->udp.dest = to_port;
    f->udp.len = bpf_htons(sizeof(f->udp) + payload);
    f->udp.check = 0;
}

/* The slot of this client; false: whoever it is, user space serves it. */
static __always_inline int select(const struct shim *s, __u32 client, struct xdp_slot *ret)
{
    struct xdp_group_key key = { .protocol = s->protocol, .provider = s->provider };
    const struct xdp_group *g = bpf_map_lookup_elem(&groups, &key);
    __u32 i = shim_slot_of(client);

    __asm__ volatile("" : "+r"(i)); /* the compiler knows that it is below; the verifier does not */
    if (!g || i >= SHIM_SLOTS)
        return 0;
    *ret = g->slots[i];
    return 1;
}

/* A ticket of this gateway's and of that kind, for the rest of the claim. */
static __always_inline void put_ticket(__u8 *at, struct shim_claim *c, const struct xdp_slot *slot,
                                       const struct xdp_config *cfg, __u32 now_s)
{
    c->router = bpf_ntohl(slot->addr);
    c->router_port = bpf_ntohs(slot->port);
    c->gateway = cfg->id;
    c->epoch = (__u8)cfg->keys.epoch;
    c->time = now_s & 0xffffff;
    shim_put_cookie(at, c, shim_mac(&cfg->keys.keys[1], c));
}

/* What a border wants to see; false: user space has it. */
static __always_inline int pass_of(const struct shim *s, const struct xdp_slot *slot, __u8 pass[SHIM_COOKIE_LEN])
{
    struct xdp_router_key key = {
        .addr = slot->addr, .port = slot->port, .protocol = s->protocol, .provider = slot->provider
    };
    const struct xdp_router *r = bpf_map_lookup_elem(&routers, &key);

    if (!r || !r->border)
        return 0;
    __builtin_memcpy(pass, r->pass, SHIM_COOKIE_LEN);
    return 1;
}

static __always_inline int to_router(struct xdp_md *ctx, const struct frame *f, const struct shim *s, __u16 payload,
                                     const struct xdp_config *cfg, __u32 now_s)
{
    const __u8 *end = (void *)(long)ctx->data_end, *at = (const __u8 *)(f + 1);
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT,
                            .client = bpf_ntohl(f->ip.saddr),
                            .client_port = bpf_ntohs(f->udp.source) };
    struct xdp_slot slot;
    struct frame *out;
    struct ethhdr eth;
    __u8 tos = f->ip.tos & 3, *p, pass[SHIM_COOKIE_LEN]; /* RFC 6040 section 3.2: the outer ECN field goes along */
    __u32 saddr = f->ip.saddr, len = bpf_ntohs(f->ip.tot_len), grow = SHIM_CLIENT_LEN;
    __u16 sport = f->udp.source;

    if (at + SHIM_LEN + SHIM_COOKIE_LEN > end || payload <= SHIM_LEN + SHIM_COOKIE_LEN)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    if (!shim_cookie_holds(&cfg->keys, now_s, &c, at + SHIM_LEN, XDP_COOKIE_S))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    if (!select(s, c.client, &slot) || (slot.border && !pass_of(s, &slot, pass)))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    if (slot.border)
        grow += SHIM_HOME_LEN;
    if (len + grow > MTU)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    eth = f->eth;
    if (bpf_xdp_adjust_head(ctx, -(int)grow) < 0)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    out = (void *)(long)ctx->data;
    p = (__u8 *)(out + 1);
    end = (void *)(long)ctx->data_end;
    if (p + HOME_AT > end)
        return XDP_DROP; /* cannot be: it was longer before */
    outer(out, &eth, tos, cfg->unicast, slot.addr, cfg->port, slot.port, payload + grow);
    shim_put(p, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | (slot.border ? SHIM_HOME : 0) | (s->flags & SHIM_WORD),
             s->protocol, slot.provider);
    c.kind = SHIM_COOKIE_VERIFIED;
    put_ticket(p + SHIM_LEN, &c, &slot, cfg, now_s);
    p += SHIM_LEN + SHIM_COOKIE_LEN;
    __builtin_memcpy(p, &saddr, 4);
    __builtin_memcpy(p + 4, &sport, 2);
    p[6] = 0;
    p[7] = cfg->hops;
    if (slot.border) {
        p += SHIM_CLIENT_LEN;
        if (p + SHIM_HOME_LEN > end)
            return XDP_DROP; /* cannot be */
        __builtin_memcpy(p, &cfg->unicast, 4);
        __builtin_memcpy(p + 4, &cfg->port, 2);
        p[6] = p[7] = 0;
        __builtin_memcpy(p + SHIM_HOME_COOKIE_AT, pass, SHIM_COOKIE_LEN);
    }
    return count(XDP_COUNT_TO_ROUTER, XDP_TX);
}

static __always_inline int to_client(struct xdp_md *ctx, const struct frame *f, const struct shim *s, __u16 payload,
                                     const struct xdp_config *cfg, __u32 now_s)
{
    const __u8 *end = (void *)(long)ctx->data_end, *at = (const __u8 *)(f + 1),
               *client = at + SHIM_LEN + SHIM_COOKIE_LEN;
    struct xdp_router_key key = {
        .addr = f->ip.saddr, .port = f->udp.source, .protocol = s->protocol, .provider = s->provider
    };
    struct shim_claim c = { .kind = SHIM_COOKIE_VERIFIED,
                            .router = bpf_ntohl(f->ip.saddr),
                            .router_port = bpf_ntohs(f->udp.source),
                            .gateway = cfg->id };
    struct frame *out;
    struct ethhdr eth;
    __u8 tos = f->ip.tos & 3;
    __u32 addr;
    __u16 port;

    if (at + SHIM_LEN + GROWS > end || payload <= SHIM_LEN + GROWS || client[7] == 0)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    if (!bpf_map_lookup_elem(&routers, &key))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    __builtin_memcpy(&addr, client, 4);
    __builtin_memcpy(&port, client + 4, 2);
    c.client = bpf_ntohl(addr);
    c.client_port = bpf_ntohs(port);
    if (!shim_cookie_holds(&cfg->keys, now_s, &c, at + SHIM_LEN, XDP_TICKET_S))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    eth = f->eth;
    if (bpf_xdp_adjust_head(ctx, GROWS) < 0)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    out = (void *)(long)ctx->data;
    end = (void *)(long)ctx->data_end;
    if ((__u8 *)(out + 1) + SHIM_LEN > end)
        return XDP_DROP; /* cannot be */
    outer(out, &eth, tos, cfg->service, addr, cfg->port, port, payload - GROWS);
    shim_put((__u8 *)(out + 1), s->flags & SHIM_WORD, s->protocol, s->provider);
    return count(XDP_COUNT_TO_CLIENT, XDP_TX);
}

/* May a client be there, by the home's word? As gateway_address_allowed. */
static __always_inline int is_client(const struct xdp_config *cfg, const struct shim_claim *c)
{
    __u32 addr = bpf_htonl(c->client);

    return c->client_port != 0 && shim_is_host(c->client) && addr != cfg->service && addr != cfg->unicast &&
           (addr & cfg->mask) != cfg->prefix;
}

/* What a home's client sends; the datagram keeps its length. */
static __always_inline int from_home(struct xdp_md *ctx, struct frame *f, const struct shim *s, __u16 payload,
                                     const struct xdp_config *cfg, __u32 now_s)
{
    const __u8 *end = (void *)(long)ctx->data_end;
    __u8 *at = (__u8 *)(f + 1), *client = at + SHIM_LEN + SHIM_COOKIE_LEN, *home = at + HOME_AT, tos = f->ip.tos & 3;
    struct shim_claim pass = { .kind = SHIM_COOKIE_PASS,
                               .client = bpf_ntohl(f->ip.saddr),
                               .client_port = bpf_ntohs(f->udp.source) },
                      c = { .kind = SHIM_COOKIE_HOME, .home = pass.client, .home_port = pass.client_port };
    struct ethhdr eth = f->eth;
    struct xdp_slot slot;
    __u32 addr;
    __u16 port, zero;

    if (home + SHIM_HOME_LEN > end || payload <= HOME_AT + SHIM_HOME_LEN || client[7] <= 1)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    __builtin_memcpy(&addr, home, 4);
    __builtin_memcpy(&port, home + 4, 2);
    __builtin_memcpy(&zero, home + 6, 2);
    if (addr != f->ip.saddr || port != f->udp.source || zero != 0 ||
        !shim_cookie_holds(&cfg->keys, now_s, &pass, home + SHIM_HOME_COOKIE_AT, XDP_COOKIE_S))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    __builtin_memcpy(&addr, client, 4);
    __builtin_memcpy(&port, client + 4, 2);
    c.client = bpf_ntohl(addr);
    c.client_port = bpf_ntohs(port);
    if (!is_client(cfg, &c) || !select(s, c.client, &slot) || slot.border)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    __builtin_memcpy(home + SHIM_HOME_COOKIE_AT, at + SHIM_LEN, SHIM_COOKIE_LEN);
    put_ticket(at + SHIM_LEN, &c, &slot, cfg, now_s);
    client[6] = 0;
    client[7]--;
    shim_put(at, s->flags, s->protocol, slot.provider);
    outer(f, &eth, tos, cfg->unicast, slot.addr, cfg->port, slot.port, payload);
    return count(XDP_COUNT_FROM_HOME, XDP_TX);
}

/* What a router answers a home's client: behind the home's own ticket. */
static __always_inline int to_home(struct xdp_md *ctx, const struct frame *f, const struct shim *s, __u16 payload,
                                   const struct xdp_config *cfg, __u32 now_s)
{
    const __u8 *end = (void *)(long)ctx->data_end, *at = (const __u8 *)(f + 1),
               *client = at + SHIM_LEN + SHIM_COOKIE_LEN, *home = at + HOME_AT;
    struct shim_claim c = { .kind = SHIM_COOKIE_HOME,
                            .router = bpf_ntohl(f->ip.saddr),
                            .router_port = bpf_ntohs(f->udp.source),
                            .gateway = cfg->id };
    __u8 ticket[SHIM_COOKIE_LEN], who[SHIM_CLIENT_LEN], tos = f->ip.tos & 3, *p;
    struct frame *out;
    struct ethhdr eth = f->eth;
    __u32 addr, to;
    __u16 port, to_port;

    if (home + SHIM_HOME_LEN > end || payload <= HOME_AT + SHIM_HOME_LEN || client[7] <= 1)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    __builtin_memcpy(who, client, SHIM_CLIENT_LEN);
    __builtin_memcpy(&addr, who, 4);
    __builtin_memcpy(&port, who + 4, 2);
    __builtin_memcpy(&to, home, 4);
    __builtin_memcpy(&to_port, home + 4, 2);
    __builtin_memcpy(ticket, home + SHIM_HOME_COOKIE_AT, SHIM_COOKIE_LEN);
    c.client = bpf_ntohl(addr);
    c.client_port = bpf_ntohs(port);
    c.home = bpf_ntohl(to);
    c.home_port = bpf_ntohs(to_port);
    if (!shim_cookie_holds(&cfg->keys, now_s, &c, at + SHIM_LEN, XDP_TICKET_S))
        return count(XDP_COUNT_PASSED, XDP_PASS);
    if (bpf_xdp_adjust_head(ctx, SHIM_HOME_LEN) < 0)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    out = (void *)(long)ctx->data;
    p = (__u8 *)(out + 1);
    end = (void *)(long)ctx->data_end;
    if (p + HOME_AT > end)
        return XDP_DROP; /* cannot be */
    outer(out, &eth, tos, cfg->unicast, to, cfg->port, to_port, payload - SHIM_HOME_LEN);
    shim_put(p, s->flags & ~SHIM_HOME, s->protocol, s->provider);
    __builtin_memcpy(p + SHIM_LEN, ticket, SHIM_COOKIE_LEN);
    __builtin_memcpy(p + SHIM_LEN + SHIM_COOKIE_LEN, who, SHIM_CLIENT_LEN);
    p[SHIM_LEN + SHIM_COOKIE_LEN + 6] = 0;
    p[SHIM_LEN + SHIM_COOKIE_LEN + 7]--;
    return count(XDP_COUNT_TO_HOME, XDP_TX);
}

/* From a router here, or from another operator's gateway. */
static __always_inline int on_home(struct xdp_md *ctx, struct frame *f, const struct shim *s, __u16 payload,
                                   const struct xdp_config *cfg, __u32 now_s)
{
    struct xdp_router_key key = {
        .addr = f->ip.saddr, .port = f->udp.source, .protocol = s->protocol, .provider = s->provider
    };
    const struct xdp_router *r = bpf_map_lookup_elem(&routers, &key);

    return r && !r->border ? to_home(ctx, f, s, payload, cfg, now_s) : from_home(ctx, f, s, payload, cfg, now_s);
}

SEC("xdp")
int dmux(struct xdp_md *ctx)
{
    const __u8 *end = (void *)(long)ctx->data_end;
    struct frame *f = (void *)(long)ctx->data;
    const struct xdp_config *cfg;
    const __u32 *now_s, *which;
    enum shim_fault fault;
    struct shim s;
    __u32 zero = 0, one = 1;
    __u16 len;

    if ((const __u8 *)(f + 1) > end || f->eth.h_proto != bpf_htons(ETH_P_IP) ||
        ((const __u8 *)f)[sizeof(f->eth)] != 0x45 || f->ip.protocol != IPPROTO_UDP ||
        (f->ip.frag_off & bpf_htons(0x3fff)) != 0)
        return XDP_PASS;
    now_s = bpf_map_lookup_elem(&now, &zero);
    which = bpf_map_lookup_elem(&now, &one);
    if (!now_s || !which)
        return XDP_PASS;
    one = *which;
    cfg = bpf_map_lookup_elem(&config, &one);
    if (!cfg || f->udp.dest != cfg->port || (f->ip.daddr != cfg->service && f->ip.daddr != cfg->unicast))
        return XDP_PASS;
    len = bpf_ntohs(f->udp.len);
    /* What the headers say and what there is must agree to the byte: padding or a lie is user space's. */
    if (len < sizeof(f->udp) || bpf_ntohs(f->ip.tot_len) != sizeof(f->ip) + len ||
        (const __u8 *)f + sizeof(f->eth) + sizeof(f->ip) + len != end)
        return count(XDP_COUNT_PASSED, XDP_PASS);
    fault = shim_parse((const __u8 *)(f + 1), end, &s);
    if (fault != SHIM_OK)
        return count(fault, XDP_DROP);
    len -= sizeof(f->udp);
    if ((s.flags & ~SHIM_WORD) == SHIM_COOKIE)
        return to_router(ctx, f, &s, len, cfg, *now_s);
    if ((s.flags & ~SHIM_WORD) == (SHIM_CLIENT | SHIM_COOKIE | SHIM_VERIFIED))
        return to_client(ctx, f, &s, len, cfg, *now_s);
    if ((s.flags & ~SHIM_WORD) == (SHIM_CLIENT | SHIM_COOKIE | SHIM_VERIFIED | SHIM_HOME))
        return on_home(ctx, f, &s, len, cfg, *now_s);
    return count(XDP_COUNT_PASSED, XDP_PASS);
}

char licence[] SEC("license") = "Dual MIT/GPL";
