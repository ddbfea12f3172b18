// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* bpf/veth_pass.bpf.c - passes everything: for the laboratory. What an XDP program sends into a veth arrives only if
 * the other end has a program as well. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int veth_pass(struct xdp_md *ctx)
{
    return XDP_PASS;
}

char licence[] SEC("license") = "Dual MIT/GPL";
