/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Puts a guest's frame into a VXLAN packet, in TC, where segmentation offload and partial checksums survive:
 * a 64 KB GSO frame stays one frame, and the kernel or the NIC cuts it into tunnel packets as late as it can.
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

/* Opens the room behind the Ethernet header, and tells the kernel where the inner frame begins. */
#define ENCAP_FLAGS                                                                                          \
	(BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |                                        \
	 BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |                      \
	 BPF_F_ADJ_ROOM_FIXED_GSO) /* segments keep their size: fits() has left room for the outer headers   \
	                            */

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

/* RFC 791, 3.1, over the fields that are not zero. */
static __always_inline __u16 ipv4_checksum(const struct iphdr *ipv4)
{
	__u32 sum = bpf_htons(0x4500 | ipv4->tos) + ipv4->tot_len + ipv4->id + ipv4->frag_off +
	            bpf_htons(ipv4->ttl << 8 | ipv4->protocol) + (ipv4->saddr & 0xffff) +
	            (ipv4->saddr >> 16) + (ipv4->daddr & 0xffff) + (ipv4->daddr >> 16);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * A layer 3 length as a header tells it. A GSO frame may be longer than 16 bits can say: 0 stands for that,
 * as in the kernel (iph_set_totlen); segmentation writes each segment's own lengths.
 */
static __always_inline __be16 length_field(__u32 length)
{
	return length > 0xffff ? 0 : bpf_htons(length);
}

/*
 * Encapsulates the frame towards a node. REASON_TO_TUNNEL, REASON_HELPER when nothing was changed, or
 * REASON_REWRITE_FAILED when the packet is spoiled.
 */
static __always_inline enum reason encapsulate(struct __sk_buff *skb, const struct frame *frame, __u32 vni,
                                               __be32 remote, const struct nexthop *nexthop)
{
	__u32 hash = bpf_get_hash_recalc(skb);
	__u32 inner_length = frame->length + sizeof(struct ethhdr);
	__u32 udp_length = inner_length + sizeof(struct udphdr) + sizeof(struct vxlan);
	struct tunnel_headers headers = {
	        .ethernet.h_proto = bpf_htons(ETH_P_IP),
	        .ipv4 =
	                {
	                        .version = 4,
	                        .ihl = sizeof(struct iphdr) / 4,
	                        /* RFC 6040, 4.1, normal mode; DSCP 0, as the kernel's VXLAN device. */
	                        .tos = frame->tos & ECN_MASK,
	                        .tot_len = length_field(udp_length + sizeof(struct iphdr)),
	                        /*
	                         * GRO merges only what counts up alike inside and outside; a constant here
	                         * makes the receiver re-segment (6 against 16 Gb/s, measured).
	                         */
	                        .id = frame->ipv4 ? frame->ipv4->id : 0,
	                        .ttl = OUTER_TTL,
	                        .protocol = IPPROTO_UDP,
	                        .saddr = underlay_address,
	                        .daddr = remote,
	                },
	        .udp =
	                {
	                        .source = bpf_htons(SOURCE_PORT_FIRST |
	                                            ((hash ^ hash >> 16) & SOURCE_PORT_MASK)),
	                        .dest = vxlan_port,
	                        .len = length_field(udp_length),
	                        /* Zero, as RFC 7348 asks: the inner checksums protect the payload. */
	                        .check = 0,
	                },
	        .vxlan =
	                {
	                        .flags = bpf_htonl(VXLAN_FLAG_I),
	                        .vni = bpf_htonl(vni << VXLAN_VNI_SHIFT),
	                },
	        .inner = *frame->ethernet,
	};

	__builtin_memcpy(headers.ethernet.h_dest, nexthop->dst_mac, ETH_ALEN);
	__builtin_memcpy(headers.ethernet.h_source, nexthop->src_mac, ETH_ALEN);
	headers.ipv4.check = ipv4_checksum(&headers.ipv4);

	if (bpf_skb_adjust_room(skb, TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAP_FLAGS))
		return REASON_HELPER;
	if (bpf_skb_store_bytes(skb, 0, &headers.ethernet, TUNNEL_HEADERS_LENGTH, 0))
		return REASON_REWRITE_FAILED;
	return REASON_TO_TUNNEL;
}

#endif
