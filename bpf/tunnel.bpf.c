/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * TC ingress of each VXLAN device: what the kernel has merged and decapsulated, TCP above all, goes straight
 * to its port, past the bridge, or by a flow of NAT (nat.h). Who may send here was checked on the underlay.
 */
#include "forward.h"

static __always_inline enum reason decide(const struct packet *packet, struct frame *frame,
                                          struct trail *trail)
{
	__u32 ifindex = packet->ifindex;
	const struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, &ifindex);
	const struct fdb_entry *receiver;
	enum reason reason;

	if (!tunnel)
		return REASON_UNKNOWN_DEVICE;
	trail->vni = tunnel->vni;

	reason = parse_frame(packet, 0, frame);
	if (reason != UNDECIDED)
		return reason;

	receiver = find_destination(tunnel->vni, frame);
	if (!receiver)
		return REASON_UNKNOWN_MAC;
	trail->receiver = receiver;
	if (!receiver->ifindex)
		return REASON_NOT_LOCAL;
	if (!fits(packet, frame, receiver->mtu))
		return REASON_TOO_BIG;
	return receiver->flags & FDB_ROUTER ? UNDECIDED : REASON_TO_PORT;
}

SEC("tc")
int tunnel(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(&packet, &frame, &trail);

	if (is_for_router(reason))
		return route_tc(PROGRAM_TUNNEL, skb, &packet, &frame, &trail, trail.vni);

	count(PROGRAM_TUNNEL, reason, &packet, &frame, &trail);
	return leave_tc(skb, &frame, reason, &trail, 0);
}

char LICENSE[] SEC("license") = "GPL";
