"""What is drawn next, and when: new messages, those whose pause is over, the pace, the limit of the day. It opens no
session and sends nothing.

``bulk.py`` drives sessions with it; all workers of a run share one feed.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from typing import Any

from franking.errors import ConnectError, Evidence, FrankingError, Throttled
from franking.message.prepare import Prepared
from franking.provider import Receipt, Session
from franking.sending.retry import Policy

__all__ = ["Feed", "Job", "Road", "SendResult"]

MINUTE = 60.0
DAY = 86400.0
INTERRUPTIONS = (KeyboardInterrupt, SystemExit)  # Ctrl-C, or the exit that a handler of SIGTERM asks for
# seconds that a worker waits while another draws from a slow iterable, before it looks for something else to do
PATIENCE = 0.05

_log = logging.getLogger("franking.bulk")


@dataclass(frozen=True, slots=True)
class SendResult:
    """Return what became of one message.

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
class Road:
    """What bulk is handed: how to prepare a message, open a session, renew a refused token, and explain an error; and
    the limits.

    ``rate`` is the most messages in any minute, ``per_day`` in any 24 hours of this run: further ones fail, for now.
    ``started`` is called with index and Message-ID before anything of a message leaves. ``wait`` sleeps for some
    seconds or until ``stop`` is set. ``stop`` ends the drawing of messages; those under way are finished, and those
    that wait for another attempt get the result of the last one.
    """

    prepare: Callable[[Any], Prepared]
    open: Callable[[], Session]
    give_back: Callable[[Session, bool], None]
    renew: Callable[[], None]
    explain: Callable[[FrankingError], Any]
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
    """One message on its way: what is still to be sent, what was accepted or refused for good so far, and why it waits
    (``error``).
    """

    index: int
    message: Any
    prepared: Prepared
    attempt: int = 1
    receipt: Receipt | None = None
    refused: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    error: FrankingError | None = None
    begun: bool = False  # a session has it


