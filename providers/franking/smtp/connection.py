"""One connection to a mail server: octets in and out, TLS, time-outs, the log of the dialogue. It decides nothing about
mail.

The socket never blocks: whoever writes also reads, so that two full buffers cannot wait for each other for ever.
``sent`` counts the octets that the kernel took, which is what decides whether a message was handed over.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from franking.errors import ConnectError, ConnectTimeout, Evidence
from franking.net import tcp
from franking.net.tcp import Place
from franking.redaction import without_queries
from franking.smtp.protocol import Line, Reply, ReplyReader, readable

if TYPE_CHECKING:
    import ssl
    from logging import Logger

__all__ = ["Connection", "Dialogue"]

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux: acknowledge at once while waiting for a reply. A server that writes its replies in several pieces (Postfix
under TLS, with PIPELINING alone) otherwise waits for our delayed acknowledgement, 40 ms per message (RFC 896 meets RFC
1122 §4.2.3.2)."""
CORK: int | None = getattr(socket, "TCP_CORK", None)
"""Linux: what is written leaves in whole segments, and what is left of it when told so, or by itself after 0.2 s."""
READ = 65536
_HAS_POLL = hasattr(select, "poll")  # not so on Windows
GOODBYE = 0.5  # seconds for the answer to QUIT: politeness, nothing depends on it

Result = TypeVar("Result")
Dialogue = Generator[Line | None, Reply, Result]
"""Lines to say (None: only listen), replies to hear, and what came of it."""

_SENTENCES = {
    "timeout": "did not answer in time",
    "closed": "closed the connection",
    "reset": "reset the connection",
    "unreachable": "can no longer be reached",
    "unexpected-reply": "gave an answer that does not fit",
}
_NOT_SMTP = "sent something that is no SMTP"


