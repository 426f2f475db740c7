"""Calls that know no time-out of their own, bounded: each runs in a daemon thread that may be left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["gather", "within"]

T = TypeVar("T")
K = TypeVar("K")


def within(seconds: float, work: Callable[[], T], *, name: str) -> T:
    """Return what ``work`` returns, or raise what it raises; ``TimeoutError`` when it takes longer than ``seconds``.

    ``name`` is the thread's. A ``TimeoutError`` of the work itself looks the same.
    """
    results: list[T] = []
    problems: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as problem:  # noqa: BLE001  (carried to the thread that asked)
            problems.append(problem)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if problems:
        raise problems[0]
    if not results:
        raise TimeoutError
    return results[0]


def gather(jobs: Mapping[K, Callable[[], T]], seconds: float, *, name: str) -> dict[K, T]:
    """Return the results of all jobs that ended within ``seconds``; they run at once, and must not raise."""
    from queue import Empty, SimpleQueue  # a plain delivery does without

    done: SimpleQueue[tuple[K, T]] = SimpleQueue()
    deadline = time.monotonic() + seconds

    def run(key: K, job: Callable[[], T]) -> None:
        done.put((key, job()))

    for key, job in jobs.items():
        threading.Thread(target=run, args=(key, job), name=f"{name} {key}", daemon=True).start()
    came: dict[K, T] = {}
    while len(came) < len(jobs):
        try:
            key, result = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        came[key] = result
    return came
