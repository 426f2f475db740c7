"""SMTP as bytes and values: replies, capabilities, command lines, dot-stuffing.

No sockets, no clock, no decisions: what a reply means for a message is decided in ``transaction.py``, for a login in
``sasl.py``. RFC 5321 (SMTP), 1870 (SIZE), 2034 (enhanced codes), 3030 (CHUNKING), 4954 (AUTH), 6152 (8BITMIME), 6531
(SMTPUTF8).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from franking.errors import Evidence, MessageError
from franking.redaction import without_queries
from franking.text import visible

__all__ = [
    "BadReply",
    "Capabilities",
    "DotStuffer",
    "Line",
    "Reply",
    "ReplyReader",
    "command",
    "parse_ehlo",
    "readable",
]

# octets of one reply line; RFC 5321 §4.5.3.1.5 allows 512, OAuth challenges and chatty servers need more
LINE_LIMIT = 8192
LINES_LIMIT = 500  # lines of one reply: an endless continuation must end
REPLY_LIMIT = 65536  # octets of one reply
TEXT_LIMIT = 2000  # characters of a reply that are kept for people: Google's longest is about 600
AHEAD_LIMIT = 5000  # replies that nobody has asked for yet: more than any flight of ours expects

_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")
_MARKS = (b" ", b"-", b"\r", b"")
_new = tuple.__new__  # a named tuple's own constructor takes as long as all the rest of a reply
_code_of, _text_of = itemgetter(slice(4)), itemgetter(slice(4, None))
_CODES = {b"%d" % code: code for code in range(200, 600)}
_LAST_LINES = {octets + mark: code for octets, code in _CODES.items() for mark in (b"", b" ")}


class BadReply(Exception):
    """Say that the server sent what no SMTP server sends; ``reason`` is a word, ``text`` what it sent, readable."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(reason, text)
        self.reason = reason
        self.text = text


def readable(data: bytes, limit: int = TEXT_LIMIT) -> str:
    r"""Make a server's octets readable on one bounded line: UTF-8 where it is, everything else and control characters
    as ``\x1b``.
    """
    return visible(data[: 4 * limit].decode("utf-8", "backslashreplace"), limit)


class Reply(NamedTuple):
    """One reply: its code, and each line's octets behind the code."""

    code: int
    lines: tuple[bytes, ...] = (b"",)

    @property
    def temporary(self) -> bool:
        """Return whether it says: not now (4xx)."""
        return 400 <= self.code < 500

    @property
    def enhanced(self) -> str | None:
        """Return the RFC 3463 code, ``5.7.8``, of the first line that has one."""
        for line in self.lines:
            if found := _ENHANCED.match(line):
                return found[1].decode()
        return None

    @property
    def text(self) -> str:
        """Return the words: all lines joined by a blank, each without its enhanced code, readable and bounded."""
        # Google's refusals hold a sign-in address with a one-time token
        return without_queries(readable(b" ".join(_ENHANCED.sub(b"", line, count=1).strip() for line in self.lines)))

    def __str__(self) -> str:
        line = self.lines[0]
        if len(self.lines) == 1 and 0 < len(line) < 200 and line.isascii():
            text = line.decode()
            # nearly every reply: nothing to take apart and put together again
            if text.isprintable() and text == text.strip() and "  " not in text and "//" not in text:
                return f"{self.code} {text}"
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    def evidence(self, kind: str = "smtp", reason: str | None = None, **details: Any) -> Evidence:
        """Make evidence of it."""
        return Evidence(kind, code=self.code, enhanced=self.enhanced, text=self.text, reason=reason, details=details)


@dataclass(frozen=True, slots=True)
class Line:
    """Something for the client to say: the octets, and the form that a log may show."""

    data: bytes = field(repr=False)
    shown: str


