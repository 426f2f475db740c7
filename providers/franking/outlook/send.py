"""Send by Microsoft Graph. Three ways, chosen by size and by what the message says (``plan``):

    mime    POST sendMail, the message as it is in base64: up to 3,000,000 octets. Loses nothing
    json    POST sendMail, the message taken apart: while the request stays under 4 MB and no header is lost; the only way without a copy
            in Sent Items
    draft   a draft, its files in upload sessions, then POST send (``upload.py``): up to 150 MB, needs Mail.ReadWrite

202 means accepted, not delivered: Exchange looks at recipients and policy afterwards. How to recover is the mailer's
business.

Sources: learn.microsoft.com/graph/api/user-sendmail, /graph/outlook-send-mime-message,
/graph/outlook-large-attachments, /graph/outlook-things-to-know-about-send-mail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from franking.account.account import Account
from franking.api_session import Progress, check_recipients, header_of, interruptible, sender_unused, since
from franking.auth.secret import Secret
from franking.errors import Evidence, FrankingError, MessageError
from franking.message.address import Envelope
from franking.message.content import Content
from franking.net import http
from franking.outlook.client import SERVICE, Body, Wire
from franking.outlook.facts import GRAPH
from franking.outlook.graph_json import (
    Segments,
    base64_length,
    base64_of,
    draft_mime,
    json_segments,
    lost_headers,
    message_json,
)
from franking.outlook.plan import MOST_RECIPIENTS, Plan, plan
from franking.outlook.upload import deliver
from franking.provider import Observer, Receipt
from franking.session_guard import Turn
from franking.text import bounded

__all__ = ["GraphSession", "open_session"]

REPLY = "202 Accepted (accepted, not yet delivered)"


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

    def __init__(
        self, account: Account, wire: Wire, observer: Observer, *, pause: Callable[[float], object] | None = None
    ) -> None:
        self._account = account
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
        count = len(envelope.recipients)
        if count > MOST_RECIPIENTS:
            raise MessageError(
                f"The message has {count} recipients; Exchange takes {MOST_RECIPIENTS} for each message at most. Send it in parts.",
                field="to",
                evidence=Evidence(
                    "message", reason="too-many-recipients", details={"count": count, "limit": MOST_RECIPIENTS}
                ),
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
            wrong = MessageError(
                f"The message changed while it was sent: {problem}.", evidence=Evidence("message", reason="changed")
            )
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
        return bounded(answer.headers.get("request-id", answer.headers["client-request-id"]), 100)

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
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have
        been accepted.
        """
        if self._turn.ours:
            self._aborted.set()
            self._wire.abort()


def _total(chosen: Plan) -> int:
    if chosen.way == "draft" and chosen.parts:
        return sum(part.size for part in chosen.parts.attachments)
    return chosen.size
