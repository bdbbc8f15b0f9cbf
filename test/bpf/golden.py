"""Encapsulation against scapy: sends frames into a port's device, takes what leaves on the underlay, and compares it
byte by byte with the packet that scapy builds. The request is JSON on standard input, the answer JSON on standard output.
"""
import json
import select
import socket
import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

ETH_P_ALL = 3


def packet_socket(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((device, 0))
    return s


def layer4(protocol, flow, v6):
    if protocol == "udp":
        return UDP(sport=10000 + flow, dport=53)
    if protocol == "tcp":
        return TCP(sport=10000 + flow, dport=80, flags="A")
    return ICMPv6EchoRequest(id=flow) if v6 else ICMP(id=flow)


def inner_frame(request, case):
    """`length` counts layer 3 bytes; the headers alone where they are longer."""
    v6 = case["family"] == 6
    if v6:
        l3 = IPv6(src="fd00::1", dst="fd00::2", tc=case["tos"])
    else:
        l3 = IP(src=request["source"], dst=request["destination"], tos=case["tos"], id=case["id"])
    headers = l3 / layer4(case["protocol"], case["flow"], v6)
    filling = bytes(i & 0xFF for i in range(max(0, case["length"] - len(headers))))
    return Ether(src=request["guestMac"], dst=request["remoteMac"]) / headers / Raw(filling)


def outer_frame(request, case, inner, source_port):
    ident = 0 if case["family"] == 6 else case["id"]
    return (
        Ether(src=request["underlayMac"], dst=request["nextHopMac"])
        / IP(src=request["underlay"], dst=request["remote"], tos=case["tos"] & 3, id=ident, ttl=64, flags=0)
        / UDP(sport=source_port, dport=request["port"], chksum=0)
        / VXLAN(vni=case["vni"], flags="Instance")
        / inner
    )


def run(request):
    senders = {vni: packet_socket(device) for vni, device in request["devices"].items()}
    wire = packet_socket(request["wire"])
    for case in request["cases"]:
        inner = inner_frame(request, case)
        senders[str(case["vni"])].send(bytes(inner))
        if not select.select([wire], [], [], 2)[0]:
            yield {"got": "", "expected": "nothing came", "sourcePort": 0}
            continue
        got = wire.recv(65535)
        source_port = int.from_bytes(got[34:36], "big")
        expected = bytes(outer_frame(request, case, inner, source_port))
        yield {"got": got.hex(), "expected": expected.hex(), "sourcePort": source_port}


json.dump(list(run(json.load(sys.stdin))), sys.stdout)
