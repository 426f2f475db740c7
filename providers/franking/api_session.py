"""What every API road shares, whichever provider: the connection is opened ahead, recipients come from the header, a
large message tells how it gets on.

HTTP itself is ``http.py``; no message is sent here and no provider is known.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.message import Message as Parsed
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from franking.errors import Evidence, FrankingError, MessageError
from franking.message.address import Address, Envelope
from franking.message.content import Content
from franking.message.headers import read_addresses
from franking.net import http, http_errors
from franking.provider import Observer, Step

if TYPE_CHECKING:
    import requests

__all__ = ["Progress", "check_recipients", "header_of", "interruptible", "reach", "sender_unused", "since"]


def since(started: float) -> float:
    """Return the milliseconds since a moment of ``time.perf_counter``."""
    return (time.perf_counter() - started) * 1000


def reach(session: requests.Session, url: str, service: str, observer: Observer) -> None:
    """Open the connection, so that a ``check`` proves it and its failure is known before anything of a message leaves.

    Tells the observer the step ``connect``, and ``tls`` where that failed. Raises ``ConnectError`` or ``TLSError`` with
    evidence.
    """
    from urllib3.exceptions import HTTPError

    started = time.perf_counter()
    place = urlsplit(url).netloc
    observer(Step("connect", "running", detail=place))
    try:
        version = http.reach(session, url)
    except (OSError, HTTPError, ValueError) as problem:
        error = http_errors.broken(problem, service=service, url=url)
        if error.step == "tls":
            observer(Step("connect", "ok", since(started), place))
        observer(Step(error.step or "connect", "failed", since(started), error.message))
        raise error from None
    observer(Step("connect", "ok", since(started), f"{place}, {version}"))


class Doubtful(Protocol):
    """What knows whether the whole of a message had left, and nothing contradicted it since."""

    @property
    def in_doubt(self) -> bool: ...


@contextmanager
def interruptible(wire: Doubtful) -> Iterator[None]:
    """Write ``possibly_sent`` on what breaks into a send from outside: Ctrl-C, or whatever a signal's handler
    raises.
    """
    try:
        yield
    except FrankingError:
        raise
    except BaseException as broken:
        with suppress(AttributeError):
            broken.possibly_sent = wire.in_doubt  # type: ignore[attr-defined]
        raise


def header_of(content: Content) -> bytes:
    """Return a message's header, Bcc included, without the empty line that ends it."""
    head = b""
    chunks: Any = content.chunks(bcc=True)
    with closing(chunks):
        for chunk in chunks:
            head += chunk
            if b"\r\n\r\n" in head:
                break
    return head.partition(b"\r\n\r\n")[0]


def check_recipients(envelope: Envelope, content: Content, service: str) -> Parsed:
    """Refuse an envelope whose recipients are not those of To, Cc and Bcc: an API delivers to the header's, and knows
    no Resent-To.

    Gives the parsed header. Raises ``MessageError``.
    """
    header = HeaderParser().parsestr(header_of(content).decode("utf-8", "replace"))
    fields = [
        (name, " ".join(str(value).split())) for name in ("to", "cc", "bcc") for value in header.get_all(name, [])
    ]
    written = {_folded(address.address) for name, value in fields for address in read_addresses(value, name)}
    differing = sorted(written ^ {_folded(address) for address in envelope.recipients})
    if differing:
        raise MessageError(
            f"{service} delivers to the addresses in To, Cc and Bcc, and the envelope names others: {', '.join(differing[:5])}. "
            "Use the route smtp for an envelope of its own.",
            evidence=Evidence("message", reason="envelope-differs", details={"differing": tuple(differing[:20])}),
        )
    return header


def sender_unused(envelope: Envelope, header: Parsed, own: Address, service: str) -> tuple[str, ...]:
    """Say that an API takes no envelope sender, where it is neither the account's nor the header's."""
    known = {
        own.wire.lower(),
        *(address.wire.lower() for address in read_addresses(str(header.get("From", "")), "from")),
    }
    if envelope.sender and Address(envelope.sender).wire.lower() in known:
        return ()
    return (f"the envelope sender {envelope.sender!r} is not used: {service} sends in the name of the mailbox",)


def _folded(address: str) -> str:
    local, _, domain = Address(address).wire.rpartition("@")
    return f"{local}@{domain.lower()}"


class Progress:
    """Return the observer how a message gets on; at most once for each hundredth part."""

    def __init__(self, observer: Observer, total: int, started: float) -> None:
        self._observer, self._total, self._started = observer, total, started
        self._told = -1
        self._step = total // 100 or 1

    def running(self, done: int) -> None:
        done = min(done, self._total)
        if self._told < 0 or done >= self._total or abs(done - self._told) >= self._step:
            self._told = done
            self._observer(Step("message", "running", since(self._started), done=done, total=self._total))

    def accepted(self, reply: str) -> None:
        ms = since(self._started)
        self._observer(Step("message", "ok", ms, f"{self._total:,} bytes", done=self._total, total=self._total))
        self._observer(Step("accepted", "ok", ms, reply))

    def failed(self, problem: FrankingError) -> None:
        if problem.step == "accepted":
            self._observer(
                Step(
                    "message", "ok", since(self._started), f"{self._total:,} bytes", done=self._total, total=self._total
                )
            )
        self._observer(Step(problem.step or "message", "failed", since(self._started), problem.message))
