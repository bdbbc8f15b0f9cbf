#include "descriptor.h"
#include <cerrno>
#include <algorithm>
#include <filesystem>
#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/magic.h>
#include "errors.h"

namespace
{
const char *Noun(Kind kind)
{
	return kind == Kind::Program ? "program" : kind == Kind::Map ? "map" : "link";
}

/* bpf_obj_get opens any kind of pin, and the kernel's info call takes any descriptor: only the
 * descriptor's name in /proc tells them apart. */
std::string KindName(int fd)
{
	char target[64] = "";
	std::string path = "/proc/self/fd/" + std::to_string(fd);
	if (readlink(path.c_str(), target, sizeof target - 1) < 0)
		throw Failure(errno, "readlink", "'" + path + "'");
	std::string name = target;
	std::replace(name.begin(), name.end(), '_', '-'); /* links are "bpf_link" or "bpf-link", by kernel */
	for (Kind kind : {Kind::Program, Kind::Map, Kind::Link}) {
		const char *suffix = kind == Kind::Program ? "bpf-prog"
		                     : kind == Kind::Map   ? "bpf-map"
		                                           : "bpf-link";
		if (name.find(suffix) != std::string::npos)
			return Noun(kind);
	}
	return name;
}

bool OnBpffs(const std::filesystem::path &path)
{
	struct statfs stat;
	return statfs(path.c_str(), &stat) == 0 && stat.f_type == BPF_FS_MAGIC;
}
} // namespace

void Descriptor::Close()
{
	if (fd_ >= 0)
		close(std::exchange(fd_, -1));
}

Descriptor Descriptor::Duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		throw Failure(errno, "fcntl", "(F_DUPFD_CLOEXEC)");
	return Descriptor(copy);
}

Descriptor OpenPinned(const std::string &path, Kind kind, bool readOnly)
{
	LIBBPF_OPTS(bpf_obj_get_opts, options);
	options.file_flags = readOnly ? BPF_F_RDONLY : 0;
	Descriptor fd(bpf_obj_get_opts(path.c_str(), &options));
	if (!fd)
		throw Failure(errno, "bpf_obj_get", "'" + path + "'");
	std::string found = KindName(fd.get());
	if (found != Noun(kind))
		throw Failure(EINVAL, "bpf_obj_get",
		              "'" + path + "': it is a " + found + ", not a " + Noun(kind));
	return fd;
}

void Pin(int fd, const std::string &path)
{
	if (bpf_obj_pin(fd, path.c_str()) == 0)
		return;
	int error = errno;
	std::filesystem::path directory = std::filesystem::path(path).parent_path();
	if (error == EPERM && std::filesystem::is_directory(directory) && !OnBpffs(directory))
		throw Failure(error, "bpf_obj_pin",
		              "'" + path + "': not on a bpffs; mount one (mount -t bpf bpf /sys/fs/bpf)");
	throw Failure(error, "bpf_obj_pin", "'" + path + "'");
}

void MakePinDirectory(const std::string &path)
{
	namespace fs = std::filesystem;
	std::error_code ignored;
	fs::path existing = fs::absolute(path);
	while (!fs::exists(existing, ignored) && existing.has_relative_path())
		existing = existing.parent_path();
	if (!OnBpffs(existing))
		throw Failure(EPERM, "mkdir",
		              "'" + path + "': not on a bpffs; mount one (mount -t bpf bpf /sys/fs/bpf)");
	std::error_code error;
	fs::create_directories(path, error);
	if (error)
		throw Failure(error.value(), "mkdir", "'" + path + "'");
}
