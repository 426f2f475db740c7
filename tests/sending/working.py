"""A worker of a task queue, as a program that a test kills, stops and watches. It tells on stdout what it does, a line
each.

    python working.py STORE PORT ACT …

    deliver KEY POINT      deliver one message, and die at a point: claimed, starting, started, accepted, told, or none
    take LIMIT NUMBER      ask for so many turns of a mailbox that may send LIMIT a minute
    hold TIMES             open one of three connections and close it again, so many times
    lines                  send a message for each line on stdin by one mailer with one connection, leased for a second
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import franking
from franking.errors import FrankingError
from franking.provider import RouteFacts
from franking.sending import postgres_limits, redis_limits
from franking.sending.once import deliver_once
from franking.sending.shared_stores import limits_at, open_journal

POINTS = ("claimed", "starting", "started", "accepted", "told")


def account(port: str, **more: Any) -> franking.Account:
    settings = {"host": "127.0.0.1", "port": int(port), "security": "none", **more}
    return franking.Account(name="s", provider="smtp", sender="jan@example.com", **settings)


def letter(text: str) -> franking.Message:
    return franking.Message(to=["r@example.com"], subject=text, text=text)


def say(*words: object) -> None:
    print(*words, flush=True)


def dying(journal: Any, point: str) -> Any:
    """Let this process end, without a word, at a point of a delivery."""

    class Dying(type(journal)):  # type: ignore[misc]
        def claim(self, *args: Any) -> Any:
            answer = super().claim(*args)
            self.at("claimed")
            return answer

        def started(self, claim: Any) -> bool:
            self.at("starting")
            done = super().started(claim)
            self.at("started")
            return bool(done)

        def finish(self, *args: Any) -> bool:
            self.at("accepted")
            done = super().finish(*args)
            self.at("told")
            return bool(done)

        def say(self, claim: Any, outcome: Any) -> Any:
            if not hasattr(super(), "say"):
                return None
            self.at("accepted")
            answer = super().say(claim, outcome)
            if answer is not None and point == "told":
                answer()
                self.at("told")
            return answer

        def at(self, here: str) -> None:
            if here == point:
                say("dies", here)
                os._exit(9)

    journal.__class__ = Dying
    return journal


def deliver(store: str, port: str, key: str, point: str) -> None:
    journal = dying(open_journal({"FRANKING_STORE": store}), point)
    told = deliver_once(account(port), letter(key), key=key, journal=journal)
    time.sleep(30 if point != "none" else 0)  # it dies in another thread
    say(told["outcome"])


def leave(store: str, port: str, key: str) -> None:
    """Send by a mailer of one's own, and end as RQ ends the process of a job."""
    journal: Any = open_journal({"FRANKING_STORE": store})

    class Slow(type(journal)):  # type: ignore[misc]
        def finish(self, *args: Any) -> bool:
            time.sleep(0.5)
            return bool(super().finish(*args))

        def say(self, *args: Any) -> None:
            """Have the thread tell it."""

    journal.__class__ = Slow
    with franking.connect(account(port)) as mailer:
        deliver_once(mailer, letter(key), key=key, journal=journal)
    os._exit(0)


def take(store: str, port: str, limit: str, number: str) -> None:
    place, facts = limits_at(store, {}), RouteFacts("x", per_minute=float(limit))
    place.take("warm", facts, 1)
    say("ready")
    sys.stdin.readline()
    for _ in range(int(number)):
        turn = place.take("box", facts, 1)
        say(turn.limit or "taken", f"{turn.at:.6f}")
        if turn.limit == "retry-after":
            return


def hold(store: str, port: str, times: str) -> None:
    place = limits_at(store, {})
    say("ready")
    sys.stdin.readline()
    for _ in range(int(times)):
        while (slot := place.connection("box", 3)) is None:
            time.sleep(0.01)
        since = time.monotonic()
        time.sleep(0.01)
        say("held", f"{since:.6f}", f"{time.monotonic():.6f}")
        slot.release()


def lines(store: str, port: str) -> None:
    redis_limits.SLOT_SECONDS = postgres_limits.SLOT_SECONDS = 1.0
    place: Any = limits_at(store, {})
    place.lease = 1.0
    with franking.connect(account(port, max_connections=1, timeout=60), limits=place) as mailer:
        say("ready")
        for line in sys.stdin:
            try:
                say(mailer.send(letter(line.strip())).reply)
            except FrankingError as error:
                say("failed", error)


ACTS = {"deliver": deliver, "leave": leave, "take": take, "hold": hold, "lines": lines}

if __name__ == "__main__":
    _, where, server, act, *rest = sys.argv
    ACTS[act](where, server, *rest)
