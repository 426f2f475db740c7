"""What the relay answers: one line of ASCII each, at most 512 octets (RFC 5321 §4.5.3.1.5), the enhanced code first."""

from __future__ import annotations

from franking.text import visible

__all__ = ["LONGEST", "reply"]

LONGEST = 512

_PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "–": "-", "—": "-", "…": "...", "→": ">"})


def reply(code: int, enhanced: str, text: str) -> bytes:
    """Return a reply of one line, with its CRLF; what is not ASCII or does not print is spelt out, what is too long is
    cut.
    """
    words = visible(f"{enhanced} {text}".strip(), LONGEST).translate(_PLAIN)
    line = f"{code} ".encode() + words.encode("ascii", "backslashreplace")
    return line[: LONGEST - 2] + b"\r\n"
