/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The mesh NIC: what other nodes send. The same decision at TC ingress and at XDP.
 *
 *   a tunnel packet for us? -> sender a member of that network? -> destination local? -> port
 *
 * TCP and merged (GSO) frames go to the kernel's VXLAN device by GRO, and from there straight to their port
 * (tunnel.bpf.c): taking a merged frame out of its tunnel by hand makes the kernel cut it up again, at a
 * quarter to 0.4 of the bulk rate, and UDP segments are lost. The choice is by protocol and never by size,
 * which would reorder.
 */
#include "count.h"
#include "decap.h"
#include "fdb.h"
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
	if (packet->hook == HOOK_XDP && !takes_from_xdp(packet, receiver))
		return REASON_NO_XDP;
	return REASON_TO_PORT;
}

SEC("tc")
int underlay_tc(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (reason == REASON_TO_PORT)
		reason = decapsulate_tc(skb, &frame);

	count(PROGRAM_UNDERLAY, reason, &packet, &frame, &trail);
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
		return deliver_tc(skb, trail.receiver, frame.ethertype);
	case VERDICT_DROP:
		return TC_ACT_SHOT;
	default:
		return TC_ACT_OK;
	}
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

	if (reason == REASON_TO_PORT)
		reason = decapsulate_xdp(xdp);

	count(PROGRAM_UNDERLAY, reason, &packet, &frame, &trail);
	switch (verdict_of(reason)) {
	case VERDICT_PORT:
		return deliver_xdp(trail.receiver);
	case VERDICT_DROP:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
}

char LICENSE[] SEC("license") = "GPL";
