/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of NAT send, and the server outside that answers it. Every client prints one JSON document.
 *
 *   natload serve PORT                                 TCP and UDP echo; on PORT + 1 streams over UDP
 *   natload steady ADDRESS PORT CONNECTIONS RATE SECONDS
 *                                                      CONNECTIONS over TCP, each with a message every 20 ms,
 * and RATE datagrams/s; all numbered, all echoed natload cross ADDRESS PORT SOCKETS COUNT MARK      COUNT
 * datagrams over random ones of SOCKETS fixed source ports; echoes with another mark than MARK are counted
 *   natload connect ADDRESS PORT COUNT                 short TCP connections, one after the other
 *   natload spread ADDRESS PORT COUNT                  COUNT UDP connections of three datagrams each
 *   natload receive ADDRESS PORT RATE SECONDS          asks PORT + 1 for a stream and is silent from then on
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND     1000000000L
#define MESSAGE    64
#define BATCH      64
#define FIRST_PORT 20000
/* How long an echo may take before it counts as lost. */
#define PATIENCE (2 * SECOND)

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static struct sockaddr_in address_of(const char *address, int port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (!inet_aton(address, &result.sin_addr))
		error(2, 0, "%s is no address", address);
	return result;
}

static int open_socket(int type, int flags)
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

static void connect_to(int fd, const struct sockaddr_in *to)
{
	if (connect(fd, (const void *)to, sizeof(*to)) < 0)
		error(1, errno, "connect");
}

/* --- the server --- */

struct request {
	uint32_t rate, seconds;
};

static void echo_datagrams(int fd)
{
	static char data[BATCH][2048];
	static struct sockaddr_in from[BATCH];
	static struct iovec vectors[BATCH];
	static struct mmsghdr messages[BATCH];

	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){data[i], sizeof(data[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
		                                      .msg_namelen = sizeof(from[i]),
		                                      .msg_iov = &vectors[i],
		                                      .msg_iovlen = 1};
	}
	int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < count; i++)
		vectors[i].iov_len = messages[i].msg_len;
	for (int sent = 0; sent < count;) {
		int done = sendmmsg(fd, messages + sent, count - sent, 0);

		sent += done > 0 ? done : 1; /* an address that can't be answered any more */
	}
}

/* Sends what was asked for, in a process of its own. */
static void stream(int fd)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	struct request request;

	if (recvfrom(fd, &request, sizeof(request), 0, (void *)&from, &length) != sizeof(request))
		return;
	if (fork() != 0)
		return;
	long start = now(), end = start + request.seconds * SECOND;
	long gap = SECOND / (request.rate ? request.rate : 1);

	for (long due = start; due < end; due += gap) {
		while (now() < due)
			usleep(200);
		sendto(fd, &due, sizeof(due), 0, (void *)&from, length);
	}
	_exit(0);
}

static void watch(int poller, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
		error(1, errno, "epoll");
}

static void serve(int port)
{
	int udp = open_socket(SOCK_DGRAM, 0), streams = open_socket(SOCK_DGRAM, 0);
	int tcp = open_socket(SOCK_STREAM, 0), poller = epoll_create1(EPOLL_CLOEXEC);
	struct sockaddr_in any = address_of("0.0.0.0", port), above = address_of("0.0.0.0", port + 1);
	char data[65536];

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (bind(udp, (void *)&any, sizeof(any)) || bind(tcp, (void *)&any, sizeof(any)) ||
	    bind(streams, (void *)&above, sizeof(above)) || listen(tcp, 1024))
		error(1, errno, "port %d", port);
	watch(poller, udp);
	watch(poller, streams);
	watch(poller, tcp);
	for (;;) {
		struct epoll_event events[BATCH];
		int count = epoll_wait(poller, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == udp) {
				echo_datagrams(udp);
			} else if (fd == streams) {
				stream(streams);
			} else if (fd == tcp) {
				int client = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);

				if (client >= 0)
					watch(poller, client);
			} else {
				ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);

				if (got > 0)
					got = send(fd, data, got, 0);
				else if (got < 0 && errno == EAGAIN)
					got = 1;
				if (got <= 0)
					close(fd);
			}
		}
	}
}

/* --- steady: connections that live for the whole test, and a stream of datagrams --- */

