/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What the programs and user space share: every map's key and value, every enum, the event.
 *
 * This header is the only definition. src/agent/datapath/abi.ts is generated from its BTF
 * (bpf/abi.bpf.c), and a test fails when the two drift. Fields in network byte order have a
 * __be type, which BTF keeps, so that decoders know. All padding is explicit.
 */
#ifndef FISTPATH_ABI_H
#define FISTPATH_ABI_H

/* A change of any layout below raises this number: maps are pinned under maps-<ABI_VERSION>. */
enum abi { ABI_VERSION = 2 };

enum program {
	PROGRAM_PORT = 0,
	PROGRAM_UNDERLAY = 1,
	PROGRAM_TUNNEL = 2,
	PROGRAM_UPLINK = 3,
	PROGRAM_LEARN = 4,
	PROGRAM_MAX = 5,
};

/* What became of a packet. Each reason below belongs to exactly one verdict: verdict_of(). */
enum verdict {
	VERDICT_PORT = 0, /* redirected to a port of this node */
	VERDICT_TUNNEL = 1, /* encapsulated and redirected to the underlay */
	VERDICT_UPLINK = 2, /* translated and redirected to the outside */
	VERDICT_ROUTER = 3, /* untranslated, to the router's namespace: netfilter decides */
	VERDICT_KERNEL = 4, /* untouched, to the fallback */
	VERDICT_DROP = 5, /* refused for security */
	VERDICT_MAX = 6,
};

enum reason {
	REASON_TO_PORT = 0,
	REASON_TO_TUNNEL = 1,
	REASON_TO_UPLINK = 2,

	/* to the router */
	REASON_NO_FLOW = 3, /* no cached NAT decision */
	REASON_STALE_FLOW = 4, /* of an older generation, or the kernel has not confirmed it for too long */
	REASON_REFRESH = 5, /* this packet's turn to be seen by conntrack */
	REASON_TCP_FLAGS = 6, /* SYN, FIN or RST, or no ACK: conntrack follows the connection's state */
	REASON_TTL = 7, /* would expire on its way */
	REASON_PROTOCOL = 8, /* neither TCP, UDP nor ICMP echo, or a header of theirs that is not whole */
	REASON_FLOW_TOO_BIG = 9, /* longer than the MTU where it goes: the kernel tells the sender */
	/* where the translated packet goes is in no map, or takes none from XDP */
	REASON_FLOW_UNREACHABLE = 10,

	/* to the kernel */
	REASON_UNKNOWN_DEVICE = 11, /* the device is in no map (yet) */
	REASON_TRUNCATED = 12, /* shorter than its own headers claim */
	/* broadcast or multicast destination MAC, or a source MAC that no station has */
	REASON_MULTICAST = 13,
	REASON_ARP = 14,
	REASON_ETHERTYPE = 15, /* neither IPv4, IPv6 nor ARP; VLAN tags among them */
	/* version, a length, a unicast packet's source (0.0.0.0) or the tunnel's IPv4 checksum is wrong */
	REASON_IP_MALFORMED = 16,
	REASON_IP_OPTIONS = 17, /* IPv4 options, IPv6 extension headers */
	REASON_FRAGMENT = 18,
	REASON_UNKNOWN_MAC = 19, /* destination not in the FDB */
	REASON_NOT_LOCAL = 20, /* from the tunnel, but the destination is on another node */
	REASON_SAME_PORT = 21, /* source port = destination port */
	REASON_TOO_BIG = 22, /* longer than the MTU; a GSO frame by its segments */
	REASON_NO_NEXTHOP = 23, /* the remote node's next hop is not resolved */
	REASON_NOT_VXLAN = 24, /* on the underlay, but not for our MAC, VXLAN address and port */
	REASON_VXLAN_FLAGS = 25, /* I flag clear, or reserved bits set (RFC 7348, 5) */
	REASON_UNKNOWN_VNI = 26,
	REASON_CONGESTION = 27, /* the outer ECN field changes the inner one: the kernel merges (RFC 6040) */
	REASON_MERGED = 28, /* a GSO frame from the wire: through the kernel's VXLAN device */
	REASON_TCP = 29, /* TCP from the wire: GRO, then the kernel's VXLAN device */
	REASON_NO_XDP = 30, /* the port's device can't take a frame from XDP */
	REASON_HELPER = 31, /* a helper refused before anything was changed */
	/* of program learn, which lets every packet go on */
	REASON_LEARNED = 32, /* recorded as a flow, or confirmed one */
	/* not forwarded here, or to the node itself, or conntrack has no connection whose own packet it is */
	REASON_NO_CONNECTION = 33,
	/* These three forget the connection's flows. */
	REASON_NO_REPLY = 34, /* the connection is not confirmed, or has seen no reply yet */
	REASON_CLOSING = 35, /* it is being deleted, or TCP that is not, or no longer, established */
	REASON_ALG = 36, /* a connection with a helper, or whose sequence numbers are adjusted */

