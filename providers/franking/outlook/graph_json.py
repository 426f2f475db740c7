"""A message as Graph wants it: base64 of MIME, JSON, or a draft's MIME without its files. Pure: nothing is sent here.

Sources: learn.microsoft.com/graph/api/resources/message (only x- headers, at creation),
/graph/outlook-send-mime-message, /graph/api/user-post-messages.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from franking.message.address import Address
from franking.message.parser import Part, Parts

__all__ = [
    "FILE_LIMIT",
    "Segments",
    "base64_length",
    "base64_of",
    "draft_mime",
    "file_json",
    "file_segments",
    "json_segments",
    "lost_headers",
]

FILE_LIMIT = 3_000_000
"""Octets of a file that goes in one request; base64 makes 4,000,000 of them."""

X_HEADERS = 5
"""Graph takes so many custom headers in JSON."""

_CARRIED = frozenset(
    {
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "message-id",
        "date",
        "mime-version",
        "importance",
        "content-type",
    }
)
_LISTS = {"toRecipients": "to", "ccRecipients": "cc", "bccRecipients": "bcc", "replyTo": "reply-to"}
_CLOCK = 600.0  # seconds; a Date that near to now is the one that the server writes


def base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


def base64_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Encode while it streams, without line breaks."""
    rest = b""
    for chunk in chunks:
        whole = rest + chunk if rest else chunk
        cut = len(whole) - len(whole) % 3
        rest = whole[cut:]
        if cut:
            yield b2a_base64(whole[:cut], newline=False)
    if rest:
        yield b2a_base64(rest, newline=False)


class Segments:
    """A request body of fixed octets with files between them, which are read and encoded only while it is iterated."""

    def __init__(self, segments: Iterable[bytes | Part]) -> None:
        self._segments = tuple(segments)
        self.length = sum(len(one) if isinstance(one, bytes) else base64_length(one.size) for one in self._segments)

    def __iter__(self) -> Iterator[bytes]:
        for one in self._segments:
            if isinstance(one, bytes):
                yield one
            else:
                yield from base64_of(one.open())


def lost_headers(parts: Parts, now: float) -> tuple[str, ...]:
    """Name the header fields that JSON cannot carry: all but the known ones, five of x-, and a Date that is now."""
    custom = _custom(parts)
    lost = [name for name, value in parts.headers if name.lower() not in _CARRIED and (name, value) not in custom]
    lost += [name for name, _ in custom[X_HEADERS:]]
    lost += [name for name, value in parts.headers if name.lower() == "date" and not _is_now(value, now)]
    return tuple(dict.fromkeys(lost))


def _is_now(value: str, now: float) -> bool:
    try:
        return abs(parsedate_to_datetime(value).timestamp() - now) < _CLOCK
    except (ValueError, OverflowError):
        return False


def message_json(parts: Parts, message_id: str) -> dict[str, Any]:
    """Make Graph's ``message`` resource, without attachments."""
    kind, text = "text", parts.text or ""
    if parts.html is not None:
        kind, text = "html", parts.html
    found: dict[str, Any] = {
        "subject": _first(parts, "subject"),
        "body": {"contentType": kind, "content": text},
        "internetMessageId": message_id,
    }
    for key, name in _LISTS.items():
        if addresses := [_address(address) for address in parts.addresses(name)]:
            found[key] = addresses
    for name in ("from", "sender"):
        if addresses := [_address(address) for address in parts.addresses(name)]:
            found[name] = addresses[0]
    importance = _first(parts, "importance").strip().lower()
    if importance in ("low", "normal", "high"):
        found["importance"] = importance
    if custom := [{"name": name, "value": value} for name, value in _custom(parts)]:
        found["internetMessageHeaders"] = custom[:X_HEADERS]
    return found


def _custom(parts: Parts) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parts.headers if name.lower().startswith("x-")]


def _first(parts: Parts, wanted: str) -> str:
    return next((value for name, value in parts.headers if name.lower() == wanted), "")


def _address(address: Address) -> dict[str, Any]:
    found = {"address": address.wire}
    if address.name:
        found["name"] = address.name
    return {"emailAddress": found}


def file_json(part: Part) -> dict[str, Any]:
    """Make Graph's description of a file, without its octets."""
    found: dict[str, Any] = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": part.name or part.cid or "attachment",
        "contentType": part.content_type,
        "isInline": part.inline,
    }
    if part.cid:
        found["contentId"] = part.cid
    return found


def file_segments(part: Part) -> Iterator[bytes | Part]:
    yield json.dumps(file_json(part)).encode()[:-1] + b', "contentBytes": "'
    yield part
    yield b'"}'


def json_segments(parts: Parts, message_id: str, *, save: bool) -> Iterator[bytes | Part]:
    """Make the whole body of a sendMail in JSON."""
    yield b'{"message": ' + json.dumps(message_json(parts, message_id)).encode()[:-1] + b', "attachments": ['
    for number, part in enumerate(parts.attachments):
        if number:
            yield b", "
        yield from file_segments(part)
    yield b']}, "saveToSentItems": ' + json.dumps(save).encode() + b"}"


def draft_mime(header: bytes, parts: Parts) -> bytes:
    """Make a MIME message of the header as it was written and the bodies alone; files are attached to the draft
    afterwards.
    """
    fields = re.split(rb"\r\n(?![ \t])", header)
    kept = [field for field in fields if field and not re.match(rb"(?i)(content-[!-9;-~]*|mime-version)[ \t]*:", field)]
    bodies = [(kind, text) for kind, text in (("plain", parts.text), ("html", parts.html)) if text is not None] or [
        ("plain", "")
    ]
    made = [_body(kind, text) for kind, text in bodies]
    body = made[0]
    if len(made) > 1:
        mark = b"=_franking_draft"  # never in base64, and there is nothing else between the marks
        body = b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n' % mark
        body += b"".join(b"--%b\r\n%b" % (mark, one) for one in made) + b"--%b--\r\n" % mark
    return b"\r\n".join([*kept, b"MIME-Version: 1.0", body])


def _body(kind: str, text: str) -> bytes:
    octets = re.sub(r"\r\n|\r|\n", "\r\n", text).encode()
    lines = b"".join(
        b2a_base64(octets[start : start + 57], newline=False) + b"\r\n" for start in range(0, len(octets), 57)
    )
    return f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'.encode() + lines
