"""Many messages: sessions, a window on each, the pace, and what is tried again. It is handed how to open sessions; it
opens nothing by itself.

One connection runs in the caller's own thread; more run in threads of their own. Messages are drawn from the iterable
only when there is room, so memory stays flat. A message leaves here as exactly one ``SendResult``; what may have been
accepted is ``unknown`` and never sent again. An interruption (Ctrl-C, ``SystemExit``) is held back until every message
that was drawn has its result.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import length_hint
from typing import Any

from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    RecipientsRefused,
    SendError,
    Throttled,
)
from franking.message.address import Envelope
from franking.message.content import Content
from franking.message.prepare import Prepared
from franking.provider import Receipt, Session, SupportsMany
from franking.sending.queue import INTERRUPTIONS, PATIENCE, Feed, Job, Road, SendResult
from franking.sending.retry import may_retry

__all__ = ["Road", "SendResult", "merge", "narrowed", "run", "too_many", "without"]

_log = logging.getLogger("franking.bulk")


def run(road: Road, messages: Iterable[Any]) -> Iterator[SendResult]:
    """Send messages and yield each one's result as it is known.

    Once ``road.stop`` is set nothing new is drawn, and what is under way is finished and yielded. After Ctrl-C
    likewise, and only then does the interruption go on; on one connection what is in flight at that moment is not
    waited for: it is told as accepted, safe or unknown. Who leaves the loop early (a ``break``, an exception of theirs)
    is not told what became of the messages under way, and nothing more is drawn.
    """
    feed = Feed(road, messages)
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
    """Name the recipients that were refused only because the transaction had enough of them (452 4.5.3, RFC 5321
    §4.5.3.1.10).
    """
    return tuple(
        address
        for address, answer in receipt.refused.items()
        if answer.get("temporary")
        and receipt.accepted
        and str(answer.get("reply", ""))[:9] in ("452 4.5.3", "452-4.5.3")
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


class _Drawn:
    """What a session draws from. It knows how many are left where the application's iterable does (a list): such jobs
    keep nobody waiting.
    """

    def __init__(self, jobs: Iterator[Job], feed: Feed) -> None:
        self._jobs, self._feed = jobs, feed

    def __iter__(self) -> Iterator[tuple[Job, Envelope, Content]]:
        return self

    def __next__(self) -> tuple[Job, Envelope, Content]:
        job = next(self._jobs)
        return job, job.prepared.envelope, job.prepared.content

    def __length_hint__(self) -> int:
        return length_hint(self._feed.source)


class _Worker:
    """Drive one session at a time until the feed is empty."""

    def __init__(self, road: Road, feed: Feed, number: int = 0) -> None:
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
            except INTERRUPTIONS as interruption:
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

    def _burst(self, first: Job) -> Iterator[SendResult]:
        """Send this job and all that follow without a pause, on one session."""
        try:
            session = self._session = self._session or self._open()
        except FrankingError as error:
            yield from self._unopened(first, error)
            return
        except INTERRUPTIONS as interruption:
            self._feed.halt(interruption)
            yield self._failed(first, ConnectError("Interrupted before this message was begun."))
            return
        drawn = {first.index: first}  # and it is begun only when the session asks for it
        lost = ConnectError("The connection ended before this message was begun.", stale=True)
        if isinstance(session, SupportsMany):
            jobs = _Drawn(self._drawing(first, drawn), self._feed)
            many = session.send_many(jobs, window=self._road.window)
            while True:
                try:
                    for job, outcome in many:
                        if type(outcome) is Receipt and not outcome.refused and job.receipt is None:
                            self._failures = 0  # nearly every message: nothing to decide
                            result = self._result(job, "accepted", outcome, None)
                            # between this and the yield no interruption can come: they come with calls
                            del drawn[job.index]
                            yield result
                        else:
                            del drawn[job.index]
                            yield from self._settle(job, outcome)
                    break
                except ConnectError as closed:
                    lost = closed  # the server had closed it while it rested
                except INTERRUPTIONS as interruption:  # the session goes on to tell the rest, or has told what it knows
                    self._feed.halt(interruption)
        else:
            for job in self._drawing(first, drawn):
                outcome = self._attempt(session, job)
                drawn.pop(job.index)
                yield from self._settle(job, outcome)
        # the session ended before it began with them, or an interruption hid what it told
        for job in list(drawn.values()):
            broken_in = job.begun and self._feed.halted
            yield from self._settle(
                job, OutcomeUnknown("Interrupted while it was sent; it may have been accepted.") if broken_in else lost
            )

    def _attempt(self, session: Session, job: Job) -> Receipt | FrankingError:
        try:
            return session.send(job.prepared.envelope, job.prepared.content)
        except FrankingError as error:
            return error
        except INTERRUPTIONS as interruption:
            self._feed.halt(interruption)
            if getattr(interruption, "possibly_sent", True):
                return OutcomeUnknown("Interrupted while it was sent; it may have been accepted.")
            return ConnectError("Interrupted before the message was handed over.")

    def _drawing(self, first: Job, drawn: dict[int, Job]) -> Iterator[Job]:
        job: Job | None = first
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

    def _unopened(self, job: Job, error: FrankingError) -> Iterator[SendResult]:
        self._failures += 1
        pause = self._pause(error, self._failures)
        if pause is None:
            if not may_retry(error):
                # a wrong password does not become right; asking again and again locks accounts
                self._feed.fatal = error
            yield self._failed(job, error)
            return
        if self._feed.stopping:
            yield self._failed(job, error)
            return
        self._feed.again(job, pause, error)
        self._feed.slow_down(pause)

    def _settle(self, job: Job, outcome: Receipt | FrankingError) -> Iterator[SendResult]:
        if isinstance(outcome, Receipt):
            self._failures = 0
            yield from self._accepted(job, outcome)
            return
        if (
            isinstance(outcome, ConnectError | LoginError)
            or outcome.possibly_sent
            or getattr(self._session, "closed", False)
        ):
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

    def _given_up(self, job: Job) -> Iterator[SendResult]:
        """Return how the last attempt of a job ended that would have got another one."""
        if job.error is None:  # some recipients were accepted, the others refused for now
            yield self._result(job, "accepted", job.receipt, None)
        elif isinstance(job.error, RecipientsRefused):
            yield from self._all_refused(job, job.error)
        else:
            yield self._failed(job, job.error)

    def _accepted(self, job: Job, receipt: Receipt) -> Iterator[SendResult]:
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

    def _all_refused(self, job: Job, error: RecipientsRefused) -> Iterator[SendResult]:
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

    def _failed(self, job: Job, error: FrankingError) -> SendResult:
        self._road.explain(error)
        if error.possibly_sent:
            return self._result(job, "unknown", job.receipt, error)
        if job.receipt is not None:  # some recipients have it; the others' last word is this error
            return self._result(job, "accepted", without(job.receipt, job.prepared.envelope.recipients, error), None)
        return self._result(job, "failed", None, error)

    def _result(self, job: Job, outcome: str, receipt: Receipt | None, error: FrankingError | None) -> SendResult:
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


def _in_threads(road: Road, feed: Feed) -> Iterator[SendResult]:
    results: queue.Queue[SendResult | BaseException | None] = queue.Queue(
        maxsize=max(64, 4 * road.connections * road.window)
    )

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
        threading.Thread(target=work, args=(worker,), name=f"franking-{number}", daemon=True)
        for number, worker in enumerate(workers)
    ]
    failure: BaseException | None = None
    for thread in threads:
        try:
            thread.start()
        except INTERRUPTIONS as interruption:  # so early: what has begun is finished, as below
            road.stop.set()
            failure = failure or interruption
    running = sum(thread.ident is not None for thread in threads)
    try:
        while running:
            try:
                result = results.get()
            except INTERRUPTIONS as interruption:
                if isinstance(failure, INTERRUPTIONS):  # the second one: no waiting for answers
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
