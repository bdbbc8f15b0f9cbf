/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Puts a guest's frame into a VXLAN packet. In TC segmentation offload and partial checksums survive: a 64 KB
 * GSO frame stays one frame, and the kernel or the NIC cuts it into tunnel packets as late as it can.
 */
#ifndef FISTPATH_ENCAP_H
#define FISTPATH_ENCAP_H

#include "maps.h"
#include "parse.h"

#define OUTER_TTL 64

/*
 * UDP source port: one of the 16384 dynamic ports (RFC 7348, 5; RFC 6335, 6), by the inner flow's hash, so
 * that the underlay spreads flows over its paths and keeps each flow on one.
 */
#define SOURCE_PORT_FIRST 49152
#define SOURCE_PORT_MASK  0x3fff

/*
 * Opens the room behind the Ethernet header, and tells the kernel where the inner frame begins. FIXED_GSO:
 * segments keep their size, since fits() has left room for the outer headers.
 */
#define ENCAP_FLAGS                                                                                          \
	(BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |                                        \
	 BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |                      \
	 BPF_F_ADJ_ROOM_FIXED_GSO)

/* What goes in front of the guest's layer 3 packet. Begins off by two, so that all members are aligned. */
struct tunnel_headers {
	__u16 alignment;
	struct ethhdr ethernet;
	struct iphdr ipv4;
	struct udphdr udp;
	struct vxlan vxlan;
	struct ethhdr inner;
};
#define TUNNEL_HEADERS_LENGTH (sizeof(struct ethhdr) + TUNNEL_OVERHEAD)
_Static_assert(offsetof(struct tunnel_headers, inner) + sizeof(struct ethhdr) -
                               offsetof(struct tunnel_headers, ethernet) ==
                       TUNNEL_HEADERS_LENGTH,
               "nothing between the headers");

/*
 * A layer 3 length as a header tells it. A GSO frame may be longer than 16 bits can say: 0 stands for that,
 * as in the kernel (iph_set_totlen); segmentation writes each segment's own lengths.
 */
static __always_inline __be16 length_field(__u32 length)
{
	return length > 0xffff ? 0 : bpf_htons(length);
}

/*
 * The headers that carry the frame to a node of network `vni`. `hash`: the same for all packets of a flow.
 * `headers` is zeroed.
 */
static __always_inline void fill_headers(struct tunnel_headers *headers, const struct frame *frame, __u32 vni,
                                         __be32 remote, const struct nexthop *nexthop, __u32 hash)
{
	__u32 udp_length =
	        sizeof(headers->udp) + sizeof(headers->vxlan) + sizeof(headers->inner) + frame->length;

	__builtin_memcpy(headers->ethernet.h_dest, nexthop->dst_mac, ETH_ALEN);
	__builtin_memcpy(headers->ethernet.h_source, nexthop->src_mac, ETH_ALEN);
	headers->ethernet.h_proto = bpf_htons(ETH_P_IP);

	headers->ipv4.version = 4;
	headers->ipv4.ihl = sizeof(headers->ipv4) / 4;
	/* RFC 6040, 4.1, normal mode. DSCP 0, as the kernel's VXLAN device. */
	headers->ipv4.tos = frame->tos & ECN_MASK;
	headers->ipv4.tot_len = length_field(sizeof(headers->ipv4) + udp_length);
	/*
	 * GRO merges only what counts up alike inside and outside; a constant makes the receiver re-segment
	 * (6 against 16 Gb/s, measured).
	 */
	headers->ipv4.id = frame->ipv4 ? frame->ipv4->id : 0;
	headers->ipv4.ttl = OUTER_TTL;
	headers->ipv4.protocol = IPPROTO_UDP;
	headers->ipv4.saddr = underlay_address;
	headers->ipv4.daddr = remote;
	headers->ipv4.check = ipv4_checksum(&headers->ipv4);

	headers->udp.source = bpf_htons(SOURCE_PORT_FIRST | ((hash ^ hash >> 16) & SOURCE_PORT_MASK));
	headers->udp.dest = vxlan_port;
	headers->udp.len = length_field(udp_length);
	headers->udp.check = 0; /* as RFC 7348, 5 asks: the inner checksums protect the payload */

	headers->vxlan.flags = bpf_htonl(VXLAN_FLAG_I);
	headers->vxlan.vni = bpf_htonl(vni << VXLAN_VNI_SHIFT);
	headers->inner = *frame->ethernet;
}

/*
 * TC: encapsulates the frame towards a node. REASON_TO_TUNNEL, REASON_HELPER when nothing was changed, or
 * REASON_REWRITE_FAILED when the packet is spoiled.
 */
static __always_inline enum reason encapsulate_tc(struct __sk_buff *skb, const struct frame *frame, __u32 vni,
                                                  __be32 remote, const struct nexthop *nexthop)
{
	struct tunnel_headers headers = {};

	fill_headers(&headers, frame, vni, remote, nexthop, bpf_get_hash_recalc(skb));
	if (bpf_skb_adjust_room(skb, TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAP_FLAGS))
		return REASON_HELPER;
	if (bpf_skb_store_bytes(skb, 0, &headers.ethernet, TUNNEL_HEADERS_LENGTH, 0))
		return REASON_REWRITE_FAILED;
	return REASON_TO_TUNNEL;
}

/*
 * TC: the frame is in a tunnel and stays in one, to another node and maybe of another network: only the
 * headers change. (Taking it out and putting it in again fails where the kernel that encapsulated it is our
 * neighbour on a veth: the frame is still marked as encapsulated.) REASON_TO_TUNNEL or REASON_REWRITE_FAILED.
 */
static __always_inline enum reason retunnel_tc(struct __sk_buff *skb, const struct frame *frame, __u32 vni,
                                               __be32 remote, const struct nexthop *nexthop)
{
	struct tunnel_headers headers = {};

	fill_headers(&headers, frame, vni, remote, nexthop, bpf_get_hash_recalc(skb));
	if (bpf_skb_store_bytes(skb, 0, &headers.ethernet, TUNNEL_HEADERS_LENGTH, 0))
		return REASON_REWRITE_FAILED;
	return REASON_TO_TUNNEL;
}

/*
 * XDP: the same; `room` is what the tunnel's headers need more than the packet has (0: it is in a tunnel
 * already). REASON_TO_TUNNEL, REASON_HELPER or REASON_REWRITE_FAILED.
 */
static __always_inline enum reason encapsulate_xdp(struct xdp_md *xdp, __u32 room, const struct frame *frame,
                                                   __u32 vni, __be32 remote, const struct nexthop *nexthop,
                                                   __u32 hash)
{
	struct tunnel_headers headers = {};
	struct cursor cursor;
	void *bytes;

	fill_headers(&headers, frame, vni, remote, nexthop, hash);
	if (room && bpf_xdp_adjust_head(xdp, -(__s32)room))
		return REASON_HELPER;
	cursor = (struct cursor){(void *)(long)xdp->data, (void *)(long)xdp->data_end};
	bytes = take(&cursor, TUNNEL_HEADERS_LENGTH);
	if (!bytes)
		return REASON_REWRITE_FAILED;
	__builtin_memcpy(bytes, &headers.ethernet, TUNNEL_HEADERS_LENGTH);
	return REASON_TO_TUNNEL;
}

#endif
