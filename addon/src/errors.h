/* Failures of system calls and libbpf, and their shape in JavaScript. */
#pragma once
#include <exception>
#include <string>
#include <napi.h>

/* What a failed call throws while no JavaScript is involved; any thread may throw one. */
struct Failure : std::exception {
	int error; /* positive errno, 524 and libbpf's own codes among them */
	std::string syscall;
	std::string message;
	std::string log; /* the verifier's, when it refused a program */
	int64_t done = -1; /* entries written before a batch failed */

	Failure(int error, std::string syscall, const std::string &detail = "");
	const char *what() const noexcept override
	{
		return message.c_str();
	}
};

/* Symbolic name of an errno: ENOENT, ENOTSUPP (524), LIBBPF_ERRNO__VERIFY (4007). */
std::string ErrorName(int error);

Napi::Error ToError(Napi::Env env, const Failure &failure);

/* Collects what libbpf prints on this thread while it lives; libbpf prints nothing elsewhere. */
class LibbpfLog
{
      public:
	LibbpfLog();
	~LibbpfLog();
	LibbpfLog(const LibbpfLog &) = delete;
	LibbpfLog &operator=(const LibbpfLog &) = delete;

	/* The verifier's own text, or "" when no program was refused. */
	std::string VerifierLog() const;
	/* The verifier's reason: the last line before its statistics. */
	std::string VerifierReason() const;
	/* libbpf's first complaint that says more than the errno, without its "libbpf: " prefix. */
	std::string Complaint() const;

	static void Install();

      private:
	std::string text_;
	std::string *outer_;
};
