#pragma once
#include "handle.h"

class BpfProgram : public DescriptorHandle<BpfProgram>
{
      public:
	static constexpr napi_type_tag kTag = {0x6669737470617468, 1};
	static constexpr char kName[] = "BpfProgram";
	static constexpr char kOrigin[] = "use BpfProgram.open() or BpfObject.program()";
	static Napi::Function Define(Napi::Env env);
	static Napi::FunctionReference &Constructor(Environment &environment)
	{
		return environment.program;
	}
	using DescriptorHandle::DescriptorHandle;

      private:
	static Napi::Value Open(const Napi::CallbackInfo &info);
	Napi::Value GetInfo(const Napi::CallbackInfo &info);
	Napi::Value TakeTcx(const Napi::CallbackInfo &info);
	Napi::Value TakeXdp(const Napi::CallbackInfo &info);
	void TakeTc(const Napi::CallbackInfo &info);
	Napi::Value TestRun(const Napi::CallbackInfo &info);
};

/* startTestRun(program, options): what index.js makes testRunAsync() of; see StartTest(). */
Napi::Value StartTestRun(const Napi::CallbackInfo &info);
