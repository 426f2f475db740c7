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
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from franking.api_session import Body, json_of
from franking.errors import ConnectError, FrankingError, Refused
from franking.message.parser import Part
from franking.net import http
from franking.net.upload import Rereadable, resumed
from franking.outlook.client import GraphClient
from franking.outlook.graph_json import FILE_LIMIT, Segments, file_json, file_segments

if TYPE_CHECKING:
    from requests import Response

__all__ = ["Draft", "deliver"]

# octets of a range: below 4 MB, and a multiple of 320 KiB, which Microsoft's own upload code keeps to
RANGE = 10 * 320 * 1024

Draft = tuple[str, Callable[[], Body]]
"""A draft to be made: the content type and the body of the request."""


def deliver(
    client: GraphClient, drafts: list[Draft], files: tuple[Part, ...], pause: Callable[[float], object]
) -> tuple[str, int]:
    """Make a draft, attach the files, send it. Return the message's id, and which of ``drafts`` Graph took.

    ``drafts`` are tried in order: a later one for a Graph that does not take the earlier kind.
    """
    name, used = _create(client, drafts)
    draft = f"{client.mailbox}/messages/{quote(name, safe='')}"
    try:
        offset = 0
        for part in files:
            _attach(client, draft, part, offset, pause)
            offset += part.size
        client.ask("POST", f"{draft}/send", b"", expected=(202,), final=True)
    except BaseException as problem:
        if not getattr(problem, "possibly_sent", client.in_doubt) and not client.discard(draft):
            problem.add_note("The draft could not be removed; it is still in Drafts.")
        raise
    return name, used


def _create(client: GraphClient, drafts: list[Draft]) -> tuple[str, int]:
    for number, (kind, body) in enumerate(drafts, 1):
        try:
            made = client.ask("POST", f"{client.mailbox}/messages", body(), kind=kind, expected=(201,))
        except Refused as refused:
            code = refused.evidence and refused.evidence.code
            if number < len(drafts) and code in (400, 405, 415):
                continue
            raise
        name = json_of(made).get("id")
        if not isinstance(name, str) or not name:
            raise client.odd("made a draft without an id")
        return name, number - 1
    raise AssertionError("there is always a draft to try")


def _attach(client: GraphClient, draft: str, part: Part, offset: int, pause: Callable[[float], object]) -> None:
    """Attach one file. ``offset``: octets of the files before it."""
    if part.size < FILE_LIMIT:
        segments = Segments(file_segments(part))
        body = http.Streamed(segments, segments.length, lambda done: client.progress.running(offset + done * 3 // 4))
        client.ask("POST", f"{draft}/attachments", body, expected=(201,))
        return
    item = {**file_json(part), "attachmentType": "file", "size": part.size}
    item.pop("@odata.type")
    asked = json.dumps({"AttachmentItem": item}).encode()
    made = client.ask("POST", f"{draft}/attachments/createUploadSession", asked, expected=(200, 201))
    url = json_of(made).get("uploadUrl")
    if not isinstance(url, str) or urlsplit(url).scheme != "https":
        raise client.odd("gave no address for the upload")
    upload = _Upload(client, url, part, offset)
    with closing(upload.stream):
        resumed(upload.step, pause)


class _Upload:
    """One file on its way to Graph in ranges."""

    def __init__(self, client: GraphClient, url: str, part: Part, offset: int) -> None:
        self._client, self._url, self._size, self._offset = client, url, part.size, offset
        self.stream = Rereadable(part.open, part.size)
        self._at: int | None = 0
        self._broken: FrankingError | None = None

    def step(self) -> bool | None:
        """Send the next range; after a break, ask first how far the upload came. True where nothing is missing."""
        try:
            if self._broken is not None:
                self._at, self._broken = self._position(self._broken), None
            if self._at is not None:
                self._at = self._put(self._at)
        except (ConnectError, Refused) as problem:
            self._broken = problem
            raise
        return self._at is None or None

    def _put(self, at: int) -> int | None:
        """Send one range; return where the next begins, or None where that was all."""
        end = min(at + RANGE, self._size)
        body = http.Streamed(
            self._span(at, end), end - at, lambda done: self._client.progress.running(self._offset + at + done)
        )
        response = self._client.ask(
            "PUT",
            self._url,
            body,
            kind="application/octet-stream",
            headers={"Content-Range": f"bytes {at}-{end - 1}/{self._size}"},
            expected=(200, 201, 202),
            token=False,
        )
        following = self._expected(response)
        if response.status_code == 201 or (end == self._size and following is None):
            return None
        if following is None or not at < following <= end:
            raise self._client.odd("counts the upload in a way that cannot be")
        return following

    def _span(self, first: int, end: int) -> Iterator[bytes]:
        self.stream.seek(first)
        while piece := self.stream.read(min(http.PIECE, end - self.stream.tell())):
            yield piece

    def _position(self, broken: FrankingError) -> int | None:
        """Ask how far a broken upload came; None where nothing is missing."""
        try:
            return self._expected(self._client.ask("GET", self._url, expected=(200,), token=False))
        except Refused as gone:
            # the session is over: perhaps the last range made the file whole, perhaps it expired. A guess could lose a
            # file
            raise broken from gone

    def _expected(self, response: Response) -> int | None:
        """Read where the first range begins that Graph still expects (``["3276800-"]``); None where it expects none."""
        found = json_of(response)
        ranges = found.get("nextExpectedRanges", found.get("NextExpectedRanges"))
        if not isinstance(ranges, list) or not ranges:
            return None
        first = re.match(r"(\d{1,12})(?:-|\Z)", str(ranges[0]))
        if first is None or int(first[1]) >= self._size:
            return None
        return int(first[1])
