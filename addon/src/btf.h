/* BTF as plain JavaScript values. */
#pragma once
#include <cstdint>
#include <napi.h>

struct btf;

/* Type id -> type, index 0 void; only that for no BTF. */
Napi::Value BtfValue(Napi::Env env, const btf *types);
/* BTF in the kernel, by its id. */
Napi::Value KernelBtfValue(Napi::Env env, uint32_t id);