class Feed:
    """Give out jobs to all workers: those whose pause is over first, then new ones; keeps the pace. Safe to share
    between threads.
    """

    def __init__(self, road: Road, messages: Iterable[Any]) -> None:
        self._road = road
        self.source = iter(messages)
        self._index = count()
        self._lock = threading.Lock()
        # apart from the other: a slow iterable must not hold up the results of other connections
        self._drawing = threading.Lock()
        self._paused: list[tuple[float, int, Job]] = []
        self._order = count()
        self._recent: deque[float] = deque()
        self._today: deque[float] = deque()
        self._out = 0
        self._exhausted = False
        self.halted = False
        self._not_before = 0.0
        self._successes = 0
        self.allowed = road.connections
        self.fatal: FrankingError | None = None
        self.broken: BaseException | None = None
        self.abandoned = False  # nobody reads results any more, or a worker died of a bug: all workers end
        self._unprepared: deque[SendResult] = deque()

    @property
    def stopping(self) -> bool:
        """Return whether nothing new is begun any more."""
        return self.halted or self.abandoned or self._road.stop.is_set()

    def halt(self, problem: BaseException) -> None:
        """End the run of the only worker because of an interruption, which is raised when every result is out."""
        self._exhausted = self.halted = True
        self.broken = self.broken or problem

    def draw(self) -> Job | None:
        """Return the next job that may leave now, or None: then ``delay`` says how long to wait, and ``done`` whether it
        is all over.
        """
        with self._lock:
            now = self._road.clock()
            if self.abandoned or now < self._not_before or self._pace(now) > 0:
                return None
            if self._paused and self._paused[0][0] <= now:
                job = heapq.heappop(self._paused)[2]
                self._count(now)
                return job
            if self._exhausted or self.stopping:
                return None
            self._count(now)  # before it is drawn, so that others do not take the same place
        drawn = self._new(now)
        if drawn is None:
            with self._lock:
                self._out -= 1
                if self._recent:
                    self._recent.pop()
        return drawn

    def _count(self, now: float) -> None:
        self._out += 1
        if self._road.rate:
            self._recent.append(now)

    def _new(self, now: float) -> Job | None:
        if not self._drawing.acquire(timeout=PATIENCE):
            return None
        try:
            if self._exhausted or self.stopping:
                return None
            message = next(self.source)
            index = next(self._index)
        except StopIteration:
            self._exhausted = True
            return None
        except INTERRUPTIONS as interruption:
            self.halt(interruption)
            return None
        except Exception as problem:  # noqa: BLE001  (the iterable is the caller's; its error goes back to them)
            # the iterable failed: finish what is under way, then let it through
            self._exhausted, self.broken = True, problem
            return None
        finally:
            self._drawing.release()
        try:
            prepared = self._road.prepare(message)
            if self._road.per_day:
                self._day(now, self._road.per_day)
            return Job(index, message, prepared)
        except INTERRUPTIONS as interruption:
            self.halt(interruption)
            failure: FrankingError = ConnectError("Interrupted before this message was begun.")
        except FrankingError as error:
            failure = error
        self._road.explain(failure)
        self._unprepared.append(SendResult(index, message, "failed", None, failure))
        return None

    def _day(self, now: float, most: float) -> None:
        """Count a message of today; raise ``Throttled`` for one too many."""
        with self._lock:
            while self._today and self._today[0] <= now - DAY:
                self._today.popleft()
            if len(self._today) < most:
                self._today.append(now)
                return
            wait = self._today[0] + DAY - now
        raise Throttled(
            f"The day's limit of {most:,.0f} messages is reached; it was not sent. The next can go in {wait / 3600:.1f} hours.",
            retry_after=wait,
            evidence=Evidence("limit", reason="per-day", details={"limit": most}),
        )

    def given_up(self) -> Job | None:
        """Return a job that was to be tried again later, when the run is stopping: it has had its last attempt."""
        with self._lock:
            if not self._paused or not self.stopping:
                return None
            self._out += 1
            return heapq.heappop(self._paused)[2]

    def unprepared(self) -> SendResult | None:
        """Return the result of a message that did not get as far as a job."""
        try:
            return self._unprepared.popleft()
        except IndexError:
            return None

    def _pace(self, now: float) -> float:
        rate = self._road.rate
        if not rate or not self._recent:
            return 0.0
        while self._recent and self._recent[0] <= now - MINUTE:
            self._recent.popleft()
        if rate < 1:
            return max(0.0, self._recent[-1] + MINUTE / rate - now)
        return 0.0 if len(self._recent) < int(rate) else self._recent[0] + MINUTE - now

    def delay(self) -> float:
        """Return how long it makes sense to wait before drawing again, in seconds."""
        with self._lock:
            now = self._road.clock()
            waits = [self._not_before - now, self._pace(now)]
            if self._paused and self._exhausted:
                waits.append(self._paused[0][0] - now)
            return max(0.0, *waits)

    def done(self) -> bool:
        """Return whether nothing is left to draw and nothing is under way."""
        with self._lock:
            ended = (self._exhausted or self.stopping) and not self._paused and not self._unprepared
            return self.abandoned or (ended and (self.halted or not self._out))

    def settled(self, *, success: bool = False) -> None:
        """Take note that a drawn job has got its result."""
        with self._lock:
            self._out -= 1
            self._successes += success
            if success and self._successes % 50 == 0 and self.allowed < self._road.connections:
                self.allowed += 1  # it has gone well for a while: one more connection at a time

    def again(self, job: Job, pause: float, error: FrankingError | None) -> None:
        """Put a drawn job back, to be drawn after a pause; ``error`` is what its last attempt met with."""
        job.error = error
        with self._lock:
            self._out -= 1
            heapq.heappush(self._paused, (self._road.clock() + pause, next(self._order), job))

    def slow_down(self, pause: float) -> None:
        """Hold everything for a while, and use half as many connections: the server wants less."""
        with self._lock:
            self._not_before = max(self._not_before, self._road.clock() + pause)
            self.allowed = max(1, self.allowed // 2)
        _log.info(
            "The server wants less: nothing is sent for %.0f s, then over at most %d connections.", pause, self.allowed
        )

    def close(self) -> None:
        """Let the iterable go, where it can be closed."""
        self._exhausted = True  # without the lock: in a forked child a thread of the parent may hold it for ever
