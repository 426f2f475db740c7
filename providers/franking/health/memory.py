"""What health remembers from one look to the next: what each mailbox last answered, and since when each code has its
level. ``health-seen.json`` in the state directory, 0600, written whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from franking.atomic import make_private, write_whole
from franking.health.finding import Entry, Finding

__all__ = ["Check", "Memory", "read_json", "write_json"]

FILE = "health-seen.json"


@dataclass(frozen=True, slots=True)
class Check:
    """What a mailbox last answered: ``ok``, ``refused`` (a sign-in or a password), ``unreachable``, or ``lasting`` for
    what else a person has to mend. ``stamp`` is what settings and stored secret looked like, ``since`` when it began.
    """

    at: float
    stamp: str
    outcome: str
    since: float
    diagnosis: str | None = None
    certificate: float = 0.0


class Memory:
    """Hold what was seen, as it was when it was read."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        known = read_json(self._path)
        self._checks: dict[str, Check] = {}
        for name, found in _tables(known.get("checks")).items():
            if found.keys() == {field.name for field in fields(Check)}:
                self._checks[name] = Check(**found)
        self._levels = _tables(known.get("levels"))

    def check(self, account: str) -> Check | None:
        """Return what an account's mailbox last answered."""
        return self._checks.get(account)

    def keep(self, account: str, check: Check) -> None:
        """Remember what an account's mailbox answered."""
        self._checks[account] = check

    def since(self, account: str | None, finding: Finding, now: float) -> float:
        """Return when a code got its level; ``now`` where it just did."""
        found = self._levels.get(account or "", {}).get(finding.code)
        if isinstance(found, list) and len(found) == 2 and found[0] == finding.level and found[1] <= now:
            return float(found[1])
        return now

    def save(self, entries: list[Entry], names: tuple[str, ...]) -> None:
        """Write down what was seen; what concerns accounts that are no more (not among ``names``) goes. Raises
        ``OSError``.
        """
        for entry in entries:
            self._levels[entry.account or ""] = {one.code: [one.level, one.since] for one in entry.findings}
        known = {
            "version": 1,
            "checks": {name: asdict(check) for name, check in self._checks.items() if name in names},
            "levels": {name: levels for name, levels in self._levels.items() if name in ("", *names)},
        }
        write_json(self._path, known)


def read_json(path: Path) -> Mapping[str, Any]:
    """Return what a file of ours holds; nothing where it is missing or damaged: it is written anew."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_json(path: Path, known: Mapping[str, Any]) -> None:
    """Write a file of ours, unless it says the same already. Raises ``OSError``."""
    data = json.dumps(known, ensure_ascii=False).encode()
    try:
        if path.read_bytes() == data:
            return
    except FileNotFoundError:
        make_private(path.parent)
    write_whole(path, data)


def _tables(found: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict):
        return {}
    return {name: table for name, table in found.items() if isinstance(table, dict)}