class Connection:
    """Hold a socket, its reader and its counters. ``step`` names what is going on, for errors."""

    def __init__(
        self, place: Place, *, timeout: float, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``timeout``: seconds without progress. ``patience``: seconds for a whole reply, however slowly it drips:
        progress that never ends is none. It is closed until a socket is attached.
        """
        self.place = place
        self.step = "connect"
        self.peer = self.local = ""
        self.sent = 0
        self.offered = 0
        self.tls: str | None = None
        self.certificate: dict[str, Any] = {}
        self.greeting = ""
        self.closed = True
        self.full = False  # the last read took all that one may; behind it there may be more
        self.reader = ReplyReader()
        self.timeout = timeout
        self._patience = max(patience, timeout)
        self._dripping: float | None = None  # since when a reply has been under way
        self._clock = clock
        self._sock: socket.socket
        self._reads: select.poll | None = None
        self._pid = os.getpid()
        self._log = _dialogue_log()
        # nothing to read, or no room to write
        self._nothing: tuple[type[OSError], ...] = (BlockingIOError, InterruptedError)
        self._reading_first: tuple[type[OSError], ...] = ()  # TLS must read before it can write
        self._corked = False
        self._more_to_come = False  # something was read since the last octet left, and more is waited for

    def connect(self, found: Sequence[tcp.Found]) -> None:
        """Connect to the first address that answers."""
        tcp.connect(self.place, found, self.attach, timeout=self.timeout, clock=self._clock)

    def attach(self, sock: socket.socket) -> None:
        """Own a connected socket: from here on ``close`` closes it. Raises ``ConnectError`` for one that is gone."""
        self._sock = sock
        self.closed = False
        sock.setblocking(False)
        try:
            self.peer, self.local = str(sock.getpeername()[0]), str(sock.getsockname()[0])
        except OSError as problem:  # it was reset before it was looked at
            raise self.failure("reset", number=problem.errno) from None

    # — errors —

    def failure(self, reason: str, *, text: str = "", kind: str = "connect", number: int | None = None) -> ConnectError:
        """Make the error for a connection that broke (it is closed by whoever sees it)."""
        details = {
            **self.place.details,
            "errno": number,
            "tried": [{"address": self.peer, "reason": reason, "errno": number}],
        }
        evidence = Evidence(kind, text=text, reason=reason, details=details)
        made = ConnectTimeout if reason == "timeout" else ConnectError
        return made(f"{self.place} {_SENTENCES.get(reason, _NOT_SMTP)}.", step=self.step, evidence=evidence)

    def _broken(self, problem: OSError) -> ConnectError:
        import ssl  # here and below: without TLS nobody waits 6 ms for it

        if isinstance(problem, ssl.SSLError):
            return self.failure("reset", kind="tls", text=problem.reason or "", number=problem.errno)
        reason = tcp.why(problem)
        if problem.errno in (errno.EPIPE, errno.EBADF, errno.ENOTCONN, errno.ESHUTDOWN):
            reason = "reset"
        return self.failure(reason, number=problem.errno)

    # — waiting —

    def _wait(self, seconds: float, *, write: bool = False) -> tuple[bool, bool]:
        """Wait until the socket can be read, or written if asked for; (False, False) when time is up."""
        seconds = max(seconds, 0)
        if not _HAS_POLL:
            sockets = [self._sock]
            readable, writable, broken = select.select(sockets, sockets * write, sockets, seconds)
            return bool(readable or broken), bool(writable or broken)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | (select.POLLOUT if write else 0))
        events = poll.poll(seconds * 1000)
        if not events:
            return False, False
        seen = events[0][1]
        ended = seen & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
        return bool(seen & select.POLLIN or ended), bool(seen & select.POLLOUT or ended)

    def _comes(self, seconds: float) -> bool:
        """Wait until there is something to read, the end too; False when time is up. The poll object is kept, as every
        reply is waited for.
        """
        if not _HAS_POLL:
            return self._wait(seconds)[0]
        if self._reads is None:
            self._reads = select.poll()
            self._reads.register(self._sock, select.POLLIN)
        return bool(self._reads.poll(seconds * 1000 if seconds > 0 else 0))

    # — reading —

    def take(self) -> bool:
        """Read what is there without waiting; False when there is nothing. Raises ``ConnectError`` at the end of the
        stream.
        """
        try:
            data = self._sock.recv(READ)
        except self._nothing:
            return False
        except OSError as problem:
            raise self._broken(problem) from None
        if not data:
            raise self.failure("closed")
        self._more_to_come = True
        self.full = len(data) == READ or self.tls is not None
        if self._log is None:
            self.reader.feed(data)
        else:
            self._feed_aloud(data, self._log)
        return True

    def _feed_aloud(self, data: bytes, log: Logger) -> None:
        seen = len(self.reader.replies)
        self.reader.feed(data)
        for reply in list(self.reader.replies)[seen:]:
            self._log_reply(reply, log)

    def take_rest(self) -> None:
        """Read what the last read had no room for, if it is there: under TLS the next record. An end shows later."""
        if self._comes(0):
            with contextlib.suppress(ConnectError):
                self.take()

    def quiet(self) -> bool:
        """Return, cheaply, whether nothing came and nothing has ended; under TLS only reading shows it."""
        if self.tls is not None or self.reader.replies or self.reader.partial:
            return False
        if self._reads is not None:
            return not self._reads.poll(0)
        return not self._comes(0)

    @property
    def unheard(self) -> bool:
        """Return whether something has come that nobody has taken."""
        return bool(self.reader.replies or self.reader.partial)

    def fill(self, seconds: float | None = None) -> None:
        """Wait until something arrives, and read it. Raises ``ConnectTimeout`` after ``seconds`` (by default the
        time-out).
        """
        seconds = self.timeout if seconds is None else seconds
        if self._corked:
            self.cork(False)
        if self.reader.partial:
            seconds = min(seconds, self._patience_left())
        else:
            self._dripping = None
        if self.tls is None:  # under TLS the octets may have come already
            self._await(seconds)
        while not self.take():
            self._await(seconds)

    def _await(self, seconds: float) -> None:
        if self._more_to_come and QUICKACK is not None:
            try:  # noqa: SIM105 - suppress() would cost a microsecond per message
                self._sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
            except OSError:  # not TCP, or gone, which shows below
                pass
        if not self._comes(seconds):
            raise self.failure("timeout")

    def _patience_left(self) -> float:
        """Return the seconds that the reply under way may still take. Raises ``ConnectTimeout`` when there are none."""
        now = self._clock()
        if self._dripping is None:
            self._dripping = now
        left = self._dripping + self._patience - now
        if left <= 0:
            raise self.failure("timeout")
        return left

    def listen(self) -> Reply:
        """Wait for one reply. Raises ``ConnectError`` when there is none, or what comes is none."""
        end = self._clock() + self._patience
        while not self.reader.replies:
            self.check()
            self.fill(min(self.timeout, max(end - self._clock(), 0.0)))
        return self.reader.replies.popleft()

    def hear_greeting(self) -> Reply:
        """Wait for the first line. Whatever else than SMTP listens here shows by what it says, even if it never ends
        the line.
        """
        try:
            reply = self.listen()
        except ConnectError as problem:
            said = self.reader.pending
            if problem.evidence is not None and problem.evidence.kind == "smtp":
                raise self._not_smtp(problem.evidence.text) from None
            if said and not self.reader.replies:
                raise self._not_smtp(readable(said, 200)) from None
            raise
        self.greeting = reply.text
        return reply

    def _not_smtp(self, text: str) -> ConnectError:
        evidence = Evidence("smtp", text=text, reason="not-smtp", details=self.place.details)
        return ConnectError(
            f"{self.place} is no mail server for SMTP: it says {text!r}.",
            step="greet",
            temporary=False,
            evidence=evidence,
        )

    def check(self) -> None:
        """Raise ``ConnectError`` if something that is no reply came in, and every reply before it was heard."""
        fault = self.reader.fault
        if fault is not None and not self.reader.replies:
            raise self.failure(fault.reason, kind="smtp", text=fault.text)

    # — writing —

    def write(self, data: bytes | memoryview, enough: Callable[[], bool] | None = None) -> None:
        """Hand octets to the kernel, all of them, reading meanwhile what the server says.

        While nothing can leave, ``enough`` is asked now and then: True ends the writing half way (a server that refuses
        in the middle of a content may read no more of it).
        """
        done = self._send(data)
        if done < len(data):
            self._write_on(memoryview(data)[done:], enough)

    def _write_on(self, left: memoryview, enough: Callable[[], bool] | None) -> None:
        while left:
            readable, writable = self._wait(self.timeout, write=True)
            if not readable and not writable:
                raise self.failure("timeout")
            if readable and self.take() and self.reader.partial:
                self._patience_left()
            if enough is not None and enough():
                return
            if writable:
                left = left[self._send(left) :]

    def _send(self, data: bytes | memoryview) -> int:
        self.offered = self.sent + len(data)
        try:
            done = self._sock.send(data)
        except self._reading_first:
            self.offered = self.sent
            self._wait(self.timeout)
            return 0
        except self._nothing:
            self.offered = self.sent
            return 0
        except OSError as problem:
            # raised by a signal's handler, perhaps when the octets had left: ``offered`` counts then
            if problem.errno is None:
                raise
            with contextlib.suppress(ConnectError):  # its last words tell more than a broken pipe
                while self.take():
                    pass
            raise self._broken(problem) from None
        self.sent += done
        self.offered = self.sent
        self._more_to_come = False
        return done

    def cork(self, on: bool) -> None:
        """Let what is written next leave together, or all of it now. Where the system cannot, it leaves as it comes."""
        if on is self._corked or CORK is None:
            return
        with contextlib.suppress(OSError):  # not TCP, or gone, which shows where it is written or read
            self._sock.setsockopt(socket.IPPROTO_TCP, CORK, on)
            self._corked = on

    def converse(self, dialogue: Dialogue[Result]) -> Result:
        """Lead a dialogue, one line and one reply at a time."""
        try:
            line = next(dialogue)
            while True:
                if line is not None:
                    if self.unheard:
                        raise self.failure("unexpected-reply", kind="smtp", text=readable(self._unread(), 200))
                    self.log_said(line.shown)
                    self.write(line.data)
                line = dialogue.send(self.listen())
        except StopIteration as end:
            result: Result = end.value
            return result

    def _unread(self) -> bytes:
        if self.reader.replies:
            return str(self.reader.replies[0]).encode()
        return self.reader.pending

    # — TLS —

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the handshake and check the certificate. Raises ``TLSError`` (or ``ConnectTimeout``), kind ``tls``."""
        import ssl

        from franking.smtp import tls

        if self.unheard:
            raise tls.injected(self.place, self._unread())
        try:
            self._sock.settimeout(self.timeout)
            self._sock = wrapped = context.wrap_socket(
                self._sock, server_hostname=self.place.name, do_handshake_on_connect=False
            )
            wrapped.do_handshake()
            wrapped.setblocking(False)
        except (OSError, ValueError) as problem:
            raise tls.failure(problem, self.place, self._sock) from None
        self._nothing = (*self._nothing, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._reading_first = (ssl.SSLWantReadError,)
        self._reads = None
        self.tls = wrapped.version() or "TLS"
        self.certificate = dict(wrapped.getpeercert() or {})

    # — log and end —

    @property
    def logging(self) -> bool:
        """Return whether somebody listens to the dialogue."""
        return self._log is not None

    def log_said(self, shown: str) -> None:
        """Log what the client says, in the form that holds no secret."""
        if self._log is not None:
            self._log.debug("%sC: %s", self._mark, readable(shown.encode("utf-8", "backslashreplace")))

    def _log_reply(self, reply: Reply, log: Logger) -> None:
        # a sign-in address with a one-time token may be broken over several lines
        *lines, last = without_queries("\n".join(map(readable, reply.lines))).split("\n")
        for line in lines:
            log.debug("%sS: %d-%s", self._mark, reply.code, line)
        log.debug("%sS: %d %s", self._mark, reply.code, last)

    @property
    def _mark(self) -> str:
        """Return what marks a line that went under TLS."""
        return "~" if self.tls else ""

    def close(self, *, quit_first: bool = False) -> None:
        """Close it, with a QUIT that waits for nothing long. In a forked child only the child's copy goes."""
        if self.closed:
            return
        self.closed = True
        try:
            if quit_first and os.getpid() == self._pid:
                with contextlib.suppress(ConnectError):
                    self.log_said("QUIT")
                    self.write(b"QUIT\r\n")
                    self.fill(min(GOODBYE, self.timeout))
        finally:
            self._sock.close()

    def abort(self) -> None:
        """Wake whoever waits on it and let nothing more through; any thread may call it."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            # not SSLSocket.shutdown: it drops the TLS layer, and a thread in the middle of a write would go on in plain
            # text
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _dialogue_log() -> Logger | None:
    """Return the logger of the dialogue if somebody listens to it: who set up logging has imported it; nobody else
    waits 5 ms for it.
    """
    if "logging" not in sys.modules:
        return None
    import logging

    log = logging.getLogger("franking.wire")
    return log if log.isEnabledFor(logging.DEBUG) else None
