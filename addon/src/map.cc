#include "map.h"
#include <cerrno>
#include <bpf/libbpf.h>
#include "batch.h"
#include "btf.h"

namespace
{
bool IsPerCpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

/* Queues, stacks and ring buffers have no key, and the kernel wants a null pointer for it. */
const void *KeyPointer(const Bytes &key)
{
	return key.size ? key.data : nullptr;
}
} // namespace

Napi::Function BpfMap::Define(Napi::Env env)
{
	return DefineClass(env, kName,
	                   {
	                           Static<&BpfMap::Open>("open"),
	                           Getter<&BpfMap::GetInfo>("info"),
	                           Getter<&BpfMap::GetCpus>("cpus"),
	                           Method<&BpfMap::Lookup>("lookup"),
	                           Method<&BpfMap::Update>("update"),
	                           Method<&BpfMap::Delete>("delete"),
	                           Method<&BpfMap::Entries>("entries"),
	                           Method<&BpfMap::UpdateBatch>("updateBatch"),
	                           Method<&BpfMap::DeleteBatch>("deleteBatch"),
	                           Method<&BpfMap::Btf>("btf"),
	                           Method<&BpfMap::PinTo>("pin"),
	                           Method<&BpfMap::Close>("close"),
	                   });
}

BpfMap::BpfMap(const Napi::CallbackInfo &info) : DescriptorHandle(info)
{
	Translate(info.Env(), [&] {
		__u32 size = sizeof info_;
		if (bpf_obj_get_info_by_fd(fd(), &info_, &size) != 0)
			throw Failure(errno, "bpf_obj_get_info_by_fd", "(map)");
		valueSize_ = info_.value_size;
		if (IsPerCpu(info_.type)) {
			cpus_ = libbpf_num_possible_cpus();
			valueSize_ = (info_.value_size + 7) / 8 * 8 * cpus_;
		}
	});
}

Failure BpfMap::Failed(int error, const char *call) const
{
	return Failure(error, call, "(map '" + std::string(info_.name) + "')");
}

Napi::Value BpfMap::Open(const Napi::CallbackInfo &info)
{
	std::string path = StringArgument(info[0], "path");
	Napi::Object options = OptionsArgument(info[1], "options");
	bool readOnly = BooleanArgument(options.Get("readOnly"), "readOnly", false);
	return Make(info.Env(), OpenPinned(path, Kind::Map, readOnly));
}

Napi::Value BpfMap::GetInfo(const Napi::CallbackInfo &info)
{
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = info_.id;
	result["name"] = static_cast<const char *>(info_.name);
	result["type"] = info_.type;
	result["keySize"] = info_.key_size;
	result["valueSize"] = info_.value_size;
	result["maxEntries"] = info_.max_entries;
	result["flags"] = info_.map_flags;
	result["btfId"] = info_.btf_id;
	result["btfKeyTypeId"] = info_.btf_key_type_id;
	result["btfValueTypeId"] = info_.btf_value_type_id;
	return result;
}

Napi::Value BpfMap::GetCpus(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), cpus_);
}

Napi::Value BpfMap::Lookup(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info[0], "key", info_.key_size);
	Napi::Uint8Array value = Napi::Uint8Array::New(info.Env(), valueSize_);
	if (bpf_map_lookup_elem(fd(), KeyPointer(key), value.Data()) == 0)
		return value;
	if (errno == ENOENT)
		return info.Env().Undefined();
	throw Failed(errno, "bpf_map_lookup_elem");
}

void BpfMap::Update(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info[0], "key", info_.key_size);
	Bytes value = BytesArgument(info[1], "value", valueSize_);
	uint32_t flags = info[2].IsUndefined() ? 0 : IntegerArgument(info[2], "flags", 0, UINT32_MAX);
	if (bpf_map_update_elem(fd(), KeyPointer(key), value.data, flags) != 0)
		throw Failed(errno, "bpf_map_update_elem");
}

Napi::Value BpfMap::Delete(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info[0], "key", info_.key_size);
	bool deleted = bpf_map_delete_elem(fd(), KeyPointer(key)) == 0;
	if (!deleted && errno != ENOENT)
		throw Failed(errno, "bpf_map_delete_elem");
	return Napi::Boolean::New(info.Env(), deleted);
}

Napi::Value BpfMap::Entries(const Napi::CallbackInfo &info)
{
	MapEntries entries = ReadEntries({fd(), info_.name, info_.key_size, valueSize_, info_.max_entries});
	Napi::Object batch = Napi::Object::New(info.Env());
	batch["count"] = static_cast<double>(entries.count);
	batch["keys"] = BytesValue(info.Env(), entries.keys.data(), entries.count * info_.key_size);
	batch["values"] = BytesValue(info.Env(), entries.values.data(), entries.count * valueSize_);
	return batch;
}

void BpfMap::UpdateBatch(const Napi::CallbackInfo &info)
{
	if (!info[0].IsObject())
		Refuse(info.Env(), "batch must be an object");
	auto batch = info[0].As<Napi::Object>();
	uint32_t count = IntegerArgument(batch.Get("count"), "batch.count", 0, UINT32_MAX);
	Bytes keys = BytesArgument(batch.Get("keys"), "batch.keys", size_t{count} * info_.key_size);
	Bytes values = BytesArgument(batch.Get("values"), "batch.values", size_t{count} * valueSize_);
	WriteEntries({fd(), info_.name, info_.key_size, valueSize_, info_.max_entries}, keys.data,
	             values.data, count);
}

Napi::Value BpfMap::DeleteBatch(const Napi::CallbackInfo &info)
{
	uint32_t count = IntegerArgument(info[1], "count", 0, UINT32_MAX);
	Bytes keys = BytesArgument(info[0], "keys", size_t{count} * info_.key_size);
	uint32_t there = DeleteEntries({fd(), info_.name, info_.key_size, valueSize_, info_.max_entries},
	                               keys.data, count);
	return Napi::Number::New(info.Env(), there);
}

Napi::Value BpfMap::Btf(const Napi::CallbackInfo &info)
{
	fd();
	if (!info_.btf_id)
		return info.Env().Undefined();
	return KernelBtfValue(info.Env(), info_.btf_id);
}
