#include "object.h"
#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <vector>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "adopt.h"
#include "btf.h"
#include "map.h"
#include "program.h"

namespace
{
/* libbpf names the maps of global variables "<object>.rodata"; nobody else sees this. */
constexpr char kObjectName[] = "object";

[[noreturn]] void FailLibbpf(int error, const char *call, const LibbpfLog &log,
                             const std::string &object = "")
{
	std::string complaint = log.Complaint();
	throw Failure(error, call, object + (complaint.empty() ? "" : ": " + complaint));
}

/* Where a constant lies: in the contents of which map, and where there. */
struct Variable {
	std::string section;
	uint32_t offset;
	uint32_t size;
};

std::optional<Variable> FindRodata(const btf *types, const std::string &name)
{
	for (uint32_t id = 1; types && id < btf__type_cnt(types); id++) {
		const btf_type *section = btf__type_by_id(types, id);
		if (!btf_is_datasec(section))
			continue;
		std::string sectionName = btf__name_by_offset(types, section->name_off);
		if (sectionName.rfind(".rodata", 0) != 0)
			continue;
		const btf_var_secinfo *variables = btf_var_secinfos(section);
		for (uint32_t i = 0; i < btf_vlen(section); i++) {
			const btf_type *variable = btf__type_by_id(types, variables[i].type);
			if (name == btf__name_by_offset(types, variable->name_off))
				return Variable{sectionName, variables[i].offset, variables[i].size};
		}
	}
	return std::nullopt;
}
} // namespace

Napi::Function BpfObject::Define(Napi::Env env)
{
	return DefineClass(env, kName,
	                   {
	                           Getter<&BpfObject::GetPrograms>("programs"),
	                           Getter<&BpfObject::GetMaps>("maps"),
	                           Method<&BpfObject::SetRodata>("setRodata"),
	                           Method<&BpfObject::SetMaxEntries>("setMaxEntries"),
	                           Method<&BpfObject::SkipProgram>("skipProgram"),
	                           Method<&BpfObject::Load>("load"),
	                           Method<&BpfObject::Program>("program"),
	                           Method<&BpfObject::Map>("map"),
	                           Method<&BpfObject::Btf>("btf"),
	                           Method<&BpfObject::Close>("close"),
	                   });
}

BpfObject::BpfObject(const Napi::CallbackInfo &info) : Handle(info)
{
	Translate(info.Env(), [&] {
		Bytes elf = BytesArgument(info[0], "elf");
		Napi::Object options = OptionsArgument(info[1], "options");
		if (!options.Get("pinDirectory").IsUndefined())
			pinDirectory_ = StringArgument(options.Get("pinDirectory"), "pinDirectory");

		/* A Buffer may begin at any address, and libelf reads structures in place. */
		std::vector<uint8_t> aligned(elf.data, elf.data + elf.size);
		LibbpfLog log;
		LIBBPF_OPTS(bpf_object_open_opts, open);
		open.object_name = kObjectName;
		object_.reset(bpf_object__open_mem(aligned.data(), aligned.size(), &open));
		if (!object_)
			FailLibbpf(errno, "bpf_object__open_mem", log);
	});
}

bpf_object *BpfObject::object() const
{
	if (!object_)
		throw Failure(EBADF, "close", "was called: this BpfObject is closed");
	return object_.get();
}

bpf_map *BpfObject::FindMap(const std::string &name) const
{
	bpf_map *map = bpf_object__find_map_by_name(object(), name.c_str());
	if (!map || bpf_map__is_internal(map))
		throw Failure(ENOENT, "bpf_object__find_map_by_name", "'" + name + "'");
	return map;
}

bpf_program *BpfObject::FindProgram(const std::string &name) const
{
	bpf_program *program = bpf_object__find_program_by_name(object(), name.c_str());
	if (!program)
		throw Failure(ENOENT, "bpf_object__find_program_by_name", "'" + name + "'");
	return program;
}

Napi::Value BpfObject::GetPrograms(const Napi::CallbackInfo &info)
{
	Napi::Array names = Napi::Array::New(info.Env());
	bpf_program *program;
	bpf_object__for_each_program(program, object()) names[names.Length()] =
	        Napi::String::New(info.Env(), bpf_program__name(program));
	return names;
}

