/* SPDX-License-Identifier: Apache-2.0 */
/* What natload.c and its server share. */
#ifndef NATLOAD_H
#define NATLOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#define SECOND 1000000000L
#define BATCH  64

/* To the port above the echo's: a stream of datagrams to whoever asks. */
struct request {
	uint32_t rate, seconds;
};

static inline long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static inline struct sockaddr_in address_of(const char *address, int port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (!inet_aton(address, &result.sin_addr))
		error(2, 0, "%s is no address", address);
	return result;
}

static inline int open_socket(int type, int flags)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | flags, 0), on = 1, buffer = 8 << 20;

	if (fd < 0)
		error(1, errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	else
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	return fd;
}

static inline void connect_to(int fd, const struct sockaddr_in *to)
{
	if (connect(fd, (const void *)to, sizeof(*to)) < 0)
		error(1, errno, "connect");
}

#endif
