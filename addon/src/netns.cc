#include "netns.h"
#include <cerrno>
#include <memory>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>
#include "arguments.h"
#include "attach.h"
#include "handle.h"
#include "program.h"
#include "task.h"

namespace
{
enum class Verb { AttachTcx, AttachXdp, Ifindex };

struct Operation {
	Verb verb;
	std::string ifname;
	Descriptor program;
	Direction direction;
	XdpMode mode;
	std::string pin;
};

Operation OperationOf(Napi::Env env, Napi::Value value)
{
	if (!value.IsObject())
		Refuse(env, "operation must be an object");
	auto object = value.As<Napi::Object>();
	std::string verb = StringArgument(object.Get("verb"), "operation.verb");
	Operation operation = {};
	operation.ifname = StringArgument(object.Get("ifname"), "operation.ifname");
	operation.verb = verb == "attachTcx"   ? Verb::AttachTcx
	                 : verb == "attachXdp" ? Verb::AttachXdp
	                                       : Verb::Ifindex;
	if (operation.verb == Verb::Ifindex) {
		if (verb != "ifindex")
			Refuse(env, "operation.verb must be 'attachTcx', 'attachXdp' or 'ifindex'");
		return operation;
	}
	if (operation.verb == Verb::AttachTcx)
		operation.direction = DirectionArgument(object.Get("direction"));
	else
		operation.mode = XdpModeArgument(object.Get("mode"));
	operation.program = Descriptor::Duplicate(BpfProgram::Unwrap(object.Get("program"))->fd());
	operation.pin = StringArgument(object.Get("pin"), "operation.pin");
	return operation;
}

/* For a thread that ends there: no other code ever runs on it. */
void Enter(const std::string &path)
{
	Descriptor space(open(path.c_str(), O_RDONLY | O_CLOEXEC));
	if (!space)
		throw Failure(errno, "open", "'" + path + "'");
	if (setns(space.get(), CLONE_NEWNET) != 0)
		throw Failure(errno, "setns", "'" + path + "'");
}

class DevicesTask : public Task
{
      public:
	DevicesTask(Napi::Env env, std::string path) : Task(env), path_(std::move(path))
	{
	}

      protected:
	void Run() override
	{
		Enter(path_);
		/* /proc/net is the process's; this is the thread's. */
		const char *file = "/proc/thread-self/net/dev";
		Descriptor table(open(file, O_RDONLY | O_CLOEXEC));
		char part[4096];
		ssize_t got = table ? 1 : -1;
		while (got > 0 && (got = read(table.get(), part, sizeof(part))) > 0)
			text_.append(part, static_cast<size_t>(got));
		if (got < 0)
			throw Failure(errno, "read", std::string("'") + file + "' in '" + path_ + "'");
	}
	Napi::Value Result(Napi::Env env) override
	{
		return Napi::String::New(env, text_);
	}

      private:
	std::string path_;
	std::string text_;
};

class NamespaceTask : public Task
{
      public:
	NamespaceTask(Napi::Env env, std::string path, Operation operation)
	    : Task(env), path_(std::move(path)), operation_(std::move(operation))
	{
	}

      protected:
	void Run() override
	{
		Enter(path_);
		ifindex_ = if_nametoindex(operation_.ifname.c_str());
		if (!ifindex_)
			throw Failure(errno, "if_nametoindex",
			              "'" + operation_.ifname + "' in '" + path_ + "'");
		if (operation_.verb == Verb::Ifindex)
			return;
		int program = operation_.program.get();
		int ifindex = static_cast<int>(ifindex_);
		Descriptor link = operation_.verb == Verb::AttachTcx
		                          ? AttachTcx(program, ifindex, operation_.direction)
		                          : AttachXdp(program, ifindex, operation_.mode);
		Pin(link.get(), operation_.pin);
	}
	Napi::Value Result(Napi::Env env) override
	{
		return Napi::Number::New(env, ifindex_);
	}

      private:
	std::string path_;
	Operation operation_;
	unsigned ifindex_ = 0;
};
} // namespace

Napi::Value InNamespace(const Napi::CallbackInfo &info)
{
	std::string path = StringArgument(info[0], "path");
	Operation operation = OperationOf(info.Env(), info[1]);
	return Task::Start(info.Env(), std::make_unique<NamespaceTask>(info.Env(), std::move(path),
	                                                               std::move(operation)));
}

Napi::Value DevicesIn(const Napi::CallbackInfo &info)
{
	std::string path = StringArgument(info[0], "path");
	return Task::Start(info.Env(), std::make_unique<DevicesTask>(info.Env(), std::move(path)));
}
