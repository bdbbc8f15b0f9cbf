#include "errors.h"
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <bpf/libbpf.h>

namespace
{
/* Linux' own number, of which glibc knows nothing. */
constexpr int kEnotsupp = 524;

constexpr char kLogBegin[] = "-- BEGIN PROG LOAD LOG --\n";
constexpr char kLogEnd[] = "-- END PROG LOAD LOG --";

const char *const kLibbpfErrors[] = {
        "LIBBPF_ERRNO__LIBELF",   "LIBBPF_ERRNO__FORMAT",  "LIBBPF_ERRNO__KVERSION", "LIBBPF_ERRNO__ENDIAN",
        "LIBBPF_ERRNO__INTERNAL", "LIBBPF_ERRNO__RELOC",   "LIBBPF_ERRNO__LOAD",     "LIBBPF_ERRNO__VERIFY",
        "LIBBPF_ERRNO__PROG2BIG", "LIBBPF_ERRNO__KVER",    "LIBBPF_ERRNO__PROGTYPE", "LIBBPF_ERRNO__WRNGPID",
        "LIBBPF_ERRNO__INVSEQ",   "LIBBPF_ERRNO__NLPARSE",
};

thread_local std::string *sink;

int Print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!sink || level == LIBBPF_DEBUG)
		return 0;
	/* A verifier log comes as one argument of many megabytes: measure, then allocate. */
	va_list again;
	va_copy(again, arguments);
	int length = std::vsnprintf(nullptr, 0, format, arguments);
	if (length > 0) {
		size_t start = sink->size();
		sink->resize(start + length + 1);
		std::vsnprintf(sink->data() + start, length + 1, format, again);
		sink->resize(start + length);
	}
	va_end(again);
	return 0;
}

std::string Describe(int error)
{
	if (error == kEnotsupp)
		return "operation not supported by the kernel";
	char text[128] = "";
	libbpf_strerror(error, text, sizeof text);
	return text;
}
} // namespace

std::string ErrorName(int error)
{
	if (error == kEnotsupp)
		return "ENOTSUPP";
	int own = error - __LIBBPF_ERRNO__START;
	if (own >= 0 && own < static_cast<int>(std::size(kLibbpfErrors)))
		return kLibbpfErrors[own];
	const char *name = strerrorname_np(error);
	return name ? name : "E" + std::to_string(error);
}

Failure::Failure(int error, std::string syscall, const std::string &detail)
    : error(error), syscall(std::move(syscall))
{
	message = ErrorName(error) + ": " + Describe(error) + ", " + this->syscall;
	if (!detail.empty())
		message += (detail[0] == ':' ? "" : " ") + detail;
}

Napi::Error ToError(Napi::Env env, const Failure &failure)
{
	Napi::Error error = Napi::Error::New(env, failure.message);
	Napi::Object members = error.Value();
	members["code"] = Napi::String::New(env, ErrorName(failure.error));
	members["errno"] = Napi::Number::New(env, failure.error);
	members["syscall"] = Napi::String::New(env, failure.syscall);
	if (!failure.log.empty())
		members["log"] = Napi::String::New(env, failure.log);
	if (failure.done >= 0)
		members["done"] = Napi::Number::New(env, static_cast<double>(failure.done));
	return error;
}

LibbpfLog::LibbpfLog() : outer_(sink)
{
	sink = &text_;
}

LibbpfLog::~LibbpfLog()
{
	sink = outer_;
}

void LibbpfLog::Install()
{
	libbpf_set_print(Print);
}

std::string LibbpfLog::VerifierLog() const
{
	size_t begin = text_.find(kLogBegin);
	if (begin == std::string::npos)
		return "";
	begin += sizeof kLogBegin - 1;
	size_t end = text_.rfind(kLogEnd);
	return text_.substr(begin, end == std::string::npos ? end : end - begin);
}

std::string LibbpfLog::VerifierReason() const
{
	std::string log = VerifierLog();
	size_t end = std::min(log.rfind("\nprocessed "), log.size());
	while (end > 0 && log[end - 1] == '\n')
		end--;
	size_t begin = end ? log.rfind('\n', end - 1) : std::string::npos;
	begin = begin == std::string::npos ? 0 : begin + 1;
	return log.substr(begin, end - begin);
}

std::string LibbpfLog::Complaint() const
{
	std::string line = text_.substr(0, text_.find('\n'));
	constexpr char kPrefix[] = "libbpf: ";
	return line.rfind(kPrefix, 0) == 0 ? line.substr(sizeof kPrefix - 1) : line;
}
