"""The benchmark of the outbox runs; its times are nobody's business here."""

from __future__ import annotations

import pytest

from benchmarks import outbox

pytestmark = pytest.mark.slow


def test_the_benchmark_runs() -> None:
    found = outbox.measure(messages=5, rounds=1, round_trip=0.002, rows=20, file_size=400_000)
    assert 9 <= len(found) <= 13  # nullmailer and Postfix are not everywhere
    assert all(row.get("ratio", 1) > 0 for row in found.values())
