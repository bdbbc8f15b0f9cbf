#include "ringbuffer.h"
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include "map.h"
#include "task.h"

namespace
{
/* What one callback gets at most: keeps the memory bounded and the event loop responsive. */
constexpr size_t kBatchRecords = 4096;
constexpr size_t kBatchBytes = 1 << 20;

struct Records {
	std::vector<uint8_t> bytes;
	std::vector<size_t> sizes;

	bool Full() const
	{
		return sizes.size() >= kBatchRecords || bytes.size() >= kBatchBytes;
	}
};

int Collect(void *context, void *data, size_t size)
{
	auto records = static_cast<Records *>(context);
	auto start = static_cast<const uint8_t *>(data);
	records->bytes.insert(records->bytes.end(), start, start + size);
	records->sizes.push_back(size);
	/* A negative result ends ring_buffer__consume() after this record. */
	return records->Full() ? -ENOSPC : 0;
}
} // namespace

/*
 * The reading side: a thread that takes records out of the ring while JavaScript works on the batch
 * before. When JavaScript is slow the thread waits, the ring fills, and the programs count what they lose.
 */
class RingReader
{
      public:
	RingReader(Napi::Env env, int map, Napi::Function callback)
	    : env_(env), map_(Descriptor::Duplicate(map))
	{
		LibbpfLog log;
		ring_.reset(ring_buffer__new(map_.get(), Collect, &batch_, nullptr));
		if (!ring_)
			throw Failure(errno, "ring_buffer__new", log.Complaint());
		stop_ = Descriptor(eventfd(0, EFD_CLOEXEC));
		if (!stop_)
			throw Failure(errno, "eventfd");
		if (napi_create_threadsafe_function(env, callback, nullptr,
		                                    Napi::String::New(env, "fistpath:ringbuffer"), 0, 1,
		                                    nullptr, nullptr, this, Deliver, &deliver_) != napi_ok)
			throw Napi::Error::New(env);
		try {
			thread_ = QuietThread([this] { Main(); });
		} catch (const Failure &) {
			napi_release_threadsafe_function(deliver_, napi_tsfn_abort);
			throw;
		}
		/* Hooks run in reverse order: the thread ends before the thread-safe function. */
		napi_add_env_cleanup_hook(env, EndOfEnvironment, this);
	}

	~RingReader()
	{
		if (!thread_.joinable())
			return;
		napi_remove_env_cleanup_hook(env_, EndOfEnvironment, this);
		Join();
		napi_release_threadsafe_function(deliver_, napi_tsfn_abort);
	}

      private:
	struct Freer {
		void operator()(ring_buffer *ring) const
		{
			ring_buffer__free(ring);
		}
	};

	void Join()
	{
		{
			std::lock_guard<std::mutex> lock(mutex_);
			stopping_ = true;
		}
		taken_.notify_one();
		eventfd_write(stop_.get(), 1);
		thread_.join();
	}

	static void EndOfEnvironment(void *reader)
	{
		static_cast<RingReader *>(reader)->Join();
	}

	void Main()
	{
		pollfd wait[] = {{ring_buffer__epoll_fd(ring_.get()), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
		for (;;) {
			if (poll(wait, 2, -1) < 0 && errno != EINTR)
				return;
			ring_buffer__consume(ring_.get());
			std::unique_lock<std::mutex> lock(mutex_);
			taken_.wait(lock, [this] { return stopping_ || waiting_.sizes.empty(); });
			if (stopping_)
				return;
			if (batch_.sizes.empty())
				continue;
			std::swap(waiting_, batch_);
			napi_call_threadsafe_function(deliver_, nullptr, napi_tsfn_nonblocking);
		}
	}

	static Napi::Array Views(Napi::Env env, const Records &records)
	{
		Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, records.bytes.size());
		std::copy(records.bytes.begin(), records.bytes.end(), static_cast<uint8_t *>(buffer.Data()));
		Napi::Array views = Napi::Array::New(env, records.sizes.size());
		size_t offset = 0;
		for (size_t i = 0; i < records.sizes.size(); i++) {
			views[i] = Napi::Uint8Array::New(env, records.sizes[i], buffer, offset);
			offset += records.sizes[i];
		}
		return views;
	}

	/* On JavaScript's thread, inside the callback scope of the thread-safe function. */
	static void Deliver(napi_env raw, napi_value callback, void *context, void *)
	{
		if (!raw) /* dropped: closed, or the environment ends */
			return;
		auto reader = static_cast<RingReader *>(context);
		Records records;
		{
			std::lock_guard<std::mutex> lock(reader->mutex_);
			std::swap(records, reader->waiting_);
		}
		reader->taken_.notify_one();
		Napi::Env env(raw);
		try {
			/* The callback may close, and so delete, the reader. */
			napi_value arguments[] = {Views(env, records)};
			napi_value result;
			if (napi_call_function(raw, env.Undefined(), callback, 1, arguments, &result) !=
			    napi_ok)
				throw Napi::Error::New(env);
		} catch (const Napi::Error &error) {
			/* There is no JavaScript caller to throw at: 'uncaughtException', as for any
			 * callback. */
			try {
				napi_fatal_exception(raw, error.Value());
			} catch (const Napi::Error &) {
				/* A worker thread is being terminated: no JavaScript runs any more. */
			}
		}
	}

	Napi::Env env_;
	Descriptor map_, stop_;
	Records batch_; /* the thread's */
	std::unique_ptr<ring_buffer, Freer> ring_;
	napi_threadsafe_function deliver_ = nullptr;
	std::thread thread_;

	std::mutex mutex_;
	std::condition_variable taken_;
	Records waiting_; /* under mutex_: for JavaScript */
	bool stopping_ = false; /* under mutex_ */
};

Napi::Function RingBuffer::Define(Napi::Env env)
{
	return DefineClass(env, kName, {Method<&RingBuffer::Close>("close")});
}

RingBuffer::RingBuffer(const Napi::CallbackInfo &info) : Handle(info)
{
	Translate(info.Env(), [&] {
		BpfMap *map = BpfMap::Unwrap(info[0]);
		if (!info[1].IsFunction())
			Refuse(info.Env(), "onRecords must be a function");
		if (map->type() != BPF_MAP_TYPE_RINGBUF)
			Refuse(info.Env(), "map must be a ring buffer (BPF_MAP_TYPE_RINGBUF)");
		reader_ = std::make_unique<RingReader>(info.Env(), map->fd(), info[1].As<Napi::Function>());
	});
	/* As a timer or a server does, it lives until it is closed. */
	Ref();
}

RingBuffer::~RingBuffer() = default;

void RingBuffer::Close(const Napi::CallbackInfo &)
{
	if (!reader_)
		return;
	reader_.reset();
	Unref();
}
