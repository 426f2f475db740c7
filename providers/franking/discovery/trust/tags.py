"""Tag lists (``name=value`` between semicolons, RFC 6376 §3.2), as DKIM and DMARC records are written. What a tag
means is not known here.
"""

from __future__ import annotations

__all__ = ["read_tags"]


def read_tags(text: str) -> dict[str, str]:
    """Read a record's tags by their names in lower case; the first of a name counts."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, sign, value = part.partition("=")
        if sign:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags
