/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * TC ingress of every port: what a guest, or the network's router, sends.
 *
 *   sender allowed? -> destination known? -> fits? -> local port, tunnel, or by a flow of NAT (nat.h)
 *
 * Only a sender that pretends to be another is refused. Whatever is not sure goes to the kernel, untouched:
 * the bridge and the VXLAN device behind this hook do the same work for every packet.
 */
#include "forward.h"
#include "guard.h"

static __always_inline enum reason decide(const struct packet *packet, struct frame *frame,
                                          struct trail *trail, const struct nexthop **nexthop)
{
	__u32 ifindex = packet->ifindex;
	const struct port *sender = bpf_map_lookup_elem(&ports, &ifindex);
	const struct fdb_entry *receiver;
	enum reason reason;

	if (!sender)
		return REASON_UNKNOWN_DEVICE;
	trail->sender = sender;
	trail->vni = sender->vni;

	reason = parse_ethernet(packet, 0, frame);
	if (reason != UNDECIDED)
		return reason;
	reason = guard_mac(sender, frame);
	if (reason != UNDECIDED)
		return reason;
	reason = parse_network(frame);
	if (reason != UNDECIDED)
		return reason;
	reason = guard_network(sender, frame);
	if (reason != UNDECIDED)
		return reason;
	if (frame->arp)
		return REASON_ARP;

	reason = check_frame(packet, frame);
	if (reason != UNDECIDED)
		return reason;
	if (frame->ipv4 && frame->ipv4->saddr == 0)
		return REASON_IP_MALFORMED;

	receiver = find_destination(sender->vni, frame);
	if (!receiver)
		return REASON_UNKNOWN_MAC;
	trail->receiver = receiver;
	if (receiver->ifindex == packet->ifindex)
		return REASON_SAME_PORT;
	if (!fits(packet, frame, receiver->mtu))
		return REASON_TOO_BIG;
	if (!receiver->ifindex)
		return find_tunnel(packet, frame, receiver, nexthop);
	return receiver->flags & FDB_ROUTER ? UNDECIDED : REASON_TO_PORT;
}

SEC("tc")
int port(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	const struct nexthop *nexthop = NULL;
	__u32 egress_ifindex = 0;
	enum reason reason = decide(&packet, &frame, &trail, &nexthop);

	if (is_for_router(reason))
		return route_tc(PROGRAM_PORT, skb, &packet, &frame, &trail, trail.vni);
	if (reason == REASON_TO_TUNNEL) {
		egress_ifindex = nexthop->ifindex;
		reason = encapsulate_tc(skb, &frame, trail.vni, trail.receiver->remote, nexthop);
	}

	count(PROGRAM_PORT, reason, &packet, &frame, &trail);
	return leave_tc(skb, &frame, reason, &trail, egress_ifindex);
}

char LICENSE[] SEC("license") = "GPL";
