"""One message as the server sees it: what is said for it, what was answered, and what can be known of its fate.

No sockets and no order: what leaves when is decided in ``writer.py``, which reply answers what in ``pipeline.py``. Both
ask a transaction and call its transitions; nobody else sets its attributes.

    state         entered by                  what left          if the connection ends now
    ------------  --------------------------  -----------------  -----------------------------------------------------
    planned       the constructor             nothing            not accepted
    asked         ask()                       the envelope       not accepted; refused, where the replies amount to it
    begun         begin_content()             some content       the same
    handed over   end_content() or leave(),   everything         unknown; refused, where the replies amount to it
                  when the kernel took it
    settled       accept(), accept_all(),     –                  its result stands (only doubt() takes it back)

    reply to      taken by                    what it may be
    ------------  --------------------------  -----------------------------------------------------------------------
    RSET          hear()                      2xx, or 4xx: the server takes no more in this session
    MAIL          hear()                      2xx, or a refusal (4xx, 5xx) of the whole message
    RCPT          hear()                      2xx for a sender that was not refused, or a refusal of this recipient
    DATA          hear()                      354, or a refusal
    BODY          hear_final()                2xx for all of a content with a recipient, or a refusal
    any           cut_off()                   421: neither this command nor what follows was executed

Any other reply is a ``Misfit``: what the others said proves nothing any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from franking.errors import ConnectError, Evidence, FrankingError, MessageError, OutcomeUnknown, Refused
from franking.message.address import Address, Envelope
from franking.message.content import Content
from franking.provider import Receipt
from franking.smtp.protocol import Capabilities, Reply
from franking.smtp.replies import recipient_refused, refusal
from franking.text import size_in_words

__all__ = ["BODY", "DATA", "MAIL", "RCPT", "RSET", "Asked", "Misfit", "Transaction", "path", "receipt"]

_PLAIN_PATH = re.compile(r'[^\x00-\x20\x7f<>"\\]*\Z')
_QUOTED_PATH = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"@[^\x00-\x20\x7f<>"\\]+\Z')


class Asked(Enum):
    """What a reply answers; ``BODY`` is the end of the content."""

    RSET = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    BODY = 4


# names of this module: looking a member up in its class costs more than all the rest of a reply
RSET, MAIL, RCPT, DATA, BODY = Asked


class Misfit(Exception):
    """Say that a reply does not answer what was asked: from here on nothing on this connection can be trusted."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Transaction:
    """One message on its way; the table of its states stands at the head of this file."""

    __slots__ = (
        "_doubtful", "_end", "_started",
        "accepted", "answered", "content", "content_at", "data_reply", "envelope", "expected", "full", "guarded",
        "heard", "lines", "refused", "result", "sender_reply", "size", "tag", "unreset",
    )  # fmt: skip

    def __init__(
        self, capabilities: Capabilities, tag: Any, envelope: Envelope, content: Content, *, guarded: bool = False
    ) -> None:
        """Raise ``MessageError`` or ``Refused`` for what the server cannot take, before anything leaves.

        ``guarded``: after an idle time, no content leaves before MAIL is answered.
        """
        self.tag = tag
        self.envelope = envelope
        self.content = content
        self.guarded = guarded
        self.size: int = content.size
        self.lines = _envelope_lines(capabilities, envelope, content)  # MAIL, and one RCPT for each recipient
        self.heard = False  # any reply came
        self.expected = 0  # replies to all that leaves at once, where an envelope leaves so
        self.sender_reply: Reply | None = None  # MAIL's refusal
        self.unreset: Reply | None = None  # RSET's refusal
        self.answered = 0  # replies to RCPT
        self.accepted: list[str] = []
        self.refused: dict[str, dict[str, Any]] = {}
        self.full = False  # the server takes no more recipients (452 4.5.3)
        self.data_reply: Reply | None = None
        self.content_at: int | None = None  # the stream's offset where the content begins
        self.result: Receipt | FrankingError | None = None
        self._started = 0.0
        self._doubtful = False  # a reply did not fit
        self._end: int | None = None  # the stream's offset behind the last octet

    # — what leaves —

    def ask(self, now: float, expected: int) -> None:
        """Let the envelope leave; ``expected`` replies answer it where it leaves all at once, else 0."""
        self._started = now
        self.expected = expected

    def begin_content(self, offset: int) -> None:
        """Let the content leave, from this offset of the stream on."""
        self.content_at = offset

    def end_content(self, offset: int) -> None:
        """End the content at this offset of the stream: whoever has that much has the message."""
        self._end = offset

    def leave(self, now: float, expected: int, offset: int, size: int) -> None:
        """Let everything leave at once: the envelope, and ``size`` octets of content that end at ``offset``."""
        self._started = now
        self.expected = expected
        self.size = size
        self.content_at = offset - size
        self._end = offset

    def begun(self, offset: int) -> bool:
        """Return whether some of the content lies before this offset of the stream, and not all of it."""
        return self.content_at is not None and not self.handed_over(offset)

    def handed_over(self, offset: int) -> bool:
        """Return whether the whole message lies before this offset of the stream."""
        return self._end is not None and offset >= self._end

    # — what was answered —

    @property
    def addressed(self) -> bool:
        """Return whether the sender and at least one recipient were accepted, and every recipient was answered."""
        answered_all = self.answered == len(self.envelope.recipients)
        return answered_all and self.sender_reply is None and bool(self.accepted)

    @property
    def refusal(self) -> FrankingError | None:
        """Return the refusal that the envelope's replies already amount to."""
        if self._doubtful:
            return None
        if self.sender_reply is not None:
            return refusal(self.sender_reply, "sender", step="message")
        if self.answered == len(self.envelope.recipients) and not self.accepted:
            return recipient_refused(self.refused)
        return None

    def hear(self, asked: Asked, reply: Reply) -> None:
        """Take the reply to RSET, MAIL, RCPT or DATA. Raises ``Misfit``."""
        self.heard = True
        kind = reply.code // 100
        if asked is RCPT:
            self._hear_recipient(reply, kind)
        elif asked is DATA and (reply.code == 354 or kind in (4, 5)):
            self.data_reply = reply
        elif asked is MAIL and kind in (4, 5):
            self.sender_reply = reply
        elif asked is RSET and kind == 4:
            self.unreset = reply
        elif kind != 2 or asked is DATA or self.unreset is not None:
            # RSET cannot be refused for good (RFC 5321 §4.1.1.5); without it, another transaction may be open still
            raise self._misfit(reply)

    def hear_all(self, last: Reply) -> None:
        """Take 2xx to the whole envelope at once, and 354 to the DATA that left with it."""
        self.heard = True
        self.data_reply = last
        self.accepted = list(self.envelope.recipients)
        self.answered = len(self.accepted)

    def _hear_recipient(self, reply: Reply, kind: int) -> None:
        address = self.envelope.recipients[self.answered]
        self.answered += 1
        if kind == 2 and self.sender_reply is None:
            self.accepted.append(address)
        elif kind in (4, 5):
            # 452 4.5.3, also spelt 552 and 5.5.3: no more recipients in this transaction (RFC 5321 §4.5.3.1.10)
            enough = bool(self.accepted) and reply.enhanced in ("4.5.3", "5.5.3")
            self.full = self.full or enough
            self.refused[address] = {"reply": str(reply), "temporary": reply.code < 500 or enough}
        else:
            raise self._misfit(reply)

    def leave_out(self) -> None:
        """Count recipients that were not even asked about as refused for now: the server takes no more."""
        last = next(reversed(self.refused.values()))
        for address in self.envelope.recipients[self.answered :]:
            self.refused[address] = {"reply": last["reply"], "temporary": True}
        self.answered = len(self.envelope.recipients)

    def hear_final(self, reply: Reply, written: int) -> FrankingError | None:
        """Take the reply to the content; None accepts the message. Raises ``Misfit``.

        ``written`` octets of the stream have left.
        """
        self.heard = True
        kind = reply.code // 100
        if kind == 2 and self.addressed and self.handed_over(written):
            return None
        lone_dot = self.content_at is None  # it delivers nothing, whatever the server says
        if kind == 3 or (kind == 2 and not lone_dot):
            raise self._misfit(reply)
        return self.refusal or refusal(reply, "message", step="accepted")

    def _misfit(self, reply: Reply) -> Misfit:
        self._doubtful = True
        return Misfit(reply)

    # — ends —

    def fail(self, problem: FrankingError) -> None:
        """Let it have failed."""
        self.result = problem

    def accept_all(self, reply: Reply, route: str, account: str, now: float) -> None:
        """Let it have been accepted where it left at once and all that it asked was, the last with ``reply``."""
        self.heard = True
        accepted, ms = self.envelope.recipients, (now - self._started) * 1000
        self.accepted = list(accepted)
        message_id = self.content.message_id
        self.result = receipt(message_id, route, str(reply), accepted, self.refused, self.size, ms, account)

    def accept(self, reply: Reply, route: str, account: str, now: float) -> None:
        """Let it have been accepted with ``reply``, by the recipients that were."""
        accepted, ms = tuple(self.accepted), (now - self._started) * 1000
        message_id = self.content.message_id
        self.result = receipt(message_id, route, str(reply), accepted, self.refused, self.size, ms, account)

    def cut_off(self, asked: Asked, reply: Reply, *, used: bool) -> FrankingError:
        """Return what 421 in answer to one of its commands means. ``used``: the connection has carried a message."""
        if asked in (RSET, MAIL) and (used or self.guarded):
            words = f"The server had closed the connection: {reply}"
            return ConnectError(words, stale=True, step="message", evidence=reply.evidence("smtp"))
        if asked is MAIL:
            return refusal(reply, "sender", step="message")
        return self.refusal or refusal(reply, "message", step="accepted" if asked is BODY else "message")

    def turned_away(self, *, used: bool) -> ConnectError | None:
        """Return what its refusal means where it may be meant for the session, and not for the message: 4xx to MAIL
        when the connection has carried a message (``used``), or to RSET. A new session tells.
        """
        reply = self.unreset or self.sender_reply
        if reply is None or not reply.temporary or not (used or self.unreset):
            return None
        words = f"The server takes no more on this connection: {reply}"
        return ConnectError(words, stale=True, step="message", evidence=reply.evidence("smtp"))

    def lost(self, sent: int, cause: ConnectError, *, used: bool) -> FrankingError:
        """Return what is known of it when the connection dies of ``cause``, after ``sent`` octets of the stream."""
        if (refused := self.refusal) is not None:
            return refused
        if self.handed_over(sent):
            words = f"The message was handed over, and then no answer came: {cause}"
            return OutcomeUnknown(words, accepted=self.accepted, evidence=cause.evidence)
        reason = cause.evidence.reason if cause.evidence is not None else None
        # a connection that rested may be half open: the other side has gone, and nothing comes back
        ended = reason in ("closed", "reset") or (self.guarded and reason in ("timeout", "unreachable"))
        silent = ended and not self.heard and (used or self.guarded)
        stale = self.content_at is None and (silent or self.unreset is not None)
        return type(cause)(cause.message, stale=stale, step="message", evidence=cause.evidence)

    def doubt(self, cause: ConnectError) -> None:
        """Take an acceptance back: the server answered more than it was asked."""
        if isinstance(self.result, Receipt):
            words = (
                "The server answered more than it was asked, so that it is not clear whether it took the message: "
                f"{cause}"
            )
            self.result = OutcomeUnknown(words, accepted=self.accepted, evidence=cause.evidence)


