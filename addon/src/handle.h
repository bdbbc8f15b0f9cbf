/*
 * JavaScript objects around native resources. One environment (the process' main thread or a worker
 * thread) owns its handles; Node runs their destructors when it ends.
 */
#pragma once
#include <cerrno>
#include <type_traits>
#include <utility>
#include <napi.h>
#include "arguments.h"
#include "descriptor.h"
#include "errors.h"

/* Per-environment state. */
struct Environment {
	Napi::FunctionReference program, map, link;
	/* Set while native code, not JavaScript, constructs a handle. */
	Descriptor *adopt = nullptr;

	static Environment &Of(Napi::Env env)
	{
		return *env.GetInstanceData<Environment>();
	}
};

/* Runs native code for JavaScript; every failure leaves it as a JavaScript exception. */
template <typename Function> auto Translate(Napi::Env env, Function function) -> decltype(function())
{
	try {
		return function();
	} catch (const Failure &failure) {
		throw ToError(env, failure);
	} catch (const Napi::Error &) {
		throw;
	} catch (const std::exception &failure) {
		throw Napi::Error::New(env, failure.what());
	}
}

template <typename T> class Handle : public Napi::ObjectWrap<T>
{
      public:
	explicit Handle(const Napi::CallbackInfo &info) : Napi::ObjectWrap<T>(info)
	{
		napi_type_tag_object(info.Env(), info.This(), &T::kTag);
	}

	/* The native side of a JavaScript object, which is checked to be a T: a getter can be called on
	 * anything. */
	static T *Unwrap(Napi::Value value)
	{
		bool same = false;
		if (value.IsObject())
			napi_check_object_type_tag(value.Env(), value, &T::kTag, &same);
		if (!same)
			Refuse(value.Env(), std::string("expected a ") + T::kName);
		return Napi::ObjectWrap<T>::Unwrap(value.As<Napi::Object>());
	}

      protected:
	/* Entries of the class for DefineClass(): a member function, a getter, a static function. */
	template <auto method> static napi_property_descriptor Method(const char *name)
	{
		napi_property_descriptor entry = {};
		entry.utf8name = name;
		entry.method = Enter<method>;
		entry.attributes = napi_default_method;
		return entry;
	}
	template <auto method> static napi_property_descriptor Getter(const char *name)
	{
		napi_property_descriptor entry = {};
		entry.utf8name = name;
		entry.getter = Enter<method>;
		entry.attributes = napi_configurable;
		return entry;
	}
	template <auto function> static napi_property_descriptor Static(const char *name)
	{
		napi_property_descriptor entry = Method<function>(name);
		entry.attributes = static_cast<napi_property_attributes>(napi_default_method | napi_static);
		return entry;
	}

      private:
	template <auto function> static napi_value Enter(napi_env env, napi_callback_info callback)
	{
		return Napi::details::WrapCallback(env, [&]() -> napi_value {
			Napi::CallbackInfo info(env, callback);
			return Translate(info.Env(), [&]() -> napi_value {
				if constexpr (!std::is_member_pointer_v<decltype(function)>) {
					return function(info);
				} else {
					T *self = T::Unwrap(info.This());
					if constexpr (std::is_void_v<decltype((self->*function)(info))>) {
						(self->*function)(info);
						return nullptr;
					} else {
						return (self->*function)(info);
					}
				}
			});
		});
	}
};

/* A handle that is one descriptor; made by native code only. */
template <typename T> class DescriptorHandle : public Handle<T>
{
      public:
	explicit DescriptorHandle(const Napi::CallbackInfo &info) : Handle<T>(info)
	{
		Descriptor *adopt = std::exchange(Environment::Of(info.Env()).adopt, nullptr);
		if (!adopt)
			Refuse(info.Env(),
			       std::string(T::kName) + " has no public constructor: " + T::kOrigin);
		fd_ = std::move(*adopt);
	}

	static Napi::Object Make(Napi::Env env, Descriptor fd)
	{
		Environment &environment = Environment::Of(env);
		environment.adopt = &fd;
		return T::Constructor(environment).New({});
	}

	/* EBADF after close(). */
	int fd() const
	{
		if (!fd_)
			throw Failure(EBADF, "close",
			              std::string("was called: this ") + T::kName + " is closed");
		return fd_.get();
	}

      protected:
	void Close(const Napi::CallbackInfo &)
	{
		fd_.Close();
	}
	void PinTo(const Napi::CallbackInfo &info)
	{
		Pin(fd(), StringArgument(info[0], "path"));
	}

	Descriptor fd_;
};
