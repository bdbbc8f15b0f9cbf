/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* One of everything that the addon handles. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

enum colour { RED = 1, GREEN = 2, BLUE = -3 };

struct key {
	__u32 vni;
	__be32 address;
};

struct value {
	__u8 mac[6];
	__u16 small : 4;
	__u16 large : 12;
	enum colour colour;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__type(key, struct key);
	__type(value, struct value);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* No batch operations. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

const volatile __u32 verdict = XDP_PASS;
const volatile __u64 wide = 7;
const volatile __u8 octets[3];

/* counts[0]: packets; counts[1]: records that the ring buffer had no room for. */
static __always_inline void count(__u32 index)
{
	__u32 *counter = bpf_map_lookup_elem(&counts, &index);

	if (counter)
		*counter += 1;
}

/* Counts the packet, reports its first eight bytes. */
static __always_inline void note(void *data, void *data_end)
{
	__u64 first;

	count(0);
	if (data + 8 > data_end)
		return;
	first = *(__u64 *)data;
	if (bpf_ringbuf_output(&events, &first, sizeof(first), 0))
		count(1);
}

SEC("xdp.frags")
int count_xdp(struct xdp_md *ctx)
{
	note((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return verdict;
}

SEC("tc")
int count_tc(struct __sk_buff *skb)
{
	note((void *)(long)skb->data, (void *)(long)skb->data_end);
	return TC_ACT_UNSPEC;
}

/* Grows the packet by four bytes and writes to the context. */
SEC("tc")
int grow(struct __sk_buff *skb)
{
	skb->cb[0] = skb->cb[0] + 1;
	skb->mark = 42;
	if (bpf_skb_change_tail(skb, skb->len + 4, 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

/* Says which constants it saw. */
SEC("tc")
int constants(struct __sk_buff *skb)
{
	return octets[2] * 1000 + (int)wide;
}

SEC("xdp")
int drop_xdp(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
