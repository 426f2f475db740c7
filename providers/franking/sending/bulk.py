"""Many messages: a worker for each connection, which takes jobs from the queue, sends them over its session and does
what is decided of each outcome (``retry.py``).

One connection runs in the caller's own thread; more run in threads of their own. Messages are drawn from the iterable
only when there is room, so memory stays flat. A message leaves here as exactly one ``SendResult``; what may have been
accepted is ``unknown`` and never sent again. An interruption (Ctrl-C, ``SystemExit``) is held back until every message
that was drawn has its result.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from operator import length_hint
from typing import TYPE_CHECKING, Any

from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    discreet,
    exhausted,
)
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Receipt, Session, SupportsMany
from franking.sending.limits import check_numbers, finite
from franking.sending.pool import is_over
from franking.sending.queue import INTERRUPTIONS, PATIENCE, Job, Queue, Run, SendResult
from franking.sending.retry import Decision, Policy, decide, ended, may_retry

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer

__all__ = ["Run", "SendResult", "send_all", "send_many"]

_IN_FLIGHT = "Interrupted while it was sent; it may have been accepted."

_log = logging.getLogger("franking.bulk")


def send_many(
    mailer: Mailer,
    messages: Iterable[Any],
    *,
    connections: int,
    window: int,
    rate: float | None,
    per_day: float | None,
    policy: Policy | None,
    started: Callable[[int, str], None] | None,
    stop: threading.Event,
) -> Iterator[SendResult]:
    """Do what ``Mailer.send_many`` says: the provider's limits hold where nothing else is asked for."""
    check_numbers(connections, window, rate, per_day)
    mailer.pool.after_fork()
    limits = mailer.limits
    if connections > (limits.connections or connections):
        words = "%s takes at most %d connections at once, not %d."
        logging.getLogger("franking.mailer").warning(words, mailer.provider.title, limits.connections, connections)
    mailer.pool.widen(connections)
    run = Run(
        mailer=mailer,
        connections=connections,
        window=window,
        rate=finite(rate or limits.per_minute),
        per_day=finite(per_day or limits.per_day),
        policy=policy or Policy(),
        started=started,
        stop=stop,
        **mailer.time(),
    )
    return _read(mailer, send_all(run, messages), stop)


def _read(mailer: Mailer, results: Iterator[SendResult], stop: threading.Event) -> Iterator[SendResult]:
    me, process = threading.get_ident(), os.getpid()
    with mailer.pool.under_way(stop):
        mailer.pool.readers.append(me)
        try:
            for result in results:
                yield result
                # its connections, its threads and what is under way on them are the parent's
                if os.getpid() != process:
                    raise RuntimeError(
                        "this send_many began in the parent process, which goes on with it; begin another one here"
                    )
        finally:
            mailer.pool.readers.remove(me)


def send_all(run: Run, messages: Iterable[Any]) -> Iterator[SendResult]:
    """Send messages and yield each one's result as it is known.

    Once ``run.stop`` is set nothing new is drawn, and what is under way is finished and yielded. After Ctrl-C likewise,
    and only then does the interruption go on; on one connection what is in flight at that moment is not waited for: it
    is told as accepted, safe or unknown. Who leaves the loop early (a ``break``, an exception of theirs) is not told
    what became of the messages under way, and nothing more is drawn.
    """
    jobs = Queue(run, messages)
    if run.connections > 1:
        yield from _in_threads(run, jobs)
    else:
        yield from _in_this_thread(run, jobs)


def _in_this_thread(run: Run, jobs: Queue) -> Iterator[SendResult]:
    worker = _Worker(run, jobs)
    healthy = False
    try:
        yield from worker.results()
        healthy = True
    finally:
        worker.close(keep=healthy)
        jobs.close()


