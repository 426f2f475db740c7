"""What leaves for each message, in which pieces, and which replies are owed for it. No sockets; what the replies mean
is ``pipeline.py``'s business.

A small message, which nearly every one is, goes in one flight (CHUNKING: MAIL, RCPT and BDAT LAST at once), or its
envelope rides with DATA and its content follows (PIPELINING alone). Any other is written by a generator that yields
octets, or ``WAIT``: nothing more until everything sent so far is answered. It asks in groups (PIPELINING), or in groups
of one (the plain dialogue). Sending BDAT before the RCPT replies deviates from RFC 3030 §2 on purpose, as large senders
do; in return every MAIL behind something unanswered is preceded by RSET.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from franking.errors import FrankingError, MessageError
from franking.smtp.protocol import DotStuffer
from franking.smtp.replies import recipient_refused, refusal
from franking.smtp.transaction import Transaction

__all__ = ["BATCH", "BODY", "DATA", "MAIL", "ONE_FLIGHT", "RCPT", "RSET", "Asked", "Writer"]

ONE_FLIGHT = 65536  # octets of content that leave before the recipients are answered (section 8 of the design)
BATCH = 100  # recipients per group: Gmail takes no more per message, and a server that has enough is noticed soon
WAIT = None


class Asked(Enum):
    """What a reply answers; ``BODY`` is the end of the content."""

    RSET = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    BODY = 4


# names of this module: looking a member up in its class costs more than all the rest of a reply
RSET, MAIL, RCPT, DATA, BODY = Asked


class Writer:
    """The octets of one message after the other."""

    def __init__(
        self,
        outstanding: deque[tuple[Transaction, Asked]],
        settle: Callable[[Transaction, FrankingError], None],
        *,
        chunking: bool,
        pipelining: bool,
        made: int,
        log: Callable[[str], None] | None,
        clock: Callable[[], float],
    ) -> None:
        """``outstanding`` takes what replies are owed for, in order; ``settle`` is told of a message that ends without
        its content.
        """
        self.outstanding = outstanding
        self.chunking, self.pipelining = chunking, pipelining
        self.made = made  # octets so far: the stream's offset
        self.transaction: Transaction | None = None  # what is being written
        self.dirty = False  # a transaction may still be open at the server
        self._settle = settle
        self._log = log
        self._clock = clock
        self._script: Iterator[bytes | None] | None = None
        self._waiting = False

    def add(self, transaction: Transaction) -> None:
        """Take the next message; the one before must be written."""
        self.transaction = transaction
        self._script = None if transaction.brief else self._groups(transaction)

    def stop(self) -> None:
        """Write no more of this message."""
        self._script = self.transaction = None

    def octets(self, transaction: Transaction) -> bytes:
        """Return the next octets that may leave, or ``b""`` until a reply comes. Raises what reading the content
        raises.
        """
        if self._script is not None:
            octets = self._scripted(self._script)
        else:
            octets = self._flight(transaction) if self.chunking else self._ride(transaction)
        self.made += len(octets)
        return octets

    def _scripted(self, script: Iterator[bytes | None]) -> bytes:
        while not (self._waiting and self.outstanding):
            self._waiting = False
            octets = next(script, b"")
            if octets is WAIT:
                self._waiting = True
            elif octets:
                return octets
            else:
                self._script = self.transaction = None
                break
        return b""

    def _opening(self, transaction: Transaction, last: bytes, asked: Asked) -> list[bytes]:
        """Return the lines of the envelope and the ``last`` one, which leave together, and note what replies are owed
        for.
        """
        lines = [transaction.mail, *transaction.paths, last]
        outstanding = self.outstanding
        if outstanding or self.dirty:  # Dovecot 2.3 dies of an RCPT that comes before the reply to the last message
            lines.insert(0, b"RSET\r\n")
            outstanding.append((transaction, RSET))
        outstanding.append((transaction, MAIL))
        for _ in transaction.paths:
            outstanding.append((transaction, RCPT))
        outstanding.append((transaction, asked))
        transaction.expected = len(lines)
        transaction.started = self._clock()
        self.dirty = True
        return lines

    def _flight(self, transaction: Transaction) -> bytes:
        """Everything at once, joined in one copy: no generator here, most messages go this way."""
        chunks = list(transaction.content.chunks(bcc=False))
        size = len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        lines = self._opening(transaction, b"BDAT %d LAST\r\n" % size, BODY)
        if self._log is not None:
            self._say(lines, size)
        lines += chunks
        flight = b"".join(lines)
        transaction.size = size
        transaction.begun = True
        transaction.end = self.made + len(flight)
        self.transaction = None
        return flight

    def _ride(self, transaction: Transaction) -> bytes:
        """With PIPELINING alone the envelope and DATA at once, on the end of the message before; the content when all
        of that is answered.
        """
        if not transaction.expected:
            lines = self._opening(transaction, b"DATA\r\n", DATA)
            if self._log is not None:
                self._say(lines)
            return b"".join(lines)
        if self.outstanding:
            return b""
        if transaction.data is None or transaction.data.code != 354 or not transaction.addressed:
            self._script = self._data(transaction)
            return self._scripted(self._script)
        transaction.begun = True
        stuffer = DotStuffer()
        octets = stuffer.feed(b"".join(transaction.content.chunks(bcc=False))) + stuffer.end()
        transaction.end = self.made + len(octets)
        self.outstanding.append((transaction, BODY))
        self.dirty = False  # as in _data
        if self._log is not None:
            self._say([], transaction.size)
        self.transaction = None
        return octets

    def _groups(self, transaction: Transaction) -> Iterator[bytes | None]:
        transaction.started = self._clock()
        yield from self._envelope(transaction)
        if transaction.result is not None:
            return
        if self.chunking:
            yield from self._chunk(transaction)
        else:
            yield from self._data(transaction)

    def _envelope(self, transaction: Transaction) -> Iterator[bytes | None]:
        """MAIL, RCPT and (without CHUNKING) DATA, in groups; ends with all of it answered."""
        asked = [(MAIL, transaction.mail), *((RCPT, line) for line in transaction.paths)]
        # Dovecot 2.3 dies of an RCPT that comes before the reply to the last message
        if self.dirty or self.outstanding:
            asked.insert(0, (RSET, b"RSET\r\n"))
        self.dirty = True
        batch = BATCH if self.pipelining else 1
        start = 0
        while start < len(asked):
            group = asked[start : start + batch]
            start += batch
            if start >= len(asked) and self.pipelining and not self.chunking:
                group.append((DATA, b"DATA\r\n"))
            yield self._group(transaction, group)
            yield WAIT
            if transaction.sender_reply is not None and transaction.data is None:
                return self._settle(transaction, refusal(transaction.sender_reply, "sender", step="message"))
            if transaction.full and start < len(asked):
                self._leave_out(transaction)
                if transaction.accepted and self.pipelining and not self.chunking:
                    yield self._group(transaction, [(DATA, b"DATA\r\n")])
                    yield WAIT
                break
        if transaction.data is None:
            if not transaction.accepted:
                return self._settle(transaction, recipient_refused(transaction.refused))
            if not self.pipelining:
                yield self._group(transaction, [(DATA, b"DATA\r\n")])
                yield WAIT
        return None

    def _leave_out(self, transaction: Transaction) -> None:
        """Count recipients that were not even asked about as refused for now: the server has said that it takes no
        more.
        """
        last = next(reversed(transaction.refused.values()))
        for address in transaction.envelope.recipients[transaction.answered :]:
            transaction.refused[address] = {"reply": last["reply"], "temporary": True}
        transaction.answered = len(transaction.paths)

    def _chunk(self, transaction: Transaction) -> Iterator[bytes | None]:
        """BDAT LAST: its size is a promise, so that a content which breaks it ends the connection."""
        header = b"BDAT %d LAST\r\n" % transaction.size
        transaction.begun = True
        transaction.end = self.made + len(header) + transaction.size
        self.outstanding.append((transaction, BODY))
        if self._log is not None:
            self._say([header], transaction.size)
        yield header
        left = transaction.size
        for chunk in transaction.content.chunks(bcc=False):
            left -= len(chunk)
            if left < 0:
                break
            if chunk:
                yield chunk
        if left:
            raise MessageError(
                "The message changed its size while it was being sent; was a file written to meanwhile?",
                field="attachments",
            )

    def _data(self, transaction: Transaction) -> Iterator[bytes | None]:
        """Dot-stuffed content behind a 354. Without an accepted recipient a lone dot ends it (RFC 2920 §3.1)."""
        reply = transaction.data
        assert reply is not None
        if reply.code != 354:
            return self._settle(transaction, transaction.known_refusal or refusal(reply, "message", step="message"))
        self.outstanding.append((transaction, BODY))
        self.dirty = False  # the end of the data ends the transaction, however it is answered (RFC 5321 §4.1.1.4)
        if not transaction.addressed:
            self._said(".")
            yield b".\r\n"
            return None
        if self._log is not None:
            self._say([], transaction.size)
        stuffer = DotStuffer()
        transaction.begun = True
        transaction.first = self.made
        held = b""
        for chunk in transaction.content.chunks(bcc=False):
            if len(held) + len(chunk) <= ONE_FLIGHT:
                held += chunk
                continue
            if held:
                yield stuffer.feed(held)
            held = chunk
        last = stuffer.feed(held) + stuffer.end()
        transaction.end = self.made + len(last)
        yield last
        return None

    def _group(self, transaction: Transaction, group: list[tuple[Asked, bytes]]) -> bytes:
        self.outstanding.extend((transaction, asked) for asked, _ in group)
        if self._log is not None:
            self._say([line for _, line in group])
        return b"".join(line for _, line in group)

    def _say(self, lines: list[bytes], size: int | None = None) -> None:
        for line in lines:
            self._said(line[:-2].decode("utf-8", "backslashreplace"))
        if size is not None:
            self._said(f"<… {size} octets>")

    def _said(self, line: str) -> None:
        if self._log is not None:
            self._log(line)
