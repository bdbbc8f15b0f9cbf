"""Sends raw frames, in hexadecimal one per line on standard input, by the device of the first argument. Prints what
arrives meanwhile on devices whose name begins with the second argument (none: nothing is looked at) as lines
`DEVICE FRAME`, and ends when nothing has come for a while.
"""
import select
import socket
import sys

ETH_P_ALL = 3
QUIET = 0.3  # seconds

device, prefix = sys.argv[1], (sys.argv[2:] or [None])[0]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((device, 0))
receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL) if prefix else 0)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)


def drain(wait):
    while select.select([receiver], [], [], wait)[0]:
        frame, address = receiver.recvfrom(65535)
        if address[0].startswith(prefix) and address[2] != socket.PACKET_OUTGOING:
            print(address[0], frame.hex())


for line in sys.stdin:
    sender.send(bytes.fromhex(line))
    if prefix:
        drain(0)
if prefix:
    drain(QUIET)
