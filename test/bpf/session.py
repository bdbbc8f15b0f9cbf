"""Sockets in named network namespaces, driven line by line: each line of standard input is a JSON list, a command and its
arguments; each answer a line of JSON. Ends with its standard input.

  ["tcp", NAME, CLIENT, SOURCE, PORT, SERVER, LISTEN, TARGET, TARGET_PORT]  connects, and keeps both ends
  ["talk", NAME, ROUNDS]        a byte there and a byte back, so often
  ["close", NAME] | ["reset", NAME]   ends the connection by FIN both ways, or by RST from the client
  ["udp", NAME, CLIENT, SOURCE, PORT, SERVER, LISTEN, TARGET, TARGET_PORT]  two sockets; the first sends, nothing more
  ["answer", NAME]              the second answers the first
  ["scan", CLIENT, SOURCE, TARGET, PORTS]   connection attempts that nobody answers, or refuses
"""
import ctypes
import json
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
pairs = {}


def within(namespace, kind):
    """A socket of that namespace; a socket stays in the one it was made in."""
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(5)
    return made


def tcp(name, client, source, port, server, listen, target, target_port):
    listener = within(server, socket.SOCK_STREAM)
    listener.bind((listen, target_port))
    listener.listen()
    near = within(client, socket.SOCK_STREAM)
    near.bind((source, port))
    near.connect((target, target_port))
    far, peer = listener.accept()
    listener.close()
    far.settimeout(5)
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pairs[name] = (near, far, peer)
    return list(peer)


def talk(name, rounds):
    near, far, _ = pairs[name]
    for _ in range(rounds):
        near.send(b"x")
        far.recv(1)
        far.send(b"y")
        near.recv(1)


def close(name):
    near, far, _ = pairs.pop(name)
    near.shutdown(socket.SHUT_WR)
    far.recv(1)
    far.close()
    near.recv(1)
    near.close()


def reset(name):
    near, far, _ = pairs.pop(name)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    try:
        far.recv(1)
    except ConnectionResetError:
        pass
    far.close()


def udp(name, client, source, port, server, listen, target, target_port):
    far, near = within(server, socket.SOCK_DGRAM), within(client, socket.SOCK_DGRAM)
    far.bind((listen, target_port))
    near.bind((source, port))
    near.connect((target, target_port))
    near.send(b"x")
    _, peer = far.recvfrom(10)
    pairs[name] = (near, far, peer)
    return list(peer)


def answer(name, rounds=1):
    near, far, peer = pairs[name]
    for _ in range(rounds):
        far.sendto(b"y", tuple(peer))
        near.recv(10)
        near.send(b"x")
        far.recv(10)


def scan(client, source, target, ports):
    for port in ports:
        probe = within(client, socket.SOCK_STREAM)
        probe.settimeout(0.1)
        probe.bind((source, 0))
        try:
            probe.connect((target, port))
        except OSError:
            pass
        probe.close()


COMMANDS = {f.__name__: f for f in (tcp, talk, close, reset, udp, answer, scan)}
for line in sys.stdin:
    command, *arguments = json.loads(line)
    try:
        print(json.dumps({"result": COMMANDS[command](*arguments)}), flush=True)
    except Exception as error:  # the parent tells it with what it asked for
        print(json.dumps({"error": f"{line.strip()}: {error!r}"}), flush=True)
