"""One connection's share of a ``send_many``: a worker takes jobs from the queue, sends them over its session and does
what is decided of each outcome (``retry.py``). It starts no thread.

A message leaves here as exactly one ``SendResult``, or stays in the queue for another account; what may have been
accepted is ``unknown`` and never sent again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from operator import length_hint

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
from franking.sending.pool import is_over
from franking.sending.queue import PATIENCE, Job, Queue, Run, SendResult, accepted
from franking.sending.retry import INSTEAD, Decision, decide, elsewhere, ended, may_retry
from franking.sending.source import INTERRUPTIONS

__all__ = ["Worker"]

_IN_FLIGHT = "Interrupted while it was sent; it may have been accepted."

_log = logging.getLogger("franking.bulk")


class Worker:
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
        """Send until the queue is empty; whoever reads the results raises what ``Source.broken`` holds."""
        while True:
            try:
                yield from self._until_done()
                return
            except INTERRUPTIONS as interruption:
                self.jobs.source.halt(interruption)

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
                    self._failed(job, jobs.fatal)
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
            pool = self.run.mailer.pool
            if self._session is not None and (first.since >= self._opened or pool.is_over(self._session)):
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
                            self.run.mailer.record.accepted(outcome, job.prepared)
                            self._told(job, "accepted")
                            result = accepted(job.index, job.message, outcome)
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
                self.jobs.source.halt(interruption)
        yield from self._left_over(drawn, lost, broken)

    def _left_over(self, drawn: _Drawn, lost: FrankingError, broken: bool) -> Iterator[SendResult]:
        """Settle what the session ended before it began with, and what an interruption hid the outcome of."""
        for job in list(drawn.unsettled.values()):
            hidden = job.begun and (self.jobs.source.halted or broken)
            yield from self._settle(job, OutcomeUnknown(_IN_FLIGHT) if hidden else lost)

    def following(self) -> Job | None:
        """Return the next job for the session that is sending, or None where its burst must end."""
        session, jobs = self._session, self.jobs
        if session is None or self._number >= jobs.allowed or jobs.source.halted or jobs.fatal is not None:
            return None
        if self.run.mailer.pool.is_over(session):
            return None
        return jobs.draw(self._opened)

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
                self.jobs.source.halt(interruption)
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
            self.jobs.source.halt(interruption)
            raise ConnectError("Interrupted before this message was begun.") from interruption

    def _make(self) -> Session:
        """Open a session, and number it."""
        session = self.run.mailer.open()
        self._opened = self.jobs.opened()
        return session

    def _unopened(self, job: Job, error: FrankingError) -> tuple[SendResult, ...]:
        """Do what follows for a job for which no session could be opened."""
        policy, jobs = self.jobs.policy, self.jobs
        self._failed(job, error)
        handed_on = elsewhere(job, error, policy)
        if handed_on is not None:
            return self._hand_on(handed_on)
        self._failures += 1
        self.run.mailer.failed(error)
        end = ended(job, error)
        pause = policy.pause_after(error, self._failures, self.run.chance())
        if pause is None or jobs.stopping:
            if not may_retry(error) and not policy.goes_elsewhere(error):
                jobs.fatal = error  # a wrong password does not become right; asking on and on locks accounts
            return (self._finish(job, end),)
        jobs.again(replace(end, following=job, pause=pause))
        jobs.slow_down(pause)
        return ()

    def _hand_on(self, decision: Decision) -> tuple[()]:
        """Leave a job, and what this account has not begun, to another one."""
        assert decision.error is not None
        self.run.mailer.made_up_for(INSTEAD)
        self.run.mailer.explain(decision.error)
        self.run.mailer.record.failing(decision.error)
        self.jobs.close_for(decision.error)
        self.jobs.again(decision)
        return ()

    def _settle(self, job: Job, outcome: Receipt | FrankingError) -> tuple[SendResult, ...]:
        """Do what is decided of a job's outcome; return its result, or none where it is tried again."""
        if isinstance(outcome, Receipt):
            self._failures, self._carried = 0, True
        else:
            outcome = exhausted(outcome) or outcome
            self._failed(job, outcome)
            if self._is_over(outcome):
                self.close(keep=False)
        if type(outcome) is Refused:
            self.run.mailer.explain(outcome)  # what it means decides what follows
        decision = decide(job, outcome, self.jobs.policy, self.run.chance(), carried=self._carried)
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
                if (handed_on := elsewhere(job, dead, self.jobs.policy)) is not None:
                    return self._hand_on(handed_on)
                self.jobs.fatal = dead
                return (self._finish(job, ended(job, dead)),)
        if decision.elsewhere:
            return self._hand_on(decision)
        if decision.slow_down:
            self.jobs.slow_down(decision.pause)
        self.jobs.again(decision)
        return ()

    def _failed(self, job: Job, error: FrankingError) -> None:
        """Take note of how a job's attempt failed, for all programs that send by this mailbox."""
        if self.run.turns is not None:
            self.run.turns.ended(job.turn, error)

    def _is_over(self, error: FrankingError) -> bool:
        """Return whether what is left of the session is not to be trusted after this error."""
        if isinstance(error, ConnectError | LoginError) or error.possibly_sent:
            return True
        return is_over(self._session)

    def _finish(self, job: Job, decision: Decision) -> SendResult:
        error = decision.error
        if isinstance(error, RecipientsRefused):
            error.refused = {**job.refused, **error.refused}
        record = self.run.mailer.record
        if error is not None:
            self.run.mailer.explain(error)
        if decision.outcome == "accepted" and decision.receipt is not None:
            record.accepted(decision.receipt, job.prepared)
        elif error is not None:
            record.failed(error, job.prepared, decision.outcome)
        self._told(job, decision.outcome)
        return SendResult(job.index, job.message, decision.outcome, decision.receipt, error)

    def _told(self, job: Job, outcome: str) -> None:
        """Take note that a job has its result."""
        self.jobs.settled(success=outcome == "accepted")
        if _log.isEnabledFor(logging.INFO):
            _log.info("Message %d (%s): %s", job.index, job.prepared.content.message_id, outcome)

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

    def __init__(self, worker: Worker, first: Job) -> None:
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
