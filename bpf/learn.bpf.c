/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * TC egress of both devices in a router's namespace: watches what the kernel's own NAT did, and records it as
 * a flow, or forgets the flows of a connection that is over. Every packet goes on.
 *
 *   forwarded? -> conntrack's connection? -> has it seen a reply, and is it open? -> record
 *
 * The connection is read from the packet itself (sk_buff._nfct), not looked up by bpf_skb_ct_lookup(): that
 * kfunc knows TCP and UDP only (EPROTO for ICMP), and it would have to find by the packet's
 * bytes, at the price of a hash lookup, what the packet already has: the connection and the direction.
 */
#include "connection.h"
#include "count.h"
#include "fdb.h"

/* An index that no slot of `usage` has. */
#define NO_ACCOUNT 0xffffffff

/* A packet that leaves a router's namespace. */
struct departure {
	const struct gateway *gateway; /* the device that it leaves by */
	bool from_inside; /* came from the virtual network */
	struct connection connection;
};

/* A flow's key: one direction as it comes to the router. `inside`: from the virtual network. */
static __always_inline struct flow_key key_of(const struct departure *departure, int direction, bool inside)
{
	const struct connection *connection = &departure->connection;

	return (struct flow_key){
	        .vni = inside ? departure->gateway->vni : 0,
	        .tuple = arriving(connection, direction),
	        .protocol = connection->protocol,
	};
}

/* Both directions'. What comes back comes by the device that this packet leaves by. */
static __always_inline void forget(const struct departure *departure)
{
	int direction = departure->connection.direction;
	struct flow_key key = key_of(departure, direction, departure->from_inside);

	bpf_map_delete_elem(&flows, &key);
	key = key_of(departure, !direction, departure->gateway->side == SIDE_INSIDE);
	bpf_map_delete_elem(&flows, &key);
}

/* Whose traffic with the outside it is; none when it stays within its network. */
static __always_inline __u32 account_of(const struct departure *departure, const struct tuple *before,
                                        const struct tuple *after)
{
	bool to_outside = departure->gateway->side == SIDE_OUTSIDE;
	struct account_key key = {.vni = departure->gateway->vni,
	                          .address = to_outside ? before->source : after->destination};
	const struct account *account;

	if (departure->from_inside != to_outside)
		return NO_ACCOUNT;
	account = bpf_map_lookup_elem(&accounts, &key);
	return account ? account->slot : NO_ACCOUNT;
}

static __always_inline bool is_same(const struct flow *a, const struct flow *b)
{
	/* From `tuple` to the end: what is decided, without the times and counters. */
	const __u64 *x = (const __u64 *)&a->tuple, *y = (const __u64 *)&b->tuple;
	__u64 different = 0;

	for (unsigned int i = 0; i < (sizeof(*a) - offsetof(struct flow, tuple)) / sizeof(*x); i++)
		different |= x[i] ^ y[i];
	return !different;
}
_Static_assert(offsetof(struct flow, tuple) % sizeof(__u64) == 0, "is_same() compares 64 bits at a time");

/*
 * A changed flow is replaced, never edited: the fast path reads it at the same time, and would see half of a
 * MAC or tuple.
 */
static __always_inline void record(const struct flow_key *key, struct flow *flow)
{
	struct flow *known = bpf_map_lookup_elem(&flows, key);

	if (known && is_same(known, flow)) {
		known->learned_ns = flow->learned_ns;
		known->passed_ns = flow->passed_ns;
		return;
	}
	if (known) {
		flow->packets = known->packets;
		flow->bytes = known->bytes;
	}
	bpf_map_update_elem(&flows, key, flow, BPF_ANY);
}

static __always_inline bool ends_tcp(const struct frame *frame)
{
	struct cursor cursor = frame->payload;
	const struct tcphdr *tcp = take(&cursor, sizeof(*tcp));

	return !tcp || tcp->fin || tcp->rst;
}

