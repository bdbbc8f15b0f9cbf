/* Maps that outlive their object: pinned by name in a directory, adopted by the next object. */
#pragma once
#include <optional>
#include <string>
#include <vector>
#include <bpf/libbpf.h>

class PinnedMaps
{
      public:
	PinnedMaps(bpf_object *object, const std::optional<std::string> &directory)
	    : object_(object), directory_(directory)
	{
	}
	/* Unpins what PinNew() pinned before it failed. */
	~PinnedMaps();
	/* Before load: takes over each map that is pinned; EINVAL names a map that differs, and where. */
	void Adopt();
	/* After load: pins the others. */
	void PinNew();

      private:
	bpf_object *object_;
	const std::optional<std::string> &directory_;
	std::vector<bpf_map *> missing_;
	std::vector<std::string> unfinished_;
};
