#include "btf.h"
#include <cerrno>
#include <memory>
#include <bpf/btf.h>
#include "errors.h"

namespace
{
const char *const kKinds[] = {
        "void", "int",     "ptr",      "array",    "struct",   "union",  "enum",
        "fwd",  "typedef", "volatile", "const",    "restrict", "func",   "func_proto",
        "var",  "datasec", "float",    "decl_tag", "type_tag", "enum64",
};

Napi::Object Member(Napi::Env env, const std::string &name, uint32_t type, uint32_t bitOffset,
                    uint32_t bitSize)
{
	Napi::Object member = Napi::Object::New(env);
	member["name"] = name;
	member["type"] = type;
	member["bitOffset"] = bitOffset;
	member["bitSize"] = bitSize;
	return member;
}

class Converter
{
      public:
	Converter(Napi::Env env, const btf *types) : env_(env), types_(types)
	{
	}

	Napi::Object Convert(uint32_t id) const
	{
		const btf_type *type = btf__type_by_id(types_, id);
		uint32_t kind = btf_kind(type);
		Napi::Object result = Napi::Object::New(env_);
		result["id"] = id;
		result["kind"] = kind < std::size(kKinds) ? kKinds[kind] : "unknown";
		result["name"] = Name(type->name_off);
		result["size"] = HasSize(kind) ? type->size : 0;
		switch (kind) {
		case BTF_KIND_INT:
			result["signed"] = (btf_int_encoding(type) & BTF_INT_SIGNED) != 0;
			break;
		case BTF_KIND_ARRAY:
			result["type"] = btf_array(type)->type;
			result["length"] = btf_array(type)->nelems;
			break;
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			result["members"] = Fields(type);
			break;
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
			result["signed"] = btf_kflag(type);
			result["values"] = kind == BTF_KIND_ENUM ? Values(type) : LongValues(type);
			break;
		case BTF_KIND_FUNC_PROTO:
			result["type"] = type->type;
			result["members"] = Parameters(type);
			break;
		case BTF_KIND_DATASEC:
			result["members"] = Variables(type);
			break;
		case BTF_KIND_PTR:
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_CONST:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_FUNC:
		case BTF_KIND_VAR:
		case BTF_KIND_DECL_TAG:
		case BTF_KIND_TYPE_TAG:
			result["type"] = type->type;
			break;
		}
		return result;
	}

      private:
	std::string Name(uint32_t offset) const
	{
		const char *name = btf__name_by_offset(types_, offset);
		return name ? name : "";
	}

	static bool HasSize(uint32_t kind)
	{
		return kind == BTF_KIND_INT || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION ||
		       kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 || kind == BTF_KIND_FLOAT ||
		       kind == BTF_KIND_DATASEC;
	}

	Napi::Array Fields(const btf_type *type) const
	{
		Napi::Array list = Napi::Array::New(env_, btf_vlen(type));
		const btf_member *members = btf_members(type);
		for (uint32_t i = 0; i < btf_vlen(type); i++)
			list[i] = Member(env_, Name(members[i].name_off), members[i].type,
			                 btf_member_bit_offset(type, i), btf_member_bitfield_size(type, i));
		return list;
	}

	Napi::Array Values(const btf_type *type) const
	{
		Napi::Array list = Napi::Array::New(env_, btf_vlen(type));
		const struct btf_enum *literals = btf_enum(type);
		for (uint32_t i = 0; i < btf_vlen(type); i++) {
			double value =
			        btf_kflag(type) ? literals[i].val : static_cast<uint32_t>(literals[i].val);
			list[i] = Literal(literals[i].name_off, value);
		}
		return list;
	}

	Napi::Array LongValues(const btf_type *type) const
	{
		Napi::Array list = Napi::Array::New(env_, btf_vlen(type));
		const struct btf_enum64 *literals = btf_enum64(type);
		for (uint32_t i = 0; i < btf_vlen(type); i++) {
			uint64_t bits = btf_enum64_value(&literals[i]);
			double value = btf_kflag(type) ? static_cast<double>(static_cast<int64_t>(bits))
			                               : static_cast<double>(bits);
			list[i] = Literal(literals[i].name_off, value);
		}
		return list;
	}

	Napi::Object Literal(uint32_t name, double value) const
	{
		Napi::Object literal = Napi::Object::New(env_);
		literal["name"] = Name(name);
		literal["value"] = value;
		return literal;
	}

	Napi::Array Parameters(const btf_type *type) const
	{
		Napi::Array list = Napi::Array::New(env_, btf_vlen(type));
		const btf_param *parameters = btf_params(type);
		for (uint32_t i = 0; i < btf_vlen(type); i++)
			list[i] = Member(env_, Name(parameters[i].name_off), parameters[i].type, 0, 0);
		return list;
	}

	Napi::Array Variables(const btf_type *type) const
	{
		Napi::Array list = Napi::Array::New(env_, btf_vlen(type));
		const btf_var_secinfo *variables = btf_var_secinfos(type);
		for (uint32_t i = 0; i < btf_vlen(type); i++) {
			const btf_type *variable = btf__type_by_id(types_, variables[i].type);
			list[i] = Member(env_, Name(variable->name_off), variables[i].type,
			                 variables[i].offset * 8, 0);
		}
		return list;
	}

	Napi::Env env_;
	const btf *types_;
};
} // namespace

Napi::Value BtfValue(Napi::Env env, const btf *types)
{
	uint32_t count = types ? btf__type_cnt(types) : 1;
	Napi::Array list = Napi::Array::New(env, count);
	Napi::Object none = Napi::Object::New(env);
	none["id"] = 0;
	none["kind"] = "void";
	none["name"] = "void";
	none["size"] = 0;
	list[0u] = none;
	Converter converter(env, types);
	for (uint32_t id = 1; id < count; id++) {
		Napi::HandleScope scope(env);
		list[id] = converter.Convert(id);
	}
	return list;
}

Napi::Value KernelBtfValue(Napi::Env env, uint32_t id)
{
	LibbpfLog quiet;
	std::unique_ptr<btf, decltype(&btf__free)> types(btf__load_from_kernel_by_id(id), btf__free);
	if (!types)
		throw Failure(errno, "bpf_btf_get_fd_by_id", "(" + std::to_string(id) + ")");
	return BtfValue(env, types.get());
}
