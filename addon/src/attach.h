/* Attachments of programs to devices, in the calling thread's network namespace. */
#pragma once
#include <string>
#include <napi.h>
#include "descriptor.h"

enum class Direction { Ingress, Egress };
enum class XdpMode { Native, Generic };

Direction DirectionArgument(Napi::Value value);
XdpMode XdpModeArgument(Napi::Value value);

/* Both return the link's descriptor. */
Descriptor AttachTcx(int program, int ifindex, Direction direction);
Descriptor AttachXdp(int program, int ifindex, XdpMode mode);
