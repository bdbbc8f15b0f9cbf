#include "batch.h"
#include <algorithm>
#include <cerrno>
#include <bpf/bpf.h>
#include "errors.h"

namespace
{
/* Large enough to make the system call's cost vanish, small enough for the kernel's copy of it. */
constexpr uint32_t kChunk = 4096;
constexpr uint32_t kChunkBytes = 1 << 20;
/* Linux' own number: "this map type has no batch operation". */
constexpr int kEnotsupp = 524;

Failure Failed(const MapShape &map, int error, const char *call)
{
	return Failure(error, call, "(map '" + map.name + "')");
}

uint32_t ChunkOf(const MapShape &map)
{
	return std::clamp<uint32_t>(kChunkBytes / std::max(map.keySize + map.valueSize, 1u), 1, kChunk);
}

void Reserve(const MapShape &map, MapEntries &entries, size_t count)
{
	entries.keys.resize(count * map.keySize);
	entries.values.resize(count * map.valueSize);
}

/* False: the map has no batch lookup, or the kernel gave up on a map that changes too fast. */
bool ReadByBatch(const MapShape &map, MapEntries &entries)
{
	/* Where to go on: a key, or a hash map's bucket number. */
	std::vector<uint8_t> position(std::max<size_t>(map.keySize, sizeof(uint64_t)));
	uint32_t chunk = ChunkOf(map);
	for (bool first = true;;) {
		Reserve(map, entries, entries.count + chunk);
		uint32_t count = chunk;
		int status = bpf_map_lookup_batch(map.fd, first ? nullptr : position.data(), position.data(),
		                                  entries.keys.data() + entries.count * map.keySize,
		                                  entries.values.data() + entries.count * map.valueSize,
		                                  &count, nullptr);
		int error = status == 0 ? 0 : errno;
		/* A hash map's bucket holds more than the chunk takes; nothing was consumed beyond count. */
		if (error == ENOSPC && chunk < UINT32_MAX / 2) {
			entries.count += count;
			first = first && count == 0;
			chunk *= 2;
			continue;
		}
		if (error == kEnotsupp || error == ENOTSUP || error == EINTR)
			return false;
		if (error != 0 && error != ENOENT)
			throw Failed(map, error, "bpf_map_lookup_batch");
		entries.count += count;
		if (error == ENOENT)
			return true;
		first = false;
	}
}

void ReadOneByOne(const MapShape &map, MapEntries &entries)
{
	entries = {};
	std::vector<uint8_t> key(map.keySize);
	/* A deleted key sends the walk back to the start: never walk further than the map is large. */
	for (uint32_t step = 0; step < map.maxEntries; step++) {
		Reserve(map, entries, entries.count + 1);
		uint8_t *next = entries.keys.data() + entries.count * map.keySize;
		if (bpf_map_get_next_key(map.fd, step == 0 ? nullptr : key.data(), next) != 0) {
			if (errno == ENOENT)
				return;
			throw Failed(map, errno, "bpf_map_get_next_key");
		}
		key.assign(next, next + map.keySize);
		if (bpf_map_lookup_elem(map.fd, next,
		                        entries.values.data() + entries.count * map.valueSize) == 0)
			entries.count++;
		else if (errno != ENOENT)
			throw Failed(map, errno, "bpf_map_lookup_elem");
	}
}

/* Entries that a failed batch call did, which leaves count alone when it did not even begin. */
uint32_t Done(uint32_t count, uint32_t asked)
{
	return count < asked ? count : 0;
}
} // namespace

MapEntries ReadEntries(const MapShape &map)
{
	MapEntries entries;
	if (!ReadByBatch(map, entries))
		ReadOneByOne(map, entries);
	return entries;
}

void WriteEntries(const MapShape &map, const uint8_t *keys, const uint8_t *values, uint32_t count)
{
	bool batches = true;
	for (uint32_t done = 0; done < count;) {
		const uint8_t *key = keys + size_t{done} * map.keySize;
		const uint8_t *value = values + size_t{done} * map.valueSize;
		uint32_t chunk = batches ? std::min(count - done, ChunkOf(map)) : 1;
		uint32_t written = chunk;
		int status = batches ? bpf_map_update_batch(map.fd, key, value, &written, nullptr)
		                     : bpf_map_update_elem(map.fd, key, value, BPF_ANY);
		if (status == 0) {
			done += chunk;
			continue;
		}
		int error = errno;
		if (batches && (error == kEnotsupp || error == ENOTSUP)) {
			batches = false;
			continue;
		}
		Failure failure =
		        Failed(map, error, batches ? "bpf_map_update_batch" : "bpf_map_update_elem");
		failure.done = done + Done(batches ? written : 0, chunk);
		throw failure;
	}
}

uint32_t DeleteEntries(const MapShape &map, const uint8_t *keys, uint32_t count)
{
	bool batches = true;
	uint32_t there = 0;
	for (uint32_t done = 0; done < count;) {
		const uint8_t *key = keys + size_t{done} * map.keySize;
		uint32_t chunk = batches ? std::min(count - done, ChunkOf(map)) : 1;
		uint32_t deleted = chunk;
		int status = batches ? bpf_map_delete_batch(map.fd, key, &deleted, nullptr)
		                     : bpf_map_delete_elem(map.fd, key);
		if (status == 0) {
			done += chunk;
			there += chunk;
			continue;
		}
		int error = errno;
		if (batches && (error == kEnotsupp || error == ENOTSUP)) {
			batches = false;
			continue;
		}
		if (error != ENOENT)
			throw Failed(map, error, batches ? "bpf_map_delete_batch" : "bpf_map_delete_elem");
		/* The kernel stops at a missing key: step over it. */
		deleted = Done(batches ? deleted : 0, chunk);
		there += deleted;
		done += deleted + 1;
	}
	return there;
}
