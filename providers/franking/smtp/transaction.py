"""One message as the server sees it: what is to be said for it, what was answered, and what can be known of its fate.
No sockets, no order.

``plan`` checks a message against the server's capabilities before anything leaves; when what leaves is decided in
``pipeline.py``.
"""

from __future__ import annotations

from typing import Any

from franking.errors import Evidence, FrankingError, MessageError, Refused
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Receipt
from franking.smtp.protocol import Capabilities, Reply, path
from franking.smtp.replies import recipient_refused, refusal

__all__ = ["Transaction", "plan"]


class Transaction:
    """One message on its way. ``result`` is None until its fate is known."""

    __slots__ = (
        "accepted",
        "answered",
        "begun",
        "brief",
        "content",
        "data",
        "doubtful",
        "end",
        "envelope",
        "expected",
        "first",
        "full",
        "guarded",
        "heard",
        "mail",
        "paths",
        "refused",
        "result",
        "sender_reply",
        "size",
        "started",
        "tag",
    )

    def __init__(
        self,
        tag: Any,
        envelope: Envelope,
        content: Content,
        size: int,
        mail: bytes,
        paths: list[bytes],
        *,
        guarded: bool,
    ) -> None:
        self.tag = tag
        self.envelope = envelope
        self.content = content
        self.mail = mail
        self.paths = paths
        self.guarded = guarded  # after an idle time: no content before MAIL is answered
        self.brief = False  # it leaves all at once, or as envelope and content
        self.expected = 0  # replies to what left at once
        self.size = size
        self.started = 0.0
        self.heard = False  # any reply came
        self.sender_reply: Reply | None = None  # MAIL's refusal
        self.answered = 0  # RCPT replies
        self.full = False  # the server takes no more recipients (452 4.5.3)
        self.accepted: list[str] = []
        self.refused: dict[str, dict[str, Any]] = {}
        self.data: Reply | None = None  # DATA's reply
        self.begun = False  # some of the content may have left
        self.doubtful = False  # a reply did not fit: what the others said proves nothing
        # the stream's offset of a content whose end is not known before it is read (dots are doubled)
        self.first: int | None = None
        self.end: int | None = None  # the stream's offset behind the last octet
        self.result: Receipt | FrankingError | None = None

    @property
    def addressed(self) -> bool:
        """Return whether the sender and at least one recipient were accepted, and every recipient was answered."""
        return self.answered == len(self.paths) and self.sender_reply is None and bool(self.accepted)

    def handed_over(self, sent: int) -> bool:
        return self.end is not None and sent >= self.end

    @property
    def known_refusal(self) -> FrankingError | None:
        """Return the refusal that the envelope's replies already amount to."""
        if self.doubtful:
            return None
        if self.sender_reply is not None:
            return refusal(self.sender_reply, "sender", step="message")
        if self.answered == len(self.paths) and not self.accepted:
            return recipient_refused(self.refused)
        return None


def plan(capabilities: Capabilities, tag: Any, envelope: Envelope, content: Content, *, guarded: bool) -> Transaction:
    """Make a transaction of a message that the server can take. Raises ``MessageError`` or ``Refused`` before anything
    leaves.
    """
    if not envelope.recipients:
        raise MessageError("The message has no recipients.", field="to")
    sender, utf8 = path(envelope.sender)
    paths = []
    for address in envelope.recipients:
        octets, needs = path(address)
        paths.append(b"RCPT TO:<%b>\r\n" % octets)
        utf8 = utf8 or needs
    words, size = capabilities.words, content.size
    mail = b"MAIL FROM:<%b>" % sender
    if "SIZE" in words:
        limit = capabilities.size
        if limit is not None and size > limit:
            raise _too_large(size, limit)
        mail += b" SIZE=%d" % size
    utf8 = utf8 or content.smtputf8
    if content.eight_bit or utf8:
        if content.eight_bit and "8BITMIME" not in words:
            raise _cannot(
                capabilities, "8bitmime", "contains 8-bit text, and the server takes 7 bits only (no 8BITMIME)", "body"
            )
        if "8BITMIME" in words:
            mail += b" BODY=8BITMIME"
    if utf8:
        if "SMTPUTF8" not in words:
            what = "has an address or a header that needs SMTPUTF8, which the server does not offer"
            raise _cannot(capabilities, "smtputf8", what, "address")
        mail += b" SMTPUTF8"
    return Transaction(tag, envelope, content, size, mail + b"\r\n", paths, guarded=guarded)


def _cannot(capabilities: Capabilities, extension: str, words: str, field: str) -> MessageError:
    evidence = Evidence("message", reason=f"{extension}-not-offered", details={"offered": sorted(capabilities.words)})
    return MessageError(f"The message {words}.", field=field, evidence=evidence)


def _too_large(size: int, limit: int) -> Refused:
    evidence = Evidence("smtp", reason="size", details={"size": size, "limit": limit})
    return Refused(
        f"The message has {size} octets; the server takes at most {limit}.", step="message", evidence=evidence
    )
