"""What leaves next, and when: new messages, those whose pause is over, the pace, the limit of the day. It opens no
session and sends nothing.

A ``worker.py`` drives sessions with it; all workers of a run share one queue.
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
from dataclasses import dataclass, field, replace
from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from franking.errors import ConnectError, Evidence, FrankingError, Throttled, exhausted
from franking.message.prepare import Prepared
from franking.provider import Receipt
from franking.sending.counts import Turn
from franking.sending.retry import Decision, Policy, ended
from franking.sending.source import INTERRUPTIONS, Source

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer
    from franking.sending.turns import Turns

__all__ = ["Job", "Limit", "Queue", "Run", "SendResult", "accepted"]

MINUTE = 60.0
DAY = 86400.0
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


class _Draft:
    """A result that is being written: a frozen value writes each of its attributes by a call, which takes four times as
    long. Its slots are the result's own, so that it can become one.
    """

    __slots__ = ("error", "index", "message", "outcome", "receipt")


def accepted(index: int, message: Any, receipt: Receipt) -> SendResult:
    """Make the result of a message that was accepted: as ``SendResult`` does, in half the time."""
    draft: Any = _Draft()
    draft.index, draft.message, draft.outcome, draft.receipt, draft.error = index, message, "accepted", receipt, None
    draft.__class__ = SendResult
    made: SendResult = draft
    return made


@dataclass(frozen=True, slots=True)
class Run:
    """One sending of many messages: the mailer that prepares messages and opens sessions, and the limits.

    ``rate`` is the most messages in any minute, ``per_day`` in any 24 hours of this run: further ones fail, for now.
    ``turns`` is what the mailbox may do, all programs together. ``started`` is called with index and Message-ID before
    anything of a message leaves. ``wait`` sleeps for some seconds or until ``stop`` is set. ``stop`` ends the drawing
    of messages; those under way are finished, and those that wait for another attempt get the result of the last one.
    ``prepare`` is the mailer's, where none is given.
    """

    mailer: Mailer
    connections: int = 1
    window: int = 1
    rate: float | None = None
    per_day: float | None = None
    turns: Turns | None = None
    policy: Policy = field(default_factory=Policy)
    started: Callable[[int, str], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], Any] | None = None
    chance: Callable[[], float] = SystemRandom().random
    prepare: Callable[[Any], Prepared] | None = None


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
    turn: Turn | None = None  # its place among what the mailbox may send
    answered: bool = False  # a server has answered to a recipient or to the message
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

    def __init__(self, run: Run, source: Source) -> None:
        self._run = run
        self.source = source
        self.policy = run.policy
        self._prepare = run.prepare or run.mailer.prepare
        self._lock = threading.Lock()
        self._paused: list[tuple[float, int, Decision]] = []
        self._order = count()
        self._pace, self._paced = Limit.per_minute(run.rate), bool(run.rate)
        self._day = Limit(run.per_day, DAY)
        self._out = 0  # jobs that workers have
        self._not_before = 0.0
        self._successes = 0
        self._unprepared: deque[SendResult] = deque()
        self._turned_away: deque[Decision] = deque()  # by a limit of the mailbox, for too long to wait
        self._turn: Callable[[], bool] | None = None
        self._over = False  # it is another account's turn: what is new is not for this one
        self.allowed = run.connections  # how many connections the server seems to like
        self.fatal: FrankingError | None = None  # nothing can be sent any more
        self.closed: FrankingError | None = None  # nor can it here, but another account goes on
        self.sessions = 0  # how many were opened so far
        self.abandoned = False  # nobody reads results any more, or a worker died of a bug: all workers end

    def begin(self, policy: Policy, left: Iterable[Decision], turn: Callable[[], bool]) -> None:
        """Begin anew, where accounts stand in for each other: with what another one ``left``, then with what is drawn
        while it is this one's ``turn``.
        """
        self.policy, self._turn = policy, turn
        self.fatal = self.closed = None
        self.abandoned = self._over = False
        for decision in left:
            job = decision.following
            if job is not None and (job := self._prepared(job.index, job.message, job.prepared)) is not None:
                self._put(replace(decision, following=job, pause=0.0))

    @property
    def stopping(self) -> bool:
        """Return whether nothing new is begun any more."""
        return self.abandoned or self.source.stopping

    def draw(self, session: float = math.inf) -> Job | None:
        """Return the next job that may leave now on the ``session`` of that number, or None.

        Then ``delay`` says how long to wait, and ``done`` whether it is all over.
        """
        with self._lock:
            now = self._run.clock()
            if self.abandoned or self.closed is not None or now < self._not_before:
                return None
            if self._paced and self._pace.wait(now) > 0:
                return None
            job = None
            if self._paused and self._paused[0][0] <= now:
                job = self._paused[0][2].following
                if job is not None and job.since >= session:
                    return None
                heapq.heappop(self._paused)
            elif self._turn is not None and self._turn_is_over(self._turn):
                return None
            self._out += 1  # before one is drawn, so that others do not take the same place
            if self._paced:
                self._pace.take(now)
        if job is None:
            job = self._new()
        if job is None:
            with self._lock:
                self._out -= 1
                self._pace.give_back()
        elif self._run.turns is not None and not self._has_turn(job, self._run.turns):
            return None
        return job

    def _has_turn(self, job: Job, turns: Turns) -> bool:
        """Return whether a drawn job may leave now; one that may not waits, and all others with it."""
        try:
            turn = turns.take(len(job.prepared.envelope.recipients))
        except FrankingError as problem:
            self._turned_away.append(replace(ended(job, problem), following=job))
            return False
        if turn.wait <= 0:
            job.turn = turn
            return True
        limited = turns.throttled(turn)
        end = replace(ended(job, limited), following=job, pause=turn.wait)
        if not job.answered and self.policy.goes_elsewhere(limited):
            self.close_for(limited)
        elif turn.wait > self.policy.patience:
            self._turned_away.append(end)
            return False
        self.again(end)
        with self._lock:
            self._not_before = max(self._not_before, self._run.clock() + turn.wait)
        return False

    def look_ahead(self) -> None:
        """Draw the next message while the pace lets none leave, so that a run with no further one ends at once."""
        with self._lock:
            early = not (self.source.ahead or self._paused) and self._pace.wait(self._run.clock()) > 0
        if early and (drawn := self.source.next(wait=0)) is not None:
            self.source.ahead.append(drawn)

    def _turn_is_over(self, turn: Callable[[], bool]) -> bool:
        self._over = self._over or not turn()
        return self._over

    def _new(self) -> Job | None:
        drawn = self.source.next(PATIENCE)
        return None if drawn is None else self._prepared(*drawn)

    def _prepared(self, index: int, message: Any, form: Any = None) -> Job | None:
        """Return a message as a job, prepared from the ``form`` that an earlier run gave it, if one did. None: it
        failed, or it is for another account.
        """
        job = None
        try:
            job = Job(index, message, self._prepare(message if form is None else form))
            if self._run.per_day is not None:
                self._count_for_the_day()
            return job
        except INTERRUPTIONS as interruption:
            self.source.halt(interruption)
            failure: FrankingError = ConnectError(_NOT_BEGUN)
        except (FrankingError, MemoryError, OSError, RuntimeError) as problem:
            error = exhausted(problem) or problem
            if not isinstance(error, FrankingError):
                raise
            failure = error
        if job is not None and self.policy.goes_elsewhere(failure):
            with self._lock:
                self._put(Decision("failed", None, failure, following=job))
            self.close_for(failure)
        else:
            self._unprepared.append(self._failed(index, message, failure))
        return None

    def _failed(self, index: int, message: Any, failure: FrankingError) -> SendResult:
        self._run.mailer.explain(failure)
        return SendResult(index, message, "failed", None, failure)

    def _count_for_the_day(self) -> None:
        """Count a message of today; raise ``Throttled`` for one too many."""
        with self._lock:
            now = self._run.clock()
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
        """Return what would have been tried again later, when it has had its last attempt: the run is stopping, or this
        account can send nothing now and another may not, as a server has answered, or a limit turned it away.
        """
        with suppress(IndexError):
            return self._turned_away.popleft()
        if not self.stopping and self.closed is None:
            return None
        with self._lock:
            for entry in self._paused:
                if self.stopping or entry[2].answered:
                    self._paused.remove(entry)
                    heapq.heapify(self._paused)
                    self._out += 1
                    return entry[2]
        return None

    def unprepared(self) -> SendResult | None:
        """Return the result of a message that did not get as far as a job."""
        with suppress(IndexError):
            return self._unprepared.popleft()
        if self.stopping and not self.abandoned:
            with suppress(IndexError):
                return self._failed(*self.source.ahead.popleft(), ConnectError(_NOT_BEGUN))
        return None

    def delay(self) -> float:
        """Return how long it makes sense to wait before drawing again, in seconds."""
        with self._lock:
            now = self._run.clock()
            waits = [self._not_before - now, self._pace.wait(now)]
            if self._paused and (self.source.exhausted or self._over):
                waits.append(self._paused[0][0] - now)
            return max(0.0, *waits)

    def done(self) -> bool:
        """Return whether nothing is left to draw and nothing is under way."""
        with self._lock:
            if self.abandoned:
                return True
            if (
                self._unprepared
                or self._turned_away
                or any(self.closed is None or paused[2].answered for paused in self._paused)
            ):
                return False
            ended = self._over or self.closed is not None or self.source.ended
            if self.stopping:
                ended = not self.source.ahead
            return ended and (self.source.halted or not self._out)

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
            self._put(decision)

    def _put(self, decision: Decision) -> None:
        heapq.heappush(self._paused, (self._run.clock() + decision.pause, next(self._order), decision))

    def close_for(self, error: FrankingError) -> None:
        """Take note that this account can send nothing now: what is left is for another one."""
        self.closed = self.closed or error

    def left(self) -> list[Decision]:
        """Return what is for another account, in its order, now that this one sends no more."""
        left = [decision for _, _, decision in sorted(self._paused, key=lambda paused: paused[1])]
        self._paused.clear()
        return left

    def slow_down(self, pause: float) -> None:
        """Hold everything for a while, and use half as many connections: the server wants less."""
        with self._lock:
            self._not_before = max(self._not_before, self._run.clock() + pause)
            self.allowed = max(1, self.allowed // 2)
        _log.info(
            "The server wants less: nothing is sent for %.0f s, then over at most %d connections.", pause, self.allowed
        )
