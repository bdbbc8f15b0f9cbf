/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of NAT send to natserver.c; prints one JSON document.
 *
 *   natload steady ADDRESS PORT CONNECTIONS RATE SECONDS
 *                                                      CONNECTIONS over TCP, each with a message every 20 ms,
 * and RATE datagrams/s; all numbered, all echoed natload cross ADDRESS PORT SOCKETS COUNT MARK      COUNT
 * datagrams over random ones of SOCKETS fixed source ports; echoes with another mark than MARK are counted
 *   natload connect ADDRESS PORT COUNT                 short TCP connections, one after the other
 *   natload spread ADDRESS PORT COUNT                  COUNT UDP connections of three datagrams each
 *   natload receive ADDRESS PORT RATE SECONDS          asks PORT + 1 for a stream and is silent from then on
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "natload.h"

#define MESSAGE    64
#define FIRST_PORT 20000
/* How long an echo may take before it counts as lost. */
#define PATIENCE (2 * SECOND)

/* --- steady: connections that live for the whole test, and a stream of datagrams --- */

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

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

	signal(SIGTERM, stop);
	for (int i = 0; i < connections; i++)
		talks[i].next = start + i * (20000000L / connections);
	for (long time = start; time < end + PATIENCE; time = now()) {
		bool waiting = received < sent;

		if (stopped && time < end)
			end = time;
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
	if (count == 7 && !strcmp(what, "steady"))
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
