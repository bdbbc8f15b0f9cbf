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
 * TC, a frame outside of any tunnel: encapsulates and translates it, as decided. Encapsulation comes first:
 * it is what the kernel may refuse, and then the frame is still untouched.
 */
static __always_inline enum reason change_tc(struct __sk_buff *skb, const struct frame *frame,
                                             enum reason reason, const struct trail *trail,
                                             const struct way *way)
{
	if (reason == REASON_TO_TUNNEL)
		reason = encapsulate_tc(skb, frame, way->vni, trail->receiver->remote, way->nexthop);
	if (trail->flows[0] && is_forwarded(reason))
		reason = rewrite_tc(skb, reason == REASON_TO_TUNNEL ? TUNNEL_OVERHEAD : 0, reason,
		                    &way->rewrite);
	return reason;
}

/*
 * The program's result. TC_ACT_UNSPEC: the next program of this hook, another of ours or a foreign one, and
 * then the kernel. A packet to a router goes there like one to any port; what came from outside has no
 * receiver, and the kernel knows the way.
 */
static __always_inline int leave_tc(struct __sk_buff *skb, const struct frame *frame, enum reason reason,
                                    const struct trail *trail, const struct way *way)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
		if (!trail->receiver)
			return TC_ACT_UNSPEC;
		return deliver_tc(skb, trail->receiver, frame->ethertype);
	case VERDICT_TUNNEL:
		return bpf_redirect(way->nexthop->ifindex, 0);
	case VERDICT_UPLINK:
		return bpf_redirect(way->egress_ifindex, 0);
	case VERDICT_KERNEL:
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_SHOT;
	}
}

/* The same for XDP, where XDP_PASS is the kernel's way. */
static __always_inline int leave_xdp(enum reason reason, const struct trail *trail, const struct way *way)
{
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
	case VERDICT_ROUTER:
		if (!trail->receiver)
			return XDP_PASS;
		return deliver_xdp(trail->receiver);
	case VERDICT_TUNNEL:
		return bpf_redirect(way->nexthop->ifindex, 0);
	case VERDICT_UPLINK:
		return bpf_redirect(way->egress_ifindex, 0);
	case VERDICT_KERNEL:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}

#endif
