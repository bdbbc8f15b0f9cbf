#include "program.h"
#include <cerrno>
#include <bpf/bpf.h>
#include "attach.h"
#include "link.h"
#include "tc.h"
#include "testrun.h"

Napi::Function BpfProgram::Define(Napi::Env env)
{
	return DefineClass(env, kName,
	                   {
	                           Static<&BpfProgram::Open>("open"),
	                           Getter<&BpfProgram::GetInfo>("info"),
	                           Method<&BpfProgram::PinTo>("pin"),
	                           Method<&BpfProgram::TakeTcx>("attachTcx"),
	                           Method<&BpfProgram::TakeXdp>("attachXdp"),
	                           Method<&BpfProgram::TakeTc>("attachTc"),
	                           Method<&BpfProgram::TestRun>("testRun"),
	                           Method<&BpfProgram::Close>("close"),
	                   });
}

Napi::Value BpfProgram::Open(const Napi::CallbackInfo &info)
{
	return Make(info.Env(), OpenPinned(StringArgument(info[0], "path"), Kind::Program));
}

Napi::Value BpfProgram::GetInfo(const Napi::CallbackInfo &info)
{
	bpf_prog_info program = {};
	__u32 size = sizeof program;
	if (bpf_obj_get_info_by_fd(fd(), &program, &size) != 0)
		throw Failure(errno, "bpf_obj_get_info_by_fd", "(program)");
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = program.id;
	result["name"] = static_cast<const char *>(program.name);
	result["type"] = program.type;
	result["instructions"] = static_cast<uint32_t>(program.xlated_prog_len / sizeof(bpf_insn));
	result["verifiedInstructions"] = program.verified_insns;
	return result;
}

Napi::Value BpfProgram::TakeTcx(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArgument(info[0]);
	return BpfLink::Make(info.Env(), AttachTcx(fd(), ifindex, DirectionArgument(info[1])));
}

Napi::Value BpfProgram::TakeXdp(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArgument(info[0]);
	return BpfLink::Make(info.Env(), AttachXdp(fd(), ifindex, XdpModeArgument(info[1])));
}

void BpfProgram::TakeTc(const Napi::CallbackInfo &info)
{
	TcFilter filter = TcFilterArguments(info);
	AttachTc(fd(), filter, BooleanArgument(info[4], "replace", false));
}

Napi::Value BpfProgram::TestRun(const Napi::CallbackInfo &info)
{
	return RunTest(info.Env(), fd(), info[0]);
}

Napi::Value StartTestRun(const Napi::CallbackInfo &info)
{
	return StartTest(info.Env(), BpfProgram::Unwrap(info[0])->fd(), info[1]);
}
