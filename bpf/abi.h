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
enum abi { ABI_VERSION = 1 };

enum program {
	PROGRAM_PORT = 0,
	PROGRAM_UNDERLAY = 1,
	PROGRAM_TUNNEL = 2,
	PROGRAM_MAX = 3,
};

/* What became of a packet. Each reason below belongs to exactly one verdict: verdict_of(). */
enum verdict {
	VERDICT_PORT = 0, /* redirected to a port of this node */
	VERDICT_TUNNEL = 1, /* encapsulated and redirected to the underlay */
	VERDICT_KERNEL = 2, /* untouched, to the fallback */
	VERDICT_DROP = 3, /* refused for security */
	VERDICT_MAX = 4,
};

enum reason {
	REASON_TO_PORT = 0,
	REASON_TO_TUNNEL = 1,

	/* to the kernel */
	REASON_UNKNOWN_DEVICE = 2, /* the device is in no map (yet) */
	REASON_TRUNCATED = 3, /* shorter than its own headers claim */
	REASON_MULTICAST =
	        4, /* broadcast or multicast destination MAC, or a source MAC that no station has */
	REASON_ARP = 5,
	REASON_ETHERTYPE = 6, /* neither IPv4, IPv6 nor ARP; VLAN tags among them */
	/* version, a length, a unicast packet's source (0.0.0.0) or the tunnel's IPv4 checksum is wrong */
	REASON_IP_MALFORMED = 7,
	REASON_IP_OPTIONS = 8, /* IPv4 options, IPv6 extension headers */
	REASON_FRAGMENT = 9,
	REASON_UNKNOWN_MAC = 10, /* destination not in the FDB */
	REASON_NOT_LOCAL = 11, /* from the tunnel, but the destination is on another node */
	REASON_SAME_PORT = 12, /* source port = destination port */
	REASON_TOO_BIG = 13, /* longer than the MTU; a GSO frame by its segments */
	REASON_NO_NEXTHOP = 14, /* the remote node's next hop is not resolved */
	REASON_NOT_VXLAN = 15, /* on the underlay, but not for our MAC, VXLAN address and port */
	REASON_VXLAN_FLAGS = 16, /* I flag clear, or reserved bits set (RFC 7348, 5) */
	REASON_UNKNOWN_VNI = 17,
	REASON_CONGESTION = 18, /* the outer ECN field changes the inner one: the kernel merges (RFC 6040) */
	REASON_MERGED = 19, /* a GSO frame from the wire: through the kernel's VXLAN device */
	REASON_TCP = 20, /* TCP from the wire: GRO, then the kernel's VXLAN device */
	REASON_NO_XDP = 21, /* the port's device can't take a frame from XDP */
	REASON_HELPER = 22, /* a helper refused before anything was changed */

	/* dropped */
	REASON_SPOOFED_MAC = 23,
	REASON_SPOOFED_IPV4 = 24,
	REASON_SPOOFED_ARP = 25,
	REASON_UNTRUSTED_SOURCE = 26, /* tunnel packet from an address that is no member of its VNI */
	REASON_REWRITE_FAILED = 27, /* a helper failed when the packet was already changed */
	REASON_MAX = 28,
};

/* Reasons stand in the order of their verdicts: the first one of a group. */
enum reason_group {
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

/* nexthops: a node's underlay address -> the Ethernet header and device towards it */
struct nexthop {
	__u32 ifindex;
	__u16 mtu; /* of the underlay, layer 3 bytes */
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u16 pad;
};
_Static_assert(sizeof(struct nexthop) == 20, "layout is part of the ABI");

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
_Static_assert(sizeof(struct port_counters) == 80, "layout is part of the ABI");

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
