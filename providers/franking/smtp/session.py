"""An open SMTP session: waits, watches the clock, tells the observer. Octets go by ``connection.py``, verdicts are made
in ``pipeline.py``.

A session never reconnects, logs in anew or tries again: it reports.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Any, TypeVar

from franking.errors import ConnectError, FrankingError, OutcomeUnknown
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Observer, Receipt, Step, silent
from franking.smtp.connection import Connection
from franking.smtp.pipeline import Misfit, Pipeline
from franking.smtp.protocol import Capabilities
from franking.smtp.transaction import Transaction

__all__ = ["SmtpSession"]

IDLE = 10.0  # seconds after which MAIL's reply is awaited before any content leaves: the server may have hung up
SLOW = 0.001  # seconds: a source that takes longer for a job is slower than the wire of this machine
FLIGHT = 65536  # octets that leave together at most: beyond that, joining costs more than the system calls it saves
PROGRESS = 262144  # octets between two reports of a large upload

Tag = TypeVar("Tag")
Clock = Callable[[], float]


class SmtpSession:
    """One open SMTP connection, logged in where a login was asked for. Belongs to one thread at a time.

    Any failure of the connection closes the session (``closed``); a refused message does not.
    """

    quiet_after_fork = True

    def __init__(
        self,
        connection: Connection,
        capabilities: Capabilities,
        *,
        route: str = "smtp",
        observer: Observer = silent,
        final_timeout: float = 600.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.capabilities = capabilities
        self._connection = connection
        self._final_timeout = final_timeout
        self._observer = None if observer is silent else observer
        self._clock = clock
        self._last = clock()
        self._pid = os.getpid()
        self._busy = threading.Lock()
        self._held: list[bytes] = []  # what may leave and was not handed over yet
        self._weight = 0  # its octets
        self._watch: _Watch | None = None
        self._leaving = False  # closed while it was sending: to be carried out at the end
        self._pipeline = Pipeline(
            capabilities,
            route=route,
            sent=connection.sent,
            log=connection.log_said if connection.logging else None,
            clock=clock,
        )
        connection.step = "message"

    @property
    def closed(self) -> bool:
        """Return whether the connection is gone; a closed session sends nothing more."""
        return self._connection.closed

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        """Hand one message over and wait for its acceptance.

        Raises ``MessageError``, ``Refused`` and its kin (the session stays usable), ``ConnectError`` (surely not
        accepted; with ``stale`` when the server had hung up before anything of the message left) or ``OutcomeUnknown``
        (handed over, no answer).
        """
        self._enter()
        try:
            self._look()
            transaction = self._plan(None, envelope, content)
            if self._observer is not None:
                self._watch = _Watch(self._observer, transaction, self._clock)
            self._pipeline.add(transaction)
            while transaction.result is None:
                self._gather()
                if self._held:
                    self._hand_over()
                elif transaction.result is None:
                    self._await_reply()
            result = transaction.result
            if self._watch is not None:
                self._watch.end(result)
        except BaseException as problem:
            self._interrupted(problem)
            raise
        finally:
            self._leave()
        if isinstance(result, FrankingError):
            raise result
        return result

    def send_many(
        self, jobs: Iterable[tuple[Tag, Envelope, Content]], *, window: int = 1
    ) -> Iterator[tuple[Tag, Receipt | FrankingError]]:
        """Send messages in order with at most ``window`` unanswered; yield each tag with its receipt or error, in order
        of completion.

        When the connection is lost, every job drawn so far is yielded before the iterator ends; ``closed`` then tells
        so, and no more are drawn. An exception of ``jobs`` itself, or an interruption, is raised when everything drawn
        has been yielded.

        Jobs that know how many are left (``__length_hint__``, as lists do) keep nobody waiting: half a window of them
        is gathered and leaves together, which saves a system call per message and lets the server work meanwhile.
        Before any other job is drawn, all that may leave has left.
        """
        self._enter()
        pipeline = self._pipeline
        source = _Source(jobs, self._clock)
        half = max(window // 2, 1) if pipeline.chunking else 1
        drawn = 0
        try:
            self._look()
            while True:
                self._gather()
                drawing = not (source.over or self._leaving)
                ready = drawing and source.ready
                if drawing and pipeline.room(window if self._held or not ready else window - half + 1):
                    if not ready or drawn >= half:
                        drawn = 0
                        self._hand_over()
                        # a source that takes its time does not keep the results that have come meanwhile
                        if source.slow:
                            self._catch_up()
                        yield from self._results()
                        if not pipeline.room(window):
                            continue
                    job = source.draw()
                    if job is None:
                        continue
                    try:
                        if not pipeline.unfinished:
                            self._look()
                        transaction = self._plan(*job)
                    except FrankingError as failed:
                        self._hand_over()
                        yield job[0], failed
                        source.over = source.over or self.closed
                        continue
                    pipeline.add(transaction)
                    drawn += 1
                    continue
                drawn = 0
                if self._held:
                    self._hand_over()
                elif pipeline.unfinished:
                    if ready:
                        source.fetch()  # composed while the server works: it goes on the end of the next flight
                    self._await_reply()
                    if ready:
                        self._gather()
                        if self._held or pipeline.room(window - half + 1):
                            continue  # what follows leaves first: the server works on it while results are told
                else:
                    yield from self._results()
                    break
                yield from self._results()
                if self.closed and not pipeline.unfinished:
                    break
        # the connection is given up, and what became of each message is still told
        except (KeyboardInterrupt, SystemExit) as failed:
            self._interrupted(failed)
            yield from self._results()
            yield from self._unbegun(source)
            raise
        except BaseException as failed:
            self._interrupted(failed)
            raise
        finally:
            self._leave()
        yield from self._unbegun(source)
        if source.problem is not None:
            raise source.problem

    def close(self) -> None:
        """Say QUIT, without waiting long for an answer, and close. What is being sent is finished first, and no further
        job is drawn.
        """
        if self._busy.acquire(blocking=False):
            try:
                self._connection.close(quit_first=not self._pipeline.closing)
            finally:
                self._busy.release()
        else:
            self._leaving = True

    def abort(self) -> None:
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have
        been accepted.
        """
        self._connection.abort()

    # — one user at a time —

    def _enter(self) -> None:
        if os.getpid() != self._pid:
            self._connection.close()  # the child's copy only
            raise self._stale(
                "This session belongs to the parent process; open one of your own after the fork.", "forked"
            )
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this session is sending in another thread; a session belongs to one thread at a time")
        if self.closed:
            self._busy.release()
            raise self._stale("This session is closed.", "closed")

    def _leave(self) -> None:
        if self._pipeline.closing or self._pipeline.unfinished:
            self._connection.close()
        elif self._leaving:
            self._connection.close(quit_first=True)
        self._held.clear()
        self._weight = 0
        self._pipeline.done.clear()
        self._watch = None
        self._last = self._clock()
        self._busy.release()

    def _stale(self, words: str, reason: str) -> ConnectError:
        evidence = self._connection.failure(reason).evidence
        return ConnectError(words, stale=True, step="message", evidence=evidence)

    def _look(self) -> None:
        """Look for what the server said or did since the last message; anything at all makes the connection stale."""
        connection = self._connection
        if connection.quiet():
            return
        try:
            while connection.take():
                pass
            if connection.reader.idle:
                return
            words = connection.reader.replies[0] if connection.reader.replies else None
            evidence = (
                words.evidence("smtp", "closed")
                if words is not None
                else connection.failure("unexpected-reply", kind="smtp").evidence
            )
            text = (
                f"The server had closed the connection: {words}"
                if words is not None
                else "The server sent something unasked."
            )
        except ConnectError as problem:
            words = connection.reader.replies[0] if connection.reader.replies else None
            evidence = words.evidence("smtp", "closed") if words is not None else problem.evidence
            text = "The server had closed the connection" + (f": {words}" if words is not None else ".")
        self._pipeline.closing = True
        connection.close()
        raise ConnectError(text, stale=True, step="message", evidence=evidence)

    def _plan(self, tag: Any, envelope: Envelope, content: Content) -> Transaction:
        guarded = not self._pipeline.unfinished and self._clock() - self._last > IDLE
        return self._pipeline.plan(tag, envelope, content, guarded=guarded)

    # — driving —

    def _gather(self) -> None:
        """Take what may leave now; only what is as large as a flight is handed over at once."""
        pipeline, held = self._pipeline, self._held
        while octets := pipeline.outgoing():
            held.append(octets)
            self._weight += len(octets)
            if self._weight >= FLIGHT:
                self._hand_over()
        if pipeline.closing:
            self._end()

    def _hand_over(self) -> None:
        """Write everything that was gathered, in one piece, and hear what has been answered meanwhile."""
        held, connection = self._held, self._connection
        if not held:
            return
        octets = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._weight = 0
        try:
            connection.write(octets, self._heard_enough)
            if self._watch is not None:
                self._watch.look(connection.sent)
            if not connection.reader.idle:
                self._hear()
        except ConnectError as problem:
            self._lost(problem)
        if self._pipeline.closing:
            self._end()

    def _await_reply(self) -> None:
        """Wait until the server says something. A broken connection gives every message its verdict."""
        try:
            self._connection.fill(self._final_timeout if self._pipeline.awaits_acceptance else None)
            self._hear()
            if self._watch is not None:
                self._watch.look(self._connection.sent)
        except ConnectError as problem:
            self._lost(problem)
        if self._pipeline.closing:
            self._end()

    def _end(self) -> None:
        """Nothing more may be sent: drop what was not, and close once every message has its verdict."""
        self._held.clear()
        self._weight = 0
        if not self._pipeline.unfinished:
            self._connection.close()

    def _catch_up(self) -> None:
        """Hear replies that have come already."""
        try:
            if self._connection.take():
                self._hear()
        except ConnectError as problem:
            self._lost(problem)

    def _hear(self) -> None:
        replies, pipeline, connection = self._connection.reader.replies, self._pipeline, self._connection
        try:
            pipeline.receive_all(replies)
        except Misfit as misfit:
            problem = connection.failure("unexpected-reply", kind="smtp", text=str(misfit.reply))
            pipeline.doubt(misfit.reply, problem)
            raise problem from None
        if not pipeline.closing:
            connection.check()
        self._last = self._clock()

    def _heard_enough(self) -> bool:
        self._hear()
        return self._pipeline.closing

    def _lost(self, problem: ConnectError, sent: int | None = None) -> None:
        """Take what the server said last, then let the pipeline judge."""
        pipeline, connection = self._pipeline, self._connection
        replies = connection.reader.replies
        try:
            if problem.evidence is None or problem.evidence.kind != "smtp":
                pipeline.receive_all(replies)
        except Misfit as misfit:
            problem = connection.failure("unexpected-reply", kind="smtp", text=str(misfit.reply))
        pipeline.lost(connection.sent if sent is None else sent, problem)
        connection.close()

    def _interrupted(self, problem: BaseException) -> None:
        """Something from outside (Ctrl-C, a closed generator) broke in: say on the exception whether a message may have
        been accepted.
        """
        pipeline = self._pipeline
        if pipeline.unfinished:
            self._lost(self._connection.failure("closed", text="interrupted"), self._connection.offered)
        if not isinstance(problem, FrankingError):  # accepted ones too: nobody has been told of them
            verdicts = [transaction.result for transaction in pipeline.done]
            problem.possibly_sent = any(isinstance(verdict, OutcomeUnknown | Receipt) for verdict in verdicts)  # type: ignore[attr-defined]

    def _unbegun(self, source: _Source) -> Iterator[tuple[Any, FrankingError]]:
        """Tell of the job that was drawn ahead and not reached."""
        if source.fetched is not None:
            yield source.fetched[0], self._stale("The connection ended before this message was begun.", "closed")

    def _results(self) -> Iterator[tuple[Any, Receipt | FrankingError]]:
        done = self._pipeline.done
        while done:
            transaction = done.popleft()
            assert transaction.result is not None
            yield transaction.tag, transaction.result


