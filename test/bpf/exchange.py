"""Sends raw frames, given on standard input as lines `DEVICE FRAME` (hexadecimal). Prints what arrives meanwhile on
devices whose name begins with the argument (none: nothing is looked at) in the same form, and ends when nothing has
come for a while.
"""
import select
import socket
import sys

ETH_P_ALL = 3
QUIET = 0.5  # seconds

prefix = (sys.argv[1:] or [None])[0]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL) if prefix else 0)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)


def drain(wait):
    while select.select([receiver], [], [], wait)[0]:
        frame, address = receiver.recvfrom(65535)
        if address[0].startswith(prefix) and address[2] != socket.PACKET_OUTGOING:
            print(address[0], frame.hex())


for line in sys.stdin:
    device, frame = line.split()
    sender.sendto(bytes.fromhex(frame), (device, 0))
    if prefix:
        drain(0)
if prefix:
    drain(QUIET)
