"""Text of the other side made fit to be shown, as one bounded line in which nothing acts instead of being read; or the
JSON object in it.

Pure functions, which every reply of a server passes through; they need nothing. What must stay secret is taken out in
``redaction.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "DIRECTION_CONTROLS",
    "DIRECTION_MARKS",
    "JOINERS",
    "blanked",
    "bounded",
    "escaped",
    "json_object",
    "json_value",
    "nearest",
    "one_line",
    "page_text",
    "shortened",
    "size_in_words",
    "suggestion",
    "visible",
]

TEXT_LIMIT = 2_000  # characters of another side's words that are kept in evidence

# left-to-right and right-to-left mark, which text in Arabic and Hebrew needs
DIRECTION_MARKS = "\u200e\u200f"
# embeddings, overrides and isolates (UTS #9), which make one text look like another
DIRECTION_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# zero-width non-joiner and joiner, which some scripts need (RFC 5892 appendix A)
JOINERS = "\u200c\u200d"


def escaped(text: str) -> str:
    """Return a text with every character that does not print, direction controls too, as an escape (``\\x1b``)."""
    return _replaced(text, lambda char: char.encode("unicode_escape").decode("ascii"))


def blanked(text: str) -> str:
    """Return a text with a blank in place of every character that does not print."""
    return _replaced(text, lambda char: " ")


def _replaced(text: str, instead: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else instead(char) for char in text])


def shortened(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a text, the last of them an ellipsis where it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def size_in_words(size: int) -> str:
    """Return a number of octets as a person reads it: ``512 bytes``, ``1.4 KiB``, ``25 MiB``."""
    if size < 1024:
        return f"{size} bytes"
    unit, divisor = "KiB", 1024
    if size >= 1024**2:
        unit, divisor = "MiB", 1024**2
    whole, rest = divmod(size, divisor)
    return f"{size / divisor:.1f} {unit}" if rest else f"{whole} {unit}"


def visible(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return a text on one bounded line, white space collapsed; what does not print, a non-breaking blank too, as an
    escape.
    """
    return shortened(escaped(" ".join(text[: 4 * limit].replace("\xa0", "\\xa0").split())), limit)


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return the words of a web service as ``visible`` does; their non-breaking blanks are blanks."""
    return visible(text.replace("\xa0", " "), limit)


def one_line(text: str, limit: int) -> str:
    """Return the beginning of a text on one line, with blanks in place of what does not print."""
    return " ".join(blanked(text).split())[:limit]


def page_text(content: bytes) -> str:
    """Return the words of a response that is no JSON: upload servers send a bare line, proxies a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", content[:4000].decode("utf-8", "replace")).split())


def json_value(text: str | bytes) -> Any:
    """Return what a JSON text says; None where it is none. Nothing is raised: json's own error holds all of the text,
    which may be a secret.
    """
    import json  # most programs read none

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that another side or a file claims to be; None where it is no JSON or no object."""
    read = json_value(text)
    if isinstance(read, dict):
        return read
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` was probably meant to be, or None."""
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(word.replace("-", "_").lower(), list(known), n=1, cutoff=0.6)
    return next(iter(close), None)


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return ``did you mean X?`` for the known word that is nearest, ``otherwise`` where none is near."""
    close = nearest(word, known)
    if close is None:
        return otherwise
    return f"did you mean {close}?"
