"""How a message travels by Graph: as MIME, as JSON, or as a draft with uploads; decided before anything is sent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from franking.account.account import Account
from franking.account.repair import repair_command
from franking.api_session import Outgoing, header_of
from franking.errors import Evidence, MessageError
from franking.message.content import Content
from franking.message.parser import Part, Parts
from franking.outlook.consent import consent_details
from franking.outlook.facts import FACTS, GRAPH, scopes
from franking.outlook.graph_json import FILE_LIMIT, Segments, draft_mime, json_segments, lost_headers
from franking.text import size_in_words

__all__ = ["Plan", "plan", "rewritten"]


MIME_LIMIT = 3_000_000  # octets; base64 makes 4,000,000 of them, and a request has at most 4 MB
REQUEST_LIMIT = 4_000_000
USUAL_LIMIT = 35 * 1024 * 1024  # Exchange's default for a whole message; an administrator may allow more


@dataclass(frozen=True, slots=True)
class Plan(Outgoing):
    """By which way a message goes and what that changes in it; ``str(plan)`` is one line for a person."""

    way: str  # "mime", "json", "draft"
    warnings: tuple[str, ...] = ()
    as_mime: bool = False  # whether the draft is made of MIME
    parts: Parts | None = field(default=None, repr=False, compare=False)

    @property
    def files(self) -> tuple[Part, ...]:
        if self.parts is None:
            return ()
        return self.parts.attachments

    @property
    def total(self) -> int:
        """Return the octets that the progress counts: of a draft, its files'."""
        if self.way == "draft":
            return sum(part.size for part in self.files)
        return self.size

    def __str__(self) -> str:
        words = {
            "mime": "one request, the message as it is (MIME)",
            "json": "one request, the message taken apart (JSON)",
            "draft": f"a draft and {len(self.files)} uploads, then the send",
        }
        return "; ".join((words[self.way], *self.warnings))


def plan(account: Account, content: Content) -> Plan:
    """Choose the way of a message. Raises ``MessageError`` where there is none, with what would open one."""
    size = content.size_with_bcc()
    limit = FACTS.route(GRAPH).size
    if limit is not None and size > limit:
        raise _too_large(
            f"The message has {size_in_words(size)}; Exchange takes at most {size_in_words(limit)}. "
            "Send a link instead.",
            size,
            limit,
        )
    if size <= MIME_LIMIT and account.save_to_sent:
        return Plan(content, size, "mime")
    parts = content.parts()
    if not parts.complete:
        raise MessageError(
            "The message is signed or holds more forms than text and HTML, which only survives unchanged: "
            f"up to {size_in_words(MIME_LIMIT)} with a copy in Sent Items, or on the route smtp.",
            evidence=Evidence("message", reason="not-divisible", details={"size": size, "limit": MIME_LIMIT}),
        )
    lost = lost_headers(parts, time.time())
    fits = (
        all(part.size < FILE_LIMIT for part in parts.attachments)
        and Segments(json_segments(parts, content.message_id, save=account.save_to_sent)).length <= REQUEST_LIMIT
    )
    if not account.save_to_sent:
        _require_json(size, lost, fits)
    elif not fits or lost or (account.large_attachments and rewritten(parts)):
        if not account.large_attachments:
            raise _needs_permission(account, size, lost, fits)
        return _draft(content, size, parts, lost)
    return Plan(content, size, "json", rewritten(parts), parts=parts)


def rewritten(parts: Parts) -> tuple[str, ...]:
    """Return the warning that JSON holds one of two texts."""
    if parts.text is None or parts.html is None:
        return ()
    return ("the plain text is made anew from the HTML by Exchange",)


def _require_json(size: int, lost: tuple[str, ...], fits: bool) -> None:
    """Refuse what only goes with a copy in Sent Items."""
    if lost:
        raise MessageError(
            "Without a copy in Sent Items (save_to_sent = false) Graph cannot carry the header fields "
            f"{', '.join(lost[:10])}; leave them out, or set save_to_sent = true.",
            field="headers",
            evidence=Evidence("message", reason="headers-lost", details={"headers": lost[:10]}),
        )
    if not fits:
        raise _too_large(
            f"The message has {size_in_words(size)}; without a copy in Sent Items (save_to_sent = false) Graph takes "
            "about 3 MB.",
            size,
            MIME_LIMIT,
        )


def _draft(content: Content, size: int, parts: Parts, lost: tuple[str, ...]) -> Plan:
    if len(draft_mime(header_of(content), parts)) > MIME_LIMIT:
        raise _too_large(
            f"The text of the message has more than {size_in_words(MIME_LIMIT)}; attach it as a file.", size, MIME_LIMIT
        )
    warnings: tuple[str, ...] = ()
    if size > USUAL_LIMIT:
        usual = size_in_words(USUAL_LIMIT)
        warnings = (f"Exchange refuses more than {usual} unless the administrator has raised the limit",)
    return Plan(content, size, "draft", warnings, as_mime=bool(lost or rewritten(parts)), parts=parts)


def _too_large(words: str, size: int, limit: int) -> MessageError:
    return MessageError(words, evidence=Evidence("message", reason="too-large", details={"size": size, "limit": limit}))


def _needs_permission(account: Account, size: int, lost: tuple[str, ...], fits: bool) -> MessageError:
    name = account.reference if account.words else account.name
    command = repair_command("login", name, "--large-attachments")
    why = "more than Graph takes in one request"
    if fits and lost:
        why = f"and Graph cannot carry its header fields {', '.join(lost[:10])} in JSON"
    way = f"Sign in once with: {command}"
    if account.app_only:
        way = "An administrator adds it to the app; then set large_attachments = true."
    wanted = account.replace(large_attachments=True)
    details = {"size": size, "limit": MIME_LIMIT, **consent_details(wanted, scopes(wanted, GRAPH))}
    return MessageError(
        f"The message has {size_in_words(size)}, {why}; larger ones need one more permission (Mail.ReadWrite), or the "
        f"route smtp, which needs none. {way}",
        evidence=Evidence("message", reason="large-attachments", details=details),
    )
