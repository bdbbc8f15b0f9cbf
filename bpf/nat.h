/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What a router would make of a packet, by the flows that learn.bpf.c recorded: the same translation without
 * a way through the router's namespace.
 *
 *   TCP, UDP or ICMP echo? -> a flow, still valid? -> where does it go? -> whose turn is it? -> go
 *
 * Whatever is not sure gets a reason of verdict ROUTER, and the packet goes to the router as it is. Reasons
 * are found in this order, and the first one wins:
 *
 *   PROTOCOL          no IPv4; neither TCP, UDP nor ICMP echo (code 0); a transport header that is not whole
 *                     or whose length field can't be right
 *   TCP_FLAGS         SYN, FIN or RST, or no ACK
 *   IP_MALFORMED      wrong IPv4 checksum (verdict KERNEL)
 *   NO_FLOW, STALE_FLOW           of the first router
 *   FLOW_UNREACHABLE  hairpin, and the next router is not of this node
 *   NO_FLOW, STALE_FLOW           of the second router; FLOW_UNREACHABLE: its flow doesn't end in a network
 *   TTL               not greater than the number of routers
 *   FLOW_TOO_BIG, FLOW_UNREACHABLE   as find_way() meets them
 *   REFRESH           it would go, but one of its flows is due
 */
#ifndef FISTPATH_NAT_H
#define FISTPATH_NAT_H

#include "count.h"
#include "fdb.h"
#include "rewrite.h"

/* Where a packet goes and by which flows. */
struct way {
	__u64 now;
	struct flow *elements[2]; /* in the map: of the first router, and of a hairpin's second */
	struct flow flow; /* a copy of the last one's */
	const struct router *router; /* the last one */
	const struct fdb_entry *receiver;
	const struct nexthop *nexthop; /* when the receiver is on another node */
	__u32 vni; /* network that it enters */
	__u32 egress_ifindex; /* when it leaves this node */
	__u8 hops; /* routers that it passes */
	bool due; /* one of its flows is to be seen by conntrack */
	struct rewrite rewrite;
};

/*
 * The tuple of a whole packet, and whether conntrack would take it for an ordinary one of a connection that
 * it knows. What it calls invalid must not pass here: the length checks are its own (udp_error, tcp_error).
 */
static __always_inline enum reason parse_tuple(const struct frame *frame, struct flow_key *key)
{
	struct cursor cursor = frame->payload;
	const struct icmp_echo *icmp;
	const struct tcphdr *tcp;
	const struct udphdr *udp;

	if (!frame->ipv4)
		return REASON_PROTOCOL;

	__u32 length = bpf_ntohs(frame->ipv4->tot_len) - sizeof(*frame->ipv4);

	key->protocol = frame->protocol;
	key->tuple.source = frame->ipv4->saddr;
	key->tuple.destination = frame->ipv4->daddr;
	switch (frame->protocol) {
	case IPPROTO_TCP:
		tcp = take(&cursor, sizeof(*tcp));
		if (!tcp || tcp->doff * 4 < (int)sizeof(*tcp) || tcp->doff * 4U > length)
			return REASON_PROTOCOL;
		if (tcp->syn || tcp->fin || tcp->rst || !tcp->ack)
			return REASON_TCP_FLAGS;
		key->tuple.source_port = tcp->source;
		key->tuple.destination_port = tcp->dest;
		break;
	case IPPROTO_UDP:
		udp = take(&cursor, sizeof(*udp));
		if (!udp || bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > length)
			return REASON_PROTOCOL;
		key->tuple.source_port = udp->source;
		key->tuple.destination_port = udp->dest;
		break;
	case IPPROTO_ICMP:
		icmp = take(&cursor, sizeof(*icmp));
		if (!icmp || length < sizeof(*icmp) || icmp->code ||
		    (icmp->type != ICMP_ECHO && icmp->type != ICMP_ECHO_REPLY))
			return REASON_PROTOCOL;
		key->tuple.source_port = icmp->identifier;
		key->tuple.destination_port = bpf_htons(icmp->type);
		break;
	default:
		return REASON_PROTOCOL;
	}
	return ipv4_checksum(frame->ipv4) ? REASON_IP_MALFORMED : UNDECIDED;
}

/* Has `interval` passed? Another CPU may have read the clock later and written first: then it has not. */
static __always_inline bool is_over(__u64 since, __u64 now, __u64 interval)
{
	return (__s64)(now - since) >= (__s64)interval;
}

/*
 * One router's word on a packet: the flow for `key`, if it is of the router of network `vni`, as that is now.
 *
 * An LRU map gives a deleted element's memory to another flow at once, even while we read it, and the flow of
 * another network must never leak into a packet. So it is copied, and counts if the key still leads to the
 * same element afterwards: then it was ours all the time.
 */
static __always_inline enum reason pass_router(const struct flow_key *key, __u32 vni, struct way *way,
                                               struct flow **element)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	const struct router *router;

	if (!flow)
		return REASON_NO_FLOW;
	way->flow = *flow;
	barrier();
	if (bpf_map_lookup_elem(&flows, key) != flow || way->flow.vni != vni)
		return REASON_NO_FLOW;

	router = bpf_map_lookup_elem(&routers, &vni);
	if (!router || router->generation != way->flow.generation)
		return REASON_STALE_FLOW;
	if (is_over(way->flow.learned_ns, way->now, flow_expiry_ns))
		return REASON_STALE_FLOW;
	way->due |= is_over(way->flow.passed_ns, way->now, flow_refresh_ns);
	way->router = router;
	way->hops++;
	*element = flow;
	return UNDECIDED;
}