	/* dropped */
	REASON_SPOOFED_MAC = 37,
	REASON_SPOOFED_IPV4 = 38,
	REASON_SPOOFED_ARP = 39,
	REASON_UNTRUSTED_SOURCE = 40, /* tunnel packet from an address that is no member of its VNI */
	REASON_REWRITE_FAILED = 41, /* a helper failed when the packet was already changed */
	REASON_MAX = 42,
};

/* Reasons stand in the order of their verdicts: the first one of a group. */
enum reason_group {
	REASON_ROUTER = REASON_NO_FLOW,
	REASON_KERNEL = REASON_UNKNOWN_DEVICE,
	REASON_DROP = REASON_SPOOFED_MAC,
};

/* ports: ifindex (host order) -> what a port may send */
enum port_flag {
	PORT_ROUTER = 1, /* the router's veth: any IPv4 source, its own MAC */
};

struct port {
	__u32 vni;
	__u32 slot; /* index into port_counters */
	__be32 ipv4; /* the interface's only address; 0: none */
	__u16 mtu; /* layer 3 bytes */
	__u16 flags; /* enum port_flag */
	__u8 mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct port) == 24, "layout is part of the ABI");

/* fdb: where a MAC of a network is */
struct fdb_key {
	__u32 vni;
	__u8 mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct fdb_key) == 12, "layout is part of the ABI");

enum fdb_flag {
	FDB_PEER = 1, /* local veth into another namespace: redirect_peer, XDP frames of several buffers */
	FDB_XDP = 2, /* local device that takes frames redirected from XDP */
	FDB_ROUTER = 4, /* the router's veth: what goes there may be a flow of NAT */
};

struct fdb_entry {
	__u32 ifindex; /* local port; 0: on another node */
	__be32 remote; /* that node's underlay address; 0: local */
	__u32 slot; /* local port's index into port_counters */
	__u16 mtu; /* layer 3 bytes */
	__u16 flags; /* enum fdb_flag */
};
_Static_assert(sizeof(struct fdb_entry) == 16, "layout is part of the ABI");

/* networks: vni -> the networks that exist on this node */
struct network {
	__u32 vxlan_ifindex;
	__u16 mtu;
	__u16 pad;
};
_Static_assert(sizeof(struct network) == 8, "layout is part of the ABI");

/* tunnels: ifindex of a VXLAN device -> its network */
struct tunnel {
	__u32 vni;
};
_Static_assert(sizeof(struct tunnel) == 4, "layout is part of the ABI");

/* members: who may send tunnel packets of a VNI */
struct member_key {
	__u32 vni;
	__be32 address;
};
_Static_assert(sizeof(struct member_key) == 8, "layout is part of the ABI");

struct member {
	__u32 pad;
};
_Static_assert(sizeof(struct member) == 4, "layout is part of the ABI");

/* routed: addresses of the floating network that any port of a network may use as its own */
struct routed_key {
	__u32 vni;
	__be32 address;
};
_Static_assert(sizeof(struct routed_key) == 8, "layout is part of the ABI");

struct routed {
	__u32 pad;
};
_Static_assert(sizeof(struct routed) == 4, "layout is part of the ABI");

/* nexthops: a node's underlay address -> the Ethernet header and device towards it */
struct nexthop {
	__u32 ifindex;
	__u16 mtu; /* of the underlay, layer 3 bytes */
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct nexthop) == 20, "layout is part of the ABI");

/* routers: vni -> the way outside of a network with NAT whose router is on this node */
enum router_flag {
	ROUTER_XDP = 1, /* the egress device takes frames redirected from XDP */
	ROUTER_UNDERLAY_XDP = 2, /* so does the underlay's device */
};

struct router {
	__u32 generation; /* flows of another generation don't count */
	__u32 egress_ifindex; /* where what goes outside is sent: the uplink, or the bridge that it is a port
	                         of */
	__u16 mtu; /* of the uplink, layer 3 bytes */
	__u16 flags; /* enum router_flag */
};
_Static_assert(sizeof(struct router) == 12, "layout is part of the ABI");

