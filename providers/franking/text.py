"""Make text of the other side fit to be shown, or read the JSON object in it. Pure functions, which every reply of a
server passes through: they need nothing, not even the texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["bounded", "json_object", "nearest", "visible"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that ``word`` was probably meant to be, or None."""
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(word.replace("-", "_").lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


TEXT_LIMIT = 2_000
"""Characters of another side's words that are kept in evidence."""


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """Keep the beginning of another side's words, white space collapsed and other control characters made visible."""
    words = " ".join(text[: 4 * limit].split())
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in words)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def visible(text: str, limit: int = 2000) -> str:
    """Make text of the other side fit to be shown: one line, bounded, control and invisible characters as escapes
    (``\\x1b``).
    """
    line = " ".join(text[: 4 * limit].replace("\xa0", "\\xa0").split())
    shown = line if line.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in line)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that another side or a file claims to be; None where it is no JSON or no object."""
    import json  # most programs read none

    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(read, dict):
        return read
    return None


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
