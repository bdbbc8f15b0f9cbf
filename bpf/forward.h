/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Makes a frame what was decided about it, and sends it there. */
#ifndef FISTPATH_FORWARD_H
#define FISTPATH_FORWARD_H

#include "encap.h"
#include "nat.h"

static __always_inline bool is_forwarded(enum reason reason)
{
	return verdict_of(reason) <= VERDICT_UPLINK;
}

/*
 * The program's result. TC_ACT_UNSPEC: the next program of this hook, another of ours or a foreign one, and
 * then the kernel. A packet to a router goes there like one to any port; what came from outside has no
 * receiver, and the kernel knows the way. `egress_ifindex`: the device for what leaves this node.
 */
static __always_inline int leave_tc(struct __sk_buff *skb, const struct frame *frame, enum reason reason,
                                    const struct trail *trail, __u32 egress_ifindex)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
		if (!trail->receiver)
			return TC_ACT_UNSPEC;
		return deliver_tc(skb, trail->receiver, frame->ethertype);
	case VERDICT_TUNNEL:
	case VERDICT_UPLINK:
		return bpf_redirect(egress_ifindex, 0);
	case VERDICT_KERNEL:
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_SHOT;
	}
}

/* The same for XDP, where XDP_PASS is the kernel's way. */
static __always_inline int leave_xdp(enum reason reason, const struct trail *trail, __u32 egress_ifindex)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
		if (!trail->receiver)
			return XDP_PASS;
		return deliver_xdp(trail->receiver);
	case VERDICT_TUNNEL:
	case VERDICT_UPLINK:
		return bpf_redirect(egress_ifindex, 0);
	case VERDICT_KERNEL:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}

/*
 * TC, a frame outside of any tunnel and for the router of network `trail->vni`, from network `from` (0: from
 * outside): all that is left to do. Encapsulation comes before the rewriting: it is what the kernel may
 * refuse, and then the frame is still untouched.
 *
 * An end of its own, as in the other programs, and not one shared with plain forwarding: that would pay for
 * what it does not need (10 to 45 ns a packet, measured).
 */
static __always_inline int route_tc(enum program program, struct __sk_buff *skb, const struct packet *packet,
                                    const struct frame *frame, struct trail *trail, __u32 from)
{
	struct way way = {};
	enum reason reason = translate(packet, frame, from, trail, &way);

	if (reason == REASON_REFRESH)
		take_turn(&way);
	if (reason == REASON_TO_TUNNEL)
		reason = encapsulate_tc(skb, frame, way.vni, trail->receiver->remote, way.nexthop);
	if (is_forwarded(reason))
		reason = rewrite_tc(skb, reason == REASON_TO_TUNNEL ? TUNNEL_OVERHEAD : 0, reason,
		                    &way.rewrite);

	count(program, reason, packet, frame, trail);
	return leave_tc(skb, frame, reason, trail, way.egress_ifindex);
}

#endif
