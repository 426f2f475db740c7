"""Many messages: sessions, a window on each, the pace, and what is tried again. It is handed how to open sessions; it opens nothing by itself.

One connection runs in the caller's own thread; more run in threads of their own. Messages are drawn from the iterable only when there is
room, so memory stays flat. A message leaves here as exactly one ``SendResult``; what may have been accepted is ``unknown`` and never sent again.
An interruption (Ctrl-C) is held back until every message that was drawn has its result.
"""

from __future__ import annotations

import heapq
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from operator import length_hint
from random import SystemRandom
from typing import Any

from franking.address import Envelope
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, OutcomeUnknown, RecipientsRefused, SendError, Throttled
from franking.message import Content, Prepared
from franking.provider import Receipt, Session, SupportsMany
from franking.retry import Policy, may_retry

__all__ = ["Road", "SendResult", "merge", "narrowed", "run", "too_many", "without"]

MINUTE = 60.0
DAY = 86400.0
PATIENCE = 0.05  # seconds that a worker waits while another draws from a slow iterable, before it looks for something else to do

_log = logging.getLogger("franking.bulk")


@dataclass(frozen=True, slots=True)
class SendResult:
    """Tell what became of one message.

    ``index`` counts from 0 in the order of the iterable. ``outcome``: ``accepted`` (see ``receipt``, also for refused recipients among accepted ones),
    ``refused`` (every recipient, for good), ``failed`` (surely not accepted, any other reason), ``unknown`` (it may have been accepted).
    """

    index: int
    message: Any
    outcome: str
    receipt: Receipt | None = None
    error: FrankingError | None = None


