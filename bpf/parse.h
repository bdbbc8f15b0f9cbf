/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From bytes to headers. A helper checks bounds and advances the cursor; none of them decides a packet's fate
 * except by saying why the fast path does not understand it, and then the kernel has it.
 */
#ifndef FISTPATH_PARSE_H
#define FISTPATH_PARSE_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "packet.h"

#define IPV4_FLAG_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET     0x1fff

#define ECN_MASK  3
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_CE    3

/* ARP for IPv4 over Ethernet (RFC 826). */
struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

/* ICMP echo and its reply (RFC 792). */
struct icmp_echo {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 identifier;
	__be16 sequence;
};

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO       8

/*
 * VXLAN (RFC 7348, 5):
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |R|R|R|R|I|R|R|R|                    reserved                   |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                     VNI                       |   reserved    |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
struct vxlan {
	__be32 flags;
	__be32 vni;
};

#define VXLAN_FLAG_I       0x08000000 /* host order */
#define VXLAN_VNI_SHIFT    8
#define VXLAN_VNI_RESERVED 0x000000ff

/* Outer IPv4, UDP and VXLAN header and the inner Ethernet header: what a tunnel adds to a layer 3 packet. */
#define TUNNEL_OVERHEAD                                                                                      \
	(sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct vxlan) + sizeof(struct ethhdr))

/* What the decision needs to know of a guest's frame. Pointers are good until the packet is pulled or
 * resized. */
struct frame {
	struct ethhdr *ethernet;
	__be16 ethertype; /* as the guest sent it: 802.1Q for a tagged frame */
	/* At most one of these is set. */
	struct arp_ipv4 *arp;
	struct iphdr *ipv4;
	struct ipv6hdr *ipv6;
	struct cursor payload; /* behind the layer 3 header */
	__u32 length; /* layer 3 bytes on the wire, padding included */
	__u32 headers; /* layer 3 and 4 header bytes that each segment of a GSO frame repeats; 0: unknown */
	__u8 protocol; /* IPPROTO_* */
	__u8 tos; /* DSCP and ECN */
};

/* The next `size` bytes, or NULL when they are not there. */
static __always_inline void *take(struct cursor *cursor, __u32 size)
{
	void *bytes = cursor->at;

	if (bytes + size > cursor->end)
		return NULL;
	cursor->at = bytes + size;
	return bytes;
}

static __always_inline __u32 network_header_length(__be16 ethertype)
{
	switch (ethertype) {
	case bpf_htons(ETH_P_ARP):
		return sizeof(struct arp_ipv4);
	case bpf_htons(ETH_P_IP):
		return sizeof(struct iphdr);
	case bpf_htons(ETH_P_IPV6):
		return sizeof(struct ipv6hdr);
	default:
		return 0;
	}
}

/* Ethernet header of the frame that starts at `offset`. */
static __always_inline enum reason parse_ethernet(const struct packet *packet, __u32 offset,
                                                  struct frame *frame)
{
	struct cursor cursor = packet_at(packet, offset, sizeof(struct ethhdr));
	struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));

	if (!ethernet)
		return REASON_TRUNCATED;

	/* The transport header too, as far as there is one: for the segments of a GSO frame, and for NAT. */
	cursor = packet_at(packet, offset,
	                   sizeof(*ethernet) + network_header_length(ethernet->h_proto) +
	                           sizeof(struct tcphdr));
	ethernet = take(&cursor, sizeof(*ethernet));
	if (!ethernet)
		return REASON_TRUNCATED;

	frame->ethernet = ethernet;
	frame->ethertype = packet->tagged ? bpf_htons(ETH_P_8021Q) : ethernet->h_proto;
	frame->length = packet->length - offset - sizeof(*ethernet);
	frame->payload = cursor;
	return UNDECIDED;
}

/* The layer 3 header that follows, as far as the fast path knows its kind. */
static __always_inline enum reason parse_network(struct frame *frame)
{
	switch (frame->ethertype) {
	case bpf_htons(ETH_P_ARP):
		frame->arp = take(&frame->payload, sizeof(*frame->arp));
		return frame->arp ? UNDECIDED : REASON_TRUNCATED;
	case bpf_htons(ETH_P_IP):
		frame->ipv4 = take(&frame->payload, sizeof(*frame->ipv4));
		return frame->ipv4 ? UNDECIDED : REASON_TRUNCATED;
	case bpf_htons(ETH_P_IPV6):
		frame->ipv6 = take(&frame->payload, sizeof(*frame->ipv6));
		return frame->ipv6 ? UNDECIDED : REASON_TRUNCATED;
	default:
		return UNDECIDED;
	}
}