def _envelope_lines(capabilities: Capabilities, envelope: Envelope, content: Content) -> list[bytes]:
    """Return MAIL and RCPT; raise what the server cannot take."""
    if not envelope.recipients:
        raise MessageError("The message has no recipients.", field="to")
    sender, utf8 = path(envelope.sender)
    lines = [b""]  # MAIL, whose parameters depend on the recipients
    for address in envelope.recipients:
        octets, needs = path(address)
        lines.append(b"RCPT TO:<" + octets + b">\r\n")
        utf8 = utf8 or needs
    lines[0] = b"MAIL FROM:<%b>%b\r\n" % (sender, _parameters(capabilities, content, utf8 or content.smtputf8))
    return lines


@lru_cache(maxsize=1024)
def path(address: str) -> tuple[bytes, bool]:
    """Return an address as it stands between < and >, and whether it needs SMTPUTF8. ``""`` is the empty path of a
    bounce.

    Raises ``MessageError`` for anything that could end the path early: control characters, blanks and brackets outside
    quotes.
    """
    utf8 = False
    if not address.isascii():
        parsed = Address(address)
        address, utf8 = parsed.wire, parsed.smtputf8
    if not _PLAIN_PATH.match(address) and not _QUOTED_PATH.match(address):
        words = f"{address!r} cannot be used as an address: it contains signs that no address may."
        raise MessageError(words, field="address")
    try:
        return address.encode(), utf8
    except UnicodeEncodeError:
        words = f"{address!r} cannot be used as an address: it contains half a character."
        raise MessageError(words, field="address") from None


