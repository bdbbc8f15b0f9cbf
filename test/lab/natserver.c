/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server that natload.c talks to.
 *
 *   natserver PORT             TCP and UDP echo; on PORT + 1 streams over UDP
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "natload.h"

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

int main(int count, char **arguments)
{
	int port = count == 2 ? atoi(arguments[1]) : 0;

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
