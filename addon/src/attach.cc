#include "attach.h"
#include <cerrno>
#include <net/if.h>
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include "arguments.h"
#include "errors.h"

namespace
{
/* enum bpf_attach_type of kernel 6.6; libbpf 1.1 and its headers are older. */
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);

Descriptor CreateLink(int program, int ifindex, bpf_attach_type type, uint32_t flags, const std::string &hook)
{
	LIBBPF_OPTS(bpf_link_create_opts, options);
	options.flags = flags;
	Descriptor link(bpf_link_create(program, ifindex, type, &options));
	if (!link) {
		int error = errno;
		char name[IF_NAMESIZE];
		/* For XDP the kernel answers EINVAL when there is no such device. */
		if (error == EINVAL && !if_indextoname(ifindex, name))
			error = ENODEV;
		throw Failure(error, "bpf_link_create",
		              "(" + hook + ", ifindex " + std::to_string(ifindex) + ")");
	}
	return link;
}
} // namespace

Direction DirectionArgument(Napi::Value value)
{
	std::string text = StringArgument(value, "direction");
	if (text != "ingress" && text != "egress")
		Refuse(value.Env(), "direction must be 'ingress' or 'egress'");
	return text == "ingress" ? Direction::Ingress : Direction::Egress;
}

XdpMode XdpModeArgument(Napi::Value value)
{
	std::string text = StringArgument(value, "mode");
	if (text != "native" && text != "generic")
		Refuse(value.Env(), "mode must be 'native' or 'generic'");
	return text == "native" ? XdpMode::Native : XdpMode::Generic;
}

Descriptor AttachTcx(int program, int ifindex, Direction direction)
{
	bool ingress = direction == Direction::Ingress;
	return CreateLink(program, ifindex, ingress ? kTcxIngress : kTcxEgress, 0,
	                  ingress ? "TCX ingress" : "TCX egress");
}

Descriptor AttachXdp(int program, int ifindex, XdpMode mode)
{
	bool native = mode == XdpMode::Native;
	return CreateLink(program, ifindex, BPF_XDP, native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE,
	                  native ? "native XDP" : "generic XDP");
}
