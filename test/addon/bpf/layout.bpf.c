/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* basic.bpf.c's map `rows`, changed in the one way that -D says. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#ifndef TYPE
#define TYPE BPF_MAP_TYPE_HASH
#endif
#ifndef KEY_SIZE
#define KEY_SIZE 8
#endif
#ifndef VALUE_SIZE
#define VALUE_SIZE 12
#endif
#ifndef MAX_ENTRIES
#define MAX_ENTRIES 1000
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

struct {
	__uint(type, TYPE);
	__uint(key_size, KEY_SIZE);
	__uint(value_size, VALUE_SIZE);
	__uint(max_entries, MAX_ENTRIES);
	__uint(map_flags, FLAGS);
} rows SEC(".maps");

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
