"""An open SMTP session: one message or many, one user at a time. It reports, and never reconnects, logs in or repeats.

Octets go by ``connection.py``, what becomes of each message is decided in ``pipeline.py``; a session moves both on.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from franking.errors import ConnectError, FrankingError, OutcomeUnknown
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Observer, Receipt, silent
from franking.smtp.connection import Connection
from franking.smtp.jobs import Source
from franking.smtp.pipeline import Pipeline
from franking.smtp.protocol import Capabilities, readable
from franking.smtp.transaction import Misfit, Transaction
from franking.smtp.writer import Octets

if TYPE_CHECKING:
    from franking.smtp.progress import Progress

__all__ = ["SmtpSession"]

LIFE = 600.0  # seconds that a session lasts at most: servers lose their patience, and middleboxes their memory
IDLE = 10.0  # seconds after which MAIL's reply is awaited before any content leaves: the server may have hung up
WAKING = 3  # MAIL's reply is awaited for this part of the time-out then: the rest is for another connection
FLIGHT = 65536  # octets that leave together at most: beyond that, joining costs more than the system calls it saves

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
        account: str = "",
        observer: Observer = silent,
        final_timeout: float = 600.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.capabilities = capabilities
        self._connection = connection
        self._final_timeout = final_timeout
        self._observer = observer
        self._clock = clock
        self._last_heard = self._opened = clock()
        self._pid = os.getpid()
        self._busy = threading.Lock()
        self._held: list[Octets] = []  # what may leave and was not handed over yet
        self._weight = 0  # its octets
        self._rejected: deque[tuple[Any, FrankingError]] = deque()  # what ended before it became a transaction
        self._progress: Progress | None = None
        self._rested = False  # the connection, before the message that was added last
        self._leaving = False  # closed while it was sending: to be carried out at the end
        log = connection.log_said if connection.logging else None
        self._pipeline = Pipeline(
            capabilities, route=route, account=account, sent=connection.sent, log=log, clock=clock
        )
        connection.step = "message"

    @property
    def closed(self) -> bool:
        """Return whether the connection is gone, or has served its time; a closed session sends nothing more."""
        return self._connection.closed or self._clock() - self._opened > LIFE

    def certificate_ends(self) -> float:
        """Return the last moment of the certificate that the server showed (seconds since 1970), 0 where there was
        none.
        """
        until = self._connection.certificate.get("notAfter")
        if not until:
            return 0.0
        import ssl  # only TLS has one

        return float(ssl.cert_time_to_seconds(str(until)))

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        """Hand one message over and wait for its acceptance.

        Raises ``MessageError``, ``Refused`` and its kin (the session stays usable), ``ConnectError`` (surely not
        accepted; with ``stale`` when the server had hung up before anything of the message left) or ``OutcomeUnknown``
        (handed over, no answer).
        """
        self._enter()
        try:
            if not self._connection.quiet():
                self._look()
            transaction = self._add(None, envelope, content)
            if self._observer is not silent:
                from franking.smtp.progress import Progress

                self._progress = Progress(self._observer, transaction, self._clock)
            pipeline = self._pipeline
            while transaction.result is None:
                if pipeline.script is not None or pipeline.closing:
                    self._gather()
                if self._held:
                    self._hand_over()
                elif pipeline.unfinished:
                    self._wait()
            result = transaction.result
            if self._progress is not None:
                self._progress.end(result)
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
        Before any other job is drawn, all that may leave has been handed over, and every result is told. Jobs that have
        kept nobody waiting for a while leave together too, by the kernel's leave: it holds them until half a window is
        full, and not longer than 0.2 s where one takes its time after all.
        """
        self._enter()
        source = Source(jobs, self._clock)
        pipeline = self._pipeline
        try:
            if not self._connection.quiet():
                self._look()
            while True:
                self._gather()
                together = 1
                if source.ready or source.quick:
                    together = max(window // 2, 1) if pipeline.chunking else 1
                if not source.ready:
                    self._hand_over()
                    if source.slow:  # the results that have come meanwhile are not kept waiting
                        self._take()
                    yield from self._results()
                    self._connection.cork(together > 1)
                self._draw(source, window, together)
                self._hand_over()
                self._connection.cork(False)
                yield from self._results()
                self._leaving = self._leaving or pipeline.spent or self.closed  # of old age, too
                over = source.over or self._leaving
                if not over and pipeline.room(window - together + 1):
                    continue
                if not pipeline.unfinished:
                    break
                if not over and source.ready:
                    source.fetch()  # composed while the server works: it goes on the end of the next flight
                self._gather()
                if not self._held:  # else what was heard meanwhile lets more leave, and no reply would ever come
                    self._wait()
            self._reject_fetched(source)
            yield from self._results()
        except GeneratorExit as problem:  # nobody reads any more
            self._interrupted(problem)
            raise
        # the connection is given up, and what became of each message is still told
        except BaseException as problem:
            self._interrupted(problem)
            self._reject_fetched(source)
            yield from self._results()
            raise
        finally:
            self._leave()
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
        if self._connection.closed or self._clock() - self._opened > LIFE:  # ``closed``, for each message
            self._busy.release()
            raise self._stale("This session is closed.", "closed")

    def _leave(self) -> None:
        if self._pipeline.closing or self._pipeline.unfinished:
            self._connection.close()
        elif self._leaving or self._pipeline.spent:
            self._connection.close(quit_first=True)
        self._held.clear()
        self._weight = 0
        self._pipeline.done.clear()
        self._rejected.clear()
        self._progress = None
        self._busy.release()

    def _stale(self, words: str, reason: str) -> ConnectError:
        evidence = self._connection.failure(reason).evidence
        return ConnectError(words, stale=True, step="message", evidence=evidence)

    def _look(self) -> None:
        """Look at what the server said or did since the last message; anything at all makes the connection stale."""
        connection = self._connection
        words = "The server had closed the connection."
        try:
            while connection.take():
                pass
            if not connection.unheard:
                return
            words = "The server sent something unasked."
            evidence = connection.failure("unexpected-reply", kind="smtp").evidence
        except ConnectError as problem:
            evidence = problem.evidence
        if connection.reader.replies:
            last = connection.reader.replies[0]
            words = f"The server had closed the connection: {last}"
            evidence = last.evidence("smtp", "closed")
        self._pipeline.closing = True
        connection.close()
        raise ConnectError(words, stale=True, step="message", evidence=evidence)

    # — what goes in —

    def _add(self, tag: Any, envelope: Envelope, content: Content) -> Transaction:
        """Take a message. Raises ``MessageError`` or ``Refused`` where the server cannot take it."""
        self._rested = not self._pipeline.unfinished and self._clock() - self._last_heard > IDLE
        return self._pipeline.add(tag, envelope, content, guarded=self._rested)

    def _draw(self, source: Source, window: int, together: int) -> None:
        """Draw the jobs that leave ``together``, where there is room for them, and gather what may leave of each."""
        room = window if self._held else window - together + 1
        ready = source.ready
        for drawn in range(together):
            if drawn and drawn >= ready:
                if not source.quick:
                    return
                self._hand_over()
            if source.over or self._leaving or not self._pipeline.room(room):
                return
            job = source.draw()
            if job is None:
                return
            room = window
            try:
                if not self._pipeline.unfinished and not self._connection.quiet():
                    self._look()
                self._add(*job)
            except FrankingError as problem:
                self._rejected.append((job[0], problem))
                return
            self._gather()

    def _reject_fetched(self, source: Source) -> None:
        """Reject the job that was drawn ahead and not reached."""
        if source.fetched is not None:
            words = "The connection ended before this message was begun."
            self._rejected.append((source.fetched[0], self._stale(words, "closed")))

    # — what goes on —

    def _gather(self) -> None:
        """Take what may leave now; only what is as large as a flight is handed over at once."""
        pipeline = self._pipeline
        while pipeline.script is not None and (octets := pipeline.outgoing()):
            self._held.append(octets)
            self._weight += len(octets)
            if self._weight >= FLIGHT:
                self._hand_over()
        if pipeline.closing:
            self._drop()

    def _hand_over(self) -> None:
        """Write everything that was gathered, in one piece, and hear what has been answered meanwhile; a broken
        connection settles every message.
        """
        if not self._held:
            return
        *before, last = self._held
        self._held.clear()
        self._weight = 0
        if before and len(last) > FLIGHT:  # too much to be copied: only its beginning leaves with what stands before it
            before.append(last[:FLIGHT])
            self._write(b"".join(before))
            if self._pipeline.closing:
                return
            last = last[FLIGHT:]
        elif before:
            last = b"".join((*before, last))
        self._write(last)

    def _write(self, octets: Octets) -> None:
        connection = self._connection
        try:
            connection.write(octets, self._hear)
            if connection.reader.replies or connection.reader.fault is not None or self._progress is not None:
                self._hear()
        except ConnectError as problem:
            self._lost(problem, connection.sent)

    def _take(self) -> None:
        """Hear what has come, without waiting."""
        connection = self._connection
        try:
            connection.take()
            self._hear()
        except ConnectError as problem:
            self._lost(problem, connection.sent)

    def _wait(self) -> None:
        """Wait until the server says something."""
        seconds = None
        if self._pipeline.awaits_acceptance:
            seconds = self._final_timeout
        elif self._rested and self._pipeline.wakes:
            seconds = self._connection.timeout / WAKING
        connection = self._connection
        try:
            connection.fill(seconds)
            self._hear()
        except ConnectError as problem:
            self._lost(problem, connection.sent)

    def _drop(self) -> None:
        """Drop what was not handed over, as nothing more may be sent, and close once every message is settled."""
        self._held.clear()
        self._weight = 0
        if not self._pipeline.unfinished:
            self._connection.close()

    def _hear(self) -> bool:
        """Take the replies that have come, if any; True when nothing more may be sent."""
        pipeline, connection = self._pipeline, self._connection
        reader = connection.reader
        if reader.replies or reader.fault is not None:
            self._take_replies()
            self._last_heard = self._clock()
            if pipeline.closing:
                self._drop()
            elif not pipeline.unfinished:
                if connection.full or reader.replies or reader.partial:
                    self._look_behind()
            elif reader.fault is not None:
                connection.check()
        if self._progress is not None:
            self._progress.look(connection.sent)
        return pipeline.closing

    def _take_replies(self) -> None:
        """Give the pipeline every reply that has come. Raises ``ConnectError`` for one that does not fit."""
        try:
            self._pipeline.receive_all(self._connection.reader.replies, self._connection.sent)
        except Misfit as misfit:
            problem = self._connection.failure("unexpected-reply", kind="smtp", text=str(misfit.reply))
            self._pipeline.doubt(problem, misfit.reply)
            raise problem from None

    def _look_behind(self) -> None:
        """Look whether more has come than was asked for. Raises ``ConnectError`` for it."""
        connection = self._connection
        if connection.full:
            connection.take_rest()
            self._take_replies()
        reader = connection.reader
        if reader.replies or reader.partial:
            text = readable(reader.pending, 200) if reader.fault is None else reader.fault.text
            problem = connection.failure("unexpected-reply", kind="smtp", text=text)
            self._pipeline.doubt(problem, None)
            raise problem

    def _lost(self, problem: ConnectError, sent: int) -> None:
        """Take what the server said last, then let the pipeline judge by the octets that were ``sent``."""
        try:
            if problem.evidence is None or problem.evidence.kind != "smtp":
                self._take_replies()
        except ConnectError as misfit:
            problem = misfit
        self._pipeline.lost(sent, problem)
        self._drop()

    def _interrupted(self, problem: BaseException) -> None:
        """Something from outside (Ctrl-C, a closed generator) broke in: say on the exception whether a message may have
        been accepted.
        """
        pipeline, connection = self._pipeline, self._connection
        if pipeline.unfinished:
            self._lost(connection.failure("closed", text="interrupted"), connection.offered)
        if not isinstance(problem, FrankingError):  # accepted ones too: nobody has been told of them
            results = [transaction.result for transaction in pipeline.done]
            may_be_there = any(isinstance(result, OutcomeUnknown | Receipt) for result in results)
            problem.possibly_sent = may_be_there  # type: ignore[attr-defined]

    def _results(self) -> Iterator[tuple[Any, Receipt | FrankingError]]:
        while self._rejected:
            yield self._rejected.popleft()
        done = self._pipeline.done
        while done:
            transaction = done.popleft()
            assert transaction.result is not None
            yield transaction.tag, transaction.result