struct talk {
	long next, asked; /* when the next message is due, when the last one went out (0: answered) */
	uint64_t number;
	int got; /* bytes of the answer so far */
	uint64_t answer[MESSAGE / 8];
};

static void steady(const char *address, int port, int connections, int rate, int seconds)
{
	struct sockaddr_in to = address_of(address, port);
	struct pollfd *fds = calloc(connections + 1, sizeof(*fds));
	struct talk *talks = calloc(connections, sizeof(*talks));
	uint64_t limit = (uint64_t)rate * seconds, sent = 0, received = 0, highest = 0;
	uint64_t doubled = 0, late = 0, answered = 0;
	unsigned char *seen = calloc(limit + 1, 1);
	int broken = 0;
	long longest = 0;

	for (int i = 0; i <= connections; i++) {
		int fd = open_socket(i < connections ? SOCK_STREAM : SOCK_DGRAM, 0);

		connect_to(fd, &to);
		fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	long start = now(), end = start + seconds * SECOND;

	for (int i = 0; i < connections; i++)
		talks[i].next = start + i * (20000000L / connections);
	for (long time = start; time < end + PATIENCE; time = now()) {
		bool waiting = received < sent;

		while (time < end && sent < limit && start + (long)(sent * SECOND / rate) <= time) {
			sent++;
			send(fds[connections].fd, &sent, sizeof(sent), MSG_DONTWAIT);
		}
		for (int i = 0; i < connections; i++) {
			struct talk *talk = &talks[i];

			if (fds[i].fd < 0)
				continue;
			waiting |= talk->asked != 0;
			if (talk->asked == 0 && time >= talk->next && time < end) {
				uint64_t message[MESSAGE / 8] = {++talk->number};

				talk->asked = time;
				talk->got = 0;
				if (send(fds[i].fd, message, MESSAGE, MSG_DONTWAIT) != MESSAGE)
					talk->asked = -1;
			}
		}
		if (time >= end && !waiting)
			break;
		struct timespec nap = {0, 300000};

		ppoll(fds, connections + 1, &nap, NULL);
		for (int i = 0; i < connections; i++) {
			struct talk *talk = &talks[i];

			if (fds[i].fd < 0 || !(fds[i].revents || talk->asked == -1))
				continue;
			ssize_t got = recv(fds[i].fd, (char *)talk->answer + talk->got, MESSAGE - talk->got,
			                   MSG_DONTWAIT);

			if (talk->asked <= 0 || got <= 0) {
				if (talk->asked > 0 && got < 0 && errno == EAGAIN)
					continue;
				broken++;
				close(fds[i].fd);
				fds[i].fd = -1;
			} else if ((talk->got += got) == MESSAGE) {
				if (talk->answer[0] != talk->number)
					broken++;
				if (now() - talk->asked > longest)
					longest = now() - talk->asked;
				answered++;
				talk->next = talk->asked + 20000000L;
				talk->asked = 0;
			}
		}
		for (uint64_t number;
		     recv(fds[connections].fd, &number, sizeof(number), MSG_DONTWAIT) == sizeof(number);) {
			if (number > limit)
				continue;
			if (seen[number]++) {
				doubled++;
				continue;
			}
			received++;
			if (number < highest)
				late++;
			else
				highest = number;
		}
	}
	for (int i = 0; i < connections; i++)
		broken += fds[i].fd >= 0 && talks[i].asked != 0;
	printf("{\"tcp\":{\"answered\":%lu,\"broken\":%d,\"longestMs\":%ld},", answered, broken,
	       longest / 1000000);
	printf("\"udp\":{\"sent\":%lu,\"received\":%lu,\"doubled\":%lu,\"reordered\":%lu}}\n", sent, received,
	       doubled, late);
}

/* --- cross: do echoes come back to who asked? --- */

struct probe {
	uint64_t mark, socket, random;
};

static void cross(const char *address, int port, int sockets, long count, uint64_t mark)
{
	struct sockaddr_in to = address_of(address, port);
	int *fds = calloc(sockets, sizeof(*fds)), poller = epoll_create1(0);
	long sent = 0, received = 0, foreign = 0, window = 0, heard = now();
	unsigned int seed = mark;

	for (int i = 0; i < sockets; i++) {
		struct sockaddr_in own = address_of("0.0.0.0", FIRST_PORT + i);
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

		fds[i] = open_socket(SOCK_DGRAM, 0);
		if (bind(fds[i], (void *)&own, sizeof(own)) < 0)
			error(1, errno, "port %d", FIRST_PORT + i);
		connect_to(fds[i], &to);
		epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event);
	}
	while (received < count && now() - heard < PATIENCE) {
		char data[1200] = {0};
		struct epoll_event events[BATCH];

		/* A window small enough that no queue on the way overflows. */
		for (; window < 128 && sent < count + count / 10; window++, sent++) {
			int i = rand_r(&seed) % sockets;
			struct probe probe = {mark, i, rand_r(&seed)};

			memcpy(data, &probe, sizeof(probe));
			send(fds[i], data, sizeof(probe) + rand_r(&seed) % 200, MSG_DONTWAIT);
		}
		int ready = epoll_wait(poller, events, BATCH, 100);

		if (ready == 0)
			window = 0; /* what was under way is lost */
		for (int n = 0; n < ready; n++) {
			struct probe probe;
			uint32_t i = events[n].data.u32;

			while (recv(fds[i], &probe, sizeof(probe), MSG_DONTWAIT) == sizeof(probe)) {
				foreign += probe.mark != mark || probe.socket != i;
				received++;
				window -= window > 0;
				heard = now();
			}
		}
	}
	printf("{\"sent\":%ld,\"received\":%ld,\"foreign\":%ld}\n", sent, received, foreign);
}

