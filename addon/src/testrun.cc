#include "testrun.h"
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <unistd.h>
#include <vector>
#include <bpf/bpf.h>
#include "arguments.h"
#include "descriptor.h"
#include "errors.h"
#include "task.h"

namespace
{
/* No packet grows further than this: 64 KiB of GSO frame and the headers before it. A second call with
 * a larger buffer would run the program a second time. */
constexpr size_t kLargestGrowth = 128 * 1024;

struct Request {
	Bytes data;
	Bytes context;
	int repeat;
	bool liveFrames;
	uint32_t batchSize;
};

struct Outcome {
	int32_t retval;
	uint32_t duration;
	const uint8_t *data;
	size_t dataSize;
	std::vector<uint8_t> context;
};

Request RequestOf(Napi::Env env, Napi::Value value)
{
	if (!value.IsObject())
		Refuse(env, "options must be an object");
	auto options = value.As<Napi::Object>();
	auto absent = [&](const char *name) { return options.Get(name).IsUndefined(); };
	Request request = {};
	request.data = BytesArgument(options.Get("data"), "data");
	request.context = absent("context") ? Bytes{} : BytesArgument(options.Get("context"), "context");
	request.repeat =
	        absent("repeat") ? 1 : IntegerArgument(options.Get("repeat"), "repeat", 1, INT32_MAX);
	request.liveFrames = BooleanArgument(options.Get("liveFrames"), "liveFrames", false);
	request.batchSize =
	        absent("batchSize") ? 0 : IntegerArgument(options.Get("batchSize"), "batchSize", 1, 256);
	if (request.batchSize && !request.liveFrames)
		Refuse(env, "batchSize needs liveFrames");
	return request;
}

/* While it lives, this thread takes no signal but those that ask the process to end: a finished child's
 * SIGCHLD or a profiler's tick would end a run of many repetitions with EINTR. */
class Undisturbed
{
      public:
	Undisturbed()
	{
		sigset_t others;
		sigfillset(&others);
		for (int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM})
			sigdelset(&others, signal);
		pthread_sigmask(SIG_BLOCK, &others, &before_);
	}
	~Undisturbed()
	{
		pthread_sigmask(SIG_SETMASK, &before_, nullptr);
	}
	Undisturbed(const Undisturbed &) = delete;

      private:
	sigset_t before_;
};

/* The outcome's data stays in a buffer of this thread until the next run on it. */
Outcome Run(int program, const Request &request)
{
	thread_local std::unique_ptr<uint8_t[]> out;
	thread_local size_t capacity;
	size_t needed = request.data.size + kLargestGrowth;
	if (!request.liveFrames && capacity < needed) {
		out.reset(new uint8_t[needed]);
		capacity = needed;
	}

	Outcome outcome = {};
	outcome.context.resize(request.context.size);
	LIBBPF_OPTS(bpf_test_run_opts, options);
	options.data_in = request.data.data;
	options.data_size_in = static_cast<uint32_t>(request.data.size);
	options.repeat = request.repeat;
	if (request.context.size) {
		options.ctx_in = request.context.data;
		options.ctx_size_in = static_cast<uint32_t>(request.context.size);
	}
	if (request.liveFrames) {
		options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
		options.batch_size = request.batchSize;
	} else {
		options.data_out = out.get();
		options.data_size_out = static_cast<uint32_t>(capacity);
		if (request.context.size) {
			options.ctx_out = outcome.context.data();
			options.ctx_size_out = static_cast<uint32_t>(outcome.context.size());
		}
	}
	if (bpf_prog_test_run_opts(program, &options) != 0)
		throw Failure(errno, "bpf_prog_test_run",
		              "(" + std::to_string(request.data.size) + " bytes, repeat " +
		                      std::to_string(request.repeat) + ")");
	outcome.retval = static_cast<int32_t>(options.retval);
	outcome.duration = options.duration;
	outcome.data = out.get();
	outcome.dataSize = request.liveFrames ? 0 : options.data_size_out;
	outcome.context.resize(request.liveFrames ? 0 : options.ctx_size_out);
	return outcome;
}

