#pragma once
#include <memory>
#include <optional>
#include <bpf/libbpf.h>
#include "handle.h"

class BpfObject : public Handle<BpfObject>
{
      public:
	static constexpr napi_type_tag kTag = {0x6669737470617468, 4};
	static constexpr char kName[] = "BpfObject";
	static Napi::Function Define(Napi::Env env);
	explicit BpfObject(const Napi::CallbackInfo &info);

      private:
	Napi::Value GetPrograms(const Napi::CallbackInfo &info);
	Napi::Value GetMaps(const Napi::CallbackInfo &info);
	void SetRodata(const Napi::CallbackInfo &info);
	void SetMaxEntries(const Napi::CallbackInfo &info);
	void SkipProgram(const Napi::CallbackInfo &info);
	void Load(const Napi::CallbackInfo &info);
	Napi::Value Program(const Napi::CallbackInfo &info);
	Napi::Value Map(const Napi::CallbackInfo &info);
	Napi::Value Btf(const Napi::CallbackInfo &info);
	void Close(const Napi::CallbackInfo &info);

	bpf_object *object() const;
	bpf_map *FindMap(const std::string &name) const;
	bpf_program *FindProgram(const std::string &name) const;

	struct Closer {
		void operator()(bpf_object *object) const
		{
			bpf_object__close(object);
		}
	};
	std::unique_ptr<bpf_object, Closer> object_;
	std::optional<std::string> pinDirectory_;
	bool loaded_ = false;
};
