"""What a message costs is counted right: the senders send, and what they need is told beside the others."""

from __future__ import annotations

import pytest

from benchmarks import instructions, processor

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("processors", [1, 2])
def test_processor_time_is_told_of_every_sender(processors: int) -> None:
    found = processor.measure(rounds=1, processors=processors, fewer=50, sizes=("2 KiB", "10 MiB"))
    assert {"2 KiB, list", "2 KiB, composed", "2 KiB, send", "2 KiB, smtplib", "10 MiB, list"} <= set(found)
    assert found["2 KiB, smtplib"]["of smtplib"] == 1
    assert all(value >= 0 for row in found.values() for value in row.values())


@pytest.mark.skipif(instructions.VALGRIND is None, reason="valgrind is not installed")
def test_instructions_are_counted() -> None:
    more, fewer = (["sh", "-c", f"i=0; while [ $i -lt {times} ]; do i=$((i+1)); done"] for times in (2000, 1))
    assert instructions.counted(more) > instructions.counted(fewer) + 500_000
