/* Checked reading of JavaScript arguments: what does not fit throws a TypeError that names the argument. */
#pragma once
#include <cstdint>
#include <string>
#include <vector>
#include <napi.h>

/* Bytes that belong to JavaScript: valid until control returns to it. */
struct Bytes {
	const uint8_t *data;
	size_t size;
};

[[noreturn]] void Refuse(Napi::Env env, const std::string &reason);

Bytes BytesArgument(Napi::Value value, const std::string &name);
/* The same, of exactly that size. */
Bytes BytesArgument(Napi::Value value, const std::string &name, size_t size);
std::string StringArgument(Napi::Value value, const std::string &name);
uint32_t IntegerArgument(Napi::Value value, const std::string &name, uint32_t minimum, uint32_t maximum);
bool BooleanArgument(Napi::Value value, const std::string &name, bool absent);
/* An options object, or undefined. */
Napi::Object OptionsArgument(Napi::Value value, const std::string &name);

Napi::Value BytesValue(Napi::Env env, const void *data, size_t size);

inline int IfindexArgument(Napi::Value value)
{
	return static_cast<int>(IntegerArgument(value, "ifindex", 1, INT32_MAX));
}
