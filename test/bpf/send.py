"""Sends raw frames: DEVICE as the only argument, one frame in hexadecimal per line on standard input."""
import socket
import sys

s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line))
