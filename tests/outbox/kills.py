"""A program that puts messages into an outbox and delivers them in children, and kills those with -9 at moments that
are spread over putting, delivering and settling. What ``queue`` returned for stands on stdout, a line each, and behind
``!`` what each killed one was just doing.

    python kills.py KILLS RUNNERS WINDOW SEED SPEED

The runners' clock goes SPEED times as fast, so that the pauses of a message or an account are over in no time.
"""

from __future__ import annotations

import importlib
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

EACH = 3  # messages that a child puts down, if it lives: a window of them, where that is more
PUTTERS = 2
PLACE = 64  # octets for what each child is doing
PATIENCE = 1.0  # seconds: there may be nothing to deliver
WANTED = ("run open", "run greet", "run message", "run message", "run accepted", "run accepted", "run rest")
"""What a runner is to be doing when it is killed, or a little later."""

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


SDKS = {
    "gmail": ("google_auth_oauthlib.flow", "googleapiclient.http", "franking.gmail.send", "franking.gmail.client"),
    "outlook": ("msal", "requests", "franking.outlook.send", "franking.outlook.client"),
}
"""What sending imports: a child must not spend its short life with that."""


class Children:
    """Who puts and who delivers; each says in memory that all share what it is doing."""

    def __init__(self, runners: int, window: int, speed: int) -> None:
        self.runners, self._window, self._speed = runners, window, speed
        self._each = max(EACH, window)
        self._starts = count(0, self._each)
        self._doing = mmap.mmap(-1, PLACE * (runners + PUTTERS))
        self._pids = [self._begin(place) for place in range(runners + PUTTERS)]

    def doing(self, place: int) -> str:
        return self._doing[place * PLACE : (place + 1) * PLACE].decode().strip("\0 ") or "fork"

    def kill(self, place: int) -> None:
        """Kill one, and let another begin in its place."""
        os.kill(self._pids[place], signal.SIGKILL)
        status, what = os.waitpid(self._pids[place], 0)[1], self.doing(place)
        self._pids[place] = self._begin(place)
        if os.WIFSIGNALED(status):
            os.write(1, f"! {what}\n".encode())
        else:  # one that had put all its messages down; a runner never ends, and nobody ends with an error
            assert place >= self.runners and status == 0, (what, status)

    def end(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _begin(self, place: int) -> int:
        self._does(place, "fork")
        if place < self.runners:
            return child(lambda: self._deliver(place))
        start = next(self._starts)
        return child(lambda: self._put(place, start))

    def _does(self, place: int, what: str) -> None:
        self._doing[place * PLACE : (place + 1) * PLACE] = what.encode()[:PLACE].ljust(PLACE)

    def _put(self, place: int, start: int) -> None:
        mailer = franking.connect("shop")
        for number in range(start, start + self._each):
            self._does(place, f"put {(number - start) % EACH}")
            text = ("x" * 70 + "\n") * (5_000 if number % 5 == 0 else 2)  # every fifth is a file of its own
            message = franking.Message(to=f"m{number}@example.com", subject=f"k{number}", text=text)
            entry = mailer.queue(message, key=f"k{number}")
            os.write(1, f"{entry.id} {number}\n".encode())
        self._does(place, "put all")

    def _deliver(self, place: int) -> None:
        self._does(place, "run open")
        box = franking.Outbox(clock=lambda: BEGAN + (time.time() - BEGAN) * self._speed)
        box.run(
            window=self._window,
            observer=lambda entry, step: self._does(place, f"run {step.name} {step.status}"),
            attempted=lambda entry: self._does(place, "run rest"),
        )


def main(kills: int, runners: int, window: int, seed: int, speed: int) -> None:
    chance = random.Random(seed)
    for name in SDKS.get(load().account("shop").provider, ()):
        importlib.import_module(name)
    children = Children(runners, window, speed)
    try:
        spread(children, kills, chance)
    finally:
        children.end()


def spread(children: Children, kills: int, chance: random.Random) -> None:
    """Kill one after the other, each while it does something else."""
    runners = children.runners
    for _ in range(kills):
        if chance.random() < 0.4:
            places = [runners + chance.randrange(PUTTERS)]
            wanted = f"put {chance.randrange(EACH)}"
            if children.doing(places[0]) == "put all":
                children.kill(places[0])
        else:
            places, wanted = list(range(runners)), chance.choice(WANTED)
            chance.shuffle(places)
        until, found = time.monotonic() + PATIENCE, list[int]()
        while not found and time.monotonic() < until:
            time.sleep(0.0005)
            found = [place for place in places if children.doing(place).startswith(wanted)]
        time.sleep(chance.expovariate(1 / 0.003))
        children.kill((found or places)[0])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
