"""How a message travels by Graph: as MIME, as JSON, or as a draft with uploads; decided before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from franking.account.account import Account
from franking.account.repair import repair_command
from franking.api_session import header_of
from franking.errors import Evidence, MessageError
from franking.message.content import Content, Parts
from franking.outlook.facts import FACTS, GRAPH
from franking.outlook.graph_json import FILE_LIMIT, Segments, draft_mime, json_segments, lost_headers

__all__ = ["Plan", "plan"]


MIME_LIMIT = 3_000_000  # octets; base64 makes 4,000,000 of them, and a request has at most 4 MB
REQUEST_LIMIT = 4_000_000
USUAL_LIMIT = 35 * 1024 * 1024  # Exchange's default for a whole message; an administrator may allow more
MOST_RECIPIENTS = 1_000  # that an administrator can allow; the default is 500


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
        raise _too_large(
            f"The message has {size} bytes; Exchange takes at most {limit}. Send a link instead.", size, limit
        )
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
    usual = (
        (f"Exchange refuses more than {USUAL_LIMIT} bytes unless the administrator has raised the limit",)
        if size > USUAL_LIMIT
        else ()
    )
    rewritten = ("the plain text is made anew from the HTML by Exchange",) if both else ()
    fits = (
        all(part.size < FILE_LIMIT for part in parts.attachments)
        and Segments(json_segments(parts, content.message_id, save=account.save_to_sent)).length <= REQUEST_LIMIT
    )
    if not account.save_to_sent:
        if lost:
            raise _headers_lost(
                lost,
                "Without a copy in Sent Items (save_to_sent = false) Graph cannot carry the header fields",
                "set save_to_sent = true",
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
        raise _too_large(
            f"The text of the message has more than {MIME_LIMIT} bytes; attach it as a file.", size, MIME_LIMIT
        )
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
    why = (
        f"and Graph cannot carry its header fields {', '.join(lost[:10])} in JSON"
        if lost
        else "more than Graph takes in one request"
    )
    return MessageError(
        f"The message has {size} bytes, {why}; larger ones need one more permission (Mail.ReadWrite). Sign in once with: {command}",
        evidence=Evidence("message", reason="large-attachments", details={"size": size, "limit": MIME_LIMIT}),
    )