class _Worker:
    """Drive one session at a time until the queue is empty."""

    def __init__(self, run: Run, jobs: Queue, number: int = 0) -> None:
        self.run = run
        self.jobs = jobs
        self._number = number
        self._session: Session | None = None
        self._failures = 0  # openings in a row that failed
        self._opened = 0  # the session's number; of one that was there before the run it is 0
        self._carried = False  # the session has carried a message

    def results(self) -> Iterator[SendResult]:
        while True:
            try:
                yield from self._until_done()
                break
            except INTERRUPTIONS as interruption:
                self.jobs.halt(interruption)
        if self.jobs.broken is not None and self._number == 0:
            raise self.jobs.broken

    def _until_done(self) -> Iterator[SendResult]:
        jobs = self.jobs
        while not jobs.done():
            if (unprepared := jobs.unprepared()) is not None:
                yield unprepared
            elif self._unwanted:
                self.close(keep=False)
                self._wait(PATIENCE)
            elif (job := jobs.draw()) is not None:
                if jobs.fatal is None:
                    yield from self._burst(job)
                else:
                    yield self._finish(job, ended(job, jobs.fatal))
            elif (given_up := jobs.given_up()) is not None and given_up.following is not None:
                yield self._finish(given_up.following, given_up)
            else:
                jobs.look_ahead()
                if not jobs.done():
                    self._wait(max(jobs.delay(), 0.0 if self.run.connections == 1 else 0.002))

    @property
    def _unwanted(self) -> bool:
        """Return whether the server wants fewer connections than there are workers."""
        return self._number >= self.jobs.allowed

    def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self.run.wait is not None:
            self.run.wait(seconds)
        elif self.run.stop.wait(seconds):
            time.sleep(min(seconds, 0.01))  # stopping: other workers finish what they have

    def _burst(self, first: Job) -> Iterator[SendResult]:
        """Send this job and all that follow without a pause, on one session."""
        try:
            if self._session is not None and (first.since >= self._opened or is_over(self._session)):
                self.close(keep=False)
            session = self._session = self._session or self._open(fresh=first.since >= 0)
        except FrankingError as error:
            yield from self._unopened(first, error)
            return
        lost: FrankingError = ConnectError("The connection ended before this message was begun.", stale=True)
        broken = False  # by what is no end of a connection
        drawn = _Drawn(self, first)
        if isinstance(session, SupportsMany):
            outcomes = session.send_many(drawn, window=self.run.window)
        else:
            outcomes = self._one_by_one(session, drawn)
        while True:
            try:
                with discreet:
                    for job, outcome in outcomes:
                        if type(outcome) is Receipt and not outcome.refused and job.receipt is None:
                            self._failures, self._carried = 0, True  # nearly every message: nothing to decide
                            result = self._result(job, "accepted", outcome, None)
                            # between this and the yield no interruption can come: they come with calls
                            del drawn.unsettled[job.index]
                            yield result
                        else:
                            del drawn.unsettled[job.index]
                            yield from self._settle(job, outcome)
                break
            except ConnectError as closed:
                lost = closed  # the server had closed it while it rested
                break
            except (MemoryError, OSError, RuntimeError) as problem:  # the session has told what it knows
                if (scarce := exhausted(problem)) is None:
                    raise
                broken, lost = True, scarce
                break
            except INTERRUPTIONS as interruption:  # the session goes on to tell the rest, or has told what it knows
                self.jobs.halt(interruption)
        yield from self._left_over(drawn, lost, broken)

    def _left_over(self, drawn: _Drawn, lost: FrankingError, broken: bool) -> Iterator[SendResult]:
        """Settle what the session ended before it began with, and what an interruption hid the outcome of."""
        for job in list(drawn.unsettled.values()):
            hidden = job.begun and (self.jobs.halted or broken)
            yield from self._settle(job, OutcomeUnknown(_IN_FLIGHT) if hidden else lost)

    def following(self) -> Job | None:
        """Return the next job for the session that is sending, or None where its burst must end."""
        if self._session is None or self._unwanted or self.jobs.halted or self.jobs.fatal is not None:
            return None
        return self.jobs.draw(self._opened)

    def _one_by_one(self, session: Session, drawn: _Drawn) -> Iterator[tuple[Job, Receipt | FrankingError]]:
        for job, envelope, content in drawn:
            outcome: Receipt | FrankingError
            try:
                outcome = session.send(envelope, content)
            except FrankingError as error:
                outcome = error
            except (MemoryError, OSError, RuntimeError) as problem:
                if (scarce := exhausted(problem)) is None:
                    raise
                outcome = scarce
            except INTERRUPTIONS as interruption:
                self.jobs.halt(interruption)
                if getattr(interruption, "possibly_sent", True):
                    outcome = OutcomeUnknown(_IN_FLIGHT)
                else:
                    outcome = ConnectError("Interrupted before the message was handed over.")
            yield job, outcome

    def _open(self, *, fresh: bool) -> Session:
        mailer, stop = self.run.mailer, self.run.stop
        self._opened, self._carried = 0, False
        tried: set[str] = set()
        try:
            while True:
                try:
                    return mailer.pool.take(self._make, stop, fresh=fresh)
                except LoginError as refused:
                    if not mailer.recovered(refused, tried):
                        raise
        except INTERRUPTIONS as interruption:
            self.jobs.halt(interruption)
            raise ConnectError("Interrupted before this message was begun.") from interruption

    def _make(self) -> Session:
        """Open a session, and number it."""
        session = self.run.mailer.open()
        self._opened = self.jobs.opened()
        return session

    def _unopened(self, job: Job, error: FrankingError) -> tuple[SendResult, ...]:
        """Do what follows for a job for which no session could be opened."""
        self._failures += 1
        self.run.mailer.failed(error)
        end = ended(job, error)
        pause = self.run.policy.pause_after(error, self._failures, self.run.chance())
        if pause is None or self.jobs.stopping:
            if not may_retry(error) or self.run.policy.goes_elsewhere(error):
                self.jobs.fatal = error  # a wrong password does not become right; asking on and on locks accounts
            return (self._finish(job, end),)
        self.jobs.again(replace(end, following=job, pause=pause))
        self.jobs.slow_down(pause)
        return ()

    def _settle(self, job: Job, outcome: Receipt | FrankingError) -> tuple[SendResult, ...]:
        """Do what is decided of a job's outcome; return its result, or none where it is tried again."""
        if isinstance(outcome, Receipt):
            self._failures, self._carried = 0, True
        else:
            outcome = exhausted(outcome) or outcome
            if self._is_over(outcome):
                self.close(keep=False)
        if type(outcome) is Refused:
            self.run.mailer.explain(outcome)  # what it means decides what follows
        decision = decide(job, outcome, self.run.policy, self.run.chance(), carried=self._carried)
        following = decision.following
        if following is not None and isinstance(outcome, ConnectError) and outcome.stale:
            following.since = self.jobs.sessions
        # to a run that is stopping, an attempt may go on, but no further one begins
        if following is None or (self.jobs.stopping and following.attempt > job.attempt):
            return (self._finish(job, decision),)
        if decision.renew:
            try:
                self.run.mailer.renew()
            except FrankingError as dead:
                self.jobs.fatal = dead
                return (self._finish(job, ended(job, dead)),)
        if decision.slow_down:
            self.jobs.slow_down(decision.pause)
        self.jobs.again(decision)
        return ()

    def _is_over(self, error: FrankingError) -> bool:
        """Return whether what is left of the session is not to be trusted after this error."""
        if isinstance(error, ConnectError | LoginError) or error.possibly_sent:
            return True
        return is_over(self._session)

    def _finish(self, job: Job, decision: Decision) -> SendResult:
        error = decision.error
        if isinstance(error, RecipientsRefused):
            error.refused = {**job.refused, **error.refused}
        if error is not None:
            self.run.mailer.explain(error)
        return self._result(job, decision.outcome, decision.receipt, error)

    def _result(self, job: Job, outcome: str, receipt: Receipt | None, error: FrankingError | None) -> SendResult:
        self.jobs.settled(success=outcome == "accepted")
        _log.info("Message %d (%s): %s", job.index, job.prepared.content.message_id, outcome)
        return SendResult(job.index, job.message, outcome, receipt, error)

    def abort(self) -> None:
        """Break off what is under way, from another thread."""
        if (session := self._session) is not None:
            session.abort()

    def close(self, *, keep: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            self.run.mailer.pool.give_back(session, keep and not is_over(session))


class _Drawn:
    """What a session draws from, until its burst must end. It knows how many messages are left where the application's
    iterable does (a list): such jobs keep nobody waiting.
    """

    def __init__(self, worker: _Worker, first: Job) -> None:
        self._worker = worker
        self._first: Job | None = first
        self.unsettled = {first.index: first}  # drawn and not settled; begun only when the session asks for it

    def __iter__(self) -> Iterator[tuple[Job, Envelope, Content]]:
        return self

    def __next__(self) -> tuple[Job, Envelope, Content]:
        job, self._first = self._first or self._worker.following(), None
        if job is None:
            raise StopIteration
        self.unsettled[job.index] = job
        if self._worker.run.started is not None:
            self._worker.run.started(job.index, job.prepared.content.message_id)
        job.begun = True
        return job, job.prepared.envelope, job.prepared.content

    def __length_hint__(self) -> int:
        return length_hint(self._worker.jobs.source)


Results = queue.Queue[SendResult | BaseException | None]
"""What workers hand to the caller's thread: results, an exception, and None at the end of each worker."""


def _work(worker: _Worker, results: Results) -> None:
    healthy = False
    try:
        for result in worker.results():
            results.put(result)
        healthy = not worker.jobs.abandoned
    except BaseException as problem:  # noqa: BLE001  (handed to the caller's thread)
        worker.jobs.abandoned = True
        results.put(problem)
    finally:
        worker.close(keep=healthy)
        results.put(None)


def _start(threads: list[threading.Thread], run: Run) -> BaseException | None:
    """Start threads, as many as this machine has; an interruption so early stops the run, is returned, and what has
    begun is finished.
    """
    failure: BaseException | None = None
    for thread in threads:
        try:
            thread.start()
        except (MemoryError, RuntimeError) as problem:
            if exhausted(problem) is None:
                raise
            _log.warning("This computer has no more threads: fewer connections are used than were asked for.")
            break
        except INTERRUPTIONS as interruption:
            run.stop.set()
            failure = failure or interruption
    return failure


def _wait_for(threads: list[threading.Thread], results: Results) -> None:
    """Wait until threads have ended; nobody reads the results that they still have."""
    while any(thread.is_alive() for thread in threads):
        with suppress(queue.Empty):
            results.get(timeout=0.05)


def _in_threads(run: Run, jobs: Queue) -> Iterator[SendResult]:
    results: Results = queue.Queue(max(64, 4 * run.connections * run.window))
    workers = [_Worker(run, jobs, number) for number in range(run.connections)]
    threads = [
        threading.Thread(target=_work, args=(worker, results), name=f"franking-{number}", daemon=True)
        for number, worker in enumerate(workers)
    ]
    failure = _start(threads, run)
    running = sum(thread.ident is not None for thread in threads)
    try:
        if not running and failure is None:  # not even one thread: then in this one
            yield from _in_this_thread(run, jobs)
        while running:
            try:
                result = results.get()
            except INTERRUPTIONS as interruption:
                if isinstance(failure, INTERRUPTIONS):  # the second one: no waiting for replies
                    for worker in workers:
                        worker.abort()
                run.stop.set()
                failure = failure or interruption
                continue
            if result is None:
                running -= 1
            elif isinstance(result, BaseException):
                failure = failure or result
            else:
                yield result
    finally:
        jobs.abandoned = True
        _wait_for(threads, results)
        jobs.close()
    if failure is not None:
        raise failure
