/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYNs from and to random ports, with right checksums: conntrack would not keep others.
 *
 *   synflood ADDRESS SECONDS RATE          RATE packets/s (0: as many as possible); prints how many were sent
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000L

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

/* RFC 9293, 3.1: over the pseudo-header and the segment, which is a header only. */
static uint16_t tcp_checksum(const struct iphdr *ip, const struct tcphdr *tcp)
{
	const uint16_t *words = (const void *)tcp, *addresses = (const void *)&ip->saddr;
	uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof(*tcp));

	for (unsigned int i = 0; i < sizeof(*tcp) / 2; i++)
		sum += words[i];
	for (int i = 0; i < 4; i++)
		sum += addresses[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

int main(int count, char **arguments)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, own;
	socklen_t length = sizeof(own);
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	int way = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long sent = 0, start = now();
	unsigned int seed = start;

	if (count != 4 || !inet_aton(arguments[1], &to.sin_addr))
		error(2, 0, "usage: synflood ADDRESS SECONDS RATE");
	if (raw < 0 || way < 0)
		error(1, errno, "socket");
	/* The own address towards there. */
	if (connect(way, (void *)&to, sizeof(to)) < 0 || getsockname(way, (void *)&own, &length) < 0)
		error(1, errno, "no way to %s", arguments[1]);
	long end = start + atoi(arguments[2]) * SECOND, rate = atol(arguments[3]);

	to.sin_port = 0;
	while (now() < end) {
		struct {
			struct iphdr ip;
			struct tcphdr tcp;
		} packet = {
		        .ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP},
		        .tcp = {.syn = 1, .doff = 5, .window = 1000},
		};

		packet.ip.tot_len = htons(sizeof(packet));
		packet.ip.saddr = own.sin_addr.s_addr;
		packet.ip.daddr = to.sin_addr.s_addr;
		packet.tcp.source = rand_r(&seed);
		packet.tcp.dest = rand_r(&seed) | 1;
		packet.tcp.seq = rand_r(&seed);
		packet.tcp.check = tcp_checksum(&packet.ip, &packet.tcp);
		sendto(raw, &packet, sizeof(packet), MSG_DONTWAIT, (void *)&to, sizeof(to));
		sent++;
		while (rate > 0 && sent * SECOND / rate > now() - start)
			usleep(200);
	}
	printf("%ld\n", sent);
	return 0;
}
