/* Many entries of a map at once; one by one where the map's type has no batch operations. */
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct MapShape {
	int fd;
	std::string name;
	uint32_t keySize;
	uint32_t valueSize;
	uint32_t maxEntries;
};

struct MapEntries {
	size_t count = 0;
	std::vector<uint8_t> keys, values; /* may be longer than count entries */
};

MapEntries ReadEntries(const MapShape &map);
/* On failure, Failure::done counts the entries that were written. */
void WriteEntries(const MapShape &map, const uint8_t *keys, const uint8_t *values, uint32_t count);
/* Returns how many of the keys were there. */
uint32_t DeleteEntries(const MapShape &map, const uint8_t *keys, uint32_t count);
