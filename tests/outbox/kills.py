"""A program that puts messages into an outbox and delivers them in children that it kills with -9 at random moments;
what ``queue`` returned for stands on stdout, a line each.

    python kills.py KILLS RUNNERS SEED
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import count

import franking
import franking.outbox.runner  # warm: a child begins at once
import franking.smtp.session

EACH = 4  # messages that a child puts down, if it lives


def child(act: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
    finally:
        os._exit(0)


def put(start: int) -> None:
    mailer = franking.connect("shop")
    for number in range(start, start + EACH):
        text = ("x" * 70 + "\n") * (5_000 if number % 5 == 0 else 2)  # every fifth is a file of its own
        entry = mailer.queue(franking.Message(to=f"m{number}@example.com", text=text), key=f"k{number}")
        os.write(1, f"{entry.id} {number}\n".encode())


def deliver() -> None:
    franking.Outbox().run()


def main(kills: int, runners: int, seed: int) -> None:
    chance = random.Random(seed)
    starts = count(0, EACH)

    def putter() -> int:
        start = next(starts)
        return child(lambda: put(start))

    alive = [child(deliver) for _ in range(runners)] + [putter(), putter()]
    for _ in range(kills):
        time.sleep(chance.expovariate(1 / 0.04))
        place = chance.randrange(len(alive))
        os.kill(alive[place], signal.SIGKILL)
        os.waitpid(alive[place], 0)
        alive[place] = child(deliver) if place < runners else putter()
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
