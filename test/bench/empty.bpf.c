/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a test run costs without a program's own work. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int empty_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_OK;
}

SEC("xdp")
int empty_xdp(struct xdp_md *xdp __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
