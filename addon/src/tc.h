/* Filters of the clsact qdisc: where programs go on kernels without TCX. */
#pragma once
#include <cstdint>
#include <napi.h>
#include "attach.h"

struct TcFilter {
	int ifindex;
	Direction direction;
	uint32_t handle;
	uint32_t priority;
};

/* Reads (ifindex, direction, handle, priority). */
TcFilter TcFilterArguments(const Napi::CallbackInfo &info);

void AttachTc(int program, const TcFilter &filter, bool replace);
Napi::Value DetachTc(const Napi::CallbackInfo &info);
Napi::Value QueryTc(const Napi::CallbackInfo &info);
