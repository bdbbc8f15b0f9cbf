/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The one place where packets are counted, and drops are told of. */
#ifndef FISTPATH_COUNT_H
#define FISTPATH_COUNT_H

#include "maps.h"
#include "parse.h"

/* One event per reason and CPU in this time: whoever attacks must not fill the log. */
#define EVENT_INTERVAL_NS (100 * 1000 * 1000ULL)

/* Who had to do with a packet, as far as the decision got. */
struct trail {
	__u32 vni;
	const struct port *sender; /* NULL: it came by the tunnel */
	const struct fdb_entry *receiver; /* NULL: not found */
	struct flow *flows[2]; /* that it went by: of one router, or of two; NULL: none */
	__u32 flow_bytes; /* of its IPv4 packet: what Ethernet has padded it with is no one's traffic */
};

static __always_inline enum verdict verdict_of(enum reason reason)
{
	if (reason == REASON_TO_PORT)
		return VERDICT_PORT;
	if (reason == REASON_TO_TUNNEL)
		return VERDICT_TUNNEL;
	if (reason == REASON_TO_UPLINK)
		return VERDICT_UPLINK;
	if ((__u32)reason < (__u32)REASON_KERNEL)
		return VERDICT_ROUTER;
	return (__u32)reason < (__u32)REASON_DROP ? VERDICT_KERNEL : VERDICT_DROP;
}

/* How many packets on the wire a frame stands for. */
static __always_inline __u32 wire_packets(const struct packet *packet, const struct frame *frame)
{
	if (packet->segments)
		return packet->segments;
	if (!packet->segment_size)
		return 1;

	/* From a tap nobody has counted yet. When the headers are unknown they count as payload. */
	__u32 headers = sizeof(struct ethhdr) + frame->headers;

	return packet->length > headers
	               ? (packet->length - headers + packet->segment_size - 1) / packet->segment_size
	               : 1;
}

static __always_inline void add(struct traffic *traffic, __u32 packets, __u32 bytes)
{
	/* Per CPU, and programs are not preempted by each other: no atomics. */
	traffic->packets += packets;
	traffic->bytes += bytes;
}

/* Addresses as the packet's bytes are now: of the outer headers for tunnel packets. */
static __always_inline void describe(const struct packet *packet, struct event *event)
{
	struct frame frame = {};

	if (parse_ethernet(packet, 0, &frame) != UNDECIDED)
		return;
	__builtin_memcpy(event->src_mac, frame.ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(event->dst_mac, frame.ethernet->h_dest, ETH_ALEN);
	event->ethertype = frame.ethertype;
	if (parse_network(&frame) != UNDECIDED)
		return;
	if (frame.ipv4) {
		event->source = frame.ipv4->saddr;
		event->destination = frame.ipv4->daddr;
	} else if (frame.arp) {
		event->source = frame.arp->sender;
		event->destination = frame.arp->target;
	}
}

static __always_inline void tell(enum program program, enum reason reason, const struct packet *packet,
                                 __u32 vni)
{
	__u32 index = reason;
	__u64 now = bpf_ktime_get_ns();
	struct event_gate *gate = bpf_map_lookup_elem(&event_gates, &index);
	struct event event = {
	        .time_ns = now,
	        .vni = vni,
	        .ifindex = packet->ifindex,
	        .program = program,
	        .reason = reason,
	};

	if (!gate)
		return;
	if (now < gate->next_ns) {
		gate->suppressed++;
		return;
	}
	gate->next_ns = now + EVENT_INTERVAL_NS;
	describe(packet, &event);
	if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
		gate->lost++;
}

/*
 * On a flow that it went by, and for the interface that sent it outside or got it from there. Layer 3 bytes:
 * an interface's traffic is the same on whichever node it is.
 */
static __always_inline void count_flow(struct flow *flow, __u32 packets, __u32 bytes)
{
	struct usage *slot;
	__u32 account;

	if (!flow)
		return;
	__sync_fetch_and_add(&flow->packets, packets);
	__sync_fetch_and_add(&flow->bytes, bytes);
	account = flow->account;
	slot = bpf_map_lookup_elem(&usage, &account);
	if (slot)
		add(flow->flags & (FLOW_OUTSIDE | FLOW_HAIRPIN) ? &slot->sent : &slot->received, packets,
		    bytes);
}

/* To be called exactly once per packet, whatever became of it. */
static __always_inline void count(enum program program, enum reason reason, const struct packet *packet,
                                  const struct frame *frame, const struct trail *trail)
{
	enum verdict verdict = verdict_of(reason);
	__u32 packets = wire_packets(packet, frame);
	__u32 index = program * REASON_MAX + reason;
	struct traffic *total = bpf_map_lookup_elem(&counters, &index);
	struct port_counters *port;

	if (total)
		add(total, packets, packet->length);
	if (trail->sender) {
		port = bpf_map_lookup_elem(&port_counters, &trail->sender->slot);
		if (port)
			add(&port->sent[verdict], packets, packet->length);
	}
	if ((verdict == VERDICT_PORT || verdict == VERDICT_ROUTER) && trail->receiver) {
		port = bpf_map_lookup_elem(&port_counters, &trail->receiver->slot);
		if (port)
			add(&port->received, packets, packet->length);
	}
	if (verdict <= VERDICT_UPLINK) {
		count_flow(trail->flows[0], packets, trail->flow_bytes);
		count_flow(trail->flows[1], packets, trail->flow_bytes);
	}
	if (verdict == VERDICT_DROP)
		tell(program, reason, packet, trail->vni);
}

#endif
