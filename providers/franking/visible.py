"""Make text of the other side fit to be shown. A pure function, which every reply of a server passes through: it needs nothing, not even the texts."""

from __future__ import annotations

__all__ = ["visible"]


def visible(text: str, limit: int = 2000) -> str:
    """Make text of the other side fit to be shown: one line, bounded, control and invisible characters as escapes (``\\x1b``)."""
    line = " ".join(text[: 4 * limit].replace("\xa0", "\\xa0").split())
    shown = line if line.isprintable() else "".join(sign if sign.isprintable() else _escape(sign) for sign in line)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
