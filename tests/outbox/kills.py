"""A program that puts messages into an outbox and delivers them in children that it kills with -9 at random moments;
what ``queue`` returned for stands on stdout, a line each, and behind ``!`` what each killed one was just doing.

    python kills.py KILLS RUNNERS SEED SPEED

The runners' clock goes SPEED times as fast, so that the pauses of a message or an account are over in no time.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count

import franking
import franking.outbox.runner  # warm: a child begins at once
import franking.smtp.session
from franking.account.config import load

EACH = 4  # messages that a child puts down, if it lives
PLACE = 64  # octets for what each child is doing
BEGAN = time.time()


def child(act: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def warm(account: franking.Account) -> None:
    """Import what sending needs."""
    if account.provider == "gmail":
        import google_auth_oauthlib.flow
        import googleapiclient.http

        import franking.gmail.send  # noqa: F401
    elif account.provider == "outlook":
        import msal

        import franking.outlook.send  # noqa: F401


def main(kills: int, runners: int, seed: int, speed: int) -> None:
    chance, starts = random.Random(seed), count(0, EACH)
    doing = mmap.mmap(-1, PLACE * (runners + 2))
    warm(load().account("shop"))

    def does(place: int, what: str) -> None:
        doing[place * PLACE : (place + 1) * PLACE] = what.encode()[:PLACE].ljust(PLACE)

    def put(place: int, start: int) -> None:
        does(place, "put open")
        mailer = franking.connect("shop")
        for number in range(start, start + EACH):
            does(place, f"put {number}")
            text = ("x" * 70 + "\n") * (5_000 if number % 5 == 0 else 2)  # every fifth is a file of its own
            message = franking.Message(to=f"m{number}@example.com", subject=f"k{number}", text=text)
            entry = mailer.queue(message, key=f"k{number}")
            os.write(1, f"{entry.id} {number}\n".encode())

    def deliver(place: int) -> None:
        does(place, "run open")
        box = franking.Outbox(clock=lambda: BEGAN + (time.time() - BEGAN) * speed)
        box.run(
            observer=lambda entry, step: does(place, f"run {step.name} {step.status} {entry.id}"),
            attempted=lambda entry: does(place, "run rest"),
        )

    def begin(place: int) -> int:
        if place < runners:
            return child(lambda: deliver(place))
        start = next(starts)
        return child(lambda: put(place, start))

    alive = [begin(place) for place in range(runners + 2)]
    for done in range(kills + len(alive)):
        place = done - kills
        if place < 0:
            time.sleep(chance.expovariate(1 / 0.04))
            place = chance.randrange(len(alive))
        os.kill(alive[place], signal.SIGKILL)
        status = os.waitpid(alive[place], 0)[1]
        what = doing[place * PLACE : (place + 1) * PLACE].decode().strip("\0 ") or "fork"
        if os.WIFSIGNALED(status):
            os.write(1, f"! {what}\n".encode())
        else:  # one that had put all its messages down; a runner never ends, and nobody ends with an error
            assert place >= runners and status == 0, (what, status)
        if done < kills:
            alive[place] = begin(place)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