/* gateways: a MAC that a router's namespace sends from, or that the outside must not be reached by -> whose
 */
struct gateway_key {
	__u8 mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct gateway_key) == 8, "layout is part of the ABI");

enum side {
	SIDE_INSIDE = 0, /* veth-<x>-i, towards the virtual network */
	SIDE_OUTSIDE = 1, /* phy-<x>-i, towards the uplink */
	SIDE_NODE = 2, /* the egress bridge itself: the node routes; such flows are the kernel's */
};

struct gateway {
	__u32 vni; /* 0 for SIDE_NODE */
	__u32 side; /* enum side */
};
_Static_assert(sizeof(struct gateway) == 8, "layout is part of the ABI");

/*
 * flows: a packet as it comes to a router -> what netfilter made of it, and the Ethernet header that it left
 * with. One entry per direction. The VNI of the key is the network that the packet comes from, 0 (the
 * floating network) when it comes from outside.
 */
struct tuple {
	__be32 source;
	__be32 destination;
	__be16 source_port; /* ICMP echo: the identifier */
	__be16 destination_port; /* ICMP echo: the type, 8 or 0 */
};
_Static_assert(sizeof(struct tuple) == 12, "layout is part of the ABI");

struct flow_key {
	__u32 vni;
	struct tuple tuple;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_ICMP */
	__u8 pad[3];
};
_Static_assert(sizeof(struct flow_key) == 20, "layout is part of the ABI");

enum flow_flag {
	FLOW_OUTSIDE = 1, /* leaves the virtual network; else it stays in, or enters, network `vni` */
	FLOW_HAIRPIN = 2, /* leaves it for the router of another network of this node */
};

struct flow {
	__u64 learned_ns; /* CLOCK_MONOTONIC: when the kernel last forwarded a packet of it */
	__u64 passed_ns; /* the same: when the fast path last left a packet of it to the kernel */
	__u64 packets; /* by the fast path, wire packets as in counters */
	__u64 bytes; /* layer 3, as nftables counts them */
	struct tuple tuple; /* the packet as it leaves */
	__u32 vni; /* network whose router decided */
	__u32 generation; /* of that router, then */
	__u32 account; /* index into usage; out of its range: not accounted */
	__u16 flags; /* enum flow_flag */
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct flow) == 72, "layout is part of the ABI");

/* accounts: an interface's address in a network with NAT -> its index into usage */
struct account_key {
	__u32 vni;
	__be32 address;
};
_Static_assert(sizeof(struct account_key) == 8, "layout is part of the ABI");

struct account {
	__u32 slot;
};
_Static_assert(sizeof(struct account) == 4, "layout is part of the ABI");

/*
 * counters: [program * REASON_MAX + reason], per CPU. Packets are wire packets: a GSO frame counts its
 * segments. Bytes are the frame's as it came in, so from the underlay with the outer headers, on a port
 * without.
 */
struct traffic {
	__u64 packets;
	__u64 bytes;
};
_Static_assert(sizeof(struct traffic) == 16, "layout is part of the ABI");

/* port_counters: [slot], per CPU */
struct port_counters {
	struct traffic sent[VERDICT_MAX]; /* by the port, by verdict */
	struct traffic received; /* redirected to the port */
};
_Static_assert(sizeof(struct port_counters) == 112, "layout is part of the ABI");

/*
 * usage: [slot], per CPU: what an interface exchanged with the outside by the fast path. Bytes are layer 3,
 * as nftables counts what takes the kernel's way.
 */
struct usage {
	struct traffic sent;
	struct traffic received;
};
_Static_assert(sizeof(struct usage) == 32, "layout is part of the ABI");

/* event_gates: [reason], per CPU: at most one event per reason, CPU and EVENT_INTERVAL_NS */
struct event_gate {
	__u64 next_ns; /* CLOCK_MONOTONIC */
	__u64 suppressed; /* by the interval */
	__u64 lost; /* ring buffer full */
};
_Static_assert(sizeof(struct event_gate) == 24, "layout is part of the ABI");

/* events: ring buffer; rare things an operator wants to hear of (drops) */
struct event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 vni;
	__u32 ifindex;
	__be32 source; /* IPv4 or ARP sender; of the outer header for tunnel packets; 0: none */
	__be32 destination;
	__u8 src_mac[6];
	__u8 dst_mac[6];
	__be16 ethertype;
	__u8 program; /* enum program */
	__u8 reason; /* enum reason */
};
_Static_assert(sizeof(struct event) == 40, "layout is part of the ABI");

#endif
