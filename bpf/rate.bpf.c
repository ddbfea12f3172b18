// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* bpf/rate.bpf.c - for bench/dmux-rate.c: one frame, as often as the machine can make it, and a count of those that
 * come back.
 *
 * rate_send runs on frames of BPF_PROG_RUN, which are used again with whatever was made of them, so each is written
 * whole; rate_sink takes datagrams to one port, but not the control messages among them. */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/rate.h"

#define DPORT 36 /* where things are in a frame of IPv4 without options */
#define SHIM_FLAGS 43

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct rate_job);
} job SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} arrived SEC(".maps");

SEC("xdp")
int rate_send(struct xdp_md *ctx)
{
    __u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;
    __u32 zero = 0;
    struct rate_job *j = bpf_map_lookup_elem(&job, &zero);

    if (!j || data + RATE_FRAME > end)
        return XDP_ABORTED;
    __builtin_memcpy(data, j->frame, RATE_FRAME);
    return (int)bpf_redirect(j->interface, 0);
}

SEC("xdp")
int rate_sink(struct xdp_md *ctx)
{
    __u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;
    __u32 zero = 0;
    struct rate_job *j = bpf_map_lookup_elem(&job, &zero);
    __u64 *n = bpf_map_lookup_elem(&arrived, &zero);

    if (!j || !n || data + SHIM_FLAGS + 1 > end || data[12] != 8 || data[13] != 0 || data[14] != 0x45 ||
        data[23] != 17 || *(__u16 *)(data + DPORT) != j->port || (data[SHIM_FLAGS] & RATE_CONTROL))
        return XDP_PASS;
    ++*n;
    return XDP_DROP;
}

/* The same wire and nothing to do: what comes in goes back. */
SEC("xdp")
int rate_bounce(struct xdp_md *ctx)
{
    __u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end, mac[6];
    __u32 zero = 0;
    struct rate_job *j = bpf_map_lookup_elem(&job, &zero);

    if (!j || data + DPORT + 2 > end || data[23] != 17)
        return XDP_PASS;
    __builtin_memcpy(mac, data, 6);
    __builtin_memcpy(data, data + 6, 6);
    __builtin_memcpy(data + 6, mac, 6);
    *(__u16 *)(data + DPORT) = j->port;
    return XDP_TX;
}

char licence[] SEC("license") = "Dual MIT/GPL";
