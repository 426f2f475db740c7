"""The benchmark of the outbox runs; its times are nobody's business here."""

from __future__ import annotations

import pytest

from benchmarks import outbox

pytestmark = pytest.mark.slow


def test_the_benchmark_runs() -> None:
    found = outbox.measure(messages=5, rounds=1, round_trip=0.002, rows=20)
    assert len(found) == 6
    assert all(row["ratio"] > 0 for row in found.values())
