"""NAT against scapy: reads cases as JSON on standard input, prints for each the frame that comes to the router and the one
that must leave it, both as scapy builds them.
"""
import json
import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw


def layer4(case, end):
    if case["protocol"] == "icmp":
        return ICMP(type=end["destinationPort"], id=end["sourcePort"], seq=case["id"])
    ports = {"sport": end["sourcePort"], "dport": end["destinationPort"]}
    if case["protocol"] == "udp":
        return UDP(**ports)
    return TCP(**ports, flags="PA", seq=case["id"] * 7919, ack=12345, options=[("NOP", None), ("NOP", None), ("Timestamp", (1, 2))])


def frame(case, end, macs, ttl):
    packet = IP(src=end["source"], dst=end["destination"], ttl=ttl, id=case["id"], tos=case["tos"], flags="DF")
    data = bytes((i * 37 + case["id"]) & 0xFF for i in range(case["length"]))
    return bytes(Ether(src=macs[0], dst=macs[1]) / packet / layer4(case, end) / Raw(data))


answers = []
for case in json.load(sys.stdin):
    before = frame(case, case["from"], case["fromMacs"], case["ttl"])
    after = frame(case, case["to"], case["toMacs"], case["ttl"] - case["hops"])
    answers.append({"frame": before.hex(), "expected": after.hex()})
json.dump(answers, sys.stdout)
