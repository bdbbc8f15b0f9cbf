/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Not a program: an object whose BTF holds every type of abi.h, those too that no program happens to use.
 * The TypeScript side is generated from it.
 */
#include <linux/types.h>
#include "abi.h"

/* BTF keeps what a global refers to. */
struct every_type {
	enum abi abi;
	enum program program;
	enum verdict verdict;
	enum reason reason;
	enum reason_group reason_group;
	enum port_flag port_flag;
	enum fdb_flag fdb_flag;
	enum router_flag router_flag;
	enum side side;
	enum flow_flag flow_flag;
	struct port port;
	struct fdb_key fdb_key;
	struct fdb_entry fdb_entry;
	struct network network;
	struct tunnel tunnel;
	struct member_key member_key;
	struct member member;
	struct routed_key routed_key;
	struct routed routed;
	struct nexthop nexthop;
	struct router router;
	struct gateway_key gateway_key;
	struct gateway gateway;
	struct tuple tuple;
	struct flow_key flow_key;
	struct flow flow;
	struct account_key account_key;
	struct account account;
	struct usage usage;
	struct traffic traffic;
	struct port_counters port_counters;
	struct event_gate event_gate;
	struct event event;
} every_type;