@dataclass(frozen=True, slots=True)
class Road:
    """What bulk is handed: how to prepare a message, open a session, renew a refused token, and explain an error; and the limits.

    ``rate`` is the most messages in any minute, ``per_day`` in any 24 hours of this run: further ones fail, for now. ``started`` is called with index and Message-ID before anything of a message leaves.
    ``wait`` sleeps for some seconds or until ``stop`` is set. ``stop`` ends the drawing of messages; those under way are finished, and those that
    wait for another attempt get the result of the last one.
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
class _Job:
    """One message on its way: what is still to be sent, what was accepted or refused for good so far, and why it waits (``error``)."""

    index: int
    message: Any
    prepared: Prepared
    attempt: int = 1
    receipt: Receipt | None = None
    refused: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    error: FrankingError | None = None
    begun: bool = False  # a session has it


def run(road: Road, messages: Iterable[Any]) -> Iterator[SendResult]:
    """Send messages and yield each one's result as it is known.

    Once ``road.stop`` is set nothing new is drawn, and what is under way is finished and yielded. After Ctrl-C likewise, and only then does the interruption
    go on; on one connection what is in flight at that moment is not waited for: it is told as accepted, safe or unknown. Who leaves the loop early (a
    ``break``, an exception of theirs) is not told what became of the messages under way, and nothing more is drawn.
    """
    feed = _Feed(road, messages)
    if road.connections == 1:
        worker = _Worker(road, feed)
        healthy = False
        try:
            yield from worker.results()
            healthy = True
        finally:
            worker.close(keep=healthy)
            feed.close()
    else:
        yield from _in_threads(road, feed)


def too_many(receipt: Receipt) -> tuple[str, ...]:
    """Name the recipients that were refused only because the transaction had enough of them (452 4.5.3, RFC 5321 §4.5.3.1.10)."""
    return tuple(
        address
        for address, answer in receipt.refused.items()
        if answer.get("temporary") and receipt.accepted and str(answer.get("reply", ""))[:9] in ("452 4.5.3", "452-4.5.3")
    )


def narrowed(prepared: Prepared, recipients: tuple[str, ...]) -> Prepared:
    """Make the same message, with the same Message-ID, for fewer recipients."""
    return replace(prepared, envelope=Envelope(prepared.envelope.sender, recipients))


def without(receipt: Receipt, recipients: tuple[str, ...], error: FrankingError) -> Receipt:
    """Say in a receipt that these further recipients did not get the message, and in which words."""
    answer = {"reply": error.evidence.raw if error.evidence else str(error), "temporary": error.temporary}
    own = getattr(error, "refused", {})
    return replace(receipt, refused={**receipt.refused, **{one: own.get(one, answer) for one in recipients}})


def merge(earlier: Receipt | None, later: Receipt) -> Receipt:
    """Join the receipts of two transactions of one message: accepted recipients add up, later refusals stand."""
    if earlier is None:
        return later
    tried = {*later.accepted, *later.refused}
    refused = {address: answer for address, answer in earlier.refused.items() if address not in tried}
    return replace(
        later,
        accepted=(*earlier.accepted, *later.accepted),
        refused={**refused, **later.refused},
        bytes=earlier.bytes + later.bytes,
        ms=earlier.ms + later.ms,
        warnings=tuple(dict.fromkeys((*earlier.warnings, *later.warnings))),
    )


class _Feed:
    """Give out jobs to all workers: those whose pause is over first, then new ones; keeps the pace. Safe to share between threads."""

    def __init__(self, road: Road, messages: Iterable[Any]) -> None:
        self._road = road
        self.source = iter(messages)
        self._index = count()
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # apart from the other: a slow iterable must not hold up the results of other connections
        self._paused: list[tuple[float, int, _Job]] = []
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
        """Tell whether nothing new is begun any more."""
        return self.halted or self.abandoned or self._road.stop.is_set()

    def halt(self, problem: BaseException) -> None:
        """End the run of the only worker because of an interruption, which is raised when every result is out."""
        self._exhausted = self.halted = True
        self.broken = self.broken or problem

    def draw(self) -> _Job | None:
        """Give the next job that may leave now, or None: then ``delay`` says how long to wait, and ``done`` whether it is all over."""
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

    def _new(self, now: float) -> _Job | None:
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
        except KeyboardInterrupt as interruption:
            self.halt(interruption)
            return None
        except Exception as problem:  # noqa: BLE001  (the iterable is the caller's; its error goes back to them)
            self._exhausted, self.broken = True, problem  # the iterable failed: finish what is under way, then let it through
            return None
        finally:
            self._drawing.release()
        try:
            prepared = self._road.prepare(message)
            if self._road.per_day:
                self._day(now, self._road.per_day)
            return _Job(index, message, prepared)
        except KeyboardInterrupt as interruption:
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

    def given_up(self) -> _Job | None:
        """Give a job that was to be tried again later, when the run is stopping: it has had its last attempt."""
        with self._lock:
            if not self._paused or not self.stopping:
                return None
            self._out += 1
            return heapq.heappop(self._paused)[2]

    def unprepared(self) -> SendResult | None:
        """Give the result of a message that did not get as far as a job."""
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
        """Tell how long it makes sense to wait before drawing again, in seconds."""
        with self._lock:
            now = self._road.clock()
            waits = [self._not_before - now, self._pace(now)]
            if self._paused and self._exhausted:
                waits.append(self._paused[0][0] - now)
            return max(0.0, *waits)

    def done(self) -> bool:
        """Tell whether nothing is left to draw and nothing is under way."""
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

    def again(self, job: _Job, pause: float, error: FrankingError | None) -> None:
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
        _log.info("The server wants less: nothing is sent for %.0f s, then over at most %d connections.", pause, self.allowed)

    def close(self) -> None:
        """Let the iterable go, where it can be closed."""
        with self._lock:
            self._exhausted = True


class _Jobs:
    """What a session draws from. It knows how many are left where the application's iterable does (a list): such jobs keep nobody waiting."""

    def __init__(self, jobs: Iterator[_Job], feed: _Feed) -> None:
        self._jobs, self._feed = jobs, feed

    def __iter__(self) -> Iterator[tuple[_Job, Envelope, Content]]:
        return self

    def __next__(self) -> tuple[_Job, Envelope, Content]:
        job = next(self._jobs)
        return job, job.prepared.envelope, job.prepared.content

    def __length_hint__(self) -> int:
        return length_hint(self._feed.source)


