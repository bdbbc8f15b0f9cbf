/* Ownership of a file descriptor, and of the bpf objects behind one. */
#pragma once
#include <string>
#include <utility>

class Descriptor
{
      public:
	Descriptor() = default;
	explicit Descriptor(int fd) : fd_(fd)
	{
	}
	Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1))
	{
	}
	Descriptor &operator=(Descriptor &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~Descriptor()
	{
		Close();
	}

	int get() const
	{
		return fd_;
	}
	explicit operator bool() const
	{
		return fd_ >= 0;
	}
	void Close();
	/* A second descriptor of the same thing, close-on-exec. */
	static Descriptor Duplicate(int fd);

      private:
	int fd_ = -1;
};

enum class Kind { Program, Map, Link };

/* Opens a pin and refuses one of another kind (EINVAL). */
Descriptor OpenPinned(const std::string &path, Kind kind, bool readOnly = false);
/* Pins to a bpffs; EEXIST when the path is taken. */
void Pin(int fd, const std::string &path);
/* Makes a directory, and its parents, on a mounted bpffs. */
void MakePinDirectory(const std::string &path);
