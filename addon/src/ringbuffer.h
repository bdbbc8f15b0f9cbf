#pragma once
#include <memory>
#include "handle.h"

class RingReader;

class RingBuffer : public Handle<RingBuffer>
{
      public:
	static constexpr napi_type_tag kTag = {0x6669737470617468, 5};
	static constexpr char kName[] = "RingBuffer";
	static Napi::Function Define(Napi::Env env);
	explicit RingBuffer(const Napi::CallbackInfo &info);
	~RingBuffer() override;

      private:
	void Close(const Napi::CallbackInfo &info);

	std::unique_ptr<RingReader> reader_;
};
