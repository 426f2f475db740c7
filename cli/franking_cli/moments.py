"""Times and durations as they are typed: ``+15m``, ``2026-12-01T08:00:00+01:00``, ``30d``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

__all__ = ["duration", "moment"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str, flag: str) -> float:
    """Return the seconds of ``30d``, ``12h``, ``15m`` or ``90s``."""
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration; write 30d, 12h, 15m or 90s", param_hint=flag)
    return int(found[1]) * float(_UNITS[found[2]])


def moment(text: str, flag: str, now: datetime | None = None) -> datetime:
    """Return the time of ``+2h`` or of ISO 8601 with a zone; one that is past is now."""
    now = now or datetime.now(UTC)
    if text.startswith("+"):
        try:
            return now + timedelta(seconds=duration(text[1:], flag))
        except OverflowError:
            raise typer.BadParameter(f"{text!r} is too far ahead", param_hint=flag) from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write +15m, +2h or 2026-12-01T08:00:00+01:00", param_hint=flag
        ) from None
    if found.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} has no time zone; add one, such as {found.isoformat()}+01:00, or Z for UTC", param_hint=flag
        )
    return max(found, now)
