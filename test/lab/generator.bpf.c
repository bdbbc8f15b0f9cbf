/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The traffic generator's program: sends every frame that a live test run makes out of the device that the
 * run names. The kernel recycles those frames with whatever the network did to them (a tunnel header, a
 * lower TTL), so the headers are written anew into each.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Enough for every header that something on the way may change, a tunnel's and the inner ones; a multiple
 * of 8. */
#define HEADERS 96

const volatile __u64 headers[HEADERS / 8];
/* How many of them a frame has at least. */
const volatile __u32 words = HEADERS / 8;

SEC("xdp.frags")
int generate(struct xdp_md *ctx)
{
	__u64 *data = (void *)(long)ctx->data;

	for (__u32 i = 0; i < HEADERS / 8; i++) {
		if (i >= words)
			break;
		if ((void *)(data + i + 1) > (void *)(long)ctx->data_end)
			return XDP_ABORTED;
		data[i] = headers[i];
	}
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
