"""What health remembers: since when a code has its level."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from franking.health.finding import Entry, Finding
from franking.health.memory import Memory


def test_a_level_began_when_it_was_first_seen_and_never_in_the_future(tmp_path: Path) -> None:
    finding = Finding("outbox.disk", "warning", since=100.0)
    Memory(tmp_path).save([Entry(None, None, None, 100.0, (finding,))], ())
    seen = Memory(tmp_path)
    assert seen.since(None, finding, 150.0) == 100.0
    assert seen.since(None, replace(finding, level="critical"), 150.0) == 150.0
    assert seen.since("shop", finding, 150.0) == 150.0
    assert seen.since(None, finding, 50.0) == 50.0  # the clock was set back
