"""Calls within a deadline: what they return and raise goes through, what does not come is left behind."""

from __future__ import annotations

import threading

import pytest

from franking.net.deadline import gather, within


def test_what_the_call_returns_or_raises_goes_through() -> None:
    assert within(5, lambda: threading.current_thread().name, name="test-deadline") == "test-deadline"
    assert within(5, lambda: None, name="x") is None
    with pytest.raises(KeyError):
        within(5, lambda: {}["missing"], name="x")


def test_what_takes_longer_is_left_behind_in_a_daemon() -> None:
    release, daemon = threading.Event(), list[bool]()

    def work() -> None:
        daemon.append(threading.current_thread().daemon)
        release.wait(10)

    with pytest.raises(TimeoutError):
        within(0.05, work, name="x")
    release.set()
    assert daemon == [True]


def test_jobs_run_at_once_and_those_that_came_in_time_count() -> None:
    together, release = threading.Barrier(2, timeout=5), threading.Event()
    jobs = {"a": lambda: together.wait() >= 0, "b": lambda: together.wait() >= 0, "c": lambda: release.wait(10)}
    assert gather(jobs, 0.3, name="x") == {"a": True, "b": True}
    release.set()
    assert gather({}, 5, name="x") == {}
