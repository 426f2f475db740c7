"""Alerts: each change of a level is told once over every channel, several of a run together. What a channel could not
tell is told by it the next time; the others do not tell it twice.

What was told stands in ``health-told.json`` in the state directory. Whoever tells holds the lock of a look
(``look.py``), so that twenty at once tell once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from franking.errors import FrankingError
from franking.health.change import Change
from franking.health.channels import channel
from franking.health.finding import Entry, Finding
from franking.health.memory import read_json, write_json
from franking.health.settings import AlertSettings

__all__ = ["Told"]

FILE = "health-told.json"

UNTOLD = "alert.untold"
"""That a channel failed is no business of the channels."""


class Told:
    """What each channel has told, and which could not."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        known = read_json(self._path)
        self._told: dict[str, dict[str, list[str]]] = _as_told(known.get("told"))
        untold = known.get("untold")
        self.untold: dict[str, str] = dict(untold) if isinstance(untold, dict) else {}
        self._unkept: OSError | None = None

    def tell(
        self,
        entries: Sequence[Entry],
        settings: AlertSettings,
        *,
        language: str = "en",
        make: Callable[..., Callable[[Sequence[Change]], None]] = channel,
    ) -> None:
        """Tell what changed over every channel. Raises ``OSError`` where what was told cannot be kept: it will be told
        again.
        """
        looked = {entry.account or "" for entry in entries}
        sick = {entry.account for entry in entries if entry.level == "critical" and entry.account}
        now = {key: (entry, one) for entry in entries for key, one in _keyed(entry) if one.level != "ok"}
        self.untold = {name: why for name, why in self.untold.items() if name in settings.channels}
        for name in settings.channels:
            told = self._told.setdefault(name, {})
            changes = _changes(told, now, entries, looked, settings.spoken(name, language))
            if changes:
                try:
                    make(name, settings, sick, language)(changes)
                except FrankingError as problem:
                    self.untold[name] = problem.message
                    self._save()
                    continue
            self.untold.pop(name, None)
            kept = {key: value for key, value in told.items() if key.rpartition("/")[0] not in looked}
            self._told[name] = kept | {key: [one.level, one.stage] for key, (_, one) in now.items()}
            self._save()
        if self._unkept is not None:
            raise self._unkept

    def _save(self) -> None:
        """Keep what was told after each channel; where that cannot be, the others are told all the same."""
        try:
            write_json(self._path, {"version": 1, "told": self._told, "untold": self.untold})
        except OSError as problem:
            self._unkept = problem


def _keyed(entry: Entry) -> Iterable[tuple[str, Finding]]:
    return ((f"{entry.account or ''}/{one.code}", one) for one in entry.findings if one.code != UNTOLD)


def _changes(
    told: Mapping[str, list[str]],
    now: Mapping[str, tuple[Entry, Finding]],
    entries: Sequence[Entry],
    looked: set[str],
    language: str,
) -> list[Change]:
    """Return what a channel that told this has to tell now; accounts that nobody looked at have not changed."""
    changes = []
    for key, (entry, one) in now.items():
        before = told.get(key, ["ok", ""])
        if before != [one.level, one.stage]:
            changes.append(_change(entry.account, one, before[0], language))
    at = max((entry.checked_at for entry in entries), default=0.0)
    fine = {key: one for entry in entries for key, one in _keyed(entry)}
    for key, before in told.items():
        account, _, code = key.rpartition("/")
        if key not in now and account in looked:
            one = fine.get(key, Finding(code, "ok", {"account": account or None}, since=at))
            changes.append(_change(account or None, one, before[0], language))
    return changes


def _change(account: str | None, one: Finding, was: str, language: str) -> Change:
    return Change(account, one.code, one.level, was, one.text(language), one.remedies(language), one.since)


def _as_told(found: Any) -> dict[str, dict[str, list[str]]]:
    if not isinstance(found, dict):
        return {}
    return {
        name: {key: value for key, value in told.items() if isinstance(value, list) and len(value) == 2}
        for name, told in found.items()
        if isinstance(told, dict)
    }