class _Worker:
    """Drive one session at a time until the feed is empty."""

    def __init__(self, road: Road, feed: _Feed, number: int = 0) -> None:
        self._road = road
        self._feed = feed
        self._number = number
        self._session: Session | None = None
        self._failures = 0

    def results(self) -> Iterator[SendResult]:
        while True:
            try:
                yield from self._turns()
                break
            except KeyboardInterrupt as interruption:
                self._feed.halt(interruption)
        if self._feed.broken is not None and self._number == 0:
            raise self._feed.broken

    def _turns(self) -> Iterator[SendResult]:
        feed = self._feed
        while not feed.done():
            if (unprepared := feed.unprepared()) is not None:
                yield unprepared
                continue
            if self._number >= feed.allowed:
                self.close(keep=False)  # the server wants fewer connections
                self._wait(PATIENCE)
                continue
            job = feed.draw()
            if job is None:
                if (job := feed.given_up()) is not None:
                    yield from self._given_up(job)
                elif not feed.done():
                    self._wait(max(feed.delay(), 0.0 if self._road.connections == 1 else 0.002))
                continue
            if feed.fatal is not None:
                yield self._failed(job, feed.fatal)
                continue
            yield from self._burst(job)

    def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._road.wait is not None:
            self._road.wait(seconds)
        elif self._road.stop.wait(seconds):
            time.sleep(min(seconds, 0.01))  # stopping: other workers finish what they have

    def _burst(self, first: _Job) -> Iterator[SendResult]:
        """Send this job and all that follow without a pause, on one session."""
        try:
            session = self._session = self._session or self._open()
        except FrankingError as error:
            yield from self._unopened(first, error)
            return
        except KeyboardInterrupt as interruption:
            self._feed.halt(interruption)
            yield self._failed(first, ConnectError("Interrupted before this message was begun."))
            return
        drawn = {first.index: first}  # and it is begun only when the session asks for it
        lost = ConnectError("The connection ended before this message was begun.", stale=True)
        if isinstance(session, SupportsMany):
            jobs = _Jobs(self._drawing(first, drawn), self._feed)
            many = session.send_many(jobs, window=self._road.window)
            while True:
                try:
                    for job, outcome in many:
                        if type(outcome) is Receipt and not outcome.refused and job.receipt is None:
                            self._failures = 0  # nearly every message: nothing to decide
                            result = self._result(job, "accepted", outcome, None)
                            del drawn[job.index]  # between this and the yield no interruption can come: they come with calls
                            yield result
                        else:
                            del drawn[job.index]
                            yield from self._settle(job, outcome)
                    break
                except ConnectError as closed:
                    lost = closed  # the server had closed it while it rested
                except KeyboardInterrupt as interruption:  # the session goes on to tell the rest, or has told what it knows
                    self._feed.halt(interruption)
        else:
            for job in self._drawing(first, drawn):
                outcome = self._attempt(session, job)
                drawn.pop(job.index)
                yield from self._settle(job, outcome)
        for job in list(drawn.values()):  # the session ended before it began with them, or an interruption hid what it told
            broken_in = job.begun and self._feed.halted
            yield from self._settle(job, OutcomeUnknown("Interrupted while it was sent; it may have been accepted.") if broken_in else lost)

    def _attempt(self, session: Session, job: _Job) -> Receipt | FrankingError:
        try:
            return session.send(job.prepared.envelope, job.prepared.content)
        except FrankingError as error:
            return error
        except KeyboardInterrupt as interruption:
            self._feed.halt(interruption)
            if getattr(interruption, "possibly_sent", True):
                return OutcomeUnknown("Interrupted while it was sent; it may have been accepted.")
            return ConnectError("Interrupted before the message was handed over.")

    def _drawing(self, first: _Job, drawn: dict[int, _Job]) -> Iterator[_Job]:
        job: _Job | None = first
        while job is not None:
            drawn[job.index] = job
            if self._road.started is not None:
                self._road.started(job.index, job.prepared.content.message_id)
            job.begun = True
            yield job
            if self._number >= self._feed.allowed or self._session is None or self._feed.fatal is not None:
                return
            job = self._feed.draw()

    def _open(self) -> Session:
        try:
            return self._road.open()
        except LoginError as refused:
            if not refused.token_refused:
                raise
            self._road.renew()
            return self._road.open()

    def _unopened(self, job: _Job, error: FrankingError) -> Iterator[SendResult]:
        self._failures += 1
        pause = self._pause(error, self._failures)
        if pause is None:
            if not may_retry(error):
                self._feed.fatal = error  # a wrong password does not become right; asking again and again locks accounts
            yield self._failed(job, error)
            return
        if self._feed.stopping:
            yield self._failed(job, error)
            return
        self._feed.again(job, pause, error)
        self._feed.slow_down(pause)

    def _settle(self, job: _Job, outcome: Receipt | FrankingError) -> Iterator[SendResult]:
        if isinstance(outcome, Receipt):
            self._failures = 0
            yield from self._accepted(job, outcome)
            return
        if isinstance(outcome, ConnectError | LoginError) or outcome.possibly_sent or getattr(self._session, "closed", False):
            self.close(keep=False)  # what is left of this session is not to be trusted
        if isinstance(outcome, LoginError) and outcome.token_refused and job.attempt == 1:
            try:
                self._road.renew()
            except FrankingError as dead:
                self._feed.fatal = dead
                yield self._failed(job, dead)
                return
            job.attempt += 1
            self._feed.again(job, 0.0, outcome)
            return
        if isinstance(outcome, RecipientsRefused):
            yield from self._all_refused(job, outcome)
            return
        pause = self._pause(outcome, job.attempt)
        if isinstance(outcome, ConnectError) and outcome.stale and job.attempt < max(self._road.policy.attempts, 2):
            pause = 0.0  # nothing of it left: not a further attempt, but the first one on a living connection
        if pause is None or self._feed.stopping:
            yield self._failed(job, outcome)
            return
        if isinstance(outcome, Throttled):
            self._feed.slow_down(pause)
        job.attempt += 1
        self._feed.again(job, pause, outcome)

    def _given_up(self, job: _Job) -> Iterator[SendResult]:
        """Tell how the last attempt of a job ended that would have got another one."""
        if job.error is None:  # some recipients were accepted, the others refused for now
            yield self._result(job, "accepted", job.receipt, None)
        elif isinstance(job.error, RecipientsRefused):
            yield from self._all_refused(job, job.error)
        else:
            yield self._failed(job, job.error)

    def _accepted(self, job: _Job, receipt: Receipt) -> Iterator[SendResult]:
        rest = too_many(receipt)
        later = rest or tuple(address for address, answer in receipt.refused.items() if answer.get("temporary"))
        job.receipt = merge(job.receipt, receipt)
        pause = 0.0 if rest else self._road.policy.pause(job.attempt, self._road.chance)
        if later and pause is not None and (rest or not self._feed.stopping):
            job.attempt += 0 if rest else 1
            job.prepared = narrowed(job.prepared, later)
            self._feed.again(job, pause, None)
            return
        yield self._result(job, "accepted", job.receipt, None)

    def _all_refused(self, job: _Job, error: RecipientsRefused) -> Iterator[SendResult]:
        later = tuple(address for address, answer in error.refused.items() if answer.get("temporary"))
        job.refused.update(error.refused)
        pause = self._road.policy.pause(job.attempt, self._road.chance) if later else None
        if pause is not None and not self._feed.stopping:
            job.attempt += 1
            job.prepared = narrowed(job.prepared, later)
            self._feed.again(job, pause, error)
            return
        if job.receipt is not None:
            left = {address: answer for address, answer in job.receipt.refused.items() if address not in job.refused}
            yield self._result(job, "accepted", replace(job.receipt, refused={**left, **job.refused}), None)
            return
        error.refused = dict(job.refused)
        self._road.explain(error)
        yield self._result(job, "failed" if later else "refused", None, error)

    def _failed(self, job: _Job, error: FrankingError) -> SendResult:
        self._road.explain(error)
        if error.possibly_sent:
            return self._result(job, "unknown", job.receipt, error)
        if job.receipt is not None:  # some recipients have it; the others' last word is this error
            return self._result(job, "accepted", without(job.receipt, job.prepared.envelope.recipients, error), None)
        return self._result(job, "failed", None, error)

    def _result(self, job: _Job, outcome: str, receipt: Receipt | None, error: FrankingError | None) -> SendResult:
        self._feed.settled(success=outcome == "accepted")
        _log.info("Message %d (%s): %s", job.index, job.prepared.content.message_id, outcome)
        return SendResult(job.index, job.message, outcome, receipt, error)

    def _pause(self, error: FrankingError, attempt: int) -> float | None:
        if not may_retry(error) or not isinstance(error, SendError):
            return None
        return self._road.policy.pause(attempt, self._road.chance, getattr(error, "retry_after", None))

    def abort(self) -> None:
        """Break off what is under way, from another thread."""
        if (session := self._session) is not None:
            session.abort()

    def close(self, *, keep: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._road.give_back(session, keep)


def _in_threads(road: Road, feed: _Feed) -> Iterator[SendResult]:
    results: queue.Queue[SendResult | BaseException | None] = queue.Queue(maxsize=max(64, 4 * road.connections * road.window))

    workers = [_Worker(road, feed, number) for number in range(road.connections)]

    def work(worker: _Worker) -> None:
        healthy = False
        try:
            for result in worker.results():
                results.put(result)
            healthy = not feed.abandoned
        except BaseException as problem:  # noqa: BLE001  (handed to the caller's thread)
            feed.abandoned = True
            results.put(problem)
        finally:
            worker.close(keep=healthy)
            results.put(None)

    threads = [
        threading.Thread(target=work, args=(worker,), name=f"franking-{number}", daemon=True) for number, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    running = len(threads)
    failure: BaseException | None = None
    try:
        while running:
            try:
                result = results.get()
            except KeyboardInterrupt as interruption:
                if isinstance(failure, KeyboardInterrupt):  # the second one: no waiting for answers
                    for worker in workers:
                        worker.abort()
                road.stop.set()
                failure = failure or interruption
                continue
            if result is None:
                running -= 1
            elif isinstance(result, BaseException):
                failure = failure or result
            else:
                yield result
    finally:
        feed.abandoned = True
        while any(thread.is_alive() for thread in threads):
            try:
                results.get(timeout=0.05)
            except queue.Empty:
                continue
        feed.close()
    if failure is not None:
        raise failure
