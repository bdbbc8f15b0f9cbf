#include "task.h"
#include <csignal>
#include "handle.h"

std::thread QuietThread(std::function<void()> function)
{
	/* A new thread inherits the mask; blocking only inside it would leave a gap. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	try {
		std::thread thread(std::move(function));
		pthread_sigmask(SIG_SETMASK, &before, nullptr);
		return thread;
	} catch (const std::system_error &failure) {
		pthread_sigmask(SIG_SETMASK, &before, nullptr);
		throw Failure(failure.code().value(), "pthread_create");
	}
}

Napi::Promise Task::Start(Napi::Env env, std::unique_ptr<Task> task)
{
	Napi::Promise promise = task->deferred_.Promise();
	napi_status status = napi_create_threadsafe_function(
	        env, nullptr, nullptr, Napi::String::New(env, "fistpath:task"), 0, 1, nullptr, nullptr,
	        nullptr, Settle, &task->settle_);
	if (status != napi_ok)
		throw Napi::Error::New(env);
	try {
		task->thread_ = QuietThread([raw = task.get()] { raw->Main(); });
	} catch (const Failure &) {
		napi_release_threadsafe_function(task->settle_, napi_tsfn_abort);
		throw;
	}
	/* Hooks run in reverse order: this one before the thread-safe function's own. */
	napi_add_env_cleanup_hook(env, EndOfEnvironment, task.release());
	return promise;
}

void Task::Main()
{
	try {
		Run();
	} catch (const Failure &failure) {
		failure_ = failure;
	} catch (const std::exception &failure) {
		failure_ = Failure(ENOMEM, "run", failure.what());
	}
	napi_call_threadsafe_function(settle_, this, napi_tsfn_nonblocking);
	napi_release_threadsafe_function(settle_, napi_tsfn_release);
}

/* Also called, with no environment, for what is still queued when the environment ends. */
void Task::Settle(napi_env raw, napi_value, void *, void *data)
{
	std::unique_ptr<Task> task(static_cast<Task *>(data));
	if (task->thread_.joinable())
		task->thread_.join();
	if (!raw)
		return;
	napi_remove_env_cleanup_hook(raw, EndOfEnvironment, task.get());
	Napi::Env env(raw);
	try {
		task->Settled();
		if (task->failure_)
			task->deferred_.Reject(ToError(env, *task->failure_).Value());
		else
			task->deferred_.Resolve(task->Result(env));
	} catch (const Napi::Error &error) {
		try {
			task->deferred_.Reject(error.Value());
		} catch (const Napi::Error &) {
			/* A worker thread is being terminated: no JavaScript runs any more, nobody waits. */
		}
	}
}

void Task::EndOfEnvironment(void *data)
{
	Task *task = static_cast<Task *>(data);
	task->Interrupt();
	task->thread_.join();
}
