"""Messages in flight: what each reply means for which message, and what becomes of each when the connection ends. No
sockets.

    octets = pipeline.outgoing()      b"" = nothing may leave before a reply comes
    pipeline.receive(reply)           replies come in the order of the commands (RFC 2920)
    pipeline.lost(sent, cause)        the connection died: who was accepted, who is safe, who is unknown
    pipeline.done                     transactions whose ``result`` stands

Which octets those are is ``writer.py``'s business. A reply that does not fit what was asked ends the connection.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from franking.errors import ConnectError, FrankingError, MessageError, OutcomeUnknown
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Receipt
from franking.smtp.protocol import Capabilities, Reply
from franking.smtp.replies import refusal
from franking.smtp.transaction import Transaction, plan
from franking.smtp.writer import BATCH, BODY, DATA, MAIL, ONE_FLIGHT, RCPT, RSET, Asked, Writer

__all__ = ["Misfit", "Pipeline", "Transaction"]


class Misfit(Exception):
    """Say that a reply does not answer what was asked: from here on nothing on this connection can be trusted."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Pipeline:
    """The messages of one connection, in order."""

    def __init__(
        self,
        capabilities: Capabilities,
        *,
        route: str = "smtp",
        sent: int = 0,
        log: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sent`` is the stream's offset so far. ``log`` takes each line that is said, where somebody listens."""
        self.pipelining = "PIPELINING" in capabilities
        self.chunking = self.pipelining and "CHUNKING" in capabilities
        self.done: deque[Transaction] = deque()
        self.unfinished: deque[Transaction] = deque()
        self.closing = False  # nothing more may be sent on this connection
        self.used = False  # the connection has carried a message
        self._capabilities = capabilities
        self._route = route
        self._clock = clock
        self._outstanding: deque[tuple[Transaction, Asked]] = deque()
        self._writer = Writer(
            self._outstanding,
            self._finish,
            chunking=self.chunking,
            pipelining=self.pipelining,
            made=sent,
            log=log,
            clock=clock,
        )

    # — what goes in —

    def plan(self, tag: Any, envelope: Envelope, content: Content, *, guarded: bool = False) -> Transaction:
        """Check a message against what the server can do. Raises ``MessageError`` or ``Refused`` before anything
        leaves.
        """
        transaction = plan(self._capabilities, tag, envelope, content, guarded=guarded)
        small = transaction.size <= ONE_FLIGHT and len(transaction.paths) <= BATCH
        transaction.brief = small and self.pipelining and not (guarded and self.chunking)
        return transaction

    def add(self, transaction: Transaction) -> None:
        """Take a planned message; ``outgoing`` must have written everything before it."""
        self.unfinished.append(transaction)
        self._writer.add(transaction)

    def room(self, window: int) -> bool:
        """Return whether a further message may be taken. With PIPELINING alone an envelope rides behind the content
        before it.
        """
        if self._writer.transaction is not None or self.closing:
            return False
        if self.chunking:
            return len(self.unfinished) < window
        return len(self.unfinished) < (window + 1 if self.pipelining else 1)

    @property
    def awaits_acceptance(self) -> bool:
        """Return whether the next reply is one that accepts a message, for which servers may take minutes."""
        return bool(self._outstanding) and self._outstanding[0][1] is BODY

    # — what goes out —

    def outgoing(self) -> bytes:
        """Return the next octets that may leave, or ``b""`` until a reply comes. Octets given before count as handed to
        the kernel.
        """
        transaction = self._writer.transaction
        if transaction is None or self.closing:
            return b""
        try:
            return self._writer.octets(transaction)
        except (FrankingError, OSError) as problem:
            self._unreadable(transaction, problem)
            return b""

    # — what comes back —

    def receive_all(self, replies: deque[Reply]) -> None:
        """Take all these replies out of the queue; what follows the connection's end stays there. Raises ``Misfit``."""
        while replies and not self.closing:
            if not self._all_well(replies):
                self.receive(replies.popleft())

    def _all_well(self, replies: deque[Reply]) -> bool:
        """Take the replies to all that left at once, if they are all there and all say yes: half the price of one by
        one.
        """
        if not self._outstanding:
            return False
        transaction = self._outstanding[0][0]
        expected = transaction.expected
        if transaction.heard or not 0 < expected <= len(replies):
            return False
        last = replies[expected - 1]
        if not (200 <= last.code < 300 if self.chunking else last.code == 354):
            return False
        for number in range(expected - 1):
            if not 200 <= replies[number][0] < 300:
                return False
        for _ in range(expected):
            self._outstanding.popleft()
            replies.popleft()
        transaction.heard = True
        transaction.accepted = list(transaction.envelope.recipients)
        transaction.answered = len(transaction.paths)
        if self.chunking:
            self._accepted(transaction, last)
        else:
            transaction.data = last
        return True

    def receive(self, reply: Reply) -> None:
        """Take the next reply. Raises ``Misfit`` when it answers nothing, or answers what cannot be."""
        if not self._outstanding:
            raise Misfit(reply)
        transaction, asked = self._outstanding.popleft()
        code = reply.code
        if code == 421:
            return self._shut(transaction, asked, reply)
        transaction.heard = True
        kind = code // 100
        if asked is BODY:
            self._answered(transaction, reply, kind)
        elif asked is RCPT:
            address = transaction.envelope.recipients[transaction.answered]
            transaction.answered += 1
            if kind == 2 and transaction.sender_reply is None:
                transaction.accepted.append(address)
            elif kind in (4, 5):
                self._not_taken(transaction, address, reply)
            else:
                self._misfit(transaction, reply)
        elif asked is DATA:
            if code != 354 and kind not in (4, 5):
                self._misfit(transaction, reply)
            transaction.data = reply
        elif asked is MAIL and kind in (4, 5):
            transaction.sender_reply = reply
        elif kind != 2:  # RSET cannot be refused (RFC 5321 §4.1.1.5)
            self._misfit(transaction, reply)
        return None

    def _misfit(self, transaction: Transaction, reply: Reply) -> NoReturn:
        transaction.doubtful = True
        raise Misfit(reply)

    def _not_taken(self, transaction: Transaction, address: str, reply: Reply) -> None:
        # 452 4.5.3, also spelt 552 and 5.5.3: no more recipients in this transaction (RFC 5321 §4.5.3.1.10)
        enough = reply.enhanced in ("4.5.3", "5.5.3") and bool(transaction.accepted)
        transaction.full = transaction.full or enough
        transaction.refused[address] = {"reply": str(reply), "temporary": reply.code < 500 or enough}

    def _answered(self, transaction: Transaction, reply: Reply, kind: int) -> None:
        """The reply to the content decides, together with the replies to the envelope before it."""
        early = transaction is self._writer.transaction and not self._written(transaction)
        if kind == 2 and transaction.addressed and not early:
            return self._accepted(transaction, reply)
        lone = transaction.data is not None and not transaction.begun
        if kind == 3 or (kind == 2 and not lone):
            self._misfit(transaction, reply)
        if early:  # it refuses before it has heard all: what is left of the content has nowhere to go
            self.closing = True
        known = transaction.known_refusal
        return self._finish(transaction, known or refusal(reply, "message", step="accepted"))

    def _accepted(self, transaction: Transaction, reply: Reply) -> None:
        if self.chunking and transaction is self.unfinished[-1]:
            self._writer.dirty = False
        self.used = True
        receipt = Receipt(
            transaction.content.message_id,
            self._route,
            str(reply),
            None,
            tuple(transaction.accepted),
            transaction.refused,
            transaction.size,
            (self._clock() - transaction.started) * 1000,
        )
        self._finish(transaction, receipt)

    def _written(self, transaction: Transaction) -> bool:
        return transaction.end is not None and self._writer.made >= transaction.end

    def _finish(self, transaction: Transaction, result: Receipt | FrankingError) -> None:
        transaction.result = result
        if self.unfinished and self.unfinished[0] is transaction:
            self.unfinished.popleft()
        else:
            self.unfinished.remove(transaction)
        self.done.append(transaction)

    # — ends —

    def _shut(self, transaction: Transaction, asked: Asked, reply: Reply) -> None:
        """421: this command and all behind it were not executed, so that their messages are safe."""
        self.closing = True
        first = asked in (RSET, MAIL) and not transaction.heard
        if first and (self.used or transaction.guarded) and not (reply.enhanced or "").startswith("4.7."):
            error: FrankingError = ConnectError(
                f"The server had closed the connection: {reply}",
                stale=True,
                step="message",
                evidence=reply.evidence("smtp"),
            )
        else:
            error = transaction.known_refusal or refusal(
                reply, "message", step="accepted" if asked is BODY else "message"
            )
        self._finish(transaction, error)
        while self.unfinished:
            behind = ConnectError(
                f"The server closed the connection before it came to this message: {reply}",
                step="message",
                evidence=reply.evidence("smtp"),
            )
            self._finish(self.unfinished[0], behind)
        self._outstanding.clear()

    def lost(self, sent: int, cause: ConnectError) -> None:
        """Return every unfinished message its verdict: ``sent`` octets were handed to the kernel when the connection died
        of ``cause``.
        """
        self.closing = True
        while self.unfinished:
            transaction = self.unfinished[0]
            error = transaction.known_refusal
            if error is None and transaction.handed_over(sent):
                error = OutcomeUnknown(
                    f"The message was handed over, and then no answer came: {cause}",
                    accepted=transaction.accepted,
                    evidence=cause.evidence,
                )
            if error is None:
                silent = cause.evidence is not None and cause.evidence.reason in ("closed", "reset")
                before = not transaction.heard and not transaction.begun and (self.used or transaction.guarded)
                error = type(cause)(cause.message, stale=silent and before, step="message", evidence=cause.evidence)
            self._finish(transaction, error)
        self._outstanding.clear()

    def doubt(self, reply: Reply, cause: ConnectError) -> None:
        """Take an acceptance back that came in one breath with a refusal too many: which of them answered the message,
        nobody can tell.

        A further 2xx changes nothing, whichever it was; 421 neither: a server may accept and then close.
        """
        if reply.code // 100 == 2 or reply.code == 421 or self._outstanding:
            return
        for transaction in self.done:
            if isinstance(transaction.result, Receipt):
                words = f"The server answered more than it was asked, so that it is not clear whether it took the message: {cause}"
                transaction.result = OutcomeUnknown(words, accepted=transaction.accepted, evidence=cause.evidence)

    def _unreadable(self, transaction: Transaction, problem: FrankingError | OSError) -> None:
        """The content could not be read: this message fails alone if none of it has left, else the connection ends with
        it.
        """
        if isinstance(problem, OSError) and not isinstance(problem, FrankingError):
            problem = MessageError(
                f"The message could not be read: {problem.strerror or problem}.", field="attachments"
            )
        self._writer.stop()
        self.closing = transaction.begun or transaction.data is not None
        self._finish(transaction, problem)
