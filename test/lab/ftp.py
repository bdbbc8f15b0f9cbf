"""FTP in active mode, where the server connects back to the client: only a helper in the NAT makes that work.

ftp.py serve ADDRESS       answers one client after the other, port 21
ftp.py fetch ADDRESS       logs in, fetches the one file; prints its SHA-256
"""

import ftplib
import hashlib
import random
import socket
import sys

CONTENT = random.Random(7).randbytes(3_000_000)


def serve(address):
    with socket.create_server((address, 21)) as listener:
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            with client:
                talk(client, address)


def talk(client, address):
    say = lambda text: client.sendall(text.encode() + b"\r\n")
    target = None
    say("220 ready")
    for line in client.makefile("r", newline="\r\n"):
        command, _, argument = line.strip().partition(" ")
        match command.upper():
            case "USER":
                say("331 password, please")
            case "PASS" | "TYPE":
                say("230 fine")
            case "PORT":
                numbers = [int(each) for each in argument.split(",")]
                target = (".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5])
                say("200 fine")
            case "RETR" if target is not None:
                say("150 here it comes")
                # From port 20: what a helper expects.
                with socket.socket() as data:
                    data.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    data.bind((address, 20))
                    data.settimeout(5)
                    data.connect(target)
                    data.sendall(CONTENT)
                say("226 done")
            case "QUIT":
                say("221 bye")
                return
            case _:
                say("502 no such thing")


def fetch(address):
    digest = hashlib.sha256()
    with ftplib.FTP(address, "user", "word", timeout=10) as ftp:
        ftp.set_pasv(False)
        ftp.retrbinary("RETR file", digest.update)
    print(digest.hexdigest())


if __name__ == "__main__":
    {"serve": serve, "fetch": fetch}[sys.argv[1]](sys.argv[2])
