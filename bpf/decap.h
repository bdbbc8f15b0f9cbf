/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Takes the guest's frame out of a VXLAN packet: the headers before it, and what has to go away. */
#ifndef FISTPATH_DECAP_H
#define FISTPATH_DECAP_H

#include "maps.h"
#include "parse.h"

/* What the outer headers say. */
struct tunnel_source {
	__u32 vni;
	__be32 address;
	__u8 ecn;
};

/* Offset of the guest's frame in a tunnel packet without IPv4 options. */
#define INNER_OFFSET                                                                                         \
	(sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct vxlan))

/*
 * Outer headers of a packet for this node's tunnel endpoint, exactly as RFC 7348 has them and with lengths
 * that agree with the frame: then what is inside is known to the byte. A checksum in the outer UDP header is
 * not verified (RFC 7348, 5 leaves that to the receiver; the kernel does, but our nodes send none).
 */
static __always_inline enum reason parse_tunnel(const struct packet *packet, struct tunnel_source *source)
{
	struct cursor cursor = packet_at(packet, 0, INNER_OFFSET);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	const struct iphdr *ipv4;
	const struct udphdr *udp;
	const struct vxlan *vxlan;
	__u32 length = packet->length - sizeof(*ethernet);
	enum reason reason;

	if (!ethernet)
		return REASON_TRUNCATED;
	if (ethernet->h_proto != bpf_htons(ETH_P_IP) || packet->tagged || packet->elsewhere)
		return REASON_NOT_VXLAN;

	ipv4 = take(&cursor, sizeof(*ipv4));
	if (!ipv4)
		return REASON_TRUNCATED;
	if (ipv4->protocol != IPPROTO_UDP || ipv4->daddr != underlay_address)
		return REASON_NOT_VXLAN;
	reason = check_ipv4(ipv4, length);
	if (reason != UNDECIDED)
		return reason;

	udp = take(&cursor, sizeof(*udp));
	if (!udp)
		return REASON_TRUNCATED;
	if (udp->dest != vxlan_port)
		return REASON_NOT_VXLAN;
	/* Bytes behind the datagram would become part of the guest's frame; the kernel cuts them off. */
	if (bpf_ntohs(ipv4->tot_len) != length || bpf_ntohs(udp->len) != length - sizeof(*ipv4))
		return REASON_IP_MALFORMED;
	if (ipv4_checksum(ipv4))
		return REASON_IP_MALFORMED;

	vxlan = take(&cursor, sizeof(*vxlan));
	if (!vxlan)
		return REASON_TRUNCATED;
	if (vxlan->flags != bpf_htonl(VXLAN_FLAG_I) || vxlan->vni & bpf_htonl(VXLAN_VNI_RESERVED))
		return REASON_VXLAN_FLAGS;

	source->vni = bpf_ntohl(vxlan->vni) >> VXLAN_VNI_SHIFT;
	source->address = ipv4->saddr;
	source->ecn = ipv4->tos & ECN_MASK;
	return UNDECIDED;
}

/*
 * Would taking the tunnel away change the inner ECN field? RFC 6040, 4.2: besides CE, that is ECT(1) around
 * ECT(0). The kernel does it.
 */
static __always_inline bool ecn_merges(const struct tunnel_source *source, const struct frame *frame)
{
	return source->ecn == ECN_ECT_1 && (frame->tos & ECN_MASK) == ECN_ECT_0;
}

/*
 * TC: `reason`, REASON_HELPER when nothing was changed, or REASON_REWRITE_FAILED when the packet is spoiled.
 *
 * The NIC may have verified checksums, counted from outside: one of them, the tunnel's, goes away (the
 * kernel's own decapsulation counts the same way). Without that the guest would have to verify in software.
 */
static __always_inline enum reason decapsulate_tc(struct __sk_buff *skb, const struct frame *frame,
                                                  enum reason reason)
{
	struct ethhdr inner = *frame->ethernet;

	if (bpf_skb_adjust_room(skb, -(__s32)TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return REASON_HELPER;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	if (bpf_skb_store_bytes(skb, 0, &inner, sizeof(inner), 0))
		return REASON_REWRITE_FAILED;
	return reason;
}

/* XDP: the inner frame is all there, only the packet's begin moves. `reason` or REASON_HELPER. */
static __always_inline enum reason decapsulate_xdp(struct xdp_md *xdp, enum reason reason)
{
	return bpf_xdp_adjust_head(xdp, INNER_OFFSET) ? REASON_HELPER : reason;
}

#endif
