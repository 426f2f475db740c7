"""One line of a client → what it asks for. It decides nothing, and mends what devices get wrong, telling so.

RFC 5321 §4.1.1, 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 4954 (AUTH=).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from franking.errors import MessageError
from franking.message.address import Address

__all__ = ["HTTP", "Path", "SyntaxProblem", "bdat_size", "parse_mail", "parse_rcpt"]

HTTP = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|DELETE|PATCH|TRACE|PRI) \S", re.IGNORECASE)

# a path in angle brackets, whose local part may be quoted; or, from devices, a bare word
_PATH = re.compile(r'(\s*):(\s*)(?:<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>|([^\s<>]*))(?:\s+(.*))?\Z')
_ROUTE = re.compile(r"@[^:,@\s]+(?:,@[^:,@\s]+)*:")
_BDAT = re.compile(rb"(\d{1,20})(?:[ \t]+(LAST))?[ \t]*\Z", re.IGNORECASE)


class SyntaxProblem(Exception):
    """Say what is wrong with a command: reply code, enhanced code, words."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.code, self.enhanced, self.text = code, enhanced, text


class Path(NamedTuple):
    """An address of the envelope (empty: a bounce's sender), the size that was announced, what was mended."""

    address: str
    size: int = 0
    utf8: bool = False
    eight_bit: bool = False
    mended: tuple[str, ...] = ()


@lru_cache(maxsize=256)  # a program writes the same line again and again
def parse_mail(rest: str) -> Path:
    """Read what follows ``MAIL``. Raises ``SyntaxProblem``."""
    bare, mended, parameters = _path("FROM", rest, "MAIL FROM:<you@example.com>")
    size, utf8, eight_bit = 0, False, False
    for word in parameters.split():
        key, _, value = word.partition("=")
        key = key.upper()
        if key == "SIZE" and value.isdigit() and len(value) <= 20:
            size = int(value)
        elif key == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
            eight_bit = value.upper() == "8BITMIME"
        elif key == "SMTPUTF8" and not value:
            utf8 = True
        elif key == "AUTH" and value:
            pass  # RFC 4954 §5: who was asked elsewhere is nothing to us
        elif key in ("SIZE", "BODY", "SMTPUTF8", "AUTH"):
            raise SyntaxProblem(501, "5.5.4", f"{key} has a wrong value")
        else:
            raise SyntaxProblem(555, "5.5.4", f"the parameter {word[:40]} is not known here")
    address = ""
    if bare:
        address = _address(bare, utf8=utf8, code="5.1.7")
    return Path(address, size, utf8, eight_bit or utf8, mended)


@lru_cache(maxsize=256)
def parse_rcpt(rest: str, *, utf8: bool) -> Path:
    """Read what follows ``RCPT``. Raises ``SyntaxProblem``."""
    bare, mended, parameters = _path("TO", rest, "RCPT TO:<you@example.com>")
    if parameters.split():
        raise SyntaxProblem(555, "5.5.4", f"the parameter {parameters.split()[0][:40]} is not known here")
    if not bare:
        raise SyntaxProblem(501, "5.1.3", "RCPT needs an address: RCPT TO:<you@example.com>")
    return Path(_address(bare, utf8=utf8, code="5.1.3"), mended=mended)


def _path(word: str, rest: str, example: str) -> tuple[str, tuple[str, ...], str]:
    rest = rest.strip()
    found = _PATH.match(rest, len(word))
    if found is None or rest[: len(word)].upper() != word:
        raise SyntaxProblem(501, "5.5.4", f"this is not understood; write {example}")
    before, after, bracketed, bare, parameters = found.groups()
    mended = []
    if before or after:
        mended.append("space-after-colon")
    if bracketed is None:
        if not bare:
            raise SyntaxProblem(501, "5.5.4", f"the address is missing; write {example}")
        mended.append("no-brackets")
    path = (bracketed if bracketed is not None else bare).strip()
    return _ROUTE.sub("", path, count=1) if path.startswith("@") else path, tuple(mended), parameters or ""


def _address(text: str, *, utf8: bool, code: str) -> str:
    try:
        wire = Address(text).wire
    except MessageError as problem:
        raise SyntaxProblem(553, code, str(problem)) from None
    if not wire.isascii() and not utf8:
        raise SyntaxProblem(553, "5.6.7", "this address needs SMTPUTF8, which MAIL did not ask for")
    return wire


def bdat_size(rest: bytes) -> tuple[int, bool]:
    """Return how many octets follow ``BDAT``, and whether they are the last. Raises ``SyntaxProblem``."""
    found = _BDAT.match(rest)
    if found is None:
        raise SyntaxProblem(501, "5.5.4", "write BDAT 1234 or BDAT 1234 LAST")
    return int(found[1]), found[2] is not None
