"""The benchmark of the relay runs; its times are nobody's business here."""

from __future__ import annotations

import pytest

from benchmarks import relay

pytestmark = pytest.mark.slow


def test_the_benchmark_runs() -> None:
    found = relay.measure(number=2, count=10, rounds=1)
    assert all(row["ratio"] >= 0 for row in found.values())
