"""What leaves for each message, in which pieces, and which replies are owed for it. No sockets; what the replies mean
is ``transaction.py``'s business.

A message is written by a generator that yields octets, or ``b""`` as long as everything sent so far must be answered
first. A small message, which nearly every one is, goes in one flight (CHUNKING: MAIL, RCPT and BDAT LAST at once), or
its envelope rides with DATA and its content follows (PIPELINING alone). Any other asks in groups (PIPELINING), or in
groups of one (the plain dialogue). Sending BDAT before the RCPT replies deviates from RFC 3030 §2 on purpose, as large
senders do; in return every MAIL behind something unanswered is preceded by RSET.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from franking.errors import FrankingError, MessageError
from franking.smtp.protocol import Capabilities, DotStuffer
from franking.smtp.replies import refusal
from franking.smtp.transaction import BODY, DATA, MAIL, RCPT, RSET, Asked, Transaction

__all__ = ["BATCH", "ONE_FLIGHT", "PIECE", "Octets", "Writer"]

Octets = bytes | memoryview

ONE_FLIGHT = 65536  # octets of content that leave before the recipients are answered (section 8 of the design)
PIECE = 1 << 17  # octets of a content that are copied at most
BATCH = 100  # recipients per group: Gmail takes no more per message, and a server that has enough is noticed soon


class Writer:
    """What is said for one message after the other. ``offset`` is the stream's: whoever takes octets moves it on."""

    def __init__(
        self,
        capabilities: Capabilities,
        outstanding: deque[tuple[Transaction, list[Asked]]],
        fail: Callable[[Transaction, FrankingError], None],
        *,
        offset: int,
        log: Callable[[str], None] | None,
        clock: Callable[[], float],
    ) -> None:
        """``outstanding`` takes what replies are owed for, in order and in groups that left together; ``fail`` takes a
        message that ends without its content.
        """
        self.pipelining = "PIPELINING" in capabilities
        self.chunking = self.pipelining and "CHUNKING" in capabilities
        self.offset = offset
        self.at_once = False  # the last script is one piece
        self.dirty = False  # a transaction may still be open at the server
        self._outstanding = outstanding
        self._fail = fail
        self._log = log
        self._clock = clock

    def script(self, transaction: Transaction) -> Iterator[Octets]:
        """Return the octets of a message; ``b""`` stands for: not before everything sent so far is answered.

        Going on raises what reading the content raises.
        """
        small = transaction.size <= ONE_FLIGHT and len(transaction.envelope.recipients) <= BATCH
        self.at_once = self.chunking and small and not transaction.guarded
        if self.at_once:
            return map(self._flight, (transaction,))  # when it is its turn
        if self.chunking:
            return chain(self._envelope(transaction), self._chunk(transaction))
        return chain(self._envelope(transaction), self._data(transaction))

    def _flight(self, transaction: Transaction) -> bytes:
        """Everything at once: most messages go this way."""
        content = b"".join(transaction.content.chunks(bcc=False))
        size = len(content)
        lines, asked = self._commands(transaction)
        lines = [*lines, b"BDAT %d LAST\r\n" % size]
        asked.append(BODY)
        self._outstanding.append((transaction, asked))
        if self._log is not None:
            self._say(self._log, lines, size)
        flight = b"".join(lines) + content
        transaction.leave(self._clock(), len(asked), self.offset + len(flight), size)
        return flight

    def _commands(self, transaction: Transaction) -> tuple[list[bytes], list[Asked]]:
        """Return the lines of the envelope and what each of them asks; RSET first where a transaction may be open."""
        lines = transaction.lines
        asked = [MAIL] + [RCPT] * (len(lines) - 1)
        # Dovecot 2.3 dies of an RCPT that comes before the reply to the last message
        if self._outstanding or self.dirty:
            lines, asked = [b"RSET\r\n", *lines], [RSET, *asked]
        self.dirty = True
        return lines, asked

    def _envelope(self, transaction: Transaction) -> Iterator[Octets]:
        """MAIL and RCPT in groups (the last with DATA, where it may); ends when all is answered, DATA too."""
        lines, asked = self._commands(transaction)
        batch = BATCH if len(transaction.envelope.recipients) > BATCH else len(lines)
        if not self.pipelining:
            batch = 1
        data_rides = self.pipelining and not self.chunking
        at_once = data_rides and batch == len(lines)
        transaction.ask(self._clock(), len(lines) + 1 if at_once else 0)
        for start in range(0, len(lines), batch):
            group, what = lines[start : start + batch], asked[start : start + batch]
            if data_rides and start + batch >= len(lines):
                group.append(b"DATA\r\n")
                what.append(DATA)
            self._owe(transaction, what, group)
            yield b"".join(group)
            while self._outstanding:
                yield b""
            if transaction.sender_reply is not None or transaction.full or transaction.unreset is not None:
                break
        if transaction.full:
            transaction.leave_out()
        if transaction.data_reply is not None:
            return
        refused = transaction.refusal
        if refused is None and transaction.unreset is not None:  # and MAIL was not even said
            refused = refusal(transaction.unreset, "sender", step="message")
        if refused is not None:
            self._fail(transaction, refused)
        elif not self.chunking:
            self._owe(transaction, [DATA], [b"DATA\r\n"])
            yield b"DATA\r\n"
            while self._outstanding:
                yield b""

    def _chunk(self, transaction: Transaction) -> Iterator[Octets]:
        """BDAT LAST: its size is a promise, so that a content which breaks it ends the connection."""
        if transaction.result is not None:
            return
        left = transaction.size
        header = b"BDAT %d LAST\r\n" % left
        self._owe(transaction, [BODY], [header], left)
        begin = self.offset + len(header)
        transaction.begin_content(begin)
        transaction.end_content(begin + left)
        yield header
        for chunk in transaction.content.chunks(bcc=False):
            left -= len(chunk)
            if left < 0:
                break
            if chunk:
                # what the application holds whole is handed on from where it is
                yield memoryview(chunk) if len(chunk) > PIECE else chunk
        if left:
            raise MessageError(
                "The message changed its size while it was being sent; was a file written to meanwhile?",
                field="attachments",
            )

    def _data(self, transaction: Transaction) -> Iterator[Octets]:
        """Dot-stuffed content behind a 354. Without an accepted recipient a lone dot ends it (RFC 2920 §3.1)."""
        reply = transaction.data_reply
        if reply is None:
            return
        if reply.code != 354:
            self._fail(transaction, transaction.refusal or refusal(reply, "message", step="message"))
            return
        self.dirty = False  # the end of the data ends the transaction, however it is answered (RFC 5321 §4.1.1.4)
        if not transaction.addressed:
            self._owe(transaction, [BODY], [b".\r\n"])
            yield b".\r\n"
            return
        self._owe(transaction, [BODY], [], transaction.size)
        transaction.begin_content(self.offset)
        stuffer = DotStuffer()
        held = b""
        for chunk in transaction.content.chunks(bcc=False):
            if len(held) + len(chunk) <= ONE_FLIGHT:
                held += chunk
                continue
            if held:
                yield stuffer.feed(held)
            # what may be stuffed is copied, so never all that the application holds at once
            done = 0
            while len(chunk) - done > PIECE:
                yield stuffer.feed(chunk[done : done + PIECE])
                done += PIECE
            held = chunk[done:]
        last = stuffer.feed(held) + stuffer.end()
        transaction.end_content(self.offset + len(last))
        yield last

    def _owe(self, transaction: Transaction, asked: list[Asked], lines: list[bytes], size: int | None = None) -> None:
        """Note what replies are owed for; log what leaves."""
        self._outstanding.append((transaction, asked))
        if self._log is not None:
            self._say(self._log, lines, size)

    def _say(self, log: Callable[[str], None], lines: list[bytes], size: int | None) -> None:
        """Log the lines that leave, and the ``size`` of the content behind them."""
        for line in lines:
            log(line[:-2].decode("utf-8", "backslashreplace"))
        if size is not None:
            log(f"<… {size} octets>")
