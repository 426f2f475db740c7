"""Carry what is too large for one request: a draft, its attachments one by one, large ones in ranges, and then the
send.

    POST messages (MIME or JSON, without attachments) → POST …/attachments (under 3 MB)
    or POST …/createUploadSession, PUT range, PUT range … → POST …/send

Every step but the last may be repeated: until then nothing is accepted. An upload that breaks off goes on where Graph
says it came to. A draft that is given up is removed. Needs Mail.ReadWrite.

Source: learn.microsoft.com/graph/outlook-large-attachments (ranges up to 4 MB, in order, no Authorization header on a
PUT).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from franking.api_session import Progress
from franking.errors import ConnectError, FrankingError, Refused, Throttled
from franking.message.content import Part
from franking.net import http
from franking.outlook.client import Body, Wire, odd
from franking.outlook.graph_json import FILE_LIMIT, Segments, file_json, file_segments

__all__ = ["deliver"]

# octets of a range: below 4 MB, and a multiple of 320 KiB, which Microsoft's own upload code keeps to
RANGE = 10 * 320 * 1024
RESUMES = 5  # breaks in a row of one upload that are survived


def deliver(
    wire: Wire,
    drafts: list[tuple[str, Callable[[], Body]]],
    files: tuple[Part, ...],
    told: Progress,
    pause: Callable[[float], object],
) -> tuple[str, int]:
    """Make a draft, attach the files, send it. Gives the message's id, and which of ``drafts`` Graph took.

    ``drafts`` are (content type, body) to try in order: a later one for a Graph that does not take the earlier kind.
    """
    name, taken = _create(wire, drafts)
    draft = f"{wire.mailbox}/messages/{quote(name, safe='')}"
    try:
        done = 0
        for part in files:
            _attach(wire, draft, part, told, done, pause)
            done += part.size
        wire.ask("POST", f"{draft}/send", b"", expected=(202,), final=True)
    except BaseException as problem:
        surely_not_sent = not (problem.possibly_sent if isinstance(problem, FrankingError) else wire.in_doubt)
        if surely_not_sent and not wire.discard(draft):
            problem.add_note("The draft could not be removed; it is still in Drafts.")
        raise
    return name, taken


def _create(wire: Wire, drafts: list[tuple[str, Callable[[], Body]]]) -> tuple[str, int]:
    for number, (kind, body) in enumerate(drafts):
        try:
            made = wire.ask("POST", f"{wire.mailbox}/messages", body(), kind=kind, expected=(201,))
        except Refused as refused:
            code = refused.evidence.code if refused.evidence else None
            if number + 1 < len(drafts) and code in (400, 405, 415):
                continue
            raise
        name = made.json.get("id")
        if not isinstance(name, str) or not name:
            raise odd("made a draft without an id")
        return name, number
    raise AssertionError("there is always a draft to try")


def _attach(wire: Wire, draft: str, part: Part, told: Progress, done: int, pause: Callable[[float], object]) -> None:
    if part.size < FILE_LIMIT:
        segments = Segments(file_segments(part))
        body = http.Streamed(segments, segments.length, lambda given: told.running(done + given * 3 // 4))
        wire.ask("POST", f"{draft}/attachments", body, expected=(201,))
        return
    item = {**file_json(part), "attachmentType": "file", "size": part.size}
    item.pop("@odata.type")
    made = wire.ask(
        "POST",
        f"{draft}/attachments/createUploadSession",
        json.dumps({"AttachmentItem": item}).encode(),
        expected=(200, 201),
    )
    url = made.json.get("uploadUrl")
    if not isinstance(url, str) or urlsplit(url).scheme != "https":
        raise odd("gave no address for the upload")
    _upload(wire, url, part, told, done, pause)


def _upload(wire: Wire, url: str, part: Part, told: Progress, done: int, pause: Callable[[float], object]) -> None:
    reader = _Reader(part)
    at: int | None = 0
    breaks = 0
    broken: ConnectError | Refused | None = None
    try:
        while at is not None:
            try:
                if broken is not None:
                    at, broken = _position(wire, url, part, broken), None
                else:
                    at, breaks = _put(wire, url, part, reader, at, told, done), 0
            except (ConnectError, Refused) as problem:
                breaks += 1
                if breaks > RESUMES or not _may_resume(problem):
                    raise
                broken = problem
                pause(2.0 ** (breaks - 1) - 1)  # seconds: at once, then 1, 3, 7, 15
        reader.finish()
    finally:
        reader.close()


def _put(wire: Wire, url: str, part: Part, reader: _Reader, at: int, told: Progress, done: int) -> int | None:
    """Send one range; give where the next begins, or None where that was all."""
    end = min(at + RANGE, part.size)
    body = http.Streamed(reader.span(at, end), end - at, lambda given: told.running(done + at + given))
    span = {"Content-Range": f"bytes {at}-{end - 1}/{part.size}"}
    answer = wire.ask(
        "PUT", url, body, kind="application/octet-stream", headers=span, expected=(200, 201, 202), token=False
    )
    following = _expected(answer.json, part.size)
    if answer.status == 201 or (end == part.size and following is None):
        return None
    if following is None or not at < following <= end:
        raise odd("counts the upload in a way that cannot be")
    return following


def _position(wire: Wire, url: str, part: Part, broken: ConnectError | Refused) -> int | None:
    """Ask how far a broken upload came; None where nothing is missing."""
    try:
        return _expected(wire.ask("GET", url, expected=(200,), token=False).json, part.size)
    except Refused as gone:
        # the session is over: perhaps the last range made the file whole, perhaps it expired. A guess could lose a file
        raise broken from gone


def _expected(answer: dict[str, Any], size: int) -> int | None:
    """Read the beginning of the first range that Graph still expects (``["3276800-"]``); None where it expects none."""
    ranges = answer.get("nextExpectedRanges", answer.get("NextExpectedRanges"))
    first = str(ranges[0]) if isinstance(ranges, list) and ranges else ""
    found = re.match(r"(\d{1,12})(?:-|\Z)", first)
    return int(found[1]) if found and int(found[1]) < size else None


def _may_resume(problem: FrankingError) -> bool:
    """Return whether an upload goes on after this: a broken connection, a 5xx, or a range that does not fit; never a
    refusal.
    """
    if isinstance(problem, ConnectError):
        return True
    code = problem.evidence.code if problem.evidence else None
    return (
        isinstance(problem, Refused)
        and not isinstance(problem, Throttled)
        and code is not None
        and (code >= 500 or code == 416)
    )


class _Reader:
    """A file, read once from beginning to end where nothing breaks; begun again where an upload goes back."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._chunks: Iterator[bytes] = iter(())
        self._rest = b""
        self._at = -1

    def span(self, first: int, end: int) -> Iterator[bytes]:
        if first != self._at:
            self.close()
            self._chunks, self._rest, self._at = self._part.open(), b"", 0
            for _ in self._until(first):
                pass
        yield from self._until(end)

    def _until(self, end: int) -> Iterator[bytes]:
        while self._at < end:
            piece = self._rest or next(self._chunks, b"")
            if not piece:
                return
            piece, self._rest = piece[: end - self._at], piece[end - self._at :]
            self._at += len(piece)
            yield piece

    def finish(self) -> None:
        """Look behind the last octet. Raises ``MessageError`` for a file that has grown meanwhile."""
        next(self._chunks, None)

    def close(self) -> None:
        """Let go of what the file holds open."""
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        self._at = -1
