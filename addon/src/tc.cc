#include "tc.h"
#include <cerrno>
#include <bpf/libbpf.h>
#include "arguments.h"
#include "errors.h"

namespace
{
bpf_tc_hook HookOf(const TcFilter &filter)
{
	LIBBPF_OPTS(bpf_tc_hook, hook);
	hook.ifindex = filter.ifindex;
	hook.attach_point = filter.direction == Direction::Ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	return hook;
}

bpf_tc_opts OptionsOf(const TcFilter &filter)
{
	LIBBPF_OPTS(bpf_tc_opts, options);
	options.handle = filter.handle;
	options.priority = filter.priority;
	return options;
}

[[noreturn]] void FailTc(int error, const char *call, const TcFilter &filter, const LibbpfLog &log)
{
	std::string complaint = log.Complaint();
	throw Failure(error, call,
	              "(" + std::string(filter.direction == Direction::Ingress ? "ingress" : "egress") +
	                      ", ifindex " + std::to_string(filter.ifindex) + ", handle " +
	                      std::to_string(filter.handle) + ", priority " +
	                      std::to_string(filter.priority) + ")" +
	                      (complaint.empty() ? "" : ": " + complaint));
}
} // namespace

TcFilter TcFilterArguments(const Napi::CallbackInfo &info)
{
	return {
	        IfindexArgument(info[0]),
	        DirectionArgument(info[1]),
	        IntegerArgument(info[2], "handle", 1, UINT32_MAX),
	        IntegerArgument(info[3], "priority", 1, UINT16_MAX),
	};
}

void AttachTc(int program, const TcFilter &filter, bool replace)
{
	LibbpfLog log;
	bpf_tc_hook hook = HookOf(filter);
	int status = bpf_tc_hook_create(&hook);
	if (status != 0 && status != -EEXIST)
		FailTc(-status, "bpf_tc_hook_create", filter, log);
	bpf_tc_opts options = OptionsOf(filter);
	options.prog_fd = program;
	options.flags = replace ? BPF_TC_F_REPLACE : 0;
	status = bpf_tc_attach(&hook, &options);
	if (status != 0)
		FailTc(-status, "bpf_tc_attach", filter, log);
}

Napi::Value DetachTc(const Napi::CallbackInfo &info)
{
	LibbpfLog log;
	TcFilter filter = TcFilterArguments(info);
	bpf_tc_hook hook = HookOf(filter);
	bpf_tc_opts options = OptionsOf(filter);
	int status = bpf_tc_detach(&hook, &options);
	/* EINVAL: the device has no clsact qdisc. */
	if (status != 0)
		FailTc(status == -EINVAL ? ENOENT : -status, "bpf_tc_detach", filter, log);
	return info.Env().Undefined();
}

Napi::Value QueryTc(const Napi::CallbackInfo &info)
{
	LibbpfLog log;
	TcFilter filter = TcFilterArguments(info);
	bpf_tc_hook hook = HookOf(filter);
	bpf_tc_opts options = OptionsOf(filter);
	int status = bpf_tc_query(&hook, &options);
	if (status != 0 && status != -ENOENT && status != -EINVAL)
		FailTc(-status, "bpf_tc_query", filter, log);
	return Napi::Number::New(info.Env(), status == 0 ? options.prog_id : 0);
}
