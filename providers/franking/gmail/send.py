"""Send by the Gmail API: one message is one media upload, simple when small and resumable when large.

google-api-python-client speaks the protocol over an http object of ours (``client.py``). The message is made while it
is sent and never held whole. How to recover is the mailer's business, with one exception: an upload that breaks off
goes on from where Gmail says it came, because only this session knows its address.

Sources: developers.google.com/workspace/gmail/api/guides/uploads (resumable protocol).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from franking.api_session import Accepted, ApiSession, Outgoing
from franking.errors import Evidence, FrankingError, MessageError, OutcomeUnknown
from franking.gmail.client import GmailClient
from franking.gmail.facts import API, FACTS
from franking.gmail.issuer import missing_extra
from franking.message.content import Content
from franking.net.upload import Rereadable, may_resume, resumed
from franking.text import bounded, size_in_words

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.provider import Observer

__all__ = ["GmailSession", "open_session"]

# octets; beyond, losing a connection should not mean to begin again, which is worth one more round trip
SIMPLE_LIMIT = 1024 * 1024
CHUNK = 32 * 256 * 1024  # octets; Google wants multiples of 256 KiB


def open_session(account: Account, secret: Secret, observer: Observer) -> GmailSession:
    """Connect to the Gmail API with a bare access token. Raises ``ConnectError`` or ``TLSError`` with evidence."""
    try:
        from googleapiclient.discovery import build
    except ImportError as problem:
        raise missing_extra(problem) from None
    client = GmailClient(account, secret)
    service = build(
        "gmail",
        "v1",
        http=client,
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": account.api_endpoint, "universe_domain": "googleapis.com"},
    )
    client.reach(observer)
    return GmailSession(account, client, observer, service)


class GmailSession(ApiSession[GmailClient, Outgoing]):
    """Send messages by Google's own library, over one kept-alive HTTPS connection."""

    route = API
    most_recipients = FACTS.route(API).recipients or 0
    most_recipients_words = f"Gmail takes {most_recipients} for each message"

    def __init__(self, account: Account, client: GmailClient, observer: Observer, service: Any) -> None:
        super().__init__(account, client, observer)
        self._messages = service.users().messages()

    def _prepare(self, content: Content) -> Outgoing:
        size, limit = content.size_with_bcc(), FACTS.route(API).size
        if limit is not None and size > limit:
            raise MessageError(
                f"The message has {size_in_words(size)}; the Gmail API takes {size_in_words(limit)}, that is files of "
                "about 25 MiB. "
                "Send a link instead.",
                evidence=Evidence("message", reason="too-large", details={"size": size, "limit": limit}),
            )
        return Outgoing(content, size)

    def _deliver(self, message: Outgoing) -> Accepted:
        from googleapiclient.http import MediaIoBaseUpload

        stream = Rereadable(lambda: message.content.chunks(bcc=True), message.size)
        media = MediaIoBaseUpload(stream, "message/rfc822", chunksize=CHUNK, resumable=message.size > SIMPLE_LIMIT)
        try:
            found = self._upload(self._messages.send(userId="me", media_body=media))
        except FrankingError as problem:
            if not self._client.in_doubt or isinstance(problem, OutcomeUnknown):
                raise
            raise OutcomeUnknown(
                f"Gmail got the whole message and did not confirm it; it may have been accepted. ({problem.message})",
                evidence=problem.evidence,
            ) from None
        provider_id = bounded(found["id"], 200)
        return Accepted(provider_id, f"200 OK id={provider_id}")

    def _upload(self, request: Any) -> Mapping[str, Any]:
        if not request.resumable:
            found: Mapping[str, Any] = request.execute(num_retries=0)
            return found

        def next_chunk() -> Mapping[str, Any] | None:
            """Send a chunk; after a break the library first asks how far the upload came."""
            before = request.resumable_progress
            found: Mapping[str, Any] | None
            _, found = request.next_chunk(num_retries=0)
            if found is None and request.resumable_progress <= before:
                raise self._client.odd("accepts nothing of the upload")
            return found

        def begun(problem: FrankingError) -> bool:
            return request.resumable_uri is not None and may_resume(problem)

        return resumed(next_chunk, self._pause, allowed=begun)
