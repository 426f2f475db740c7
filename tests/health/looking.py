"""What the tests of health share: a clock that is moved, settings, and ways to say what was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from franking.health.finding import Entry, Finding
from franking.health.look import Health

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(text: str = "") -> Path:
    """Add to the settings file."""
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text((path.read_text() if path.exists() else "") + text)
    return path


def entry(health: Health, account: str | None = "shop") -> Entry:
    return next(one for one in health.entries if one.account == account)


def finding(health: Health, code: str, account: str | None = "shop") -> Finding:
    found = {one.code: one for one in entry(health, account).findings}
    assert code in found, found
    return found[code]


def codes(health: Health, account: str | None = "shop") -> dict[str, str]:
    return {one.code: one.level for one in entry(health, account).findings}


def machine(health: Health) -> dict[str, Any]:
    return codes(health, None)


Looks = Callable[..., Health]
