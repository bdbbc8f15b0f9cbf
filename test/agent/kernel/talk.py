"""Both ends of conversations through a router.

  echo PORT ADDRESS…            UDP and TCP: answers what it is sent with the address that it came from; the
                                addresses need not be there yet
  ask ADDRESS PORT KIND [FROM]  prints the answer, or "none" after half a second; KIND is udp or tcp
  stream ADDRESS PORT [FROM]    1,000 UDP datagrams a second, until it is ended
"""
import selectors
import socket
import sys
import time

verb, *words = sys.argv[1:]


IP_FREEBIND = 15


def bound(kind, address="0.0.0.0", port=0):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    sock.bind((address, port))
    return sock


def echo(port, *addresses):
    ready = selectors.DefaultSelector()
    listeners = []
    for address in addresses:
        ready.register(bound(socket.SOCK_DGRAM, address, int(port)), selectors.EVENT_READ)
        listeners.append(bound(socket.SOCK_STREAM, address, int(port)))
        listeners[-1].listen(64)
        ready.register(listeners[-1], selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            sock = key.fileobj
            if sock in listeners:
                ready.register(sock.accept()[0], selectors.EVENT_READ)
            elif sock.type == socket.SOCK_DGRAM:
                _, peer = sock.recvfrom(2048)
                sock.sendto(peer[0].encode(), peer)
            elif sock.recv(2048):
                sock.send(sock.getpeername()[0].encode())
            else:
                ready.unregister(sock)
                sock.close()


def ask(address, port, kind, source="0.0.0.0"):
    sock = bound(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM, source)
    sock.settimeout(0.5)
    try:
        sock.connect((address, int(port)))
        sock.send(b"who am I")
        print(sock.recv(2048).decode())
    except OSError:
        print("none")


def stream(address, port, source="0.0.0.0"):
    sock = bound(socket.SOCK_DGRAM, source)
    print("ready", flush=True)
    for n in range(60_000):
        try:
            sock.sendto(n.to_bytes(4, "big"), (address, int(port)))
        except OSError:
            pass  # an ICMP error for an earlier one
        time.sleep(0.001)


{"echo": echo, "ask": ask, "stream": stream}[verb](*words)
