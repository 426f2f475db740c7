"""Questions to DNS for one check: each is asked once, those that need not wait for one another at once, all under one
deadline. What the answers mean is not known here.

A resolver with several name servers is asked one by one: the next a moment later where the first says nothing, so that
a dead one costs that moment once and not its time-out each time. dnspython is imported by the first question.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any

from franking.discovery.input import host_name
from franking.discovery.lookup import Resolver

__all__ = ["LIMIT", "Answer", "Questions"]

LIMIT = 30
"""Distinct questions in one check: a record of somebody else decides how many there could be."""

HEAD_START = 0.3
"""Seconds until the next name server is asked too; one that lives answers within a tenth of them."""

Question = tuple[str, str]
"""A name and a record type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS holds for one question, or the ``problem``: ``none`` (no such record), ``no-domain`` (no such name),
    ``failed`` and ``timeout`` (nobody knows), ``unasked`` (one question too many).

    ``values`` are texts (TXT), addresses (A, AAAA) or host names, the best first (MX; empty for a null MX).
    """

    values: tuple[str, ...] = ()
    problem: str = ""

    @property
    def void(self) -> bool:
        """Return whether it is certain that there is nothing."""
        return self.problem in ("none", "no-domain")

    @property
    def unknown(self) -> bool:
        """Return whether nobody knows what there is."""
        return self.problem in ("failed", "timeout", "unasked")


class Questions:
    """Ask DNS for at most ``timeout`` seconds altogether, and at most ``limit`` distinct questions."""

    def __init__(
        self,
        resolver: Callable[[], Resolver],
        *,
        timeout: float,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._limit = clock, limit
        self._deadline = clock() + timeout
        self._answers: dict[Question, Answer] = {}
        self._lanes = list(_lanes(resolver))

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names that nobody gave an answer for, in the order in which they were asked."""
        return tuple(dict.fromkeys(name for (name, _), answer in self._answers.items() if answer.unknown))

    def ask(self, *questions: Question) -> list[Answer]:
        """Return the answer to each question; those that were asked before are not asked again."""
        new = [question for question in dict.fromkeys(questions) if question not in self._answers]
        room = max(0, self._limit - len(self._answers))
        self._answers |= self._asked(new[:room])
        return [self._answers.get(question, Answer(problem="unasked")) for question in questions]

    def texts(self, *names: str) -> list[Answer]:
        """Return the TXT records of each name."""
        return self.ask(*((name, "TXT") for name in names))

    def _asked(self, questions: list[Question]) -> dict[Question, Answer]:
        from queue import Empty, SimpleQueue

        done: SimpleQueue[tuple[int, Question, Answer | Exception]] = SimpleQueue()
        found: dict[Question, Answer] = {}
        failed = dict.fromkeys(questions, Answer(problem="timeout"))
        quickest: int | None = None
        running = 0
        for lane, resolver in enumerate(self._lanes):
            missing = [question for question in questions if question not in found]
            if not missing:
                break
            for question in missing:
                work = (done, lane, resolver, question, self._deadline - self._clock())
                with suppress(RuntimeError, OSError, MemoryError):  # no room for another thread
                    threading.Thread(target=_run, args=work, name="franking domain check", daemon=True).start()
                    running += 1
            until = self._deadline
            if lane + 1 < len(self._lanes):
                until = min(until, self._clock() + HEAD_START)
            while running and len(found) < len(questions):
                try:
                    by, question, answer = done.get(timeout=max(0.0, until - self._clock()))
                except Empty:
                    break
                running -= 1
                if isinstance(answer, Exception):
                    raise answer
                if answer.unknown:
                    failed[question] = answer
                    continue
                found.setdefault(question, answer)
                quickest = by if quickest is None else quickest
        if quickest:  # who answered is asked first from now on
            self._lanes.insert(0, self._lanes.pop(quickest))
        return failed | found


def _lanes(resolver: Callable[[], Resolver]) -> Iterator[Resolver]:
    """Return a resolver for each name server, in their order; what cannot be taken apart is one."""
    import dns.exception
    import dns.resolver

    try:
        made = resolver()
    except (dns.exception.DNSException, OSError):  # no settings of a resolver on this computer
        return
    servers = made.nameservers if isinstance(made, dns.resolver.Resolver) else ()
    if len(servers) < 2:
        yield made
        return
    for server in servers:
        lane = copy(made)
        assert isinstance(lane, dns.resolver.Resolver)
        lane.nameservers = [server]
        yield lane


def _run(done: Any, lane: int, resolver: Resolver, question: Question, seconds: float) -> None:
    try:
        done.put((lane, question, _answer(resolver, *question, seconds)))
    except Exception as mistake:  # noqa: BLE001  (carried to the thread that asked)
        done.put((lane, question, mistake))


def _answer(resolver: Resolver, name: str, kind: str, seconds: float) -> Answer:
    import dns.exception
    import dns.resolver

    if seconds <= 0:
        return Answer(problem="timeout")
    try:
        records = list(resolver.resolve(f"{name}.", kind, lifetime=seconds, search=False))
    except dns.resolver.NXDOMAIN:
        return Answer(problem="no-domain")
    except dns.resolver.NoAnswer:
        return Answer(problem="none")
    except dns.exception.Timeout:
        return Answer(problem="timeout")
    except (dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.NameTooLong):
        return Answer(problem="no-domain")  # what a record names, and no name can be
    # SERVFAIL, loops, answers that make no sense, no network
    except (dns.exception.DNSException, OSError, ValueError):
        return Answer(problem="failed")
    values = tuple(_read(records, kind))
    return Answer(values, "" if values else "none")


def _read(records: Iterable[Any], kind: str) -> Iterator[str]:
    if kind == "TXT":
        for record in records:
            yield b"".join(record.strings).decode("utf-8", "replace")
    elif kind == "MX":
        for record in sorted(records, key=lambda record: record.preference):
            name = record.exchange.to_text(omit_final_dot=True)
            yield "" if name in (".", "@", "") else (host_name(name) or (name.lower(),))[0]
    else:
        for record in records:
            yield record.to_text()
