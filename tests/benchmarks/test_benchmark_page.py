"""The benchmark of the settings page runs; its times are nobody's business here."""

from __future__ import annotations

from benchmarks import page


def test_the_benchmark_runs() -> None:
    first, size = page.measure(count=2).values()
    assert first["ratio"] > 0 and size["KiB"] > 0