/* --- many connections --- */

static void many(const char *address, int port, int count, bool udp)
{
	struct sockaddr_in to = address_of(address, port);
	struct timeval patience = {3, 0};
	int failed = 0;
	long start = now();

	for (int i = 0; i < count; i++) {
		int fd = open_socket(udp ? SOCK_DGRAM : SOCK_STREAM, 0);
		char asked[8] = "natload", answer[8];
		bool right = connect(fd, (void *)&to, sizeof(to)) == 0;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		for (int n = 0; right && n < (udp ? 3 : 1); n++) {
			right = send(fd, asked, sizeof(asked), MSG_NOSIGNAL) == sizeof(asked) &&
			        recv(fd, answer, sizeof(answer), 0) == sizeof(answer) &&
			        !memcmp(asked, answer, sizeof(asked));
		}
		failed += !right;
		close(fd);
	}
	printf("{\"made\":%d,\"failed\":%d,\"perSecond\":%.0f}\n", count - failed, failed,
	       (double)count * SECOND / (now() - start));
}

/* --- one way only --- */

static void receive(const char *address, int port, int rate, int seconds)
{
	struct sockaddr_in to = address_of(address, port + 1);
	struct request request = {rate, seconds};
	int fd = open_socket(SOCK_DGRAM, 0);
	struct timeval patience = {2, 0};
	long received = 0, longest = 0, data;

	connect_to(fd, &to);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	send(fd, &request, sizeof(request), 0);
	for (long last = now(); recv(fd, &data, sizeof(data), 0) == sizeof(data); received++) {
		long time = now();

		if (time - last > longest)
			longest = time - last;
		last = time;
	}
	printf("{\"asked\":%d,\"received\":%ld,\"longestMs\":%ld}\n", rate * seconds, received,
	       longest / 1000000);
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "", *address = count > 2 ? arguments[2] : "";
	int number[7] = {0};

	for (int i = 2; i < count && i < 7; i++)
		number[i] = atoi(arguments[i]);
	if (count == 3 && !strcmp(what, "serve"))
		serve(number[2]);
	else if (count == 7 && !strcmp(what, "steady"))
		steady(address, number[3], number[4], number[5], number[6]);
	else if (count == 7 && !strcmp(what, "cross"))
		cross(address, number[3], number[4], number[5], number[6]);
	else if (count == 5 && !strcmp(what, "connect"))
		many(address, number[3], number[4], false);
	else if (count == 5 && !strcmp(what, "spread"))
		many(address, number[3], number[4], true);
	else if (count == 6 && !strcmp(what, "receive"))
		receive(address, number[3], number[4], number[5]);
	else
		error(2, 0, "see the first comment of natload.c");
	return 0;
}
