/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The uplink: what comes from outside. The same decision at TC ingress and at XDP.
 *
 *   to the outside MAC of a router of this node? -> by a flow of NAT (nat.h): local port, or tunnel
 *
 * Everything else, the node's own traffic above all, goes on untouched, after one look at its destination
 * MAC. TC is always attached. Where XDP is too, it comes first, and what it can't do goes on to TC, which
 * counts it again: TCP for GRO, packets to be seen by conntrack, receivers that take nothing from XDP.
 */
#include "forward.h"

static __always_inline enum reason decide(const struct packet *packet, struct frame *frame,
                                          struct trail *trail)
{
	const struct gateway *gateway;
	enum reason reason;

	reason = parse_ethernet(packet, 0, frame);
	if (reason != UNDECIDED)
		return reason;
	gateway = find_gateway(frame->ethernet->h_dest);
	if (!gateway || gateway->side != SIDE_OUTSIDE)
		return REASON_UNKNOWN_MAC;
	trail->vni = gateway->vni;

	reason = parse_network(frame);
	if (reason == UNDECIDED)
		reason = check_frame(packet, frame);
	if (reason != UNDECIDED)
		return reason;
	if (packet->hook == HOOK_XDP && frame->protocol == IPPROTO_TCP)
		return REASON_TCP;
	return UNDECIDED;
}

SEC("tc")
int uplink_tc(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (is_for_router(reason))
		return route_tc(PROGRAM_UPLINK, skb, &packet, &frame, &trail, 0);

	count(PROGRAM_UPLINK, reason, &packet, &frame, &trail);
	return TC_ACT_UNSPEC;
}

/* No turn is taken here: TC takes it. */
static __always_inline int route_xdp(struct xdp_md *xdp, const struct packet *packet,
                                     const struct frame *frame, struct trail *trail)
{
	struct way way = {};
	enum reason reason = translate(packet, frame, 0, trail, &way);

	if (reason == REASON_TO_TUNNEL)
		reason = encapsulate_xdp(xdp, TUNNEL_OVERHEAD, frame, way.vni, trail->receiver->remote,
		                         way.nexthop, flow_hash(&way.rewrite));
	if (is_forwarded(reason))
		reason = rewrite_xdp(xdp, reason == REASON_TO_TUNNEL ? TUNNEL_OVERHEAD : 0, reason,
		                     &way.rewrite);

	count(PROGRAM_UPLINK, reason, packet, frame, trail);
	return leave_xdp(reason, trail, way.egress_ifindex);
}

SEC("xdp.frags")
int uplink_xdp(struct xdp_md *xdp)
{
	struct packet packet = xdp_packet(xdp);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (is_for_router(reason))
		return route_xdp(xdp, &packet, &frame, &trail);

	count(PROGRAM_UPLINK, reason, &packet, &frame, &trail);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
