"""A thousand kills, and the judgement of what they leave: for tests that have a place to deliver to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import franking

__all__ = ["Kills", "kills"]

PROGRAM = Path(__file__).parent / "kills.py"


def kills(usual: int) -> int:
    """Return how many kills there are to be: ``usual``, or what FRANKING_KILLS says."""
    return int(WANTED or usual)


WANTED = os.environ.get("FRANKING_KILLS")  # read before the tests' environment is cleaned


@dataclass
class Kills:
    """What was promised, and what those that were killed were doing."""

    promised: set[str] = field(default_factory=set)
    doing: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    window: int = 1

    @classmethod
    def run(cls, kills: int, runners: int, *, window: int = 1, seed: int = 7, speed: int = 1000) -> Kills:
        """Put, deliver and kill, with the account "shop" of the settings file."""
        ended = subprocess.run(
            [sys.executable, str(PROGRAM), *map(str, (kills, runners, window, seed, speed))],
            # the tree that is tested
            env={**os.environ, "PYTHONPATH": f"{Path(franking.__file__).parents[1]}:{os.environ['PYTHONPATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        made = cls(window=window)
        for line in ended.stdout.splitlines():
            first, *more = line.split()
            if first == "!":
                made.doing[" ".join(more[:3] if more[0] == "run" else more[:1])] += 1
            else:
                made.promised.add(first)
        return made

    def finish(self) -> franking.Outbox:
        """Deliver what is left, with nobody killed; return the outbox."""
        box = franking.Outbox()
        for _ in range(5):
            for entry in box.list(state="queued", limit=100_000):
                box.retry(entry.id)
            box.run(once=True)  # the first takes over what the dead had
        return box

    def judge(self, box: franking.Outbox, arrived: Callable[[franking.OutboxEntry], int], faults: int) -> None:
        """Hold the outbox against what arrived, when nothing more can come."""
        entries = {entry.id: entry for entry in box.list(limit=1_000_000)}
        self.states = Counter(entry.state for entry in entries.values())
        assert self.promised <= entries.keys()  # what queue returned for is there
        assert set(self.states) <= {"accepted", "refused", "failed", "unknown"}, self.states
        for entry in entries.values():
            there = arrived(entry)
            wanted = {"accepted": {1}, "unknown": {0, 1}}.get(entry.state, {0})
            assert there in wanted, (entry, there)
        assert [row[0] for row in box.database.rows("PRAGMA integrity_check")] == ["ok"]
        # one kill, or one fault, leaves a window of unknown ones at most: none is called so that had not begun to leave
        by_kill = sum(number for what, number in self.doing.items() if what.startswith("run"))
        found = [entry for entry in entries.values() if entry.state == "unknown"]
        killed = sum(entry.diagnosis is not None and entry.diagnosis.code == "outbox.interrupted" for entry in found)
        most = (by_kill * self.window, faults * self.window)
        assert killed <= most[0] and len(found) - killed <= most[1], (killed, len(found), most)
        assert self.states["accepted"]
        print(self)

    def __str__(self) -> str:
        steps = ", ".join(f"{what}: {number}" for what, number in sorted(self.doing.items()))
        return f"{sum(self.doing.values())} killed ({steps}); {len(self.promised)} promised; {dict(self.states)}"
