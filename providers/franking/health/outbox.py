"""What is found of the outbox: what waits too long, what needs a person, whether anybody delivers it. Nothing is made
or changed here, and where there is no outbox nothing is found.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from franking.errors import FrankingError
from franking.health.finding import Finding
from franking.outbox.rows import FRESH, PAUSED
from franking.outbox.store import Store, default_directory
from franking.sending.explain import explain

__all__ = ["OutboxLook", "look_at_box", "look_at_outbox"]

HOUR, DAY = 3600.0, 86400.0
OLD = HOUR
"""A message that waits longer is told of."""
RUN_SECONDS = 900.0
"""Somebody who delivers from cron comes at least so often."""
STARTING = 5.0
"""A runner's lock file that is younger may not be locked yet; trying it would be in the runner's way."""
FULL, VERY_FULL = 90.0, 98.0

_OLDEST = (
    f"SELECT min(at) AS at FROM (SELECT created_at AS at FROM entries WHERE {FRESH} UNION ALL "
    f"SELECT max(created_at, coalesce(not_before, 0)) FROM entries WHERE {PAUSED})"
)
_DUE = (
    f"SELECT (SELECT count(*) FROM entries WHERE {FRESH} AND created_at <= :now) + "
    f"(SELECT count(*) FROM entries WHERE {PAUSED} AND next_at <= :now) AS n"
)
_FAILED = (
    "SELECT count(*) AS n FROM entries WHERE state <> 'queued' AND state IN ('failed', 'refused') AND finished_at > ?"
)
_FIRST = "SELECT number, created_at FROM entries ORDER BY number LIMIT 1"
_HELD = "SELECT account, held FROM accounts WHERE held IS NOT NULL"


@dataclass(frozen=True, slots=True)
class OutboxLook:
    """What was found, and its numbers; ``held`` is None where there is no outbox."""

    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    oldest: float = 0.0
    held: Mapping[str, str] | None = None


def look_at_outbox(environ: Mapping[str, str], clock: Callable[[], float] = time.time) -> OutboxLook:
    """Look at the outbox of this user."""
    directory = default_directory(environ)
    if not (directory / "outbox.sqlite3").exists():
        return OutboxLook()
    store = Store(directory, clock=clock)
    try:
        return look_at_box(store)
    except FrankingError as problem:
        return OutboxLook((Finding("outbox.disk", "critical", {"path": str(directory)}, explain(problem)),), held={})
    finally:
        store.close()


def look_at_box(store: Store) -> OutboxLook:
    """Look at an outbox that is there. Raises ``FrankingError`` where it cannot be read."""
    now, rows = store.clock(), store.database.rows
    at = rows(_OLDEST)[0]["at"]
    oldest = max(0.0, now - at) if at is not None else 0.0
    counts = store.counts()
    findings = (
        _number("outbox.waiting", counts["queued"], "warning" if oldest > OLD else "ok", minutes=int(oldest // 60)),
        _number("outbox.unknown", counts["unknown"]),
        _number("outbox.failed", rows(_FAILED, (now - DAY,))[0]["n"]),
        _disk(store.directory),
        *_runners(store, rows(_DUE, {"now": now})[0]["n"], now),
        _number("outbox.stray-file", store.strays()),
    )
    held = {row["account"]: row["held"] for row in rows(_HELD)}
    return OutboxLook(findings, counts, oldest, held)


def _number(code: str, number: int, level: str | None = None, **more: Any) -> Finding:
    return Finding(code, level or ("warning" if number else "ok"), {"number": number, **more})


def _disk(directory: Path) -> Finding:
    usage = shutil.disk_usage(directory)
    percent = 100.0 * (usage.total - usage.free) / max(1, usage.total)
    level = "ok"
    if percent >= FULL:
        level = "critical" if percent >= VERY_FULL else "warning"
    return Finding("outbox.disk", level, {"percent": int(percent), "path": str(directory)})


def _runners(store: Store, due: int, now: float) -> Iterator[Finding]:
    """Return whether somebody delivers: a runner that lives, or one that came by lately (cron)."""
    folder = store.directory / "runners"
    somebody = _came_by(folder, store, now) or any(map(_lives, folder.glob("*.lock")))
    level = "warning" if due and not somebody else "ok"
    yield Finding("outbox.no-runner", level, {"number": due})


def _came_by(folder: Path, store: Store, now: float) -> bool:
    """Return whether a runner came by lately: each makes and removes a file in the folder. That it was just made tells
    nothing: then the outbox's first message is younger.
    """
    try:
        changed = folder.stat().st_mtime
    except OSError:
        return False
    first = store.database.rows(_FIRST)
    new = bool(first) and first[0]["number"] == 1 and changed <= first[0]["created_at"]
    return abs(now - changed) < RUN_SECONDS and not new


def _lives(path: Path) -> bool:
    """Return whether the runner of a lock file lives; the lock is tried and given back at once."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody can look without being in the way
        return True
    try:
        with path.open("rb+") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < STARTING:
                return True
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:  # gone meanwhile
        return False
