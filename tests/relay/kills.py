"""A program that hands messages to relays that it kills with -9 at random moments between MAIL and the reply, and tries
again what was not answered, as a client does; what became of each try stands on stdout: number, reply or "-".

    python kills.py KILLS SEED
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time

from franking.relay import Relay

HEADER = "From: shop@example.cz\r\nTo: jana@example.com\r\nSubject: {n}\r\nMessage-ID: <{n}@example.cz>\r\n"
DATE = "Date: Sun, 29 Nov 2026 10:00:00 +0000\r\n\r\n"


def relay() -> tuple[int, int]:
    """Start one in a child; return its process and port."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with os.fdopen(reading) as told:
            return pid, int(told.readline())
    try:
        made = Relay("shop", wait=1)
        made.start()
        os.write(writing, f"{made.addresses[0][1]}\n".encode())
        os.close(writing)
        while True:
            time.sleep(60)
    finally:
        os._exit(1)


def text(number: int) -> bytes:
    body = ("x" * 70 + "\r\n") * (5_000 if number % 5 == 0 else 2)  # every fifth is a file of its own
    return (HEADER.format(n=number) + DATE + body + ".\r\n").encode()


def send(port: int, number: int, pid: int, moment: float | None) -> str:
    """Hand one message over; kill the relay so many seconds after MAIL. Return the reply to the data, or "-"."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        replies = sock.makefile("rb")
        replies.readline()
        began = time.monotonic()
        octets = b"MAIL FROM:<shop@example.cz>\r\nRCPT TO:<jana@example.com>\r\nDATA\r\n" + text(number)
        if moment is not None and os.fork() == 0:
            time.sleep(max(0.0, moment - (time.monotonic() - began)))
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        try:
            sock.sendall(octets)
            lines = [replies.readline() for _ in range(4)]
        except OSError:
            return "-"
    return lines[-1].decode().strip() or "-"


def main(kills: int, seed: int) -> None:
    chance = random.Random(seed)
    number, again = 0, False
    for _ in range(kills):
        pid, port = relay()
        killed = False
        for _ in range(4):  # a few that are answered, then the kill
            if not again:
                number += 1
            killed = chance.random() < 0.5
            said = send(port, number, pid, chance.expovariate(1 / 0.03) if killed else None)
            print(number, said, flush=True)
            again = said == "-"
            if killed:
                break
        if not killed:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main(*map(int, sys.argv[1:]))