Napi::Value ResultOf(Napi::Env env, const Outcome &outcome)
{
	Napi::Object result = Napi::Object::New(env);
	result["retval"] = outcome.retval;
	result["data"] = BytesValue(env, outcome.data, outcome.dataSize);
	result["context"] = BytesValue(env, outcome.context.data(), outcome.context.size());
	result["duration"] = outcome.duration;
	return result;
}

/* A signal without meaning, whose arrival makes the kernel leave the run's loop with EINTR. */
int InterruptSignal()
{
	static const int signal = [] {
		struct sigaction action = {};
		action.sa_handler = [](int) {};
		int number = SIGRTMAX - 3;
		sigaction(number, &action, nullptr);
		return number;
	}();
	return signal;
}

/* Sends the interrupt signal to the thread that made it, again and again until it is destroyed: one alone
 * could come just before the system call begins. */
class Interrupter
{
      public:
	Interrupter()
	{
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, InterruptSignal());
		pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
		sigevent event = {};
		event.sigev_notify = SIGEV_THREAD_ID;
		event.sigev_signo = InterruptSignal();
		event._sigev_un._tid = gettid();
		if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0)
			throw Failure(errno, "timer_create");
	}
	~Interrupter()
	{
		timer_delete(timer_);
	}
	Interrupter(const Interrupter &) = delete;
	void Start()
	{
		const timespec millisecond = {0, 1000 * 1000};
		const itimerspec every = {millisecond, millisecond};
		timer_settime(timer_, 0, &every, nullptr);
	}

      private:
	timer_t timer_;
};

class TestRunTask : public Task
{
      public:
	TestRunTask(Napi::Env env, int program, const Request &request)
	    : Task(env), program_(Descriptor::Duplicate(program)), request_(request),
	      data_(request.data.data, request.data.data + request.data.size),
	      context_(request.context.data, request.context.data + request.context.size)
	{
		request_.data.data = data_.data();
		request_.context.data = context_.data();
	}

	void Interrupt() override
	{
		std::lock_guard<std::mutex> lock(mutex_);
		interrupted_ = true;
		if (interrupter_)
			interrupter_->Start();
	}

	/* The JavaScript function that interrupts holds this while it may still be called. */
	std::shared_ptr<TestRunTask *> self = std::make_shared<TestRunTask *>(this);

      protected:
	void Run() override
	{
		{
			std::lock_guard<std::mutex> lock(mutex_);
			if (interrupted_)
				throw Failure(EINTR, "bpf_prog_test_run");
			interrupter_ = std::make_unique<Interrupter>();
		}
		std::optional<Failure> failure;
		try {
			Outcome outcome = ::Run(program_.get(), request_);
			result_.assign(outcome.data, outcome.data + outcome.dataSize);
			outcome_ = std::move(outcome);
			outcome_.data = result_.data();
		} catch (const Failure &caught) {
			failure = caught;
		}
		std::lock_guard<std::mutex> lock(mutex_);
		interrupter_.reset();
		if (failure)
			throw *failure;
	}
	Napi::Value Result(Napi::Env env) override
	{
		return ResultOf(env, outcome_);
	}
	void Settled() override
	{
		*self = nullptr;
	}

      private:
	Descriptor program_;
	Request request_;
	std::vector<uint8_t> data_, context_, result_;
	Outcome outcome_ = {};
	std::mutex mutex_;
	bool interrupted_ = false;
	std::unique_ptr<Interrupter> interrupter_;
};
} // namespace

Napi::Value RunTest(Napi::Env env, int program, Napi::Value options)
{
	Request request = RequestOf(env, options);
	auto outcome = [&] {
		std::optional<Undisturbed> quiet;
		if (request.repeat > 1)
			quiet.emplace();
		return Run(program, request);
	}();
	return ResultOf(env, outcome);
}

Napi::Value StartTest(Napi::Env env, int program, Napi::Value options)
{
	auto task = std::make_unique<TestRunTask>(env, program, RequestOf(env, options));
	auto self = task->self;
	Napi::Object run = Napi::Object::New(env);
	run["done"] = Task::Start(env, std::move(task));
	run["interrupt"] = Napi::Function::New(env, [self](const Napi::CallbackInfo &) {
		if (*self)
			(*self)->Interrupt();
	});
	return run;
}
