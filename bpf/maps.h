/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The maps, and the constants that user space sets before load.
 *
 * Names and layouts are the contract (abi.h). The loader adopts pinned maps by name and sets max_entries; the
 * capacities here are what a node of moderate size needs.
 *
 * The hashes are BPF_F_NO_PREALLOC: the agent writes them at human pace and packets only read them, so an
 * allocation per insertion costs nothing that matters, a generous capacity costs only its buckets (16 bytes
 * an entry: 2 MB for the FDB instead of 12), and a lookup is as fast as in a preallocated map.
 */
#ifndef FISTPATH_MAPS_H
#define FISTPATH_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "abi.h"

#define HASH(name, entries, key_type, value_type)                                                            \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_HASH);                                                             \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                        \
		__uint(max_entries, entries);                                                                \
		__type(key, key_type);                                                                       \
		__type(value, value_type);                                                                   \
	} name SEC(".maps")

#define PERCPU_ARRAY(name, entries, value_type)                                                              \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                     \
		__uint(max_entries, entries);                                                                \
		__type(key, __u32);                                                                          \
		__type(value, value_type);                                                                   \
	} name SEC(".maps")

HASH(ports, 16384, __u32, struct port);
HASH(fdb, 131072, struct fdb_key, struct fdb_entry);
HASH(networks, 4096, __u32, struct network);
HASH(tunnels, 4096, __u32, struct tunnel);
HASH(members, 65536, struct member_key, struct member);
HASH(routed, 4096, struct routed_key, struct routed);
HASH(nexthops, 4096, __be32, struct nexthop);
HASH(routers, 4096, __u32, struct router);
HASH(gateways, 8192, struct gateway_key, struct gateway);
HASH(accounts, 65536, struct account_key, struct account);

/* LRU: when it is full the flow that was unused for longest goes, and the kernel decides about it again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

PERCPU_ARRAY(counters, (PROGRAM_MAX * REASON_MAX), struct traffic);
PERCPU_ARRAY(port_counters, 16384, struct port_counters);
PERCPU_ARRAY(usage, 65536, struct usage);
PERCPU_ARRAY(event_gates, REASON_MAX, struct event_gate);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* UDP port of the tunnels; 4789 is IANA's (RFC 7348, 5). */
const volatile __be16 vxlan_port = bpf_htons(4789);
/* This node's address on the underlay: where tunnel packets go to and come from. */
const volatile __be32 underlay_address = 0;
/* How long a flow goes on between two packets that conntrack sees, and how long without the kernel's word. */
const volatile __u64 flow_refresh_ns = 3 * 1000 * 1000 * 1000ULL;
const volatile __u64 flow_expiry_ns = 15 * 1000 * 1000 * 1000ULL;

#endif
