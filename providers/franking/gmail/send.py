"""Send by the Gmail API: one message is one media upload, simple when small and resumable when large.

google-api-python-client speaks the protocol over an http object of ours (``wire.py``). The message is made while it is
sent and never held whole. How to recover is the mailer's business, with one exception: an upload that breaks off goes
on from where Gmail says it came, because only this session knows its address.

Sources: developers.google.com/workspace/gmail/api/guides/uploads (resumable protocol).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import Message as Parsed
from typing import Any

from franking.account.account import Account
from franking.api_session import Progress, check_recipients, interruptible, sender_unused, since
from franking.auth.secret import Secret
from franking.errors import ConnectError, Evidence, FrankingError, MessageError, OutcomeUnknown, Refused, Throttled
from franking.gmail.client import PIECE, SERVICE, Wire, odd
from franking.gmail.facts import API, FACTS
from franking.gmail.login import missing_extra
from franking.message.address import Envelope
from franking.message.content import Content
from franking.net import http
from franking.provider import Observer, Receipt
from franking.session_guard import Turn
from franking.text import bounded

__all__ = ["GmailSession", "open_session"]

# octets; beyond, losing a connection should not mean to begin again, which is worth one more round trip
SIMPLE_LIMIT = 1024 * 1024
CHUNK = 32 * 256 * 1024  # octets; Google wants multiples of 256 KiB
RESUMES = 5  # breaks of one upload that are survived
STALLED = 3  # answers in a row that accept nothing


def open_session(account: Account, secret: Secret, observer: Observer) -> GmailSession:
    """Connect to the Gmail API with a bare access token. Raises ``ConnectError`` or ``TLSError`` with evidence."""
    try:
        from googleapiclient.discovery import build
    except ImportError as problem:
        raise missing_extra(problem) from None
    wire = Wire(account, secret)
    try:
        wire.reach(observer)
        service = build(
            "gmail",
            "v1",
            http=wire,
            static_discovery=True,
            cache_discovery=False,
            client_options={"api_endpoint": account.api_endpoint, "universe_domain": "googleapis.com"},
        )
    except BaseException:
        wire.close()
        raise
    return GmailSession(account, service, wire, observer)


class GmailSession:
    """Send messages over one kept-alive HTTPS connection."""

    quiet_after_fork = True

    def __init__(
        self,
        account: Account,
        service: Any,
        wire: Wire,
        observer: Observer,
        *,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._sender = account.sender
        self._service = service
        self._wire = wire
        self._observer = observer
        self._turn = Turn()
        self._aborted = threading.Event()
        self._pause = pause or self._aborted.wait

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        """Hand one message over. Raises ``MessageError`` before anything leaves, and a ``SendError`` by the verdicts of
        ``franking.http``.

        An interruption (Ctrl-C) leaves with ``possibly_sent`` on it.
        """
        with self._turn, interruptible(self._wire):
            return self._send(envelope, content)

    def _send(self, envelope: Envelope, content: Content) -> Receipt:
        size = content.size_with_bcc()
        header = _check(envelope, content, size)
        started = time.perf_counter()
        told = Progress(self._observer, size, started)
        self._wire.begin(told)
        told.running(0)
        try:
            answered = self._upload(_media(content, size))
        except FrankingError as problem:
            told.failed(problem)
            raise
        except http.Changed as problem:  # the chunks did not add up to the size that was announced
            wrong = MessageError(
                f"The message changed while it was sent: {problem}.", evidence=Evidence("message", reason="changed")
            )
            told.failed(wrong)
            raise wrong from None
        provider_id = bounded(answered["id"], 200)
        reply = f"200 OK id={provider_id}"
        told.accepted(reply)
        return Receipt(
            message_id=content.message_id,
            route=API,
            reply=reply,
            provider_id=provider_id,
            accepted=envelope.recipients,
            bytes=size,
            ms=since(started),
            warnings=sender_unused(envelope, header, self._sender, SERVICE),
        )

    def _upload(self, media: Any) -> Mapping[str, Any]:
        request = self._service.users().messages().send(userId="me", media_body=media)
        if not media.resumable():
            answered: Mapping[str, Any] = request.execute(num_retries=0)
            return answered
        breaks = stalls = 0
        while True:
            before = request.resumable_progress
            try:
                _, done = request.next_chunk(num_retries=0)  # after a break it first asks how far the upload came
            except FrankingError as problem:
                breaks += 1
                if (
                    request.resumable_uri is None
                    or breaks > RESUMES
                    or self._aborted.is_set()
                    or not _may_resume(problem)
                ):
                    raise self._wire.outcome(problem) from None
                self._pause(2.0 ** (breaks - 1) - 1)  # seconds: at once, then 1, 3, 7, 15
                continue
            if done is not None:
                return done  # type: ignore[no-any-return]
            stalls = stalls + 1 if request.resumable_progress <= before else 0
            if stalls >= STALLED:
                raise self._wire.outcome(odd("accepts nothing of the upload"))

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have
        been accepted.
        """
        if self._turn.ours:
            self._aborted.set()
            self._wire.abort()


class _Stream:
    """A message as googleapiclient wants a file: read in order, sought only to go on after a break."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._chunks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")
        self._at = -1

    def seek(self, position: int, whence: int = 0) -> int:
        assert whence == 0
        if position != self._at:
            self.close()
            self._chunks, self._rest, self._at = self._content.chunks(bcc=True), memoryview(b""), 0
            while self._at < position and self.read(min(PIECE, position - self._at)):
                pass
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        piece = bytes(self._rest[:size])
        self._rest = self._rest[len(piece) :]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Let go of what the message holds open."""
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        self._at = -1


def _media(content: Content, size: int) -> Any:
    from googleapiclient.http import MediaUpload

    class Media(MediaUpload):  # type: ignore[misc]
        def __init__(self) -> None:
            self._stream = _Stream(content)

        def chunksize(self) -> int:
            return CHUNK

        def mimetype(self) -> str:
            return "message/rfc822"

        def size(self) -> int:
            return size

        def resumable(self) -> bool:
            return size > SIMPLE_LIMIT

        def getbytes(self, begin: int, length: int) -> bytes:
            return b"".join(content.chunks(bcc=True))

        def has_stream(self) -> bool:
            return True

        def stream(self) -> _Stream:
            return self._stream

    return Media()


def _may_resume(problem: FrankingError) -> bool:
    """Return whether an upload goes on after this: a broken connection or a 5xx, never a refusal (resumable protocol,
    "Resume").
    """
    code = problem.evidence.code if problem.evidence else None
    if isinstance(problem, ConnectError | OutcomeUnknown):
        return True
    return isinstance(problem, Refused) and not isinstance(problem, Throttled) and code is not None and code >= 500


def _check(envelope: Envelope, content: Content, size: int) -> Parsed:
    """Refuse before any traffic what Gmail would refuse after it, and what this road cannot do."""
    facts = FACTS.route(API)
    assert facts.size is not None and facts.recipients is not None
    if size > facts.size:
        raise MessageError(
            f"The message has {size} bytes; the Gmail API takes {facts.size}, that is files of about 25 MB. Send a link instead.",
            evidence=Evidence("message", reason="too-large", details={"size": size, "limit": facts.size}),
        )
    count = len(envelope.recipients)
    if count > facts.recipients:
        raise MessageError(
            f"The message has {count} recipients; Gmail takes {facts.recipients} for each message. Send it in parts.",
            field="to",
            evidence=Evidence(
                "message", reason="too-many-recipients", details={"count": count, "limit": facts.recipients}
            ),
        )
    return check_recipients(envelope, content, SERVICE)
