"""The benchmark of Celery's workers runs, and waits for the store as seldom as its budget says; its times are nobody's
business here.
"""

from __future__ import annotations

import pytest

from benchmarks import task_queue

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_benchmark_runs() -> None:
    found = task_queue.measure(messages=5, processes=2, rounds=1)
    if not found:
        pytest.skip("there is no Redis here")
    assert found["the store, a message"] == {"round_trips": 3.0}
    assert all(row["ratio"] > 0 for row in found.values() if "ratio" in row)
