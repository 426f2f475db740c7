"""Send by Microsoft Graph. Three ways, chosen by size and by what the message says (``plan.py``):

    mime    POST sendMail, the message as it is in base64: up to 3,000,000 octets. Loses nothing
    json    POST sendMail, the message taken apart: while the request stays under 4 MB and no header is lost; the only
            way without a copy in Sent Items
    draft   a draft, its files in upload sessions, then POST send (``upload.py``): up to 150 MB, needs Mail.ReadWrite

202 means accepted, not delivered: Exchange looks at recipients and policy afterwards. How to recover is the mailer's
business.

Sources: learn.microsoft.com/graph/api/user-sendmail, /graph/outlook-send-mime-message,
/graph/outlook-large-attachments, /graph/outlook-things-to-know-about-send-mail.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from franking.api_session import Accepted, ApiSession, Body, header_of
from franking.message.content import Content
from franking.message.parser import Parts
from franking.net import http
from franking.outlook.client import GraphClient
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
from franking.outlook.plan import Plan, plan, rewritten
from franking.outlook.upload import Draft, deliver
from franking.text import bounded

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.provider import Observer

__all__ = ["GraphSession", "open_session"]

REPLY = "202 Accepted (accepted, not yet delivered)"


def open_session(account: Account, secret: Secret, observer: Observer) -> GraphSession:
    """Connect to Graph. Raises ``ConnectError`` or ``TLSError`` with evidence."""
    client = GraphClient(account, secret)
    client.reach(observer)
    return GraphSession(account, client, observer)


class GraphSession(ApiSession[GraphClient, Plan]):
    """Send messages by Microsoft Graph, over one kept-alive HTTPS connection."""

    route = GRAPH
    most_recipients = 1_000  # that an administrator can allow; the default is 500
    most_recipients_words = f"Exchange takes {most_recipients} for each message at most"

    def _prepare(self, content: Content) -> Plan:
        return plan(self._account, content)

    def _deliver(self, message: Plan) -> Accepted:
        content, parts = message.content, message.parts
        if parts is None:
            size = base64_length(message.size)
            return self._send_mail("text/plain", base64_of(content.chunks(bcc=True)), size, message)
        if message.way == "draft":
            return self._draft(message, parts)
        segments = Segments(json_segments(parts, content.message_id, save=self._account.save_to_sent))
        return self._send_mail("application/json", segments, segments.length, message)

    def _send_mail(self, kind: str, chunks: Iterable[bytes], length: int, message: Plan) -> Accepted:
        """Send the whole message in one request."""
        client = self._client
        body = http.Streamed(chunks, length, lambda done: client.progress.running(done * 3 // 4))
        response = client.ask("POST", f"{client.mailbox}/sendMail", body, kind=kind, expected=(202,), final=True)
        name = response.headers.get("request-id") or response.headers["client-request-id"]
        return Accepted(bounded(name, 100), REPLY, message.warnings)

    def _draft(self, message: Plan, parts: Parts) -> Accepted:
        """Send the message by way of Drafts."""
        content = message.content

        def as_mime() -> Body:
            mime = draft_mime(header_of(content), parts)
            return http.Streamed(base64_of([mime]), base64_length(len(mime)))

        def as_json() -> Body:
            return json.dumps(message_json(parts, content.message_id)).encode()

        drafts: list[Draft] = [("application/json", as_json)]
        if message.as_mime:
            drafts.insert(0, ("text/plain", as_mime))
        name, used = deliver(self._client, drafts, parts.attachments, self._pause)
        warnings = message.warnings
        if used:  # Graph did not take it as MIME
            warnings += _lost_in_json(parts)
        return Accepted(name, REPLY, warnings)


def _lost_in_json(parts: Parts) -> tuple[str, ...]:
    lost = lost_headers(parts, time.time())
    if lost:
        return (f"Graph could not carry the header fields {', '.join(lost[:10])}", *rewritten(parts))
    return rewritten(parts)
