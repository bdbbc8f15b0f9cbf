/* A call on a thread of its own that settles a promise. */
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <napi.h>
#include "errors.h"

class Task
{
      public:
	virtual ~Task() = default;

	/* Starts the thread. The task deletes itself when it is done, and is interrupted and waited for when
	 * its environment ends. */
	static Napi::Promise Start(Napi::Env env, std::unique_ptr<Task> task);
	/* Asks Run() to end early; any thread, any time until the promise is settled. */
	virtual void Interrupt()
	{
	}

      protected:
	explicit Task(Napi::Env env) : env_(env), deferred_(Napi::Promise::Deferred::New(env))
	{
	}
	/* On the thread, without JavaScript; may throw Failure. */
	virtual void Run() = 0;
	/* Back on JavaScript's thread. */
	virtual Napi::Value Result(Napi::Env env) = 0;
	/* The same, whatever the outcome. */
	virtual void Settled()
	{
	}

      private:
	static void Settle(napi_env env, napi_value callback, void *context, void *data);
	static void EndOfEnvironment(void *task);
	void Main();

	napi_env env_;
	Napi::Promise::Deferred deferred_;
	napi_threadsafe_function settle_ = nullptr;
	std::thread thread_;
	std::optional<Failure> failure_;
};

/* A thread that takes no signal: those are for Node's own threads. */
std::thread QuietThread(std::function<void()> function);