def _parameters(capabilities: Capabilities, content: Content, utf8: bool) -> bytes:
    words, size, parameters = capabilities.words, content.size, b""
    if "SIZE" in words:
        limit = capabilities.size
        if limit is not None and size > limit:
            raise _too_large(size, limit)
        parameters = b" SIZE=%d" % size
    if content.eight_bit and "8BITMIME" not in words:
        what = "contains 8-bit text, and the server takes 7 bits only (no 8BITMIME)"
        raise _not_offered(capabilities, "8bitmime", what, "body")
    if (content.eight_bit or utf8) and "8BITMIME" in words:
        parameters += b" BODY=8BITMIME"
    if not utf8:
        return parameters
    if "SMTPUTF8" not in words:
        what = "has an address or a header that needs SMTPUTF8, which the server does not offer"
        raise _not_offered(capabilities, "smtputf8", what, "address")
    return parameters + b" SMTPUTF8"


def _not_offered(capabilities: Capabilities, extension: str, what: str, field: str) -> MessageError:
    evidence = Evidence("message", reason=f"{extension}-not-offered", details={"offered": sorted(capabilities.words)})
    return MessageError(f"The message {what}.", field=field, evidence=evidence)


def _too_large(size: int, limit: int) -> Refused:
    evidence = Evidence("smtp", reason="size", details={"size": size, "limit": limit})
    words = f"The message has {size_in_words(size)}; the server takes at most {size_in_words(limit)}."
    return Refused(words, step="message", evidence=evidence)


class _Draft:
    """A receipt that is being written: a frozen value writes each of its attributes by a call, which takes four times
    as long. Its slots are the receipt's own, so that it can become one.
    """

    __slots__ = (
        "accepted", "account", "bytes", "message_id", "ms", "provider_id", "refused", "reply", "route", "warnings",
    )  # fmt: skip


def receipt(
    message_id: str,
    route: str,
    reply: str,
    accepted: tuple[str, ...],
    refused: Mapping[str, Mapping[str, Any]],
    size: int,
    ms: float,
    account: str,
) -> Receipt:
    """Make the receipt of a message that went over a connection: as ``Receipt`` does, in a quarter of the time."""
    draft: Any = _Draft()
    draft.message_id, draft.route, draft.reply, draft.provider_id = message_id, route, reply, None
    draft.accepted, draft.refused, draft.bytes, draft.ms = accepted, refused, size, ms
    draft.warnings, draft.account = (), account
    draft.__class__ = Receipt
    made: Receipt = draft
    return made
