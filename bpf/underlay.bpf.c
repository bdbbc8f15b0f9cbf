/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The mesh NIC: what other nodes send. The same decision at TC ingress and at XDP.
 *
 *   a tunnel packet for us? -> sender a member of that network? -> destination local? -> port, or by a
 *   flow of NAT (nat.h)
 *
 * TCP and merged (GSO) frames go to the kernel's VXLAN device by GRO, and from there straight to their port
 * (tunnel.bpf.c): taking a merged frame out of its tunnel by hand makes the kernel cut it up again, at a
 * quarter to 0.4 of the bulk rate, and UDP segments are lost. The choice is by protocol and never by size,
 * which would reorder.
 */
#include "decap.h"
#include "forward.h"
#include "guard.h"

static __always_inline enum reason decide(const struct packet *packet, struct frame *frame,
                                          struct trail *trail)
{
	struct tunnel_source source = {};
	const struct fdb_entry *receiver;
	enum reason reason;

	reason = parse_tunnel(packet, &source);
	if (reason != UNDECIDED)
		return reason;
	trail->vni = source.vni;
	/* Before every way to the kernel that follows: what is forged is refused, whatever it carries. */
	reason = guard_tunnel(source.vni, source.address);
	if (reason != UNDECIDED)
		return reason;
	if (source.ecn == ECN_CE)
		return REASON_CONGESTION;
	if (packet->segment_size)
		return REASON_MERGED;

	reason = parse_frame(packet, INNER_OFFSET, frame);
	if (reason != UNDECIDED)
		return reason;
	if (ecn_merges(&source, frame))
		return REASON_CONGESTION;
	if (frame->protocol == IPPROTO_TCP)
		return REASON_TCP;

	receiver = find_destination(source.vni, frame);
	if (!receiver)
		return REASON_UNKNOWN_MAC;
	trail->receiver = receiver;
	if (!receiver->ifindex)
		return REASON_NOT_LOCAL;
	if (!fits(packet, frame, receiver->mtu))
		return REASON_TOO_BIG;
	if (receiver->flags & FDB_ROUTER)
		return UNDECIDED;
	return packet->hook == HOOK_XDP && !takes_from_xdp(packet, receiver) ? REASON_NO_XDP : REASON_TO_PORT;
}

/* Takes the frame out of its tunnel, unless it goes on in one, and translates it, as decided. */
static __always_inline enum reason unwrap_tc(struct __sk_buff *skb, const struct frame *frame,
                                             enum reason reason, const struct trail *trail,
                                             const struct way *way)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
	case VERDICT_UPLINK:
		reason = decapsulate_tc(skb, frame, reason);
		break;
	case VERDICT_TUNNEL:
		reason = retunnel_tc(skb, frame, way->vni, trail->receiver->remote, way->nexthop);
		break;
	default:
		break;
	}
	if (is_forwarded(reason))
		reason =
		        rewrite_tc(skb, reason == REASON_TO_TUNNEL ? INNER_OFFSET : 0, reason, &way->rewrite);
	return reason;
}

static __always_inline enum reason unwrap_xdp(struct xdp_md *xdp, const struct frame *frame,
                                              enum reason reason, const struct trail *trail,
                                              const struct way *way)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
	case VERDICT_UPLINK:
		reason = decapsulate_xdp(xdp, reason);
		break;
	case VERDICT_TUNNEL:
		reason = encapsulate_xdp(xdp, 0, frame, way->vni, trail->receiver->remote, way->nexthop,
		                         flow_hash(&way->rewrite));
		break;
	default:
		break;
	}
	if (is_forwarded(reason))
		reason = rewrite_xdp(xdp, reason == REASON_TO_TUNNEL ? INNER_OFFSET : 0, reason,
		                     &way->rewrite);
	return reason;
}

/* What is for a router: all that is left to do. */
static __always_inline int route_inner_tc(struct __sk_buff *skb, const struct packet *packet,
                                          const struct frame *frame, struct trail *trail)
{
	struct way way = {};
	enum reason reason = translate(packet, frame, trail->vni, trail, &way);

	reason = unwrap_tc(skb, frame, reason, trail, &way);
	if (reason == REASON_REFRESH)
		take_turn(&way);

	count(PROGRAM_UNDERLAY, reason, packet, frame, trail);
	return leave_tc(skb, frame, reason, trail, way.egress_ifindex);
}

static __always_inline int route_inner_xdp(struct xdp_md *xdp, const struct packet *packet,
                                           const struct frame *frame, struct trail *trail)
{
	struct way way = {};
	enum reason reason = translate(packet, frame, trail->vni, trail, &way);

	/* To the router as it is. What a flow takes elsewhere was judged with it. */
	if (verdict_of(reason) == VERDICT_ROUTER && !takes_from_xdp(packet, trail->receiver))
		reason = REASON_NO_XDP;
	reason = unwrap_xdp(xdp, frame, reason, trail, &way);
	if (reason == REASON_REFRESH)
		take_turn(&way);

	count(PROGRAM_UNDERLAY, reason, packet, frame, trail);
	return leave_xdp(reason, trail, way.egress_ifindex);
}

SEC("tc")
int underlay_tc(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (is_for_router(reason))
		return route_inner_tc(skb, &packet, &frame, &trail);
	if (reason == REASON_TO_PORT)
		reason = decapsulate_tc(skb, &frame, reason);

	count(PROGRAM_UNDERLAY, reason, &packet, &frame, &trail);
	return leave_tc(skb, &frame, reason, &trail, 0);
}

/* "frags": on a veth of MTU 9000 nothing else attaches, and a NIC hands jumbo frames over in several buffers.
 */
SEC("xdp.frags")
int underlay_xdp(struct xdp_md *xdp)
{
	struct packet packet = xdp_packet(xdp);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (is_for_router(reason))
		return route_inner_xdp(xdp, &packet, &frame, &trail);
	if (reason == REASON_TO_PORT)
		reason = decapsulate_xdp(xdp, reason);

	count(PROGRAM_UNDERLAY, reason, &packet, &frame, &trail);
	return leave_xdp(reason, &trail, 0);
}

char LICENSE[] SEC("license") = "GPL";