/* Out of the uplink. */
static __always_inline enum reason find_uplink(const struct packet *packet, const struct frame *frame,
                                               struct way *way)
{
	if (!fits(packet, frame, way->router->mtu))
		return REASON_FLOW_TOO_BIG;
	if (!way->router->egress_ifindex)
		return REASON_FLOW_UNREACHABLE;
	if (packet->hook == HOOK_XDP && !(way->router->flags & ROUTER_XDP && is_one_buffer(packet)))
		return REASON_FLOW_UNREACHABLE;
	way->egress_ifindex = way->router->egress_ifindex;
	return REASON_TO_UPLINK;
}

/* Into the network whose router passed it last. It may be the very port that it came from: an instance that
 * calls its own floating address. */
static __always_inline enum reason find_port(const struct packet *packet, const struct frame *frame,
                                             struct way *way)
{
	bool xdp = packet->hook == HOOK_XDP;
	enum reason reason;

	way->vni = way->flow.vni;
	way->receiver = find_mac(way->vni, way->flow.dst_mac);
	if (!way->receiver)
		return REASON_FLOW_UNREACHABLE;
	if (!fits(packet, frame, way->receiver->mtu))
		return REASON_FLOW_TOO_BIG;
	if (way->receiver->ifindex)
		return !xdp || takes_from_xdp(packet, way->receiver) ? REASON_TO_PORT
		                                                     : REASON_FLOW_UNREACHABLE;

	reason = find_tunnel(packet, frame, way->receiver, &way->nexthop);
	if (reason == REASON_NO_NEXTHOP)
		return REASON_FLOW_UNREACHABLE;
	if (reason == REASON_TOO_BIG)
		return REASON_FLOW_TOO_BIG;
	way->egress_ifindex = way->nexthop->ifindex;
	if (xdp && !(way->router->flags & ROUTER_UNDERLAY_XDP && is_one_buffer(packet)))
		return REASON_FLOW_UNREACHABLE;
	return reason;
}

/* Where the packet goes after its routers. */
static __always_inline enum reason find_way(const struct packet *packet, const struct frame *frame,
                                            const struct router *first, struct way *way)
{
	if (way->flow.flags & FLOW_OUTSIDE)
		return find_uplink(packet, frame, way);
	/* Between two routers it crosses the floating network. */
	if (way->hops > 1 && !fits(packet, frame, first->mtu))
		return REASON_FLOW_TOO_BIG;
	return find_port(packet, frame, way);
}

/*
 * Decides about a packet that is addressed to the router of network `trail->vni`; `from` is the network that
 * it comes from, 0 when it comes from outside. REASON_TO_PORT, REASON_TO_TUNNEL or REASON_TO_UPLINK: `way` is
 * complete, and its flows and receiver are those of `trail`.
 */
static __always_inline enum reason translate(const struct packet *packet, const struct frame *frame,
                                             __u32 from, struct trail *trail, struct way *way)
{
	struct flow_key key = {.vni = from};
	struct tuple original;
	const struct router *first;
	enum reason reason;

	reason = parse_tuple(frame, &key);
	if (reason != UNDECIDED)
		return reason;
	original = key.tuple;
	/* Good to some milliseconds, for intervals of seconds, at a tenth of the exact clock's price. */
	way->now = bpf_ktime_get_coarse_ns();
	reason = pass_router(&key, trail->vni, way, &way->elements[0]);
	if (reason != UNDECIDED)
		return reason;
	first = way->router;

	if (way->flow.flags & FLOW_HAIRPIN) {
		const struct gateway *gateway = find_gateway(way->flow.dst_mac);

		if (!gateway || gateway->side != SIDE_OUTSIDE)
			return REASON_FLOW_UNREACHABLE;
		key.vni = 0;
		key.tuple = way->flow.tuple;
		reason = pass_router(&key, gateway->vni, way, &way->elements[1]);
		if (reason != UNDECIDED)
			return reason;
		if (way->flow.flags & (FLOW_OUTSIDE | FLOW_HAIRPIN))
			return REASON_FLOW_UNREACHABLE;
	}
	if (frame->ipv4->ttl <= way->hops)
		return REASON_TTL;

	reason = find_way(packet, frame, first, way);
	if (verdict_of(reason) == VERDICT_ROUTER)
		return reason;
	if (way->due)
		return REASON_REFRESH;
	plan_rewrite(frame, &original, &way->flow, way->hops, &way->rewrite);
	trail->receiver = way->receiver;
	trail->flows[0] = way->elements[0];
	trail->flows[1] = way->elements[1];
	trail->flow_bytes = bpf_ntohs(frame->ipv4->tot_len);
	return reason;
}

/*
 * To be called when a packet with REASON_REFRESH is given to the kernel for good: conntrack sees it, and the
 * next one is due an interval later. Not when another of our programs is still to decide about it: that one
 * would find the turn taken, and the kernel would never see a packet.
 */
static __always_inline void take_turn(const struct way *way)
{
	if (way->elements[0])
		way->elements[0]->passed_ns = way->now;
	if (way->elements[1])
		way->elements[1]->passed_ns = way->now;
}

#endif