Napi::Value BpfObject::GetMaps(const Napi::CallbackInfo &info)
{
	Napi::Array names = Napi::Array::New(info.Env());
	bpf_map *map;
	bpf_object__for_each_map(map, object()) if (!bpf_map__is_internal(map)) names[names.Length()] =
	        Napi::String::New(info.Env(), bpf_map__name(map));
	return names;
}

void BpfObject::SetRodata(const Napi::CallbackInfo &info)
{
	std::string name = StringArgument(info[0], "variable");
	if (loaded_)
		throw Failure(EBUSY, "setRodata", "'" + name + "': the object is already loaded");
	std::optional<Variable> variable = FindRodata(bpf_object__btf(object()), name);
	if (!variable)
		throw Failure(ENOENT, "setRodata", "'" + name + "': the object has no such constant");
	Bytes value = BytesArgument(info[1], "value of '" + name + "'", variable->size);

	bpf_map *map;
	bpf_object__for_each_map(map, object())
	{
		std::string mapName = bpf_map__name(map);
		if (!bpf_map__is_internal(map) || mapName.size() < variable->section.size() ||
		    mapName.substr(mapName.size() - variable->section.size()) != variable->section)
			continue;
		size_t size;
		auto contents =
		        static_cast<uint8_t *>(const_cast<void *>(bpf_map__initial_value(map, &size)));
		if (contents && variable->offset + value.size <= size) {
			std::memcpy(contents + variable->offset, value.data, value.size);
			return;
		}
	}
	throw Failure(ENOENT, "setRodata",
	              "'" + name + "': section " + variable->section + " has no contents");
}

void BpfObject::SetMaxEntries(const Napi::CallbackInfo &info)
{
	std::string name = StringArgument(info[0], "map");
	uint32_t entries = IntegerArgument(info[1], "entries", 1, UINT32_MAX);
	int status = bpf_map__set_max_entries(FindMap(name), entries);
	if (status != 0)
		throw Failure(-status, "bpf_map__set_max_entries", "'" + name + "'");
}

void BpfObject::SkipProgram(const Napi::CallbackInfo &info)
{
	std::string name = StringArgument(info[0], "program");
	int status = bpf_program__set_autoload(FindProgram(name), false);
	if (status != 0)
		throw Failure(-status, "bpf_program__set_autoload", "'" + name + "'");
}

void BpfObject::Load(const Napi::CallbackInfo &)
{
	PinnedMaps pinned(object(), pinDirectory_);
	pinned.Adopt();
	LibbpfLog log;
	int status = bpf_object__load(object());
	if (status != 0) {
		std::string complaint = log.Complaint();
		std::string reason = log.VerifierReason();
		Failure failure(-status, "bpf_object__load",
		                (complaint.empty() ? "" : ": " + complaint) +
		                        (reason.empty() ? "" : ": " + reason));
		failure.log = log.VerifierLog();
		throw failure;
	}
	pinned.PinNew();
	loaded_ = true;
}

Napi::Value BpfObject::Program(const Napi::CallbackInfo &info)
{
	std::string name = StringArgument(info[0], "name");
	bpf_program *program = FindProgram(name);
	if (!loaded_)
		throw Failure(EINVAL, "program", "'" + name + "': the object is not loaded");
	int fd = bpf_program__fd(program);
	if (fd < 0)
		throw Failure(EINVAL, "program", "'" + name + "': it was skipped");
	return BpfProgram::Make(info.Env(), Descriptor::Duplicate(fd));
}

Napi::Value BpfObject::Map(const Napi::CallbackInfo &info)
{
	std::string name = StringArgument(info[0], "name");
	bpf_map *map = FindMap(name);
	if (!loaded_)
		throw Failure(EINVAL, "map", "'" + name + "': the object is not loaded");
	return BpfMap::Make(info.Env(), Descriptor::Duplicate(bpf_map__fd(map)));
}

Napi::Value BpfObject::Btf(const Napi::CallbackInfo &info)
{
	return BtfValue(info.Env(), bpf_object__btf(object()));
}

void BpfObject::Close(const Napi::CallbackInfo &)
{
	object_.reset();
}
