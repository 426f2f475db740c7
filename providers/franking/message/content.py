"""What a serialised message is to those who send it: ``Content``. Nothing is composed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from franking.message.parser import Parts

__all__ = ["Content", "crlf", "gathered"]


_ENOUGH = 1 << 16  # octets in one chunk: a small message is one chunk, a large one does not wait for the reader


class Content(Protocol):
    """A serialised message that can be read more than once, in chunks; ``size`` is in octets, CRLF line ends, without
    Bcc.

    ``eight_bit``: the part behind the header has octets above 127 (it needs 8BITMIME). ``smtputf8``: the header has (it
    needs SMTPUTF8; an address of the envelope may need it too). ``recipients`` are those that the header names, as SMTP
    carries them.
    """

    @property
    def message_id(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def eight_bit(self) -> bool: ...
    @property
    def smtputf8(self) -> bool: ...
    @property
    def recipients(self) -> tuple[str, ...]: ...
    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        """Return the octets, with CRLF line ends and no dot-stuffing; ``bcc`` keeps the Bcc header (API routes).

        A message of up to 64 KiB is one chunk. It is a generator: closing it closes the file that is being read. Raises
        ``MessageError`` where an attachment changed its size or vanished meanwhile.
        """
        ...

    def size_with_bcc(self) -> int: ...
    def parts(self) -> Parts: ...


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces to chunks of at least 64 KiB; only the last may be smaller."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _ENOUGH:
            yield b"".join(waiting) if len(waiting) > 1 else piece
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def crlf(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn every line end (CRLF, LF, a lone CR) into CRLF, also across the borders of chunks."""
    after_cr = False  # the CR of the chunk before has become CRLF already, so an LF that follows belongs to it
    for chunk in chunks:
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # noqa: PLW2901
        after_cr = chunk.endswith(b"\r")
        if not chunk.count(b"\r\n") == chunk.count(b"\n") == chunk.count(b"\r"):
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")  # noqa: PLW2901
        if chunk:
            yield chunk
