/* Verbs carried out in another network namespace. */
#pragma once
#include <napi.h>

/* inNamespace(path, operation): Promise<ifindex>. */
Napi::Value InNamespace(const Napi::CallbackInfo &info);
/* devicesIn(path): Promise<string>. */
Napi::Value DevicesIn(const Napi::CallbackInfo &info);
