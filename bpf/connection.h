/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What conntrack knows of a packet, read from the kernel's own structures. Only the fields that are used are
 * declared; their offsets come from the running kernel's BTF when the program is loaded (CO-RE).
 */
#ifndef FISTPATH_CONNECTION_H
#define FISTPATH_CONNECTION_H

#include <linux/in.h>
#include <bpf/bpf_core_read.h>
#include "packet.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
	unsigned long _nfct; /* struct nf_conn *, and in the lowest bits enum ip_conntrack_info */
};

union nf_inet_addr {
	__be32 ip;
};

union nf_conntrack_man_proto {
	__be16 all; /* ICMP: the identifier */
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
			struct {
				__u8 type;
				__u8 code;
			} icmp;
		} u;
		__u8 protonum;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_ct_ext {
	__u8 offset[1]; /* of each extension; 0: the connection doesn't have it */
};

struct ip_ct_tcp {
	__u8 state;
};

union nf_conntrack_proto {
	struct ip_ct_tcp tcp;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	struct nf_ct_ext *ext;
	union nf_conntrack_proto proto;
};

#pragma clang attribute pop

/* Of the kernel's user interface (linux/netfilter/nf_conntrack_common.h, nf_conntrack_tcp.h). */
#define NFCT_INFO_MASK        7UL
#define IP_CT_ESTABLISHED     0
#define IP_CT_NEW             2
#define IP_CT_REPLY           3 /* established, and from the other side */
#define IPS_SEEN_REPLY        (1 << 1)
#define IPS_CONFIRMED         (1 << 3)
#define IPS_SEQ_ADJUST        (1 << 6)
#define IPS_DYING             (1 << 9)
#define TCP_STATE_ESTABLISHED 3
/* net/netfilter/nf_conntrack_extend.h */
#define NF_CT_EXT_HELPER 0

/* A connection, and which of its directions (0: the original one, 1: replies) a packet belongs to. */
struct connection {
	struct nf_conn *kernel;
	__u8 direction;
	__u8 protocol;
	bool is_new; /* the packet is of a connection that has seen no reply */
	__u32 status; /* IPS_* */
};

/*
 * Of a packet that conntrack has seen in this namespace. False: it has not; or the packet only tells
 * something about a connection (an ICMP error); or the kernel's BTF does not describe conntrack.
 */
static __always_inline bool read_connection(struct __sk_buff *skb, struct connection *connection)
{
	unsigned long nfct = 0, status = 0;
	struct nf_conn *kernel;

	if (!bpf_core_field_exists(struct sk_buff, _nfct) || !bpf_core_type_exists(struct nf_conn))
		return false;
	bpf_core_read(&nfct, sizeof(nfct), &((struct sk_buff *)skb)->_nfct);
	kernel = (struct nf_conn *)(nfct & ~NFCT_INFO_MASK);
	if (!kernel)
		return false;
	switch (nfct & NFCT_INFO_MASK) {
	case IP_CT_ESTABLISHED:
		break;
	case IP_CT_NEW:
		connection->is_new = true;
		break;
	case IP_CT_REPLY:
		connection->direction = 1;
		break;
	default:
		return false;
	}
	bpf_core_read(&status, sizeof(status), &kernel->status);
	bpf_core_read(&connection->protocol, sizeof(connection->protocol),
	              &kernel->tuplehash[0].tuple.dst.protonum);
	connection->kernel = kernel;
	connection->status = status;
	return true;
}

/* TCP: is the connection past its handshake, and neither side has closed it? */
static __always_inline bool is_established(const struct connection *connection)
{
	struct nf_conn *kernel = connection->kernel;
	__u8 state = 0;

	bpf_core_read(&state, sizeof(state), &kernel->proto.tcp.state);
	return state == TCP_STATE_ESTABLISHED;
}

/* Does a helper read the connection's payload (FTP, SIP …), or change its length? */
static __always_inline bool has_helper(const struct connection *connection)
{
	struct nf_conn *kernel = connection->kernel;
	struct nf_ct_ext *extensions = NULL;
	__u8 offset = 0;

	if (connection->status & IPS_SEQ_ADJUST)
		return true;
	bpf_core_read(&extensions, sizeof(extensions), &kernel->ext);
	if (!extensions)
		return false;
	bpf_core_read(&offset, sizeof(offset), &extensions->offset[NF_CT_EXT_HELPER]);
	return offset != 0;
}

/* A direction's packets as they come to the router: before NAT. */
static __always_inline struct tuple arriving(const struct connection *connection, int direction)
{
	struct nf_conn *kernel = connection->kernel;
	/* Two constant indices: CO-RE knows no variable one. */
	struct nf_conntrack_tuple_hash *hash =
	        direction ? __builtin_preserve_access_index(&kernel->tuplehash[1])
	                  : __builtin_preserve_access_index(&kernel->tuplehash[0]);
	struct tuple tuple = {};

	bpf_core_read(&tuple.source, sizeof(tuple.source), &hash->tuple.src.u3.ip);
	bpf_core_read(&tuple.destination, sizeof(tuple.destination), &hash->tuple.dst.u3.ip);
	bpf_core_read(&tuple.source_port, sizeof(tuple.source_port), &hash->tuple.src.u.all);
	if (connection->protocol == IPPROTO_ICMP) {
		__u8 type = 0;

		bpf_core_read(&type, sizeof(type), &hash->tuple.dst.u.icmp.type);
		tuple.destination_port = bpf_htons(type);
	} else {
		bpf_core_read(&tuple.destination_port, sizeof(tuple.destination_port),
		              &hash->tuple.dst.u.all);
	}
	return tuple;
}

/*
 * A direction's packets as they leave the router: what the other direction expects, turned round. An ICMP
 * echo keeps its type, and its identifier is the same both ways.
 */
static __always_inline struct tuple leaving(const struct connection *connection, int direction)
{
	struct tuple other = arriving(connection, !direction);
	struct tuple tuple = {.source = other.destination, .destination = other.source};

	if (connection->protocol == IPPROTO_ICMP) {
		tuple.source_port = other.source_port;
		tuple.destination_port = arriving(connection, direction).destination_port;
	} else {
		tuple.source_port = other.destination_port;
		tuple.destination_port = other.source_port;
	}
	return tuple;
}

#endif