class _Source:
    """The jobs to come, and how they ended (``problem``). ``slow``: the last one took its time."""

    def __init__(self, jobs: Iterable[tuple[Any, Envelope, Content]], clock: Clock) -> None:
        self._jobs = iter(jobs)
        self._clock = clock
        self.fetched: tuple[Any, Envelope, Content] | None = None
        self.over = self.slow = False
        self.problem: BaseException | None = None

    @property
    def ready(self) -> bool:
        """Return whether drawing keeps nobody waiting, as far as the jobs know it themselves."""
        return self.fetched is not None or length_hint(self._jobs) > 0

    def fetch(self) -> None:
        """Draw the next job already, to be given when it is asked for."""
        if self.fetched is None:
            self.fetched = self.draw()

    def draw(self) -> tuple[Any, Envelope, Content] | None:
        """Return the next job; None when they are over."""
        if self.fetched is not None:
            job, self.fetched = self.fetched, None
            return job
        started = self._clock()
        try:
            return next(self._jobs)
        except StopIteration:
            self.over = True
        except (Exception, KeyboardInterrupt, SystemExit) as failed:  # noqa: BLE001 - the caller's own; raised once every result is out
            self.over, self.problem = True, failed
        finally:
            self.slow = self._clock() - started > SLOW
        return None


