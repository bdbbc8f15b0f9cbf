"""Sends bytes from one named network namespace to another and compares what arrives.

deliver.py SENDER RECEIVER ADDRESS [TARGET]: the receiver listens at ADDRESS, which the sender reaches as TARGET (the same
unless NAT changes it). Prints the bytes that arrived by one TCP connection, in order and unchanged,
and how many of 40 datagrams arrived that left by one send call (UDP_SEGMENT), after a few went both ways one by one.
"""

import ctypes
import hashlib
import os
import socket
import sys
import threading

TCP_BYTES, PORT = 100 << 20, 7000
SIZE, COUNT = 1400, 40
UDP_SEGMENT = 103  # linux/udp.h

sender, receiver, address = sys.argv[1:4]
reach = sys.argv[4] if len(sys.argv) > 4 else address


def within(namespace, kind):
    """A socket of that namespace; a socket stays in the one it was made in."""
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    made = socket.socket(socket.AF_INET, kind)
    made.settimeout(20)
    return made


def tcp():
    listener, source = within(receiver, socket.SOCK_STREAM), within(sender, socket.SOCK_STREAM)
    listener.bind((address, PORT))
    listener.listen()
    source.connect((reach, PORT))
    target = listener.accept()[0]
    target.settimeout(20)
    block = os.urandom(1 << 20)

    def send():
        for _ in range(TCP_BYTES // len(block)):
            source.sendall(block)
        source.close()

    threading.Thread(target=send, daemon=True).start()
    arrived, total = hashlib.blake2b(), 0
    while data := target.recv(1 << 20):
        arrived.update(data)
        total += len(data)
    expected = hashlib.blake2b()
    for _ in range(TCP_BYTES // len(block)):
        expected.update(block)
    return total if arrived.digest() == expected.digest() else 0


def udp():
    target, source = within(receiver, socket.SOCK_DGRAM), within(sender, socket.SOCK_DGRAM)
    target.bind((address, PORT))
    target.settimeout(1)
    for _ in range(3):
        source.sendto(b"hello", (reach, PORT))
        target.sendto(b"hello", target.recvfrom(16)[1])
        source.recv(16)
    source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE)
    payload = os.urandom(SIZE * COUNT)
    source.sendto(payload, (reach, PORT))
    missing = {payload[at : at + SIZE] for at in range(0, len(payload), SIZE)}
    try:
        while missing:
            missing.discard(target.recv(65536))
    except socket.timeout:
        pass
    return COUNT - len(missing)


print(tcp(), udp())