/* Is this a packet whose like the fast path may forward? REASON_LEARNED, or why not. */
static __always_inline enum reason judge(const struct departure *departure, const struct frame *frame,
                                         const struct gateway *next)
{
	const struct connection *connection = &departure->connection;

	/* To the node itself, which routes on; from the outside back to it; between the inside and itself. */
	if (next && next->side != SIDE_OUTSIDE)
		return REASON_NO_CONNECTION;
	if (departure->gateway->side == SIDE_OUTSIDE && !departure->from_inside)
		return REASON_NO_CONNECTION;
	switch (connection->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
		break;
	default:
		return REASON_NO_CONNECTION;
	}
	if (connection->is_new || ~connection->status & (IPS_SEEN_REPLY | IPS_CONFIRMED))
		return REASON_NO_REPLY;
	if (connection->status & IPS_DYING)
		return REASON_CLOSING;
	/* A reset that conntrack doubts leaves the connection's state as it is, only with a short time to
	 * live. */
	if (connection->protocol == IPPROTO_TCP && (!is_established(connection) || ends_tcp(frame)))
		return REASON_CLOSING;
	return has_helper(connection) ? REASON_ALG : REASON_LEARNED;
}

static __always_inline enum reason decide(struct __sk_buff *skb, const struct packet *packet,
                                          struct frame *frame, struct trail *trail)
{
	struct departure departure = {};
	struct connection *connection = &departure.connection;
	struct flow flow = {};
	struct flow_key key;
	const struct gateway *next;
	const struct router *router;
	enum reason reason;

	reason = parse_frame(packet, 0, frame);
	if (reason != UNDECIDED)
		return reason;
	departure.gateway = find_gateway(frame->ethernet->h_source);
	if (!departure.gateway)
		return REASON_UNKNOWN_MAC;
	flow.vni = trail->vni = departure.gateway->vni;
	router = bpf_map_lookup_elem(&routers, &flow.vni);
	if (!router)
		return REASON_UNKNOWN_VNI;
	/*
	 * Before the connection's state: the agent deletes connections first, and raises the generation then.
	 * So whoever reads the new generation here also sees that a connection is being deleted.
	 */
	flow.generation = *(const volatile __u32 *)&router->generation;
	barrier();

	/* IPv6's tuples would read as IPv4's: their first four bytes, which a guest may choose. */
	if (!frame->ipv4 || !skb->ingress_ifindex || !read_connection(skb, connection) ||
	    connection->protocol != frame->protocol)
		return REASON_NO_CONNECTION;
	/* By the inside device it leaves as it came, or it came by the other one. */
	departure.from_inside =
	        (skb->ingress_ifindex == skb->ifindex) == (departure.gateway->side == SIDE_INSIDE);
	next = find_gateway(frame->ethernet->h_dest);

	reason = judge(&departure, frame, next);
	if (reason == REASON_NO_REPLY || reason == REASON_CLOSING || reason == REASON_ALG)
		forget(&departure);
	if (reason != REASON_LEARNED)
		return reason;

	key = key_of(&departure, connection->direction, departure.from_inside);
	flow.tuple = leaving(connection, connection->direction);
	flow.learned_ns = flow.passed_ns = bpf_ktime_get_coarse_ns();
	if (departure.gateway->side == SIDE_OUTSIDE)
		flow.flags = next ? FLOW_HAIRPIN : FLOW_OUTSIDE;
	flow.account = account_of(&departure, &key.tuple, &flow.tuple);
	__builtin_memcpy(flow.dst_mac, frame->ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(flow.src_mac, frame->ethernet->h_source, ETH_ALEN);
	record(&key, &flow);
	return REASON_LEARNED;
}

SEC("tc")
int learn(struct __sk_buff *skb)
{
	struct packet packet = tc_packet(skb);
	struct frame frame = {};
	struct trail trail = {};
	enum reason reason = decide(skb, &packet, &frame, &trail);

	count(PROGRAM_LEARN, reason, &packet, &frame, &trail);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
