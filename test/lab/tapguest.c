/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest behind a tap, without a virtual machine: the place of the machine is taken by a network namespace.
 *
 *   tapguest TAP NAMESPACE DEVICE
 *
 * opens the node's persistent tap TAP, as a virtual machine monitor does, makes a second tap DEVICE inside
 * NAMESPACE (a path), and copies frames between the two, the virtio header in front of each included. So
 * segmentation offload and partial checksums pass in both directions exactly as through virtio-net: what the
 * guest sends arrives on TAP as super-frames of up to 64 KB, and the guest takes the same.
 * Ends when TAP is deleted.
 */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The longest IP packet, its Ethernet header and the virtio header, rounded up. */
#define FRAME_MAX (65536 + 256)

struct direction {
	int from;
	int to;
};

static int open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		error(1, errno, "/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		error(1, errno, "tap %s", name);
	if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0)
		error(1, errno, "tap %s: offloads", name);
	return fd;
}

static void *copy(void *argument)
{
	const struct direction *direction = argument;
	char *frame = malloc(FRAME_MAX);

	if (!frame)
		error(1, errno, "frame buffer");
	for (;;) {
		ssize_t length = read(direction->from, frame, FRAME_MAX);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			exit(0); /* the tap was deleted */
		/* A refused frame (device down, queue full) is lost, as on a wire. */
		if (write(direction->to, frame, length) < 0 && errno == EBADFD)
			exit(0);
	}
}

int main(int count, char **arguments)
{
	struct direction out, in;
	pthread_t thread;
	int outside, inside, namespace;

	if (count != 4)
		error(2, 0, "usage: tapguest TAP NAMESPACE DEVICE");
	outside = open_tap(arguments[1]);
	namespace = open(arguments[2], O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0)
		error(1, errno, "namespace %s", arguments[2]);
	inside = open_tap(arguments[3]);

	out = (struct direction){.from = inside, .to = outside};
	in = (struct direction){.from = outside, .to = inside};
	if (pthread_create(&thread, NULL, copy, &out))
		error(1, errno, "thread");
	copy(&in);
	return 0;
}
