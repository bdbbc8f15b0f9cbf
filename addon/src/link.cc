#include "link.h"
#include <cerrno>
#include <bpf/bpf.h>
#include "program.h"

namespace
{
/* enum bpf_link_type; the second came with kernel 6.6, after this libbpf's header. */
constexpr uint32_t kLinkTypeXdp = 6;
constexpr uint32_t kLinkTypeTcx = 11;
} // namespace

Napi::Function BpfLink::Define(Napi::Env env)
{
	return DefineClass(env, kName,
	                   {
	                           Static<&BpfLink::Open>("open"),
	                           Getter<&BpfLink::GetInfo>("info"),
	                           Method<&BpfLink::Update>("update"),
	                           Method<&BpfLink::PinTo>("pin"),
	                           Method<&BpfLink::Detach>("detach"),
	                           Method<&BpfLink::Close>("close"),
	                   });
}

Napi::Value BpfLink::Open(const Napi::CallbackInfo &info)
{
	return Make(info.Env(), OpenPinned(StringArgument(info[0], "path"), Kind::Link));
}

Napi::Value BpfLink::GetInfo(const Napi::CallbackInfo &info)
{
	bpf_link_info link = {};
	__u32 size = sizeof link;
	if (bpf_obj_get_info_by_fd(fd(), &link, &size) != 0)
		throw Failure(errno, "bpf_obj_get_info_by_fd", "(link)");
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = link.id;
	result["type"] = link.type;
	result["programId"] = link.prog_id;
	/* TCX' part of the union begins like XDP's. */
	bool device = link.type == kLinkTypeXdp || link.type == kLinkTypeTcx;
	result["ifindex"] = device ? link.xdp.ifindex : 0;
	return result;
}

void BpfLink::Update(const Napi::CallbackInfo &info)
{
	BpfProgram *program = BpfProgram::Unwrap(info[0]);
	if (bpf_link_update(fd(), program->fd(), nullptr) != 0)
		throw Failure(errno, "bpf_link_update", errno == ENOLINK ? "(its device is gone)" : "");
}

void BpfLink::Detach(const Napi::CallbackInfo &)
{
	if (bpf_link_detach(fd()) != 0)
		throw Failure(errno, "bpf_link_detach");
}
