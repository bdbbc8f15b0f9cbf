#pragma once
#include "handle.h"

class BpfLink : public DescriptorHandle<BpfLink>
{
      public:
	static constexpr napi_type_tag kTag = {0x6669737470617468, 3};
	static constexpr char kName[] = "BpfLink";
	static constexpr char kOrigin[] = "use BpfLink.open() or a program's attach methods";
	static Napi::Function Define(Napi::Env env);
	static Napi::FunctionReference &Constructor(Environment &environment)
	{
		return environment.link;
	}
	using DescriptorHandle::DescriptorHandle;

      private:
	friend class Handle<BpfLink>;
	static Napi::Value Open(const Napi::CallbackInfo &info);
	Napi::Value GetInfo(const Napi::CallbackInfo &info);
	void Update(const Napi::CallbackInfo &info);
	void Detach(const Napi::CallbackInfo &info);
};
