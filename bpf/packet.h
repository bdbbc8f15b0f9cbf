/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * One view of a packet for both hooks, so that the same decision code serves TC and XDP.
 *
 * `hook` is a constant in every program, so the compiler removes the other hook's branch and its helpers: as
 * long as struct packet lives in registers, that is, as long as no helper is given the address of one of its
 * members.
 */
#ifndef FISTPATH_PACKET_H
#define FISTPATH_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "abi.h"

/* No reason found yet: the next check decides. */
#define UNDECIDED REASON_MAX

/*
 * A decision that is still open after everything that plain forwarding checks: the packet is for a router
 * (nat.h). Seldom enough to keep that code, and the registers it needs, out of every other packet's way.
 */
#define is_for_router(reason) __builtin_expect((reason) == UNDECIDED, 0)

enum hook { HOOK_TC, HOOK_XDP };

struct packet {
	void *context; /* struct __sk_buff or struct xdp_md */
	enum hook hook;
	__u32 ifindex; /* device it came in by */
	__u32 length; /* the whole frame as it came, Ethernet header included, all buffers */
	__u32 segment_size; /* payload bytes of each segment of a GSO frame; 0: no GSO frame */
	__u32 segments; /* 0: the kernel has not counted them (frames from a tap) */
	/* XDP is told neither: a NIC that takes VLAN tags off, or takes in every MAC, must be set up
	 * otherwise. */
	bool tagged; /* a VLAN tag that is no longer in the bytes */
	bool elsewhere; /* not to this device's own MAC */
};

/* A place in a packet, and the first byte past the part that can be read. */
struct cursor {
	void *at;
	void *end;
};

static __always_inline struct packet tc_packet(struct __sk_buff *skb)
{
	return (struct packet){
	        .context = skb,
	        .hook = HOOK_TC,
	        .ifindex = skb->ifindex,
	        .length = skb->len,
	        .segment_size = skb->gso_size,
	        .segments = skb->gso_segs,
	        .tagged = skb->vlan_present,
	        .elsewhere = skb->pkt_type != PACKET_HOST,
	};
}

static __always_inline struct packet xdp_packet(struct xdp_md *xdp)
{
	return (struct packet){
	        .context = xdp,
	        .hook = HOOK_XDP,
	        .ifindex = xdp->ingress_ifindex,
	        .length = bpf_xdp_get_buff_len(xdp),
	        .segments = 1,
	};
}

/*
 * A cursor at `offset`, with at least `bytes` readable bytes if the frame has them.
 *
 * TC pulls them into the linear part when they are not there; that moves the packet, so every older pointer
 * into it is void. XDP cannot pull: headers beyond the first buffer read as truncated, and the kernel gets
 * the frame.
 */
static __always_inline struct cursor packet_at(const struct packet *packet, __u32 offset, __u32 bytes)
{
	if (packet->hook == HOOK_XDP) {
		struct xdp_md *xdp = packet->context;

		return (struct cursor){(void *)(long)xdp->data + offset, (void *)(long)xdp->data_end};
	}

	struct __sk_buff *skb = packet->context;
	__u32 wanted = offset + bytes < packet->length ? offset + bytes : packet->length;

	if ((void *)(long)skb->data + wanted > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, wanted);
	return (struct cursor){(void *)(long)skb->data + offset, (void *)(long)skb->data_end};
}

#endif
