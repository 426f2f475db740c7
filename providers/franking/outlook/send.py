"""Send by Microsoft Graph. Three ways, chosen by size and by what the message says (``plan``):

    mime    POST sendMail, the message as it is in base64: up to 3,000,000 octets. Loses nothing
    json    POST sendMail, the message taken apart: while the request stays under 4 MB and no header is lost; the only way without a copy
            in Sent Items
    draft   a draft, its files in upload sessions, then POST send (``upload.py``): up to 150 MB, needs Mail.ReadWrite

202 means accepted, not delivered: Exchange looks at recipients and policy afterwards. How to recover is the mailer's business.

Sources: learn.microsoft.com/graph/api/user-sendmail, /graph/outlook-send-mime-message, /graph/outlook-large-attachments,
/graph/outlook-things-to-know-about-send-mail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from franking import http
from franking.account import Account, repair_command
from franking.address import Envelope
from franking.api import Progress, check_recipients, header_of, interruptible, sender_unused, since
from franking.content import Content
from franking.errors import Evidence, FrankingError, MessageError
from franking.outlook import FACTS, GRAPH
from franking.outlook.compose import (
    FILE_LIMIT,
    Segments,
    base64_length,
    base64_of,
    draft_mime,
    json_segments,
    lost_headers,
    message_json,
)
from franking.outlook.upload import deliver
from franking.outlook.wire import SERVICE, Body, Wire
from franking.parts import Parts
from franking.provider import Observer, Receipt
from franking.tokens import Secret
from franking.turn import Turn

__all__ = ["GraphSession", "Plan", "open_session", "plan"]

MIME_LIMIT = 3_000_000  # octets; base64 makes 4,000,000 of them, and a request has at most 4 MB
REQUEST_LIMIT = 4_000_000
USUAL_LIMIT = 35 * 1024 * 1024  # Exchange's default for a whole message; an administrator may allow more
MOST_RECIPIENTS = 1_000  # that an administrator can allow; the default is 500
REPLY = "202 Accepted (accepted, not yet delivered)"


@dataclass(frozen=True, slots=True)
class Plan:
    """Say by which way a message goes and what that changes in it; ``str(plan)`` is one line for a person."""

    way: str  # "mime", "json", "draft"
    size: int
    warnings: tuple[str, ...] = ()
    as_mime: bool = False  # whether the draft is made of MIME
    parts: Parts | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        words = {
            "mime": "one request, the message as it is (MIME)",
            "json": "one request, the message taken apart (JSON)",
            "draft": f"a draft and {len(self.parts.attachments) if self.parts else 0} uploads, then the send",
        }
        return "; ".join((words[self.way], *self.warnings))


def plan(account: Account, content: Content, *, clock: Callable[[], float] = time.time) -> Plan:
    """Choose the way of a message. Raises ``MessageError`` where there is none, with what would open one."""
    size = content.size_with_bcc()
    limit = FACTS.route(GRAPH).size
    assert limit is not None
    if size > limit:
        raise _too_large(f"The message has {size} bytes; Exchange takes at most {limit}. Send a link instead.", size, limit)
    if size <= MIME_LIMIT and account.save_to_sent:
        return Plan("mime", size)
    parts = content.parts()
    if not parts.complete:
        raise MessageError(
            "The message is signed or holds more forms than text and HTML, which only survives unchanged: "
            f"up to {MIME_LIMIT} bytes with a copy in Sent Items, or on the route smtp.",
            evidence=Evidence("message", reason="not-divisible", details={"size": size, "limit": MIME_LIMIT}),
        )
    lost = lost_headers(parts, clock())
    both = parts.text is not None and parts.html is not None
    usual = (f"Exchange refuses more than {USUAL_LIMIT} bytes unless the administrator has raised the limit",) if size > USUAL_LIMIT else ()
    rewritten = ("the plain text is made anew from the HTML by Exchange",) if both else ()
    fits = (
        all(part.size < FILE_LIMIT for part in parts.attachments)
        and Segments(json_segments(parts, content.message_id, save=account.save_to_sent)).length <= REQUEST_LIMIT
    )
    if not account.save_to_sent:
        if lost:
            raise _headers_lost(
                lost, "Without a copy in Sent Items (save_to_sent = false) Graph cannot carry the header fields", "set save_to_sent = true"
            )
        if not fits:
            raise _too_large(
                f"The message has {size} bytes; without a copy in Sent Items (save_to_sent = false) Graph takes about 3 MB.",
                size,
                MIME_LIMIT,
            )
        return Plan("json", size, rewritten, parts=parts)
    if fits and not lost and not (both and account.large_attachments):
        return Plan("json", size, rewritten, parts=parts)
    if not account.large_attachments:
        raise _needs_permission(account, size, lost if fits else ())
    if len(draft_mime(header_of(content), parts)) > MIME_LIMIT:
        raise _too_large(f"The text of the message has more than {MIME_LIMIT} bytes; attach it as a file.", size, MIME_LIMIT)
    return Plan("draft", size, usual, as_mime=bool(lost or both), parts=parts)


def _too_large(words: str, size: int, limit: int) -> MessageError:
    return MessageError(words, evidence=Evidence("message", reason="too-large", details={"size": size, "limit": limit}))


def _headers_lost(lost: tuple[str, ...], words: str, remedy: str) -> MessageError:
    names = ", ".join(lost[:10])
    return MessageError(
        f"{words} {names}; leave them out, or {remedy}.",
        field="headers",
        evidence=Evidence("message", reason="headers-lost", details={"headers": lost[:10]}),
    )


def _needs_permission(account: Account, size: int, lost: tuple[str, ...]) -> MessageError:

    command = repair_command("login", account.reference if account.words else account.name, "--large-attachments")
    why = f"and Graph cannot carry its header fields {', '.join(lost[:10])} in JSON" if lost else "more than Graph takes in one request"
    return MessageError(
        f"The message has {size} bytes, {why}; larger ones need one more permission (Mail.ReadWrite). Sign in once with: {command}",
        evidence=Evidence("message", reason="large-attachments", details={"size": size, "limit": MIME_LIMIT}),
    )


def open_session(account: Account, secret: Secret, observer: Observer) -> GraphSession:
    """Connect to Graph. Raises ``ConnectError`` or ``TLSError`` with evidence."""
    wire = Wire(account, secret)
    try:
        wire.reach(observer)
    except BaseException:
        wire.close()
        raise
    return GraphSession(account, wire, observer)


class GraphSession:
    """Send messages over one kept-alive HTTPS connection."""

    quiet_after_fork = True

    def __init__(self, account: Account, wire: Wire, observer: Observer, *, pause: Callable[[float], object] | None = None) -> None:
        self._account = account
        self._wire = wire
        self._observer = observer
        self._turn = Turn()
        self._aborted = threading.Event()
        self._pause = pause or self._aborted.wait

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        """Hand one message over. Raises ``MessageError`` before anything leaves, and a ``SendError`` by the verdicts of ``franking.http``.

        An interruption (Ctrl-C) leaves with ``possibly_sent`` on it.
        """
        with self._turn, interruptible(self._wire):
            return self._send(envelope, content)

    def _send(self, envelope: Envelope, content: Content) -> Receipt:
        count = len(envelope.recipients)
        if count > MOST_RECIPIENTS:
            raise MessageError(
                f"The message has {count} recipients; Exchange takes {MOST_RECIPIENTS} for each message at most. Send it in parts.",
                field="to",
                evidence=Evidence("message", reason="too-many-recipients", details={"count": count, "limit": MOST_RECIPIENTS}),
            )
        header = check_recipients(envelope, content, SERVICE)
        chosen = plan(self._account, content)
        warnings = [*chosen.warnings, *sender_unused(envelope, header, self._account.sender, SERVICE)]
        started = time.perf_counter()
        told = Progress(self._observer, _total(chosen), started)
        self._wire.rested()
        told.running(0)
        try:
            if chosen.way == "draft":
                provider_id, taken = self._draft(content, chosen, told)
                if taken:
                    warnings += self._rewritten(chosen)
            else:
                provider_id = self._one_request(content, chosen, told)
        except FrankingError as problem:
            told.failed(problem)
            raise
        except http.Changed as problem:  # the chunks did not add up to the size that was announced
            wrong = MessageError(f"The message changed while it was sent: {problem}.", evidence=Evidence("message", reason="changed"))
            told.failed(wrong)
            raise wrong from None
        told.accepted(REPLY)
        return Receipt(
            message_id=content.message_id,
            route=GRAPH,
            reply=REPLY,
            provider_id=provider_id,
            accepted=envelope.recipients,
            bytes=chosen.size,
            ms=since(started),
            warnings=tuple(warnings),
        )

    def _one_request(self, content: Content, chosen: Plan, told: Progress) -> str:
        if chosen.parts is None:
            kind, chunks, length = "text/plain", base64_of(content.chunks(bcc=True)), base64_length(chosen.size)
        else:
            segments = Segments(json_segments(chosen.parts, content.message_id, save=self._account.save_to_sent))
            kind, chunks, length = "application/json", iter(segments), segments.length
        body = http.Streamed(chunks, length, lambda given: told.running(given * 3 // 4))
        answer = self._wire.ask("POST", f"{self._wire.mailbox}/sendMail", body, kind=kind, expected=(202,), final=True)
        return http.bounded(answer.headers.get("request-id", answer.headers["client-request-id"]), 100)

    def _draft(self, content: Content, chosen: Plan, told: Progress) -> tuple[str, int]:
        parts = chosen.parts
        assert parts is not None

        def as_mime() -> Body:
            mime = draft_mime(header_of(content), parts)
            return http.Streamed(base64_of([mime]), base64_length(len(mime)))

        def as_json() -> Body:
            import json

            return json.dumps(message_json(parts, content.message_id)).encode()

        drafts: list[tuple[str, Callable[[], Body]]] = [("application/json", as_json)]
        if chosen.as_mime:
            drafts.insert(0, ("text/plain", as_mime))
        return deliver(self._wire, drafts, parts.attachments, told, self._pause)

    @staticmethod
    def _rewritten(chosen: Plan) -> list[str]:
        """Say what a draft made of JSON lost, where Graph did not take it as MIME."""
        assert chosen.parts is not None
        lost = lost_headers(chosen.parts, time.time())
        told = [f"Graph could not carry the header fields {', '.join(lost[:10])}"] if lost else []
        both = chosen.parts.text is not None and chosen.parts.html is not None
        return told + (["the plain text is made anew from the HTML by Exchange"] if both else [])

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have been accepted."""
        if self._turn.ours:
            self._aborted.set()
            self._wire.abort()


def _total(chosen: Plan) -> int:
    if chosen.way == "draft" and chosen.parts:
        return sum(part.size for part in chosen.parts.attachments)
    return chosen.size
