/* What a device can do for XDP, as the kernel's "netdev" netlink family says (Linux 6.3). */
#pragma once
#include <napi.h>

/* xdpFeatures(ifindex): number. */
Napi::Value XdpFeatures(const Napi::CallbackInfo &info);
