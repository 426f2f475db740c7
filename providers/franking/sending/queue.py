"""What leaves next, and when: new messages, those whose pause is over, the pace, the limit of the day. It opens no
session and sends nothing.

``bulk.py`` drives sessions with it; all workers of a run share one queue.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from franking.errors import ConnectError, Evidence, FrankingError, Throttled, exhausted
from franking.message.prepare import Prepared
from franking.provider import Receipt
from franking.sending.retry import Policy

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer
    from franking.sending.retry import Decision

__all__ = ["Job", "Limit", "Queue", "Run", "SendResult"]

MINUTE = 60.0
DAY = 86400.0
INTERRUPTIONS = (KeyboardInterrupt, SystemExit)  # Ctrl-C, or the exit that a handler of SIGTERM asks for
PATIENCE = 0.05  # seconds that a worker waits while another draws from a slow iterable, before it looks elsewhere

_NOT_BEGUN = "Interrupted before this message was begun."

_log = logging.getLogger("franking.bulk")


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one message.

    ``index`` counts from 0 in the order of the iterable. ``outcome``: ``accepted`` (see ``receipt``, also for refused
    recipients among accepted ones), ``refused`` (every recipient, for good), ``failed`` (surely not accepted, any other
    reason), ``unknown`` (it may have been accepted).
    """

    index: int
    message: Any
    outcome: str
    receipt: Receipt | None = None
    error: FrankingError | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One sending of many messages: the mailer that prepares messages and opens sessions, and the limits.

    ``rate`` is the most messages in any minute, ``per_day`` in any 24 hours of this run: further ones fail, for now.
    ``started`` is called with index and Message-ID before anything of a message leaves. ``wait`` sleeps for some
    seconds or until ``stop`` is set. ``stop`` ends the drawing of messages; those under way are finished, and those
    that wait for another attempt get the result of the last one.
    """

    mailer: Mailer
    connections: int = 1
    window: int = 1
    rate: float | None = None
    per_day: float | None = None
    policy: Policy = field(default_factory=Policy)
    started: Callable[[int, str], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], Any] | None = None
    chance: Callable[[], float] = SystemRandom().random


@dataclass(slots=True)
class Job:
    """One message on its way: what is still to be sent, and what was accepted or refused so far."""

    index: int
    message: Any
    prepared: Prepared
    attempt: int = 1
    receipt: Receipt | None = None
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    begun: bool = False  # a session has it
    since: int = -1  # the last session of the run that was open when one turned it away: it needs a later one


class Limit:
    """At most so many messages in any so many seconds; None means no limit. Whoever shares it locks it."""

    def __init__(self, most: float | None, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._taken: deque[float] = deque()

    @classmethod
    def per_minute(cls, rate: float | None) -> Limit:
        """Return the limit of a rate; one below 1 is one message in more than a minute."""
        if rate and rate < 1:
            return cls(1, MINUTE / rate)
        return cls(int(rate) if rate else None, MINUTE)

    def wait(self, now: float) -> float:
        """Return in how many seconds there is room for another message, 0 if now."""
        if self._most is None:
            return 0.0
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        if len(self._taken) < self._most:
            return 0.0
        return self._taken[0] + self._seconds - now

    def take(self, now: float) -> None:
        """Count a message."""
        if self._most is not None:
            self._taken.append(now)

    def give_back(self) -> None:
        """Count one message less: there was none."""
        if self._taken:
            self._taken.pop()


class Queue:
    """Hand out jobs to all workers: those whose pause is over first, then new ones; keep the pace. Safe to share
    between threads.
    """

    def __init__(self, run: Run, messages: Iterable[Any]) -> None:
        self._run = run
        self.source = iter(messages)
        self._index = count()
        self._ahead: deque[tuple[int, Any]] = deque()  # at most one message, drawn while the pace let none leave
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # apart: a slow iterable must not hold up the results of other connections
        self._paused: list[tuple[float, int, Decision]] = []
        self._order = count()
        self._pace = Limit.per_minute(run.rate)
        self._day = Limit(run.per_day, DAY)
        self._out = 0  # jobs that workers have
        self._exhausted = False
        self._not_before = 0.0
        self._successes = 0
        self._unprepared: deque[SendResult] = deque()
        self.allowed = run.connections  # how many connections the server seems to like
        self.fatal: FrankingError | None = None  # nothing can be sent any more
        self.halted = False
        self.sessions = 0  # how many were opened so far
        self.broken: BaseException | None = None  # raised when every result is out
        self.abandoned = False  # nobody reads results any more, or a worker died of a bug: all workers end

    @property
    def stopping(self) -> bool:
        """Return whether nothing new is begun any more."""
        return self.halted or self.abandoned or self._run.stop.is_set()

    def halt(self, problem: BaseException) -> None:
        """End the run of the only worker because of an interruption, which is raised when every result is out."""
        self._exhausted = self.halted = True
        self.broken = self.broken or problem

    def draw(self, session: float = math.inf) -> Job | None:
        """Return the next job that may leave now on the ``session`` of that number, or None.

        Then ``delay`` says how long to wait, and ``done`` whether it is all over.
        """
        with self._lock:
            now = self._run.clock()
            if self.abandoned or now < self._not_before or self._pace.wait(now) > 0:
                return None
            job = None
            if self._paused and self._paused[0][0] <= now:
                job = self._paused[0][2].following
                if job is not None and job.since >= session:
                    return None
                heapq.heappop(self._paused)
            elif (self._exhausted and not self._ahead) or self.stopping:
                return None
            self._out += 1  # before one is drawn, so that others do not take the same place
            self._pace.take(now)
        if job is None:
            job = self._new(now)
        if job is None:
            with self._lock:
                self._out -= 1
                self._pace.give_back()
        return job

    def look_ahead(self) -> None:
        """Draw the next message while the pace lets none leave, so that a run with no further one ends at once."""
        with self._lock:
            early = not (self._ahead or self._paused) and self._pace.wait(self._run.clock()) > 0
        if early and (drawn := self._next(wait=0)) is not None:
            self._ahead.append(drawn)

    def _next(self, wait: float) -> tuple[int, Any] | None:
        """Draw a message from the caller's iterable, if no other worker does for longer than ``wait``."""
        if not self._drawing.acquire(timeout=wait):
            return None
        try:
            if self._ahead:
                return self._ahead.popleft()
            if self._exhausted or self.stopping:
                return None
            message = next(self.source)
            return next(self._index), message
        except StopIteration:
            self._exhausted = True
        except INTERRUPTIONS as interruption:
            self.halt(interruption)
        except Exception as problem:  # noqa: BLE001  (the iterable is the caller's; its error goes back to them)
            self._exhausted, self.broken = True, problem  # what is under way is finished first
        finally:
            self._drawing.release()
        return None

    def _new(self, now: float) -> Job | None:
        drawn = self._next(PATIENCE)
        if drawn is None:
            return None
        index, message = drawn
        try:
            prepared = self._run.mailer.prepare(message)
            if self._run.per_day is not None:
                self._count_for_the_day(now)
            return Job(index, message, prepared)
        except INTERRUPTIONS as interruption:
            self.halt(interruption)
            failure: FrankingError = ConnectError(_NOT_BEGUN)
        except (FrankingError, MemoryError, OSError, RuntimeError) as problem:
            error = exhausted(problem) or problem
            if not isinstance(error, FrankingError):
                raise
            failure = error
        self._unprepared.append(self._failed(index, message, failure))
        return None

    def _failed(self, index: int, message: Any, failure: FrankingError) -> SendResult:
        self._run.mailer.explain(failure)
        return SendResult(index, message, "failed", None, failure)

    def _count_for_the_day(self, now: float) -> None:
        """Count a message of today; raise ``Throttled`` for one too many."""
        with self._lock:
            wait = self._day.wait(now)
            if not wait:
                self._day.take(now)
                return
        raise Throttled(
            f"The day's limit of {self._run.per_day:,.0f} messages is reached; it was not sent. "
            f"The next can go in {wait / 3600:.1f} hours.",
            retry_after=wait,
            evidence=Evidence("limit", reason="per-day", details={"limit": self._run.per_day}),
        )

    def opened(self) -> int:
        """Count a session that was opened; return its number, from 1 on."""
        with self._lock:
            self.sessions += 1
            return self.sessions

    def given_up(self) -> Decision | None:
        """Return what would have been tried again later, when the run is stopping: it has had its last attempt."""
        with self._lock:
            if not self._paused or not self.stopping:
                return None
            self._out += 1
            return heapq.heappop(self._paused)[2]

    def unprepared(self) -> SendResult | None:
        """Return the result of a message that did not get as far as a job."""
        with suppress(IndexError):
            return self._unprepared.popleft()
        if self.stopping and not self.abandoned:
            with suppress(IndexError):
                return self._failed(*self._ahead.popleft(), ConnectError(_NOT_BEGUN))
        return None

    def delay(self) -> float:
        """Return how long it makes sense to wait before drawing again, in seconds."""
        with self._lock:
            now = self._run.clock()
            waits = [self._not_before - now, self._pace.wait(now)]
            if self._paused and self._exhausted:
                waits.append(self._paused[0][0] - now)
            return max(0.0, *waits)

    def done(self) -> bool:
        """Return whether nothing is left to draw and nothing is under way."""
        with self._lock:
            waiting = self._paused or self._unprepared or self._ahead
            ended = (self._exhausted or self.stopping) and not waiting
            return self.abandoned or (ended and (self.halted or not self._out))

    def settled(self, *, success: bool = False) -> None:
        """Take note that a drawn job has got its result."""
        with self._lock:
            self._out -= 1
            self._successes += success
            if success and self._successes % 50 == 0 and self.allowed < self._run.connections:
                self.allowed += 1  # it has gone well for a while: one more connection at a time

    def again(self, decision: Decision) -> None:
        """Take a drawn job back, as it follows after a pause."""
        with self._lock:
            self._out -= 1
            heapq.heappush(self._paused, (self._run.clock() + decision.pause, next(self._order), decision))

    def slow_down(self, pause: float) -> None:
        """Hold everything for a while, and use half as many connections: the server wants less."""
        with self._lock:
            self._not_before = max(self._not_before, self._run.clock() + pause)
            self.allowed = max(1, self.allowed // 2)
        _log.info(
            "The server wants less: nothing is sent for %.0f s, then over at most %d connections.", pause, self.allowed
        )

    def close(self) -> None:
        """Draw no more."""
        self._exhausted = True  # without the lock: in a forked child a thread of the parent may hold it for ever
