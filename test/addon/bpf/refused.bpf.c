/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The verifier refuses this at the end of a long walk, whose log is longer than libbpf's first buffer (16
 * MiB). */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#ifndef STEPS
#define STEPS 10
#endif

SEC("tc")
int refused(struct __sk_buff *skb)
{
	__u32 sum = 0;

	for (__u32 i = 0; i < STEPS; i++)
		sum += bpf_get_prandom_u32() ^ i;
	/* no bounds check */
	return *(__u8 *)(long)skb->data + sum;
}

char _license[] SEC("license") = "Dual BSD/GPL";
