"""Messages in flight: which message a reply belongs to, and what becomes of each when the connection ends. No sockets.

    octets = pipeline.outgoing()      b"" = nothing may leave before a reply comes
    pipeline.receive(reply)           replies come in the order of the commands (RFC 2920)
    pipeline.lost(sent, cause)        the connection died: who was accepted, who is safe, who is unknown
    pipeline.done                     transactions whose ``result`` stands

Which octets those are is ``writer.py``'s business, what a reply means for its message ``transaction.py``'s. A reply
that does not fit what was asked ends the connection.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from franking.errors import ConnectError, FrankingError, MessageError, Refused, exhausted
from franking.message.address import Envelope
from franking.message.content import Content
from franking.smtp.protocol import Capabilities, Reply
from franking.smtp.transaction import BODY, Asked, Misfit, Transaction
from franking.smtp.writer import Octets, Writer

__all__ = ["Misfit", "Pipeline", "Transaction"]

_YES = frozenset(range(200, 300))
_code = itemgetter(0)


class Pipeline:
    """The messages of one connection, in order."""

    def __init__(
        self,
        capabilities: Capabilities,
        *,
        route: str = "smtp",
        account: str = "",
        sent: int = 0,
        log: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sent`` is the stream's offset so far. ``log`` takes each line that is said, where somebody listens."""
        self.done: deque[Transaction] = deque()
        self.unfinished: deque[Transaction] = deque()
        self.closing = False  # nothing more may be sent on this connection
        self.used = False  # the connection has carried a message
        self.spent = False  # the server takes no further message on it; what is in flight is still answered
        self._capabilities = capabilities
        self._route, self._account = route, account
        self._clock = clock
        self._outstanding: deque[tuple[Transaction, list[Asked]]] = deque()  # what replies are owed for, as it left
        self._writer = Writer(capabilities, self._outstanding, self._fail, offset=sent, log=log, clock=clock)
        self.chunking = self._writer.chunking
        self.script: Iterator[Octets] | None = None  # what is left of the last message to write

    # — what goes in —

    def add(self, tag: Any, envelope: Envelope, content: Content, *, guarded: bool = False) -> Transaction:
        """Take a message; ``outgoing`` must have written everything before it.

        Raises ``MessageError`` or ``Refused`` where the server cannot take it, before anything leaves.
        """
        transaction = Transaction(self._capabilities, tag, envelope, content, guarded=guarded)
        self.unfinished.append(transaction)
        self.script = self._writer.script(transaction)
        return transaction

    def room(self, window: int) -> bool:
        """Return whether a further message may be taken. With PIPELINING alone an envelope rides behind the content
        before it.
        """
        if self.script is not None or self.closing or self.spent:
            return False
        if not self._writer.pipelining:
            return not self.unfinished
        if not self.chunking:
            window += 1
        return len(self.unfinished) < window

    @property
    def awaits_acceptance(self) -> bool:
        """Return whether the next reply is one that accepts a message, for which servers may take minutes."""
        return bool(self._outstanding) and self._outstanding[0][1][0] is BODY

    # — what goes out —

    def outgoing(self) -> Octets:
        """Return the next octets that may leave, or ``b""`` until a reply comes. Octets returned before count as handed
        to the kernel.
        """
        if self.script is None or self.closing:
            return b""
        try:
            octets = next(self.script, None)
        except FrankingError as problem:
            self._unreadable(problem)
        except (MemoryError, OSError, RuntimeError) as problem:
            scarce = exhausted(problem)
            if scarce is None and not isinstance(problem, OSError):
                raise
            words = f"The message could not be read: {getattr(problem, 'strerror', None) or problem}."
            self._unreadable(scarce or MessageError(words, field="attachments"))
        else:
            if octets is not None:
                self._writer.offset += len(octets)
                if self._writer.at_once:
                    self.script = None
                return octets
        self.script = None
        return b""

    def _unreadable(self, problem: FrankingError) -> None:
        """End the last message, which cannot be read: alone if nothing of it has left, else with the connection."""
        transaction = self.unfinished[-1]
        self.closing = transaction.content_at is not None
        self._fail(transaction, problem)

    # — what comes back —

    def receive_all(self, replies: deque[Reply], sent: int | None = None) -> None:
        """Take all these replies out of the queue; what follows the connection's end stays there. ``sent`` octets were
        handed to the kernel. Raises ``Misfit``.
        """
        receive_together = self._receive_yes if self.chunking else self._receive_go_ahead
        while replies and not self.closing:
            if not receive_together(replies):
                self.receive(replies.popleft(), sent)

    def _receive_yes(self, replies: deque[Reply]) -> bool:
        """Take the replies to messages that left at once, as many as are there, if every reply that came says yes: a
        third of the price of one by one. False: it took none.
        """
        outstanding = self._outstanding
        if not outstanding or outstanding[0][0].heard or not _YES.issuperset(map(_code, replies)):
            return False
        now, some = self._clock(), False
        while outstanding:
            transaction, asked = outstanding[0]
            expected = len(asked)
            if transaction.expected != expected or len(replies) < expected:
                break
            some = True
            outstanding.popleft()
            for _ in asked[1:]:
                replies.popleft()
            transaction.accept_all(replies.popleft(), self._route, self._account, now)
            self._accepted()
        return some

    def _receive_go_ahead(self, replies: deque[Reply]) -> bool:
        """Take the replies to an envelope that left with DATA, if they are all there and all say: go on."""
        if not self._outstanding:
            return False
        transaction, asked = self._outstanding[0]
        expected = transaction.expected
        if expected != len(asked) or transaction.heard or not 0 < expected <= len(replies):
            return False
        last = replies[expected - 1]
        if last.code != 354 or not _YES.issuperset(map(_code, islice(replies, expected - 1))):
            return False
        self._outstanding.popleft()
        for _ in asked:
            replies.popleft()
        transaction.hear_all(last)
        return True

    def receive(self, reply: Reply, sent: int | None = None) -> None:
        """Take the next reply; by default all octets that were given out are ``sent``. Raises ``Misfit`` when it
        answers nothing, or answers what cannot be.
        """
        if not self._outstanding:
            raise Misfit(reply)
        written = self._writer.offset if sent is None else sent
        transaction, group = self._outstanding[0]
        asked = group.pop(0)
        if not group:
            self._outstanding.popleft()
        if reply.code == 421:
            self._cut_off(transaction, asked, reply)
        elif asked is BODY:
            problem = transaction.hear_final(reply, written)
            if problem is None:
                transaction.accept(reply, self._route, self._account, self._clock())
                self._accepted()
            else:
                # it refuses before it has heard all: what is left of the content has nowhere to go
                self.closing = transaction.begun(written)
                self._fail(transaction, problem)
        else:
            transaction.hear(asked, reply)

    def _accepted(self) -> None:
        """Take note that the first message was accepted."""
        self.used = True
        self.done.append(self.unfinished.popleft())
        if self.chunking and not self.unfinished:
            self._writer.dirty = False

    @property
    def wakes(self) -> bool:
        """Return whether nothing was heard yet since the connection rested."""
        return bool(self.unfinished) and self.unfinished[0].guarded and not self.unfinished[0].heard

    def _fail(self, transaction: Transaction, problem: FrankingError) -> None:
        if isinstance(problem, Refused) and (ended := transaction.turned_away(used=self.used)) is not None:
            self.spent, problem = True, ended
        transaction.fail(problem)
        self.unfinished.remove(transaction)
        self.done.append(transaction)

    # — ends —

    def _cut_off(self, transaction: Transaction, asked: Asked, reply: Reply) -> None:
        """End with 421: this command and all behind it were not executed, so that their messages are safe."""
        self.closing = True
        problem = transaction.cut_off(asked, reply, used=self.used)
        self._fail(transaction, problem)
        words = f"The server closed the connection before it came to this message: {reply}"
        stale = isinstance(problem, ConnectError)
        while self.unfinished:
            evidence = reply.evidence("smtp")
            self._fail(self.unfinished[0], ConnectError(words, stale=stale, step="message", evidence=evidence))
        self._outstanding.clear()

    def lost(self, sent: int, cause: ConnectError) -> None:
        """Settle every unfinished message: ``sent`` octets were handed to the kernel when the connection died of
        ``cause``.
        """
        self.closing = True
        while self.unfinished:
            transaction = self.unfinished[0]
            self._fail(transaction, transaction.lost(sent, cause, used=self.used))
        self._outstanding.clear()

    def doubt(self, cause: ConnectError, reply: Reply | None) -> None:
        """Take back the acceptances that came in one breath with a reply too many: which one answered the message,
        nobody can tell.

        In the plain dialogue nothing else was asked: there a ``reply`` that accepts or closes changes nothing.
        """
        if not self._writer.pipelining and reply is not None and (reply.code // 100 == 2 or reply.code == 421):
            return
        for transaction in self.done:
            transaction.doubt(cause)
