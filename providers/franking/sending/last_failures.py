"""Which accounts' last send failed for a lasting reason, whoever sent: ``health.json`` in the state directory.

    {"version": 1, "failing": {"shop": {"since": 1796020800.0, "diagnosis": "…"}}}

It is written when that changes and at no other time; ``franking health`` reads it. The diagnosis is without the other
side's words.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.atomic import locked, make_private, write_whole
from franking.outbox.entry import read_diagnosis, write_value

if TYPE_CHECKING:
    from franking.diagnosis.diagnosis import Diagnosis

__all__ = ["FILE", "LastFailure", "clear", "note", "read"]

FILE = "health.json"

LOCK_SECONDS = 10.0
"""How long another program may hold the file; it does for a few milliseconds."""


@dataclass(frozen=True, slots=True)
class LastFailure:
    """Since when an account's sends fail (seconds since 1970), and what the latest one met. ``looked``: nobody sent, it
    was met when health looked.
    """

    since: float
    diagnosis: Diagnosis
    looked: bool = False


def read(path: Path) -> dict[str, LastFailure]:
    """Return the accounts whose last send failed for a lasting reason. A damaged file says nothing: the next failure
    writes it anew.
    """
    found = {}
    for name, entry in _entries(path).items():
        try:
            diagnosis = read_diagnosis(entry["diagnosis"])
            since = float(entry["since"])
        except (KeyError, TypeError, ValueError):
            continue
        if diagnosis is not None:
            found[name] = LastFailure(since, diagnosis, bool(entry.get("looked")))
    return found


def note(
    path: Path, account: str, diagnosis: Diagnosis, *, looked: bool = False, clock: Callable[[], float] = time.time
) -> None:
    """Remember that an account's send failed, or (``looked``) would. Raises ``OSError`` and ``FrankingError`` where
    that cannot be written.
    """
    written = write_value(replace(diagnosis, raw=""))

    def fails(failing: dict[str, Any]) -> bool:
        before = failing.get(account, {})
        told = bool(before) and not before.get("looked")
        same = before.get("code") == diagnosis.code and isinstance(before.get("diagnosis"), str)
        if (told and looked) or (same and (told or looked)):
            return False
        since = before.get("since")
        if not told or not isinstance(since, int | float):
            since = clock()
        failing[account] = {"code": diagnosis.code, "since": since, "diagnosis": written, "looked": looked}
        return True

    _change(path, fails)


def clear(path: Path, account: str) -> None:
    """Remember that an account can send. Raises as ``note`` does."""
    _change(path, lambda failing: failing.pop(account, None) is not None)


def _change(path: Path, change: Callable[[dict[str, Any]], bool]) -> None:
    """Change what is written, if it is a change: twenty programs that fail alike write once."""
    if not change(_entries(path)):
        return
    make_private(path.parent)
    with locked(path.with_name(f".{path.name}.lock"), f"The file {path}", LOCK_SECONDS):
        failing = _entries(path)
        if change(failing):
            text = json.dumps({"version": 1, "failing": failing}, ensure_ascii=False)
            write_whole(path, text.encode())


def _entries(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    failing = known.get("failing") if isinstance(known, dict) else None
    if not isinstance(failing, dict):
        return {}
    return {name: entry for name, entry in failing.items() if isinstance(entry, dict)}
