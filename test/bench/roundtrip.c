/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round trips of one byte, one at a time.
 *
 *   roundtrip server udp|tcp PORT                  answers until it is ended
 *   roundtrip client udp|tcp ADDRESS PORT COUNT    prints the sorted nanoseconds' p50 and p99
 *
 * Both ends poll without sleeping, so that the scheduler's wake-ups are not what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 200
/* A lost datagram is sent again after this; its round trip counts whole. */
#define PATIENCE_NS 200000000L

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static int open_socket(int udp)
{
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		error(1, errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void serve(int fd, int udp)
{
	struct sockaddr_in peer;
	char byte;

	for (;;) {
		socklen_t length = sizeof(peer);
		ssize_t got = recvfrom(fd, &byte, 1, MSG_DONTWAIT, udp ? (void *)&peer : NULL,
		                       udp ? &length : NULL);

		if (got == 0 && !udp)
			return;
		if (got < 0 && errno != EAGAIN)
			return;
		if (got == 1)
			sendto(fd, &byte, 1, 0, udp ? (void *)&peer : NULL, udp ? length : 0);
	}
}

static long measure(int fd, int udp)
{
	char byte = 'x';
	long start = now();

	if (send(fd, &byte, 1, 0) != 1)
		error(1, errno, "send");
	for (long sent = start;;) {
		ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);

		if (got == 1)
			return now() - start;
		if (got == 0 || (errno != EAGAIN && errno != ECONNREFUSED))
			error(1, errno, "receive");
		if (udp && now() - sent > PATIENCE_NS) {
			sent = now();
			if (send(fd, &byte, 1, 0) != 1)
				error(1, errno, "send");
		}
	}
}

static int ascending(const void *a, const void *b)
{
	const long *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void ask(int fd, int udp, int count)
{
	long *times = calloc(count, sizeof(*times));

	if (!times)
		error(1, errno, "%d times", count);
	for (int i = 0; i < WARM_UP; i++)
		measure(fd, udp);
	for (int i = 0; i < count; i++)
		times[i] = measure(fd, udp);
	qsort(times, count, sizeof(*times), ascending);
	printf("{\"p50\":%ld,\"p99\":%ld}\n", times[count / 2], times[count * 99L / 100]);
	free(times);
}

int main(int count, char **arguments)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int udp, fd;

	if (count == 4 && !strcmp(arguments[1], "server")) {
		udp = !strcmp(arguments[2], "udp");
		fd = open_socket(udp);
		address.sin_port = htons(atoi(arguments[3]));
		if (bind(fd, (void *)&address, sizeof(address)) < 0)
			error(1, errno, "port %s", arguments[3]);
		if (udp)
			serve(fd, udp);
		if (listen(fd, 1) < 0)
			error(1, errno, "listen");
		for (;;) {
			int client = accept(fd, NULL, NULL);

			serve(client, udp);
			close(client);
		}
	}
	if (count == 6 && !strcmp(arguments[1], "client") && inet_aton(arguments[3], &address.sin_addr)) {
		udp = !strcmp(arguments[2], "udp");
		fd = open_socket(udp);
		address.sin_port = htons(atoi(arguments[4]));
		if (connect(fd, (void *)&address, sizeof(address)) < 0)
			error(1, errno, "%s:%s", arguments[3], arguments[4]);
		ask(fd, udp, atoi(arguments[5]));
		return 0;
	}
	error(2, 0, "usage: roundtrip server udp|tcp PORT | client udp|tcp ADDRESS PORT COUNT");
}
