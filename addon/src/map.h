#pragma once
#include <vector>
#include <bpf/bpf.h>
#include "handle.h"

class BpfMap : public DescriptorHandle<BpfMap>
{
      public:
	static constexpr napi_type_tag kTag = {0x6669737470617468, 2};
	static constexpr char kName[] = "BpfMap";
	static constexpr char kOrigin[] = "use BpfMap.open() or BpfObject.map()";
	static Napi::Function Define(Napi::Env env);
	static Napi::FunctionReference &Constructor(Environment &environment)
	{
		return environment.map;
	}
	explicit BpfMap(const Napi::CallbackInfo &info);

	uint32_t type() const
	{
		return info_.type;
	}

      private:
	static Napi::Value Open(const Napi::CallbackInfo &info);
	Napi::Value GetInfo(const Napi::CallbackInfo &info);
	Napi::Value GetCpus(const Napi::CallbackInfo &info);
	Napi::Value Lookup(const Napi::CallbackInfo &info);
	void Update(const Napi::CallbackInfo &info);
	Napi::Value Delete(const Napi::CallbackInfo &info);
	Napi::Value Entries(const Napi::CallbackInfo &info);
	void UpdateBatch(const Napi::CallbackInfo &info);
	Napi::Value DeleteBatch(const Napi::CallbackInfo &info);
	Napi::Value Btf(const Napi::CallbackInfo &info);

	Failure Failed(int error, const char *call) const;

	bpf_map_info info_ = {};
	uint32_t cpus_ = 1;
	uint32_t valueSize_; /* as the kernel copies it: all CPUs of a per-CPU value */
};