class ReplyReader:
    """Turn octets into replies, bounded in every direction.

    Complete replies stand in ``replies``; the first thing that is no reply is kept in ``fault``, and nothing behind it
    is read. ``redact`` may rewrite the octets of a reply's lines, and of what is no reply, before anything else sees
    them (a server that echoes a secret, or folds it into several lines); it keeps the line ends.
    """

    __slots__ = ("_code", "_lines", "_rest", "_size", "fault", "partial", "redact", "replies")

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.fault: BadReply | None = None
        self.partial = False  # something came that is no reply: its beginning, or the fault
        self.redact: Callable[[bytes], bytes] | None = None
        self._rest = b""
        self._lines: list[bytes] = []
        self._code = 0
        self._size = 0

    @property
    def pending(self) -> bytes:
        """Return what has arrived and is no complete reply yet."""
        return self._redacted(b"\n".join((*self._lines, self._rest)))

    def _redacted(self, octets: bytes) -> bytes:
        return octets if self.redact is None else self.redact(octets)

    def feed(self, data: bytes) -> None:
        """Take octets as they arrive, cut anywhere."""
        if self.fault is not None:
            return
        if self._rest:
            data = self._rest + data
        elif not self._lines and self._plain(data):
            return
        lines = data.split(b"\n")
        self._rest = lines.pop()
        replies, redact = self.replies, self.redact
        try:
            for line in lines:
                code = _CODES.get(line[:3])
                mark = line[3:4]
                if len(line) > LINE_LIMIT or code is None or mark not in _MARKS:
                    raise self._fault(line)
                text = line[4:]
                if text[-1:] == b"\r":
                    text = text[:-1]
                if mark == b"-" or self._lines:
                    self._continued(code, mark, text)
                else:
                    if redact is not None:
                        text = redact(text)
                    replies.append(_new(Reply, (code, (text,))))
            if len(self._rest) > LINE_LIMIT:
                raise self._fault(self._rest)
            if len(replies) > AHEAD_LIMIT:
                raise BadReply("too-many-replies")
        except BadReply as fault:
            self._rest = b""
            self.fault = fault
        self.partial = bool(self._rest or self._lines or self.fault)

    def _plain(self, data: bytes) -> bool:
        """Take whole replies of one line each, which nearly all are; False leaves everything as it was."""
        if len(data) > LINE_LIMIT or len(self.replies) + len(data) > AHEAD_LIMIT:
            return False
        lines = data.split(b"\r\n")
        if lines.pop() or data.count(b"\n") != len(lines):
            return False
        codes = [*map(_LAST_LINES.get, map(_code_of, lines))]
        if None in codes:
            return False
        texts = map(_text_of, lines)
        if self.redact is not None:
            texts = map(self.redact, texts)
        self.replies.extend(map(_new, repeat(Reply), zip(codes, zip(texts), strict=True)))
        self.partial = False
        return True

    def _fault(self, line: bytes) -> BadReply:
        reason = "line-too-long" if len(line) > LINE_LIMIT else "not-smtp"
        # a secret may be echoed in it just as well
        return BadReply(reason, readable(self._redacted(line.rstrip(b"\r")), 200))

    def _continued(self, code: int, mark: bytes, text: bytes) -> None:
        if self._lines and code != self._code:
            raise BadReply("mixed-codes", readable(b"%d %s" % (code, self._redacted(text)), 200))
        self._code = code
        self._lines.append(text)
        self._size += len(text)
        if len(self._lines) > LINES_LIMIT or self._size > REPLY_LIMIT:
            raise BadReply("reply-too-long", readable(self._redacted(text), 100))
        if mark != b"-":
            whole = self._redacted(b"\n".join(self._lines))
            self.replies.append(Reply(code, tuple(whole.split(b"\n"))))
            self._lines.clear()
            self._size = 0


@dataclass(frozen=True)
class Capabilities:
    """What a server said of itself after EHLO: keyword (upper case) → parameters. Empty after HELO."""

    name: str = ""
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __contains__(self, word: str) -> bool:
        return word in self.words

    @property
    def auth(self) -> tuple[str, ...]:
        """Return the SASL mechanisms on offer, upper case, each once, in the server's order."""
        return tuple(dict.fromkeys(self.words.get("AUTH", "").upper().split()))

    @cached_property
    def size(self) -> int | None:
        """Return the largest message in octets; None where the server names no limit (RFC 1870 §4: 0 means none)."""
        word = self.words.get("SIZE", "").partition(" ")[0]
        if not (word.isascii() and word.isdigit()) or len(word) > 20:
            return None
        return int(word) or None

    def without(self, names: Iterable[str]) -> Capabilities:
        """Leave out extensions that must not be used."""
        gone = {name.upper() for name in names}
        return Capabilities(
            self.name, MappingProxyType({word: value for word, value in self.words.items() if word not in gone})
        )


def parse_ehlo(reply: Reply) -> Capabilities:
    r"""Read the answer to EHLO; the old spelling ``AUTH=`` counts as ``AUTH``, and both add up.

    >>> parse_ehlo(Reply(250, (b"mx.example.cz Hello", b"AUTH PLAIN LOGIN", b"AUTH=LOGIN CRAM-MD5"))).auth
    ('PLAIN', 'LOGIN', 'CRAM-MD5')
    """
    words: dict[str, str] = {}
    for line in reply.lines[1:]:
        word, _, value = readable(line).strip().partition(" ")
        word = word.upper()
        if word.startswith("AUTH="):
            word, value = "AUTH", f"{word[5:]} {value}"
        if word == "AUTH" and "AUTH" in words:
            value = f"{words['AUTH']} {value}"
        if word:
            words[word] = value.strip()
    return Capabilities(readable(reply.lines[0]).partition(" ")[0], MappingProxyType(words))


def command(text: str) -> bytes:
    """Make a command line. Raises ``MessageError`` for CR, LF, NUL and lone surrogates, whoever let them in."""
    try:
        line = text.encode()
    except UnicodeEncodeError:
        raise MessageError(
            "A command for the mail server would contain half a character (a lone surrogate).", field="command"
        ) from None
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise MessageError("A command for the mail server would contain a line break or a NUL.", field="command")
    return line + b"\r\n"


class DotStuffer:
    """Double the dots at the beginnings of lines, chunk by chunk (RFC 5321 §4.5.2).

    A line begins after any LF here: content has CRLF only, and should a bare LF slip in, a lenient server must not take
    ``LF.CRLF`` for the end of the message. One ``bytes.replace`` per chunk, which copies only where there is something
    to double.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        stuffed = chunk.replace(b"\n.", b"\n..")
        if chunk[0] == 46 and self._tail[-1:] == b"\n":
            stuffed = b"." + stuffed
        self._tail = (self._tail + chunk[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """Return the end of the message, with the line end that the content may lack."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
