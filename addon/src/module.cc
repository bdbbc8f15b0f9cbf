/* What the addon exports. */
#include <bpf/libbpf.h>
#include <napi.h>
#include "features.h"
#include "handle.h"
#include "link.h"
#include "map.h"
#include "netns.h"
#include "object.h"
#include "program.h"
#include "ringbuffer.h"
#include "tc.h"

namespace
{
template <Napi::Value (*function)(const Napi::CallbackInfo &)>
Napi::Value Checked(const Napi::CallbackInfo &info)
{
	return Translate(info.Env(), [&] { return function(info); });
}

Napi::Function Keep(Napi::FunctionReference &reference, Napi::Function constructor)
{
	reference = Napi::Persistent(constructor);
	return constructor;
}

Napi::Object Initialise(Napi::Env env, Napi::Object exports)
{
	LibbpfLog::Install();
	auto environment = new Environment;
	env.SetInstanceData(environment);
	exports["BpfObject"] = BpfObject::Define(env);
	exports["BpfProgram"] = Keep(environment->program, BpfProgram::Define(env));
	exports["BpfMap"] = Keep(environment->map, BpfMap::Define(env));
	exports["BpfLink"] = Keep(environment->link, BpfLink::Define(env));
	exports["RingBuffer"] = RingBuffer::Define(env);
	exports["inNamespace"] = Napi::Function::New<Checked<InNamespace>>(env, "inNamespace");
	exports["devicesIn"] = Napi::Function::New<Checked<DevicesIn>>(env, "devicesIn");
	exports["xdpFeatures"] = Napi::Function::New<Checked<XdpFeatures>>(env, "xdpFeatures");
	exports["detachTc"] = Napi::Function::New<Checked<DetachTc>>(env, "detachTc");
	exports["queryTc"] = Napi::Function::New<Checked<QueryTc>>(env, "queryTc");
	exports["startTestRun"] = Napi::Function::New<Checked<StartTestRun>>(env, "startTestRun");
	exports["possibleCpus"] = Napi::Number::New(env, libbpf_num_possible_cpus());
	exports["libbpfVersion"] = Napi::String::New(env, std::to_string(libbpf_major_version()) + "." +
	                                                          std::to_string(libbpf_minor_version()));
	return exports;
}
} // namespace

NODE_API_MODULE(fistpath, Initialise)