class _Watch:
    """Return the observer of one message: ``message`` from MAIL to the end of the data, ``accepted`` the final reply."""

    def __init__(self, observer: Observer, transaction: Transaction, clock: Clock) -> None:
        self._observer = observer
        self._transaction = transaction
        self._clock = clock
        self._started = clock()
        self._over = False  # the message step
        self._reported = 0
        observer(Step("message", "running"))

    def look(self, sent: int) -> None:
        """See how far it came; ``sent`` is the stream's offset."""
        transaction = self._transaction
        if self._over:
            return
        if transaction.handed_over(sent) and transaction.addressed:
            self._message_ends()
        elif transaction.begun and transaction.size > PROGRESS:
            first = transaction.first if transaction.first is not None else (transaction.end or 0) - transaction.size
            done = min(max(sent - first, 0), transaction.size)
            if done - self._reported >= PROGRESS:
                self._reported = done
                self._observer(Step("message", "running", self._ms(), done=done, total=transaction.size))

    def end(self, result: Receipt | FrankingError) -> None:
        if isinstance(result, Receipt):
            if not self._over:
                self._message_ends()
            self._observer(Step("accepted", "ok", self._ms(), result.reply))
            return
        step = "accepted" if result.step == "accepted" else "message"
        if step == "accepted" and not self._over:
            self._message_ends()
        self._observer(Step(step, "failed", self._ms(), str(result)))

    def _message_ends(self) -> None:
        self._over = True
        count = len(self._transaction.accepted)
        detail = f"{self._transaction.size:,} octets to {count} recipient{'' if count == 1 else 's'}"
        self._observer(Step("message", "ok", self._ms(), detail))
        self._started = self._clock()
        self._observer(Step("accepted", "running"))

    def _ms(self) -> float:
        return (self._clock() - self._started) * 1000