/* An IPv4 header without options, of a whole packet, that agrees with the `length` bytes it heads. */
static __always_inline enum reason check_ipv4(const struct iphdr *ipv4, __u32 length)
{
	__u32 total = bpf_ntohs(ipv4->tot_len);

	if (ipv4->version != 4 || ipv4->ihl < 5 || total < ipv4->ihl * 4)
		return REASON_IP_MALFORMED;
	if (total > length)
		return REASON_TRUNCATED;
	if (ipv4->ihl > 5)
		return REASON_IP_OPTIONS;
	if (ipv4->frag_off & bpf_htons(IPV4_FLAG_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
		return REASON_FRAGMENT;
	return UNDECIDED;
}

/*
 * RFC 791, 3.1, of a header without options. Over a header that has its checksum already, the result is 0
 * when that is right.
 */
static __always_inline __u16 ipv4_checksum(const struct iphdr *ipv4)
{
	const __u16 *words = (const __u16 *)ipv4;
	__u32 sum = 0;

	for (int i = 0; i < (int)(sizeof(*ipv4) / sizeof(*words)); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline enum reason check_ipv6(const struct ipv6hdr *ipv6, __u32 length)
{
	if (ipv6->version != 6)
		return REASON_IP_MALFORMED;
	if (sizeof(*ipv6) + bpf_ntohs(ipv6->payload_len) > length)
		return REASON_TRUNCATED;
	switch (ipv6->nexthdr) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMPV6:
		return UNDECIDED;
	default:
		return REASON_IP_OPTIONS; /* an extension header, fragments among them */
	}
}

/* Bytes of the transport header at the cursor, 0 when it is not TCP or UDP or not there. */
static __always_inline __u32 transport_header_length(struct cursor cursor, __u8 protocol)
{
	if (protocol == IPPROTO_UDP)
		return sizeof(struct udphdr);
	if (protocol != IPPROTO_TCP)
		return 0;

	const struct tcphdr *tcp = take(&cursor, sizeof(*tcp));

	return tcp ? tcp->doff * 4 : 0;
}

/* A MAC that one device can have. A bridge drops what comes from any other. */
static __always_inline bool is_station(const __u8 *mac)
{
	const __u16 *words = (const __u16 *)mac;

	return !(mac[0] & 1) && words[0] | words[1] | words[2];
}

/*
 * Is this a frame that the fast path may forward at all: unicast, untagged, IPv4 or IPv6, whole, without
 * options? To be called after parse_network().
 */
static __always_inline enum reason check_frame(const struct packet *packet, struct frame *frame)
{
	enum reason reason;
	__u32 header;

	if (frame->ethernet->h_dest[0] & 1 || !is_station(frame->ethernet->h_source))
		return REASON_MULTICAST;
	if (frame->arp)
		return REASON_ARP;
	if (frame->ipv4) {
		reason = check_ipv4(frame->ipv4, frame->length);
		header = sizeof(*frame->ipv4);
		frame->protocol = frame->ipv4->protocol;
		frame->tos = frame->ipv4->tos;
	} else if (frame->ipv6) {
		reason = check_ipv6(frame->ipv6, frame->length);
		header = sizeof(*frame->ipv6);
		frame->protocol = frame->ipv6->nexthdr;
		/* The traffic class lies across the first two bytes: vvvvtttt ttttffff. */
		frame->tos = frame->ipv6->priority << 4 | frame->ipv6->flow_lbl[0] >> 4;
	} else {
		return REASON_ETHERTYPE;
	}

	if (packet->segment_size) {
		__u32 transport = transport_header_length(frame->payload, frame->protocol);

		frame->headers = transport ? header + transport : 0;
	}
	return reason;
}

/* All of a frame that starts at `offset`: its headers, and whether the fast path may forward it at all. */
static __always_inline enum reason parse_frame(const struct packet *packet, __u32 offset, struct frame *frame)
{
	enum reason reason = parse_ethernet(packet, offset, frame);

	if (reason == UNDECIDED)
		reason = parse_network(frame);
	if (reason == UNDECIDED)
		reason = check_frame(packet, frame);
	return reason;
}

/* Does every packet of the frame fit a device of this MTU? A GSO frame is judged by its segments. */
static __always_inline bool fits(const struct packet *packet, const struct frame *frame, __u32 mtu)
{
	if (!packet->segment_size)
		return frame->length <= mtu;
	/* Neither TCP nor UDP: what its segments will look like is for the kernel to know. */
	return frame->headers && frame->headers + packet->segment_size <= mtu;
}

#endif
