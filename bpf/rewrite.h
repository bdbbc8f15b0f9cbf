/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Makes a packet what its flow says: Ethernet and IPv4 header, ports, checksums. */
#ifndef FISTPATH_REWRITE_H
#define FISTPATH_REWRITE_H

#include "maps.h"
#include "parse.h"

/* What the packet becomes. Computed while its headers can be read, written after the packet was resized. */
struct rewrite {
	__u16 alignment; /* so that all members behind it are aligned */
	/* These three stand in the packet as they stand here. */
	struct ethhdr ethernet;
	struct iphdr ipv4;
	__be16 ports[2]; /* TCP, UDP; ICMP echo: the identifier and the type, which stand elsewhere */
	/* What the transport checksum grows by; 0: it does not change. */
	__u32 addresses_sum;
	__u32 ports_sum;
};
#define TRANSPORT_OFFSET (sizeof(struct ethhdr) + sizeof(struct iphdr))
_Static_assert(offsetof(struct rewrite, ports) - offsetof(struct rewrite, ethernet) == TRANSPORT_OFFSET,
               "nothing between the headers");

static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/*
 * RFC 1624, 3: the sum of ~m + m' over what changes, in one's complement. 32-bit words give the same 16-bit
 * sum, and byte order does not matter (RFC 1071, 2). 0 when nothing changes.
 */
static __always_inline __u32 difference(__u32 from, __u32 to)
{
	return from == to ? 0 : fold32((__u64)(__u32)~from + to);
}

static __always_inline __u32 port_word(const struct tuple *tuple)
{
	return tuple->source_port | (__u32)tuple->destination_port << 16;
}

static __always_inline void plan_rewrite(const struct frame *frame, const struct tuple *from,
                                         const struct flow *flow, __u8 hops, struct rewrite *rewrite)
{
	const struct tuple *to = &flow->tuple;

	__builtin_memcpy(rewrite->ethernet.h_dest, flow->dst_mac, ETH_ALEN);
	__builtin_memcpy(rewrite->ethernet.h_source, flow->src_mac, ETH_ALEN);
	rewrite->ethernet.h_proto = bpf_htons(ETH_P_IP);
	rewrite->ipv4 = *frame->ipv4;
	rewrite->ipv4.ttl -= hops;
	rewrite->ipv4.saddr = to->source;
	rewrite->ipv4.daddr = to->destination;
	rewrite->ipv4.check = 0; /* the old one was right (parse_tuple) */
	rewrite->ipv4.check = ipv4_checksum(&rewrite->ipv4);
	rewrite->ports[0] = to->source_port;
	rewrite->ports[1] = to->destination_port;
	rewrite->addresses_sum = fold32((__u64)difference(from->source, to->source) +
	                                difference(from->destination, to->destination));
	rewrite->ports_sum = difference(port_word(from), port_word(to));
}

/* XDP knows no hash of a packet's flow, but all of its packets become the same tuple. */
static __always_inline __u32 flow_hash(const struct rewrite *rewrite)
{
	__u32 ports = rewrite->ports[0] | (__u32)rewrite->ports[1] << 16;

	return (rewrite->ipv4.saddr ^ rewrite->ipv4.daddr ^ ports) * 0x9e3779b1; /* Fibonacci hashing */
}

static __always_inline __u32 checksum_offset(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	default:
		return offsetof(struct icmp_echo, checksum);
	}
}

/*
 * TC. Helpers for the transport checksum, because only they know what a frame's checksum is: of the whole, of
 * the pseudo-header only when segmentation or the NIC is to complete it (then ports don't count), or verified
 * by the NIC as a sum over the packet, which they correct. For the same reason they also write the headers:
 * writing directly would make the kernel copy the head of every shared frame, those too that stay as they
 * are.
 *
 * `reason`, or REASON_REWRITE_FAILED.
 */
static __always_inline enum reason rewrite_tc(struct __sk_buff *skb, __u32 offset, enum reason reason,
                                              const struct rewrite *rewrite)
{
	__u8 protocol = rewrite->ipv4.protocol;
	__u32 transport = offset + TRANSPORT_OFFSET;
	__u32 field = transport + checksum_offset(protocol);
	/* UDP: 0 says that there is none, and stays; a computed 0 is written as 0xffff (RFC 768). */
	__u64 flags = protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 length =
	        protocol == IPPROTO_ICMP ? TRANSPORT_OFFSET : TRANSPORT_OFFSET + sizeof(rewrite->ports);

	if (rewrite->addresses_sum && protocol != IPPROTO_ICMP &&
	    bpf_l4_csum_replace(skb, field, 0, rewrite->addresses_sum, flags | BPF_F_PSEUDO_HDR))
		return REASON_REWRITE_FAILED;
	if (rewrite->ports_sum && bpf_l4_csum_replace(skb, field, 0, rewrite->ports_sum, flags))
		return REASON_REWRITE_FAILED;
	if (protocol == IPPROTO_ICMP && rewrite->ports_sum &&
	    bpf_skb_store_bytes(skb, transport + offsetof(struct icmp_echo, identifier), rewrite->ports,
	                        sizeof(__be16), 0))
		return REASON_REWRITE_FAILED;
	if (bpf_skb_store_bytes(skb, offset, &rewrite->ethernet, length, 0))
		return REASON_REWRITE_FAILED;
	return reason;
}

/* RFC 1624, 3: HC' = ~(~HC + ~m + m'). */
static __always_inline __sum16 updated_checksum(__sum16 checksum, __u64 sum)
{
	__u32 folded = fold32(sum + (__u16)~checksum);

	folded = (folded & 0xffff) + (folded >> 16);
	folded = (folded & 0xffff) + (folded >> 16);
	return ~folded;
}

/*
 * XDP: checksums are whole, and only UDP and ICMP come so far; their headers have the same length. `reason`,
 * or REASON_REWRITE_FAILED.
 */
static __always_inline enum reason rewrite_xdp(struct xdp_md *xdp, __u32 offset, enum reason reason,
                                               const struct rewrite *rewrite)
{
	struct cursor cursor = {(void *)(long)xdp->data + offset, (void *)(long)xdp->data_end};
	void *headers = take(&cursor, TRANSPORT_OFFSET);
	__be16 *transport = take(&cursor, sizeof(struct udphdr));
	__sum16 checksum;

	if (!headers || !transport)
		return REASON_REWRITE_FAILED;
	__builtin_memcpy(headers, &rewrite->ethernet, TRANSPORT_OFFSET);
	if (rewrite->ipv4.protocol == IPPROTO_ICMP) {
		transport[1] = updated_checksum(transport[1], rewrite->ports_sum);
		transport[2] = rewrite->ports[0];
		return reason;
	}
	transport[0] = rewrite->ports[0];
	transport[1] = rewrite->ports[1];
	if (transport[3]) {
		checksum = updated_checksum(transport[3], (__u64)rewrite->addresses_sum + rewrite->ports_sum);
		transport[3] = checksum ? checksum : 0xffff;
	}
	return reason;
}

#endif
