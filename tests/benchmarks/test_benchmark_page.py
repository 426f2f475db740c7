"""The benchmark of the settings page runs; its times are nobody's business here."""

from __future__ import annotations

from benchmarks import page


def test_the_benchmark_runs() -> None:
    (row,) = page.measure(count=2).values()
    assert row["ratio"] > 0
