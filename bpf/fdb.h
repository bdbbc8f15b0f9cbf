/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Where a MAC of a network is, and how a frame gets to a port of this node. */
#ifndef FISTPATH_FDB_H
#define FISTPATH_FDB_H

#include "maps.h"
#include "parse.h"

/* NULL: unknown. The VNI is part of the key: two networks may use the same MAC. */
static __always_inline const struct fdb_entry *find_mac(__u32 vni, const __u8 *mac)
{
	struct fdb_key key = {.vni = vni};

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	return bpf_map_lookup_elem(&fdb, &key);
}

static __always_inline const struct fdb_entry *find_destination(__u32 vni, const struct frame *frame)
{
	return find_mac(vni, frame->ethernet->h_dest);
}

/* A router's own MAC, on either side. NULL: not of this node. */
static __always_inline const struct gateway *find_gateway(const __u8 *mac)
{
	struct gateway_key key = {};

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	return bpf_map_lookup_elem(&gateways, &key);
}

/* The way to a receiver on another node: REASON_TO_TUNNEL, REASON_NO_NEXTHOP or REASON_TOO_BIG. */
static __always_inline enum reason find_tunnel(const struct packet *packet, const struct frame *frame,
                                               const struct fdb_entry *receiver,
                                               const struct nexthop **nexthop)
{
	*nexthop = bpf_map_lookup_elem(&nexthops, &receiver->remote);
	if (!*nexthop)
		return REASON_NO_NEXTHOP;
	if ((*nexthop)->mtu < TUNNEL_OVERHEAD || !fits(packet, frame, (*nexthop)->mtu - TUNNEL_OVERHEAD))
		return REASON_TOO_BIG;
	return REASON_TO_TUNNEL;
}

/*
 * Hands the frame to a local port; returns the program's result.
 *
 * bpf_redirect_peer saves the way through the veth's own queue, but it enters the other namespace without
 * eth_type_trans(): the packet must already be marked as the receiver's own, or IP ignores it as another
 * host's (newer kernels mark it themselves), and its protocol must be right. The protocol is wrong where an
 * IPv6 packet was taken out of an IPv4 tunnel (BPF_F_ADJ_ROOM_DECAP_L3_IPV6 would cure it, but only from
 * kernel 6.3): such a packet takes the queue, where the veth corrects it.
 */
static __always_inline int deliver_tc(struct __sk_buff *skb, const struct fdb_entry *port, __be16 ethertype)
{
	if (port->flags & FDB_PEER && skb->protocol == ethertype && !bpf_skb_change_type(skb, PACKET_HOST))
		return bpf_redirect_peer(port->ifindex, 0);
	return bpf_redirect(port->ifindex, 0);
}

/*
 * By ifindex and without a DEVMAP: the kernel resolves it when the packet comes, in the namespace of the
 * device that the packet came by, and batches as it does for a DEVMAP. A DEVMAP resolves in the namespace of
 * whoever writes it, loses its entries with their devices, and refuses to serve plain and multi-buffer
 * programs at once. Tried: native XDP on a veth of MTU 9000, 9000-byte frames of several buffers into a veth.
 */
static __always_inline int deliver_xdp(const struct fdb_entry *port)
{
	return bpf_redirect(port->ifindex, 0);
}

/* All of the frame in XDP's first buffer? */
static __always_inline bool is_one_buffer(const struct packet *packet)
{
	const struct xdp_md *xdp = packet->context;

	return xdp->data_end - xdp->data == packet->length;
}

/*
 * Does the port take this frame from XDP? A device without the means loses it silently, so the agent says so
 * by FDB_XDP. A frame of several buffers (jumbo) is taken by veth only: a tap lost 2 of 2, while the redirect
 * reported success.
 */
static __always_inline bool takes_from_xdp(const struct packet *packet, const struct fdb_entry *port)
{
	return port->flags & FDB_XDP && (is_one_buffer(packet) || port->flags & FDB_PEER);
}

#endif
