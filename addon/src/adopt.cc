#include "adopt.h"
#include <cerrno>
#include <unistd.h>
#include <bpf/bpf.h>
#include "descriptor.h"
#include "errors.h"

namespace
{
bool IsDevmap(uint32_t type)
{
	return type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_DEVMAP_HASH;
}

/* The first parameter in which a pinned map differs from the object's, or "". */
std::string Difference(const bpf_map *wanted, const bpf_map_info &pinned)
{
	/* The kernel adds this flag to every device map. */
	uint32_t added = IsDevmap(pinned.type) ? static_cast<uint32_t>(BPF_F_RDONLY_PROG) : 0;
	const struct {
		const char *name;
		uint32_t pinned, wanted;
	} parameters[] = {
	        {"type", pinned.type, bpf_map__type(wanted)},
	        {"key size", pinned.key_size, bpf_map__key_size(wanted)},
	        {"value size", pinned.value_size, bpf_map__value_size(wanted)},
	        {"max entries", pinned.max_entries, bpf_map__max_entries(wanted)},
	        {"flags", pinned.map_flags & ~added, bpf_map__map_flags(wanted) & ~added},
	};
	for (const auto &parameter : parameters)
		if (parameter.pinned != parameter.wanted)
			return std::string(parameter.name) + " is " + std::to_string(parameter.pinned) +
			       ", not " + std::to_string(parameter.wanted);
	return "";
}
} // namespace

void PinnedMaps::Adopt()
{
	if (!directory_)
		return;
	MakePinDirectory(*directory_);
	bpf_map *map;
	bpf_object__for_each_map(map, object_)
	{
		if (bpf_map__is_internal(map))
			continue;
		std::string path = *directory_ + "/" + bpf_map__name(map);
		if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
			missing_.push_back(map);
			continue;
		}
		Descriptor fd = OpenPinned(path, Kind::Map);
		bpf_map_info info = {};
		__u32 size = sizeof info;
		if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
			throw Failure(errno, "bpf_obj_get_info_by_fd", "'" + path + "'");
		std::string difference = Difference(map, info);
		if (!difference.empty())
			throw Failure(EINVAL, "bpf_map__reuse_fd",
			              "'" + path + "': pinned map differs: " + difference);
		LibbpfLog log;
		int status = bpf_map__reuse_fd(map, fd.get());
		if (status != 0)
			throw Failure(-status, "bpf_map__reuse_fd", "'" + path + "'");
	}
}

void PinnedMaps::PinNew()
{
	for (bpf_map *map : missing_) {
		std::string path = *directory_ + "/" + bpf_map__name(map);
		Pin(bpf_map__fd(map), path);
		unfinished_.push_back(path);
	}
	unfinished_.clear();
}

PinnedMaps::~PinnedMaps()
{
	for (const std::string &path : unfinished_)
		unlink(path.c_str());
}
