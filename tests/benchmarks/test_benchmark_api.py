"""The measurements of Gmail and Graph run, and count what they say."""

from __future__ import annotations

import pytest

from benchmarks import api

pytestmark = pytest.mark.slow


def test_counts_and_memory_are_measured() -> None:
    found = api.measure(messages=12, connections=2, file_size=5_000_000)
    for rows in found.values():
        assert rows["connections per worker"]["count"] in (0.5, 1.0)
        assert (rows["token refreshes"]["count"], rows["discovery downloads"]["count"]) == (1, 0)
        assert rows["round trips per message"]["count"] <= 1.1
        assert 0 < rows["25 MB, peak memory"]["MiB"] < 8
