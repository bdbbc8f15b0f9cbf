"""Raw frames in the current network namespace, one line of JSON each.

frames.py inject DEVICE    reads lines of hex and sends each as it is
frames.py capture DEVICE [BYTES]
                           writes {"hex", "length", "out", "gso", "partial", "time"} for each frame seen, until it
                           is ended

A VLAN tag that the kernel took out of a frame is put back. "hex" has the first BYTES of a frame (all unless told),
"gso" is the segment size of a super-frame (0: an ordinary frame), "partial" says that its transport checksum is
not finished, "time" is when the kernel saw it (milliseconds of the system's clock).
"""

import json
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
SO_TIMESTAMPNS = 35
TP_STATUS_VLAN_VALID = 1 << 4
VIRTIO_NEEDS_CSUM = 1
VIRTIO_HEADER = struct.Struct("=BBHHHH")  # flags, gso type, header length, gso size, csum start, csum offset
AUXDATA = struct.Struct("=IIIHHHH")  # status, length, snap length, mac, net, VLAN tci, VLAN tpid


def inject(device):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((device, 0))
        for line in sys.stdin:
            sock.send(bytes.fromhex(line))


def capture(device, limit="65536"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind((device, ETH_P_ALL))
        print("ready", flush=True)
        while True:
            data, control, _, address = sock.recvmsg(65536 + 256, 256)
            length = len(data) - VIRTIO_HEADER.size
            flags, _, _, gso_size, _, _ = VIRTIO_HEADER.unpack_from(data)
            frame = data[VIRTIO_HEADER.size :]
            time = 0
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("=qq", value)
                    time = seconds * 1000 + nanoseconds / 1e6
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, tpid = AUXDATA.unpack(value)
                    if status & TP_STATUS_VLAN_VALID:
                        frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
            row = {
                "hex": frame[: int(limit)].hex(),
                "length": length,
                "out": address[2] == PACKET_OUTGOING,
                "gso": gso_size,
                "partial": bool(flags & VIRTIO_NEEDS_CSUM),
                "time": time,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    {"inject": inject, "capture": capture}[sys.argv[1]](*sys.argv[2:])
