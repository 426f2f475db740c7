"""The benchmark of composing runs and compares like with like; its times are nobody's business here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import compose

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_benchmark_runs() -> None:
    found = compose.measure(messages=1, rounds=1, file_size=100_000)
    assert set(found) == {"2 KiB, ASCII", "2 KiB, Czech", "file", "file, MiB"}
    assert all(value >= 0 for row in found.values() for value in row.values())


def test_both_sides_compose_the_same(tmp_path: Path) -> None:
    from email import message_from_bytes, policy

    for text, subject in ((compose.ENGLISH, "Invoice"), (compose.CZECH, "Vyúčtování č.")):
        mine, other = (
            message_from_bytes(made(text, subject, 5), policy=policy.default) for made in (compose.ours, compose.theirs)
        )
        assert mine["subject"] == other["subject"] == f"{subject} 5"
        assert mine["to"] == other["to"]
        assert mine.get_content().replace("\r\n", "\n").strip() == other.get_content().strip() == text.strip()
    (tmp_path / "a.bin").write_bytes(b"x" * 100_000)
    assert 0.99 < compose.our_file(tmp_path / "a.bin") / compose.their_file(tmp_path / "a.bin") < 1.03
